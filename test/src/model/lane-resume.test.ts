/** Where a span goes on: a model applies batches lane by lane, stops anywhere, and asks what may be missing. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { resumeOf } from '#src/model/lane-resume.ts';

import type { LaneProgress } from '#src/model/lane-resume.ts';

const fresh: LaneProgress = { ts: 0, base: 0, lanes: 1 };

describe('resumeOf', () => {
  it('goes on behind a batch that all of its lanes committed', () => {
    const lane = { ts: 9, base: 4, lanes: 2, batch: 'a' };
    assert.deepEqual(resumeOf([lane, lane, fresh], 0), { startTs: 9, redoTs: 9 });
  });

  it('goes back to the base of a batch that some lane did not commit', () => {
    const lanes = [{ ts: 9, base: 4, lanes: 2, batch: 'a' }, fresh];
    assert.deepEqual(resumeOf(lanes, 0), { startTs: 4, redoTs: 9 });
  });

  it('does not take lanes of two different batches for one', () => {
    const lanes = [
      { ts: 9, base: 4, lanes: 2, batch: 'a' },
      { ts: 9, base: 4, lanes: 2, batch: 'b' },
    ];
    assert.deepEqual(resumeOf(lanes, 0), { startTs: 4, redoTs: 9 });
  });

  it('keeps what a cut batch may have left until the replay has passed it', () => {
    const lanes = [
      { ts: 9, base: 4, lanes: 2, batch: 'a' },
      { ts: 6, base: 4, lanes: 1, batch: 'b', redoTs: 9 },
    ];
    assert.deepEqual(resumeOf(lanes, 0), { startTs: 6, redoTs: 9 });
  });

  it('never goes back behind a place known to be complete', () => {
    assert.deepEqual(resumeOf([fresh], 30), { startTs: 30, redoTs: 30 });
  });

  it('misses no change, and repeats only what redoTs covers, wherever batches are cut', () => {
    const batch = fc.record({
      size: fc.integer({ min: 1, max: 5 }),
      taking: fc.subarray([0, 1, 2], { minLength: 1 }),
      committed: fc.integer({ min: 0, max: 3 }),
    });
    fc.assert(
      fc.property(fc.array(batch, { maxLength: 12 }), (batches) => {
        const lanes: LaneProgress[] = [fresh, fresh, fresh];
        /** By change (each ts has three): how often it was applied. */
        const applied = new Map<string, number>();
        let at = 0;
        let redoTs = 0;
        for (const [name, { size, taking, committed }] of batches.entries()) {
          const until = at + size;
          const hindmost = lanes.reduce((low, lane, i) => (lane.ts < lanes[low]!.ts ? i : low), 0);
          const used = at < redoTs ? [hindmost] : taking;
          for (const [place, lane] of used.slice(0, committed).entries()) {
            for (let ts = at + 1; ts <= until; ts++) {
              for (let part = place; part < 3; part += used.length) {
                const count = (applied.get(`${ts}/${part}`) ?? 0) + 1;
                applied.set(`${ts}/${part}`, count);
                assert.ok(count === 1 || ts <= redoTs, `${ts}/${part} repeated unannounced`);
              }
            }
            assert.ok(until >= lanes[lane]!.ts, 'a lane never goes back');
            const redo = redoTs > until ? { redoTs } : {};
            lanes[lane] = { ts: until, base: at, lanes: used.length, batch: String(name), ...redo };
          }
          ({ startTs: at, redoTs } = resumeOf(lanes, 0));
          for (let ts = 1; ts <= at; ts++) {
            for (let part = 0; part < 3; part++) assert.ok(applied.has(`${ts}/${part}`), 'missed');
          }
        }
      }),
    );
  });
});
