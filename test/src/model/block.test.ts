/** Blocks: whatever is written comes back in order, however `take` cuts it, and open transactions stand alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BlockWriter, readBlockInfo, visitBlock } from '#src/model/block.ts';

type Action =
  | { readonly kind: 'rows'; readonly table: number; readonly body: Uint8Array }
  | { readonly kind: 'commit' }
  | { readonly kind: 'take' };

const action: fc.Arbitrary<Action> = fc.oneof(
  fc.record({
    kind: fc.constant('rows' as const),
    table: fc.integer({ min: 0, max: 3 }),
    body: fc.uint8Array({ minLength: 1, maxLength: 300 }),
  }),
  fc.constant({ kind: 'commit' as const }),
  fc.constant({ kind: 'take' as const }),
);

const tableMap = (table: number): Uint8Array => new Uint8Array([1, 2, 3, 4, 5, 6, 50 + table, 7]);

/** Every rows record of the blocks as `ts table body`, checking the self-containedness of each block on the way. */
function history(blocks: readonly Uint8Array[]): readonly string[] {
  const lines: string[] = [];
  for (const bytes of blocks) {
    const tables = new Map<number, Uint8Array>();
    let ts = 0;
    let events = 0;
    visitBlock(bytes, {
      transaction: (commitTs, commitMs, gtid) => {
        assert.equal(gtid, `0-1-${commitTs}`);
        assert.equal(commitMs, commitTs * 10);
        ts = commitTs;
      },
      table: (index, map) => void tables.set(index, map.slice()),
      rows: (index, eventType, body) => {
        assert.equal(eventType, 23);
        events++;
        lines.push(`${ts} ${tables.get(index)![6]! - 50} ${Buffer.from(body).toString('hex')}`);
      },
    });
    assert.equal(readBlockInfo('s', bytes).eventCount, events);
  }
  return lines;
}

test('any sequence of rows, commits and takes gives back the same history', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      const writer = new BlockWriter('s', 'mariadb', 64);
      const blocks: Uint8Array[] = [];
      const expected: string[] = [];
      let ts = 1;
      writer.begin(ts, ts * 10, `0-1-${ts}`);
      for (const step of [...actions, { kind: 'commit' as const }]) {
        if (step.kind === 'rows') {
          writer.rows(`t${step.table}`, tableMap(step.table), 23, step.body);
          expected.push(`${ts} ${step.table} ${Buffer.from(step.body).toString('hex')}`);
        } else if (step.kind === 'commit') {
          writer.commit();
          ts++;
          writer.begin(ts, ts * 10, `0-1-${ts}`);
        } else {
          const taken = writer.take();
          if (taken !== undefined) blocks.push(taken.bytes);
        }
      }
      for (let taken = writer.take(); taken !== undefined; taken = writer.take())
        blocks.push(taken.bytes);
      assert.deepEqual(history(blocks), expected);
      for (const bytes of blocks) {
        const info = readBlockInfo('s', bytes);
        if (info.unfinished)
          assert.equal(info.firstTs, info.lastTs, 'an open transaction stands alone');
      }
    }),
    { numRuns: 500 },
  );
});

test('a transaction cut by take continues in the next block', () => {
  const writer = new BlockWriter('s', 'mysql');
  writer.begin(7, 70, '0-1-7');
  writer.rows('t0', tableMap(0), 23, new Uint8Array([1]));
  const first = writer.take()!.info;
  writer.rows('t0', tableMap(0), 23, new Uint8Array([2]));
  writer.commit();
  const second = writer.take()!.info;
  assert.deepEqual([first.continues, first.unfinished], [false, true]);
  assert.deepEqual([second.continues, second.unfinished], [true, false]);
});
