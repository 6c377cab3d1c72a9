import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import type { Envelope, Message } from '#src/kernel/message.ts';
import { Link } from '#workers/link.ts';

/** Two ends of a channel; `arrived` is what the far one delivered. */
class Stage {
  readonly arrived: Envelope[] = [];
  readonly #channel = new MessageChannel();
  readonly near = new Link(this.#channel.port1, () => {});
  readonly far = new Link(this.#channel.port2, (envelope) => {
    this.arrived.push(envelope);
    if (this.arrived.length === this.#awaited) this.#done?.();
  });
  #awaited = 0;
  #done: (() => void) | null = null;

  post(seq: number, message: Message): void {
    this.near.post({
      to: { path: 'b', thread: 'far', incarnation: 0 },
      from: { path: 'a', thread: 'near', incarnation: 3 },
      epoch: 2 ** 40,
      seq,
      message,
    });
  }

  async wait(count: number): Promise<void> {
    if (this.arrived.length >= count) return;
    this.#awaited = count;
    await new Promise<void>((resolve) => {
      this.#done = resolve;
    });
  }

  close(): void {
    this.near.close();
    this.far.close();
  }
}

test('envelopes arrive whole and in order', async () => {
  const stage = new Stage();
  const values = { ts: 2 ** 52 + 1, list: [1, 'two', null, true], nested: { 'a b': -0.5 } };
  for (let seq = 1; seq <= 3; seq++) stage.post(seq, { kind: `K${seq}`, ...values } as Message);
  await stage.wait(3);
  assert.deepEqual(
    stage.arrived.map(({ seq }) => seq),
    [1, 2, 3],
  );
  assert.deepEqual(stage.arrived[1], {
    to: { path: 'b', thread: 'far', incarnation: 0 },
    from: { path: 'a', thread: 'near', incarnation: 3 },
    epoch: 2 ** 40,
    seq: 2,
    message: { kind: 'K2', ...values },
  });
  stage.close();
});

test('moved bytes arrive intact and are gone at the sender', async () => {
  const stage = new Stage();
  const whole = new Uint8Array([1, 2, 3]);
  const shared = new Uint8Array([9, 8, 7, 6, 5]);
  const part = shared.subarray(1, 3);
  stage.post(1, { kind: 'A', moved: [whole, part] });
  stage.post(2, { kind: 'B' });
  stage.post(3, { kind: 'C', moved: [] });
  stage.post(4, { kind: 'D', moved: [new Uint8Array([4])] });
  await stage.wait(4);
  assert.deepEqual(
    stage.arrived.map(({ message }) => message.moved?.map((bytes) => [...bytes])),
    [
      [
        [1, 2, 3],
        [8, 7],
      ],
      undefined,
      [],
      [[4]],
    ],
  );
  assert.equal(whole.byteLength, 0);
  // A view into a larger buffer travels as a copy: its neighbours stay.
  assert.deepEqual([...shared], [9, 8, 7, 6, 5]);
  stage.close();
});

test('more than the window waits in the outbox and leaves as it is acknowledged', async () => {
  const stage = new Stage();
  const count = 30_000;
  for (let seq = 1; seq <= count; seq++) stage.post(seq, { kind: 'K' });
  await stage.wait(count);
  assert.ok(stage.arrived.every(({ seq }, i) => seq === i + 1));
  stage.close();
});

test('an outbox above its bound is a fault, not a growing heap', () => {
  const stage = new Stage();
  assert.throws(() => {
    for (let seq = 1; seq <= 300_000; seq++) stage.post(seq, { kind: 'K' });
  }, /outbox of a thread link above its bound/);
  stage.close();
});
