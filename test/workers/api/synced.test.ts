/** When a changefeed counts as synced (FEATURES 1.4: quiet for longer than 300 s, the checkpoint less than 15 s behind). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { syncedBounds } from '#src/model/synced-bounds.ts';
import { blankStatus, type ChangefeedStatus } from '#src/protocol/changefeed.ts';
import { syncedAnswer } from '#workers/api/answers.ts';
import type { ChangefeedView } from '#workers/api/control-plane.ts';

const nowMs = Date.parse('2026-11-25T12:00:00.000Z');
const at = (ts: number): ChangefeedStatus['checkpoint'] => ({ ts, gtid: `0-1-${ts}` });

/** One that runs and has applied all it has read, the last change ten minutes ago. */
const quiet: ChangefeedStatus = {
  ...blankStatus('f'),
  state: 'normal',
  checkpoint: at(9),
  resolvedTs: 9,
  sourceMs: nowMs - 600_000,
  appliedMs: nowMs - 600_000,
};

function viewOf(status: ChangefeedStatus, more: Partial<ChangefeedView> = {}): ChangefeedView {
  return {
    id: 'f',
    upstreamUri: '',
    sinkUri: '',
    start: '',
    target: null,
    createdMs: 0,
    config: {
      memoryQuota: 1,
      stuckAfterMs: 1,
      rules: [],
      laneCount: 1,
      splitAbove: null,
      synced: syncedBounds,
    },
    status,
    maintainer: 'a',
    ...more,
  };
}

const { config } = viewOf(quiet);
const recent = { sourceMs: nowMs - 300_000, appliedMs: nowMs - 300_000 };
const lastChange = (age: number, after: number): string =>
  `everything that was read is applied, but the last change is ${age} s old: it counts as synced after ${after} s`;

const cases: readonly (readonly [string, ChangefeedView, string])[] = [
  ['quiet and close', viewOf(quiet), ''],
  ['quiet for as long as the bound', viewOf({ ...quiet, ...recent }), lastChange(300, 300)],
  [
    'quiet for as long as people say',
    viewOf(
      { ...quiet, ...recent },
      { config: { ...config, synced: { ...syncedBounds, quietMs: 60_000 } } },
    ),
    '',
  ],
  [
    'nothing was ever changed, and it is new',
    viewOf({ ...quiet, sourceMs: 0, appliedMs: 0 }, { createdMs: nowMs - 20_000 }),
    lastChange(20, 300),
  ],
  [
    'an upstream whose clock is ahead',
    viewOf({ ...quiet, sourceMs: nowMs + 5_000, appliedMs: nowMs + 5_000 }),
    lastChange(0, 300),
  ],
  [
    'the checkpoint is behind',
    viewOf({ ...quiet, checkpoint: at(8), sourceMs: nowMs - 585_000 }),
    'the checkpoint is 15000 ms behind',
  ],
  [
    'the last changes are under way',
    viewOf({ ...quiet, checkpoint: at(8) }),
    'changes that were read are being applied',
  ],
  [
    'no checkpoint',
    viewOf({ ...quiet, checkpoint: null, resolvedTs: 0 }),
    'there is no checkpoint yet',
  ],
  ['a DDL runs', viewOf({ ...quiet, heldMs: nowMs - 16_000 }), 'the checkpoint is 16000 ms behind'],
  ['it does not run', viewOf({ ...quiet, state: 'stopped' }), 'the changefeed is stopped'],
];

for (const [name, view, trouble] of cases) {
  test(`${name}: ${trouble === '' ? 'synced' : 'not synced'}`, () => {
    const answer = syncedAnswer(view, nowMs);
    assert.equal(answer['synced'], trouble === '');
    assert.equal(answer['info'], trouble || 'everything that was changed upstream is applied');
    assert.equal(answer['now_ts'], '2026-11-25T12:00:00.000Z');
  });
}
