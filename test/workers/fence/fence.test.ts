/**
 * Fences on real threads (issue 3): cells that never stop working are fenced in every situation; from then on they do
 * nothing, hold nothing open, and the next life of the subtree works.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { confirmWithinMs, type FenceProof } from '#workers/fence-proof.ts';
import { leaseDeadline } from '#workers/lease-deadline.ts';
import { FenceStage } from './system.ts';

const msNs = 1_000_000n;

/** Nothing is delivered or submitted any more, nothing is open, and a new life works. */
async function assertFenced(stage: FenceStage): Promise<void> {
  const before = stage.counts();
  await sleep(60);
  assert.deepEqual(stage.counts(), before);
  assert.deepEqual(
    (await stage.system.overview()).map(({ path }) => path),
    ['house/spawner'],
  );
  stage.system.revive('house/w');
  const started = stage.note('started');
  stage.spawn(['work', 'work-1', 2], ['work', 'work-2', 2]);
  await stage.working(started + 4);
}

/** A fence ends the threads in `stuck`, and on a busy machine others that were late: never one before its time is over. */
function assertProof(proof: FenceProof, stuck: readonly string[]): void {
  const { isProven, terminated, elapsedMs } = proof;
  assert.equal(isProven, true);
  for (const thread of stuck) assert.ok(terminated.includes(thread), `${thread} goes on`);
  assert.ok(terminated.length === 0 || elapsedMs >= confirmWithinMs, `ended in ${elapsedMs} ms`);
}

test('working cells on two threads do nothing from the fence on, and the next life works', async (t) => {
  const stage = await FenceStage.of(t);
  stage.spawn(['work', 'work-1', 20], ['work', 'work-2', 20]);
  await stage.working(40);
  const proving = stage.system.fence('test', 'house/w');
  const { submits } = stage.counts();
  const proof = await proving;
  assertProof(proof, []);
  // What had passed the gate before the store may finish its count: at most one a thread.
  assert.ok(stage.counts().submits - submits <= 2);
  // A thread that was ended closed its sockets by that, and counts nothing any more.
  if (proof.terminated.length === 0) assert.equal(stage.note('openPorts'), 0);
  await assertFenced(stage);
  await stage.stop();
});

test('a thread that spins, and one that is blocked, are ended and started again', async (t) => {
  for (const does of ['spin', 'block'] as const) {
    const stage = await FenceStage.of(t);
    stage.spawn(['work', 'work-1', 5], [does, 'work-2']);
    await stage.working(6);
    await stage.until(() => stage.note('stuck') === 1);
    assertProof(await stage.system.fence('test', 'house/w'), ['work-2']);
    await assertFenced(stage);
    await stage.stop();
  }
});

test('a cell in the middle of its start is fenced too, and never comes up', async (t) => {
  const stage = await FenceStage.of(t);
  stage.spawn(['start-slowly', 'work-1'], ['work', 'work-2', 3]);
  await stage.until(() => stage.note('started') === 4);
  await stage.system.fence('test', 'house/w');
  await assertFenced(stage);
  await stage.stop();
});

test('cells asked for while the fence comes are not started under the fenced life', async (t) => {
  const stage = await FenceStage.of(t);
  stage.spawn(['work', 'work-1', 200], ['work', 'work-2', 200]);
  const proof = await stage.system.fence('test', 'house/w');
  assert.equal(proof.isProven, true);
  stage.spawn(['work', 'work-1', 5]);
  await assertFenced(stage);
  await stage.stop();
});

test('a graceful stop that is held up becomes a fence', async (t) => {
  const stage = await FenceStage.of(t);
  stage.spawn(['cling', 'work-1', 3], ['work', 'work-2', 3]);
  await stage.working(6);
  const stopped = stage.stop();
  await sleep(30);
  const { submits } = stage.counts();
  await stage.until(() => stage.note('submits') > submits);
  const proof = await stage.system.fence('test', 'house/w');
  const before = stage.counts();
  assert.equal(proof.isProven, true);
  // Those who cling have 20 s to stop: only the fence ends them sooner.
  await stopped;
  assert.deepEqual(stage.counts(), before);
});

test('a fence from a worker thread is one for all threads, and main hears of it', async (t) => {
  const stage = await FenceStage.of(t);
  stage.spawn(['work', 'work-1', 5], ['work', 'work-2', 5]);
  await stage.working(10);
  stage.spawn(['fence', 'work-2']);
  await stage.until(() => stage.proofs.length > 0);
  assert.equal(stage.note('fencedBy'), 1);
  assert.equal(stage.proofs[0]!.isProven, true);
  await assertFenced(stage);
  await stage.stop();
});

test('two fences at once are one', async (t) => {
  const stage = await FenceStage.of(t);
  stage.spawn(['work', 'work-1', 5], ['spin', 'work-2']);
  await stage.working(6);
  const proofs = await Promise.all([
    stage.system.fence('one', 'house/w'),
    stage.system.fence('two', 'house/w'),
    stage.system.fence('three', 'house/w'),
  ]);
  assert.ok(proofs.every(({ isProven }) => isProven));
  await assertFenced(stage);
  assert.equal(stage.proofs.length, 1);
  await stage.stop();
});

test('a fence of the root ends everything, and the whole comes back', async (t) => {
  const stage = await FenceStage.of(t);
  stage.spawn(['work', 'work-1', 5]);
  await stage.working(5);
  assert.throws(() => stage.system.revive('house'), /not fenced/);
  await stage.system.fence('test');
  assert.deepEqual(await stage.system.overview(), []);
  stage.system.revive();
  await stage.until(() => stage.system.tree.inspect().status === 'running');
  stage.spawn(['work', 'work-1', 2]);
  await stage.working(7);
  await stage.stop();
});

test('the watchdog fences at the deadline while main spins', async (t) => {
  const stage = await FenceStage.of(t, { isLeased: true });
  const { gate } = stage.system;
  const lease = leaseDeadline(gate, stage.system.gatesBelow('house'), () => {});
  stage.spawn(['work', 'work-1', 3], ['work', 'work-2', 3]);
  await stage.until(() => stage.note('started') === 6);
  assert.equal(stage.note('submits'), 0);
  const now = process.hrtime.bigint();
  const deadline = now + 3_000n * msNs;
  lease.publish(deadline, now);
  await stage.working(6);
  // Main answers nothing from here until long after the deadline.
  while (process.hrtime.bigint() < deadline + 300n * msNs);
  const { submits } = stage.counts();
  assert.equal(gate.isShut(0), true);
  assert.ok(Atomics.load(stage.notes.times, 8) < deadline);
  await stage.until(() => stage.proofs.length > 0);
  assert.equal(stage.counts().submits, submits);
  await stage.stop();
});

test('a process whose main never comes back from the deadline is killed', async () => {
  assert.deepEqual(await endOf('./spin-main.ts'), [null, 'SIGKILL']);
});

test('a thread that writes to the event store is ended between two calls, never within one', async () => {
  assert.deepEqual(await endOf('./append-main.ts'), [0, null]);
});

test('a process that exits while a thread writes to the event store ends', async () => {
  for (const ms of [20, 24, 28, 32, 36, 40])
    assert.deepEqual(await endOf('./exit-main.ts', `${ms}`), [7, null]);
});

/** Exit status and signal of a process of its own. */
async function endOf(script: string, ...args: readonly string[]): Promise<readonly unknown[]> {
  const path = new URL(script, import.meta.url).pathname;
  const child = spawn(process.execPath, [path, ...args], {
    stdio: ['ignore', 'inherit', 'inherit'],
    timeout: 30_000,
    killSignal: 'SIGABRT',
  });
  return await once(child, 'exit');
}

test('more threads than the shared memory has words for are refused before anything starts', async () => {
  await assert.rejects(
    FenceStage.start({ workThreadCount: 128 }),
    /the house plan is wrong:\n129 threads, at most 128/,
  );
});
