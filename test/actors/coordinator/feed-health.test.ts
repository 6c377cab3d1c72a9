/** Back-off and states of a changefeed that fails (FEATURES 1.2), and what reports mean (spec/02 F11, F12). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failing, newHealth, patientBackoff, reached } from '#actors/coordinator/feed-health.ts';
import { standings } from '#actors/coordinator/reports.ts';
import { failure } from '#src/base/failure.ts';

const lost = failure('SINK_DISCONNECTED', 'lost', { retry: 'Reconnect' });
const bounds = { ...patientBackoff, stuckAfterMs: 1_800_000 };

test('FEATURES 1.2: delays double from ten seconds to ten minutes, give or take a tenth', () => {
  let health = newHealth(0);
  const delays: number[] = [];
  for (let i = 0; i < 8; i++) {
    const verdict = failing(health, lost, bounds, { nowMs: 1, random: 0.5 });
    assert.equal(verdict.state, 'warning');
    if (verdict.state !== 'warning') return;
    delays.push(verdict.afterMs / 1_000);
    health = verdict.health;
  }
  assert.deepEqual(delays, [10, 20, 40, 80, 160, 320, 600, 600]);
  const spread = [0, 1].map((random) => failing(newHealth(0), lost, bounds, { nowMs: 1, random }));
  assert.deepEqual(
    spread.map((verdict) => verdict.state === 'warning' && verdict.afterMs),
    [9_000, 11_000],
  );
});

test('FEATURES 1.2: what cannot get better fails at once, and everything after half an hour without progress', () => {
  const never = failure('SOURCE_BINLOG_PURGED', 'gone');
  const now = { nowMs: 1, random: 0 };
  assert.equal(failing(newHealth(0), never, bounds, now).state, 'failed');
  assert.equal(failing(newHealth(0), lost, bounds, { ...now, nowMs: 1_800_001 }).state, 'failed');
});

test('FEATURES 1.2: a checkpoint that moves, or has nothing left to do, resets the delay', () => {
  const verdict = failing(newHealth(0), lost, bounds, { nowMs: 1, random: 0 });
  assert.equal(verdict.state, 'warning');
  if (verdict.state !== 'warning') return;
  const { health } = verdict;
  assert.deepEqual(reached(health, -1, false, 9), { ...health, isHeard: true });
  assert.deepEqual(reached(health, 7, false, 9), {
    failureCount: 0,
    progressAtMs: 9,
    progressTs: 7,
    isHeard: true,
  });
  assert.equal(reached({ ...health, progressTs: 7 }, 7, true, 9).failureCount, 0);
});

const word = (
  id: string,
  node: string,
  epoch: number,
): Parameters<typeof standings>[1][number] => ({
  id,
  node,
  epoch,
  isWorking: true,
  isBootstrapped: true,
  isClosed: false,
});

test('F11, F12: the exact epoch is current, others are stale, unknown feeds are stale', () => {
  const epochs = new Map([
    ['f', 5],
    ['g', 1],
  ]);
  const all = standings(epochs, [word('f', 'a', 4), word('f', 'b', 5), word('x', 'a', 9)]);
  assert.equal(all.get('f')!.current?.node, 'b');
  assert.deepEqual(
    all.get('f')!.stale.map(({ epoch }) => epoch),
    [4],
  );
  assert.deepEqual(all.get('g'), { current: null, stale: [] });
  assert.deepEqual(
    all.get('x')!.stale.map(({ node }) => node),
    ['a'],
  );
});

test('F12: two maintainers under one epoch are a broken promise', () => {
  assert.throws(
    () => standings(new Map([['f', 5]]), [word('f', 'a', 5), word('f', 'b', 5)]),
    /two maintainers/,
  );
});
