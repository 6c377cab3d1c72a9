/** The watchdog's decisions, on a clock moved by hand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeadlineWatch, type WatchVerdict } from '#workers/deadline-watch.ts';
import { Gate } from '#workers/gate.ts';

const startNs = 1_000_000_000_000n;

/** Two threads, `main` and one more, under one gate. */
class Stage {
  readonly gate = new Gate();
  readonly worker = new Gate(this.gate.memory, 1);
  readonly watch = new DeadlineWatch(this.gate, [0], 2);
  readonly life = { gate: 0, generation: this.gate.begin(0) };
  nowNs = startNs;
  bootMs = 0;
  wallMs = 1_800_000_000_000;

  constructor() {
    this.tick(0);
    this.beat();
  }

  beat(...threads: readonly number[]): void {
    for (const thread of threads.length === 0 ? [0, 1] : threads)
      Atomics.store(this.gate.words.heartbeats, thread, this.nowNs);
  }

  tick(ms: number, bootMs = ms, wallMs = ms): WatchVerdict {
    this.nowNs += BigInt(ms) * 1_000_000n;
    this.bootMs += bootMs;
    this.wallMs += wallMs;
    return this.watch.tick({ nowNs: this.nowNs, bootMs: this.bootMs, wallMs: this.wallMs });
  }

  /** Whether this tick puts the process on probation. */
  isDoubted(ms: number, bootMs?: number, wallMs?: number): boolean {
    Atomics.store(this.gate.words.deadline, 1, 0n);
    this.tick(ms, bootMs, wallMs);
    return this.probation === this.nowNs;
  }

  deadline(afterMs: number): void {
    Atomics.store(this.gate.words.deadline, 0, this.nowNs + BigInt(afterMs) * 1_000_000n);
  }

  get probation(): bigint {
    return Atomics.load(this.gate.words.deadline, 1);
  }

  suspended(): number[] {
    return [...this.gate.words.suspended.subarray(0, 2)];
  }
}

test('a deadline that passes fences once; without one nothing is fenced', () => {
  const stage = new Stage();
  assert.equal(stage.tick(400), 'nothing');
  stage.deadline(25);
  assert.deepEqual(
    [stage.tick(20), stage.tick(5), stage.tick(10)],
    ['nothing', 'fenced', 'nothing'],
  );
  assert.equal(stage.gate.isShut(0), true);
  assert.equal(stage.gate.begin(0), 2);
});

test('a thread without heartbeat may not write before it beats again (I-26)', () => {
  const stage = new Stage();
  for (let i = 0; i < 16; i++) {
    stage.tick(10);
    stage.beat(0);
  }
  assert.deepEqual(stage.suspended(), [0, 1]);
  stage.worker.beat();
  assert.deepEqual(stage.suspended(), [0, 0]);
  // One that does not run is not stale.
  stage.gate.rest(1);
  stage.tick(400);
  assert.equal(stage.suspended()[1], 0);
});

test('a process that stood still is on probation, and so is one whose machine slept', () => {
  const stage = new Stage();
  stage.deadline(60_000);
  assert.deepEqual([stage.isDoubted(499), stage.isDoubted(501)], [false, true]);
  assert.deepEqual([stage.isDoubted(10, 110), stage.isDoubted(10, 111)], [false, true]);
});

test('a watchdog that lost its turn between two clocks sees no suspension, then or afterwards', () => {
  const stage = new Stage();
  stage.deadline(60_000);
  assert.deepEqual([stage.isDoubted(310, 10), stage.isDoubted(10, 310)], [false, false]);
  assert.equal(stage.isDoubted(10, 111), true);
});

test('a time of day that jumps is a reason for doubt, one that is led to the right one is not', () => {
  for (const shiftMs of [3_600_000, -7_200_000, 1_001, -1_001]) {
    const stage = new Stage();
    stage.deadline(60_000);
    assert.equal(stage.isDoubted(10, 10, 10 + shiftMs), true, String(shiftMs));
    assert.equal(stage.isDoubted(10), false);
  }
  const slewed = new Stage();
  slewed.deadline(10 ** 9);
  for (let i = 0; i < 400; i++) assert.equal(slewed.isDoubted(10, 10, 10 + 5), false);
});

test('a fence that one thread does not confirm within a second ends the process', () => {
  const stage = new Stage();
  stage.gate.fence([0]);
  stage.gate.confirm(stage.gate.fencedNow());
  stage.tick(10);
  for (let ms = 0; ms < 990; ms += 10) assert.equal(stage.tick(10), 'nothing');
  assert.equal(stage.tick(10), 'kill');
});

test('a fence that all confirm, or whose threads have ended, ends nothing more', () => {
  for (const end of ['confirm', 'rest'] as const) {
    const stage = new Stage();
    stage.gate.fence([0]);
    stage.gate.confirm(stage.gate.fencedNow());
    stage.tick(10);
    if (end === 'confirm') stage.worker.confirm(stage.gate.fencedNow());
    else stage.gate.rest(1);
    for (let i = 0; i < 200; i++) assert.equal(stage.tick(10), 'nothing', end);
  }
});

test('time the process stood still does not count against its threads', () => {
  const stage = new Stage();
  stage.gate.fence([0]);
  stage.tick(10);
  assert.equal(stage.tick(60_000), 'nothing');
  stage.gate.confirm(stage.gate.fencedNow());
  stage.worker.confirm(stage.gate.fencedNow());
  assert.equal(stage.tick(60_000), 'nothing');
});
