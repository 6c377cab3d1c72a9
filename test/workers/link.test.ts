/** Links over real message ports: two ends, or one end and a bare port that shows what is on the wire. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import type { Envelope, Message } from '#src/kernel/message.ts';
import { decodeBatch } from '#workers/codec/codec.ts';
import { Link } from '#workers/link.ts';

function envelope(seq: number, message: Message): Envelope {
  return {
    to: { path: 'b', thread: 'far', incarnation: 0 },
    from: { path: 'a', thread: 'near', incarnation: 3 },
    epoch: 2 ** 40,
    seq,
    message,
  };
}

/** Resolves when the port's other work is done for now. */
async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Two ends of a channel; `arrived` is what the far one delivered. */
class Pair {
  readonly arrived: Envelope[] = [];
  readonly near: Link;
  readonly far: Link;
  #awaited = 0;
  #done: (() => void) | null = null;

  constructor(context: TestContext) {
    const { port1, port2 } = new MessageChannel();
    this.near = new Link(port1, () => {});
    this.far = new Link(port2, (each) => {
      this.arrived.push(each);
      if (this.arrived.length === this.#awaited) this.#done?.();
    });
    context.after(() => this.near.close());
  }

  post(seq: number, message: Message): void {
    this.near.post(envelope(seq, message));
  }

  async wait(count: number): Promise<void> {
    if (this.arrived.length >= count) return;
    this.#awaited = count;
    await new Promise<void>((resolve) => {
      this.#done = resolve;
    });
  }
}

/** A link whose other end is a bare port: it acknowledges only what the test says. */
class Wire {
  readonly batches: (readonly Envelope[])[] = [];
  readonly link: Link;
  readonly port: MessagePort;
  /** Bytes that came since the last acknowledgement, moved ones included. */
  byteCount = 0;

  constructor(context: TestContext) {
    const { port1, port2 } = new MessageChannel();
    this.link = new Link(port1, () => {});
    this.port = port2;
    port2.on('message', (batch: Uint8Array | Uint8Array<ArrayBuffer>[]) => {
      const [bytes, ...moved] = Array.isArray(batch) ? batch : [batch];
      const decoded = decodeBatch(bytes!, moved as Uint8Array<ArrayBuffer>[]);
      assert.ok(decoded.ok);
      this.batches.push(decoded.value);
      for (const part of [bytes!, ...moved]) this.byteCount += part.byteLength;
    });
    context.after(() => port2.close());
  }

  get arrived(): readonly Envelope[] {
    return this.batches.flat();
  }

  async acknowledge(count: number): Promise<void> {
    this.port.postMessage({ count, byteCount: this.byteCount });
    this.byteCount = 0;
    await settled();
  }
}

function assertInOrder(envelopes: readonly Envelope[], count: number): void {
  assert.equal(envelopes.length, count);
  assert.ok(envelopes.every(({ seq }, i) => seq === i + 1));
}

test('envelopes arrive whole and in order', async (context) => {
  const pair = new Pair(context);
  const values = { ts: 2 ** 52 + 1, list: [1, 'two', null, true], nested: { 'a b': -0.5 } };
  for (let seq = 1; seq <= 3; seq++) pair.post(seq, { kind: `K${seq}`, ...values } as Message);
  await pair.wait(3);
  assertInOrder(pair.arrived, 3);
  assert.deepEqual(pair.arrived[1], envelope(2, { kind: 'K2', ...values } as Message));
});

test('what is posted in one tick is one message of the port', async (context) => {
  const wire = new Wire(context);
  for (let seq = 1; seq <= 100; seq++) wire.link.post(envelope(seq, { kind: 'K' }));
  await settled();
  assert.deepEqual(
    wire.batches.map((batch) => batch.length),
    [100],
  );
  wire.link.post(envelope(101, { kind: 'K' }));
  await settled();
  assert.deepEqual(
    wire.batches.map((batch) => batch.length),
    [100, 1],
  );
});

test('moved bytes arrive intact and are gone at the sender', async (context) => {
  const pair = new Pair(context);
  const whole = new Uint8Array([1, 2, 3]);
  const shared = new Uint8Array([9, 8, 7, 6, 5]);
  const pooled = Buffer.from('pool');
  pair.post(1, { kind: 'A', moved: [whole, shared.subarray(1, 3)] });
  pair.post(2, { kind: 'B' });
  pair.post(3, { kind: 'C', moved: [] });
  pair.post(4, { kind: 'D', moved: [new Uint8Array([4]), pooled] });
  await pair.wait(4);
  assert.deepEqual(
    pair.arrived.map(({ message }) => message.moved?.map((bytes) => [...bytes])),
    [
      [
        [1, 2, 3],
        [8, 7],
      ],
      undefined,
      [],
      [[4], [...Buffer.from('pool')]],
    ],
  );
  assert.equal(whole.byteLength, 0);
  // A view into a larger buffer travels as a copy: its neighbours stay.
  assert.deepEqual([...shared], [9, 8, 7, 6, 5]);
  assert.equal(pooled.toString(), 'pool');
});

test('beyond the window of envelopes the rest waits, and leaves in order as it is acknowledged', async (context) => {
  const wire = new Wire(context);
  for (let seq = 1; seq <= 60_000; seq++) wire.link.post(envelope(seq, { kind: 'K' }));
  await settled();
  assertInOrder(wire.arrived, 16_384);
  await wire.acknowledge(0);
  assertInOrder(wire.arrived, 16_384);
  await wire.acknowledge(1_024);
  assertInOrder(wire.arrived, 17_408);
  await wire.acknowledge(16_384);
  wire.link.post(envelope(60_001, { kind: 'K' }));
  while (wire.arrived.length < 60_001) await wire.acknowledge(1_024);
  assertInOrder(wire.arrived, 60_001);
});

test('beyond the window of bytes the rest waits too, moved bytes counted', async (context) => {
  const wire = new Wire(context);
  const mebibyte = 2 ** 20;
  for (let seq = 1; seq <= 100; seq++) {
    wire.link.post(envelope(seq, { kind: 'K', moved: [new Uint8Array(mebibyte)] }));
  }
  await settled();
  assertInOrder(wire.arrived, 32);
  await wire.acknowledge(32);
  assertInOrder(wire.arrived, 64);
  await wire.acknowledge(32);
  await wire.acknowledge(32);
  assertInOrder(wire.arrived, 100);
});

test('a batch larger than the whole window passes', async (context) => {
  const pair = new Pair(context);
  for (let seq = 1; seq <= 3; seq++) {
    pair.post(seq, { kind: 'K', moved: [new Uint8Array(48 * 2 ** 20)] });
  }
  await pair.wait(3);
  assertInOrder(pair.arrived, 3);
});

test('the receiver acknowledges by itself: a long stream needs no help', async (context) => {
  const pair = new Pair(context);
  for (let seq = 1; seq <= 100_000; seq++) pair.post(seq, { kind: 'K' });
  await pair.wait(100_000);
  assertInOrder(pair.arrived, 100_000);
});

test('a full outbox is a fault of who posts, and what it took before still arrives', async (context) => {
  const pair = new Pair(context);
  let taken = 0;
  assert.throws(() => {
    for (;;) pair.post(++taken, { kind: 'K' });
  }, /outbox of the link to far above its bound/);
  taken--;
  assert.ok(taken > 262_144 && taken < 300_000);
  await pair.wait(taken);
  assertInOrder(pair.arrived, taken);
});

test('a message that is not plain data is a fault of who posts; the others travel', async (context) => {
  const pair = new Pair(context);
  pair.post(1, { kind: 'K' });
  assert.throws(() => pair.post(9, { kind: 'Odd', run: () => 1 } as Message), /message Odd/);
  pair.post(2, { kind: 'K' });
  await pair.wait(2);
  assertInOrder(pair.arrived, 2);
});

test('what is posted to a closed link is lost, from either end, and nothing waits for it', async (context) => {
  const ends = [new Pair(context), new Pair(context)] as const;
  for (const pair of ends) pair.post(1, { kind: 'K' });
  await Promise.all(ends.map((pair) => pair.wait(1)));
  ends[0].near.close();
  ends[1].far.close();
  await settled();
  for (const pair of ends) {
    for (let seq = 2; seq <= 300_000; seq++) pair.post(seq, { kind: 'K' });
  }
  await settled();
  for (const pair of ends) assertInOrder(pair.arrived, 1);
});

test('a batch that cannot be read ends the thread that finds it', async (context) => {
  const { port1, port2 } = new MessageChannel();
  context.after(() => port1.close());
  const link = new URL('../../workers/link.ts', import.meta.url).href;
  const thread = new Worker(
    `const { workerData } = require('node:worker_threads');
     import(workerData.link).then(({ Link }) => new Link(workerData.port, () => {}));`,
    { eval: true, workerData: { link, port: port2 }, transferList: [port2] },
  );
  port1.postMessage(Uint8Array.of(0x7f));
  const error = await new Promise((resolve) => thread.once('error', resolve));
  assert.match(String(error), /an item is of no known form/);
});
