import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gateFailure } from '#src/ports/submit-gate.ts';
import { Gate } from '#workers/gate.ts';
import { leaseDeadline } from '#workers/lease-deadline.ts';
import { deadlineAwaited, threadCountMax } from '#workers/shared-memory.ts';

const now = (): bigint => process.hrtime.bigint();

test('a fence ends the living generation for every view of the memory, and the next one may write', () => {
  const gate = new Gate();
  const other = new Gate(gate.memory, 1);
  const life = { gate: 1, generation: gate.begin(1) };
  assert.deepEqual([gate.mayWrite(life), other.mayWrite(life)], [true, true]);
  assert.equal(other.fence([1]), true);
  assert.equal(gate.fence([1]), false);
  assert.deepEqual(
    [gate.mayWrite(life), other.mayWrite(life), gate.isShut(1)],
    [false, false, true],
  );
  const next = { gate: 1, generation: other.begin(1) };
  assert.equal(next.generation, life.generation + 1);
  assert.deepEqual([gate.mayWrite(life), gate.mayWrite(next)], [false, true]);
});

test('what a gate lets through is counted, with a time before any later fence', () => {
  const gate = new Gate();
  const other = new Gate(gate.memory, 1);
  const life = { gate: 0, generation: gate.begin(0) };
  assert.deepEqual(gate.submits(), { count: 0, lastNs: 0n });
  const before = now();
  for (const one of [gate, other, other]) one.mayWrite(life);
  gate.fence([0]);
  const shut = now();
  for (const one of [gate, other]) one.mayWrite(life);
  const { count, lastNs } = gate.submits();
  assert.equal(count, 3);
  assert.ok(before <= lastNs && lastNs <= shut);
});

test('gates are fenced apart', () => {
  const gate = new Gate();
  const lives = [0, 1, 2].map((one) => ({ gate: one, generation: gate.begin(one) }));
  gate.fence([1]);
  assert.deepEqual(
    lives.map((life) => gate.mayWrite(life)),
    [true, false, true],
  );
});

test('a thread confirms what it has seen, not what came after', () => {
  const gate = new Gate();
  const worker = new Gate(gate.memory, threadCountMax - 1);
  const first = { gate: 0, generation: gate.begin(0) };
  gate.fence([0]);
  const seen = worker.fencedNow();
  const second = { gate: 0, generation: gate.begin(0) };
  gate.fence([0]);
  worker.confirm(seen);
  assert.equal(gate.isConfirmed(worker.thread, first), true);
  assert.equal(gate.isConfirmed(worker.thread, second), false);
  assert.equal(gate.isConfirmed(0, first), false);
});

test('nothing is written at or after the deadline, before the first one, or by a suspended thread (I-24, I-26)', () => {
  const gate = new Gate();
  const life = { gate: 0, generation: gate.begin(0) };
  const { deadline, suspended } = gate.words;
  const set = (value: bigint): void => void Atomics.store(deadline, 0, value);
  set(deadlineAwaited);
  assert.equal(gate.mayWrite(life), false);
  set(now());
  assert.equal(gate.mayWrite(life), false);
  set(now() + 60_000_000_000n);
  assert.equal(gate.mayWrite(life), true);
  Atomics.store(suspended, 0, 1);
  const failures = (): string[] =>
    [gateFailure(gate.of(life)), gateFailure({ mayWrite: () => false })].map(
      ({ code, retry }) => `${code} ${retry}`,
    );
  assert.deepEqual(failures(), ['SINK_BUSY Again', 'SINK_FENCED Never']);
  assert.deepEqual([gate.mayWrite(life), new Gate(gate.memory, 1).mayWrite(life)], [false, true]);
  Atomics.store(suspended, 0, 0);
  Atomics.store(deadline, 1, now());
  assert.equal(gate.mayWrite(life), false);
  gate.fence([0]);
  assert.deepEqual(failures(), ['SINK_FENCED Never', 'SINK_FENCED Never']);
});

test('a lease publishes deadlines that only rise, and a fresh round trip ends a probation', () => {
  const gate = new Gate();
  const life = { gate: 0, generation: gate.begin(0) };
  const reasons: unknown[] = [];
  const lease = leaseDeadline(gate, [0], (_level, _event, detail) =>
    reasons.push(detail?.['reason']),
  );
  const { deadline } = gate.words;
  Atomics.store(deadline, 0, deadlineAwaited);
  const later = now() + 60_000_000_000n;
  lease.publish(later, now());
  assert.equal(gate.mayWrite(life), true);
  lease.publish(later - 1n, now());
  assert.equal(Atomics.load(deadline, 0), later);
  const sent = now();
  Atomics.store(deadline, 1, now());
  lease.publish(later + 1n, sent);
  assert.equal(gate.mayWrite(life), false);
  lease.publish(later + 2n, now());
  assert.equal(gate.mayWrite(life), true);
  lease.fence('session lost');
  lease.fence('again');
  assert.deepEqual([gate.mayWrite(life), reasons], [false, ['session lost']]);
});
