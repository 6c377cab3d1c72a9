/** Round trips of envelopes of every kind the protocols have, with any plain fields; and bytes that are no batch. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Envelope, Message } from '#src/kernel/message.ts';
import { BatchWriter } from '#workers/codec/batch-writer.ts';
import { decodeBatch, encodeBatch, type Batch } from '#workers/codec/codec.ts';

const protocolFolder = new URL('../../../src/protocol/', import.meta.url);

/** Kinds of all messages that any protocol guards. */
async function protocolKinds(): Promise<readonly string[]> {
  const kinds: string[] = [];
  for (const file of readdirSync(protocolFolder)) {
    const names = (await import(new URL(file, protocolFolder).href)) as Record<string, unknown>;
    for (const [name, guards] of Object.entries(names)) {
      if (name.endsWith('Guards')) kinds.push(...Object.keys(guards as object));
    }
  }
  return kinds;
}

/** msgpackr knows one zero only; fields of a shape know both, see below. */
const isOneZero = (value: unknown): boolean => !Object.is(value, -0);
const scalar = fc.oneof(
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double().filter(isOneZero),
  fc.boolean(),
  fc.constantFrom(null, undefined, 0, 191, 192, 2 ** 32 - 1, 2 ** 32, '', 'x'.repeat(63)),
  fc.string({ maxLength: 80 }),
  fc.string({ unit: 'grapheme', maxLength: 80 }),
);
/** Field names of nested values: msgpackr renames `__proto__`, which no protocol uses. */
const name = fc.string({ minLength: 1, maxLength: 8 }).filter((text) => text !== '__proto__');
const nested = fc.oneof(
  fc.array(scalar, { maxLength: 5 }),
  fc.array(
    fc.record(
      { ts: fc.maxSafeInteger(), gtid: fc.string(), base: fc.nat() },
      { noNullPrototype: true },
    ),
    {
      maxLength: 4,
    },
  ),
  fc.dictionary(name, fc.oneof(fc.integer(), fc.string(), fc.constant(null)), {
    maxKeys: 5,
    noNullPrototype: true,
  }),
);
const fieldName = fc.constantFrom(
  'span',
  'ts',
  'resolved',
  'ddl',
  'a b',
  'schemaVersion',
  'constructor',
);
const bytes = fc.uint8Array({ maxLength: 40 }) as fc.Arbitrary<Uint8Array<ArrayBuffer>>;
const ref = fc.record(
  {
    path: fc.constantFrom('capture/control/coordinator', 'a', 'a/b/größe', 'x'.repeat(200)),
    thread: fc.constantFrom('main', 'work-1'),
    incarnation: fc.nat(300),
    node: fc.constantFrom('0d1c', 'ff00'),
  },
  { requiredKeys: ['path', 'thread', 'incarnation'], noNullPrototype: true },
);

function envelopes(kinds: readonly string[]): fc.Arbitrary<Envelope[]> {
  const message = fc
    .tuple(
      fc.constantFrom(...kinds),
      fc.dictionary(fieldName, fc.oneof(scalar, nested), { maxKeys: 5, noNullPrototype: true }),
      fc.option(fc.array(bytes, { maxLength: 3 }), { nil: null, freq: 3 }),
    )
    .map(([kind, fields, moved]): Message =>
      moved === null ? { kind, ...fields } : { kind, ...fields, moved },
    );
  const refs = fc.array(ref, { minLength: 1, maxLength: 4 });
  return refs.chain((addresses) =>
    fc.array(
      fc.record(
        {
          to: fc.constantFrom(...addresses),
          from: fc.constantFrom(...addresses),
          epoch: fc.oneof(fc.constant(7), fc.maxSafeInteger().map(Math.abs)),
          seq: fc.oneof(fc.nat(3), fc.maxSafeInteger().map(Math.abs)),
          message,
        },
        { noNullPrototype: true },
      ),
      { maxLength: 20 },
    ),
  );
}

function read(batch: Batch): readonly Envelope[] {
  const decoded = decodeBatch(batch.bytes, batch.moved);
  assert.ok(decoded.ok, decoded.ok ? '' : decoded.failure.message);
  return decoded.value;
}

test('envelopes of every kind are read back as they were, and batches one after another do not mix', async () => {
  const kinds = await protocolKinds();
  assert.ok(kinds.length > 20 && kinds.includes('Events'));
  fc.assert(
    fc.property(fc.array(envelopes(kinds), { maxLength: 3 }), (batches) => {
      const encoded = batches.map((batch) => encodeBatch(batch));
      // In another order than written: each batch explains itself.
      for (const [i, batch] of [...encoded.entries()].toReversed()) {
        assert.deepEqual(read(batch), batches[i]);
      }
    }),
    { numRuns: 1_000 },
  );
});

const a = { path: 'capture/a', thread: 'main', incarnation: 1 };
const b = { path: 'capture/b', thread: 'work-1', incarnation: 2 };

function envelope(seq: number, message: Message): Envelope {
  return { to: b, from: a, epoch: 2 ** 40, seq, message };
}

test('an address is told once a batch and given as one object, in later batches too', () => {
  const first = read(encodeBatch([envelope(1, { kind: 'K' }), envelope(2, { kind: 'K' })]));
  const second = read(encodeBatch([envelope(3, { kind: 'K' })]));
  assert.equal(first[0]!.to, first[1]!.to);
  assert.equal(first[0]!.to, second[0]!.to);
  const alone = encodeBatch([envelope(1, { kind: 'K' })]).bytes.byteLength;
  const more = encodeBatch([1, 2, 3].map((seq) => envelope(seq, { kind: 'K' }))).bytes.byteLength;
  assert.equal(more - alone, 4);
});

test('a text that comes again in a batch takes two bytes, also after others, and none is lost where one was taken back', () => {
  const names = (...texts: readonly string[]): Envelope =>
    envelope(1, { kind: 'K', ...Object.fromEntries(texts.map((text, i) => [`f${i}`, text])) });
  const size = (...texts: readonly string[]): number =>
    encodeBatch([names(...texts)]).bytes.byteLength;
  assert.equal(size('orders', 'lines', 'orders') - size('orders', 'lines', ''), 0);
  const many = Array.from({ length: 600 }, (_, i) => names(`shop.orders_${i % 300}`, 'shop'));
  assert.deepEqual(read(encodeBatch(many)), many);
  const writer = new BatchWriter();
  const wrong = { kind: 'W', first: 'shop.gone', bad: Symbol('s') } as Message;
  assert.throws(() => writer.add(envelope(1, wrong)), /cannot be encoded/);
  writer.add(names('shop.gone'));
  assert.deepEqual(read(writer.take()), [names('shop.gone')]);
});

test('a kind is never taken for code', () => {
  for (const kind of ['"}; throw 1; //', "' + missing + '", '${missing}', '\u2028', '\\']) {
    const sent = [envelope(1, { kind, constructor: 1 } as Message)];
    assert.deepEqual(read(encodeBatch(sent)), sent);
  }
});

test('numbers keep their sign and every bit', () => {
  const list = [-0, 0, NaN, -Infinity, 2 ** 53, -(2 ** 53), 2 ** 32, -1, 0.1, 5e-324];
  for (const value of list) {
    const [back] = read(encodeBatch([envelope(1, { kind: 'K', value } as Message)]));
    assert.ok(Object.is((back!.message as Message & { value: number }).value, value));
  }
});

test('a message is taken as it is when it is added', () => {
  const writer = new BatchWriter();
  const message = { kind: 'K', list: [1] };
  writer.add(envelope(1, message));
  message.list.push(2);
  assert.deepEqual(read(writer.take())[0]!.message, { kind: 'K', list: [1] });
});

test('what is not plain data, or was moved before, is a fault, and leaves nothing in the batch', () => {
  const gone = new Uint8Array(8);
  structuredClone(gone, { transfer: [gone.buffer] });
  const twice = new Uint8Array(8);
  const cyclic: unknown[] = [];
  cyclic.push(cyclic);
  const wrong: Message[] = [
    { kind: 'W', run: () => 1 } as Message,
    { kind: 'W', name: Symbol('s') } as Message,
    { kind: 'W', cyclic } as Message,
    { kind: 'W', moved: [gone] },
    { kind: 'W', moved: [twice, twice] },
  ];
  const writer = new BatchWriter();
  const right = [1, 2].map((seq) => envelope(seq, { kind: 'R', moved: [Uint8Array.of(seq)] }));
  writer.add(right[0]!);
  for (const message of wrong) {
    assert.throws(() => writer.add(envelope(9, message)), /message W cannot be encoded/);
  }
  writer.add(right[1]!);
  assert.equal(writer.envelopeCount, 2);
  assert.deepEqual(read(writer.take()), right);
});

test('kinds and fields without end do not make the writer grow for ever', () => {
  const writer = new BatchWriter();
  for (let i = 0; i < 3_000; i++) {
    const wide = { kind: `Wide${i % 2}`, [`field${i}`]: i } as Message;
    const sent = [envelope(1, { kind: `Kind${i}` }), envelope(2, wide)];
    for (const each of sent) writer.add(each);
    assert.deepEqual(read(writer.take()), sent);
  }
});

test('damaged, cut and random bytes give envelopes or a failure, never anything else', async () => {
  const kinds = await protocolKinds();
  let refused = 0;
  const judge = (damaged: Uint8Array, moved: Batch['moved']): void => {
    const decoded = decodeBatch(damaged, moved);
    if (!decoded.ok) {
      refused++;
      assert.equal(decoded.failure.code, 'INTERNAL_BATCH_CORRUPT');
      return;
    }
    for (const { to, from, epoch, seq, message } of decoded.value) {
      assert.equal(typeof to.path + typeof from.path + typeof message.kind, 'stringstringstring');
      assert.ok(Number.isSafeInteger(epoch) && epoch >= 0 && seq >= 0);
      assert.equal(Object.getPrototypeOf(message), Object.prototype);
    }
  };
  fc.assert(
    fc.property(
      envelopes(kinds),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 }),
      fc.nat(),
      (sent, changes, cut) => {
        const { bytes, moved } = encodeBatch(sent);
        if (bytes.byteLength === 0) return;
        const damaged = bytes.slice();
        for (const [at, value] of changes) damaged[at % damaged.byteLength] = value;
        judge(damaged, moved);
        judge(bytes.subarray(0, cut % bytes.byteLength), moved);
      },
    ),
    { numRuns: 3_000 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (random) => judge(random, [])),
    {
      numRuns: 3_000,
    },
  );
  assert.ok(refused > 3_000);
});
