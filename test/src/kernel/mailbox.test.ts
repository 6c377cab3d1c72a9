import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Mailbox } from '#src/kernel/mailbox.ts';
import type { Envelope } from '#src/kernel/message.ts';
import { Queue } from '#src/base/queue.ts';

function envelope(seq: number): Envelope {
  const ref = { path: 'a', thread: 'main', incarnation: 1 };
  return { to: ref, from: ref, epoch: 0, seq, message: { kind: 'M' } };
}

test('signals overtake messages, each lane keeps its order', () => {
  const mailbox = new Mailbox(10);
  mailbox.push(envelope(1));
  mailbox.push(envelope(2));
  mailbox.pushSignal({ kind: 'StopAsked' });
  assert.equal(mailbox.depth, 3);
  assert.equal(mailbox.takeSignal()?.kind, 'StopAsked');
  assert.equal(mailbox.takeSignal(), undefined);
  for (const seq of [1, 2]) assert.equal(mailbox.takeEnvelope()?.seq, seq);
  assert.equal(mailbox.takeEnvelope(), undefined);
});

test('the message lane refuses above its limit, the signal lane never', () => {
  const mailbox = new Mailbox(2);
  assert.deepEqual(
    [1, 2, 3].map((seq) => mailbox.push(envelope(seq))),
    [true, true, false],
  );
  for (let i = 0; i < 5; i++) mailbox.pushSignal({ kind: 'StopAsked' });
  assert.equal(mailbox.depth, 7);
  mailbox.clear();
  assert.equal(mailbox.depth, 0);
});

test('a queue gives back what it was given, in order, across its compactions', () => {
  const queue = new Queue<number>();
  let next = 0;
  let expected = 0;
  for (let round = 0; round < 50; round++) {
    for (let i = 0; i < 100; i++) queue.push(next++);
    for (let i = 0; i < 90; i++) assert.equal(queue.shift(), expected++);
    assert.equal(queue.length, next - expected);
    assert.equal(queue.peek(), expected);
  }
  assert.deepEqual(
    [...queue],
    Array.from({ length: next - expected }, (_, i) => expected + i),
  );
  queue.clear();
  assert.deepEqual([queue.length, queue.shift(), queue.peek()], [0, undefined, undefined]);
});
