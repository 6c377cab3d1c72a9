/** Large compressed transactions in the reader: what is unpacked elsewhere comes in its place in the log, whatever becomes of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { failed, failure, ok, type Outcome } from '#src/base/failure.ts';
import type { FailureCode } from '#src/base/failures.ts';
import { LogEvent } from '#src/adapters/binlog/stream/log-event.ts';
import { elsewhereBytesMin, LogReader } from '#src/adapters/binlog/stream/log-reader.ts';
import { PacketFraming } from '#src/adapters/binlog/stream/packet-framing.ts';
import { dumpPayload, eventBytes, formatBody, packetBytes } from './event-bytes.ts';

const [typeInside, typeAfter] = [30, 16];
const inside = eventBytes({ type: typeInside, body: Buffer.alloc(elsewhereBytesMin, 7) }, false);

/** A TRANSACTION_PAYLOAD event with `inside`. */
function transaction(): Uint8Array {
  const packed = zstdCompressSync(inside);
  const size = Buffer.alloc(9, 0xfe);
  size.writeBigUInt64LE(BigInt(inside.byteLength), 1);
  const fields = [Buffer.from([2, 1, 0, 3, 9]), size, Buffer.from([1, 1, packed.length, 0])];
  return eventBytes({ type: 40, body: Buffer.concat([...fields, packed]) }, false);
}

/** A reader of a transaction and an event behind it, whose work elsewhere ends when `end` is called. */
function readerOfTransaction(): {
  readonly next: () => number | null;
  readonly reader: LogReader;
  readonly end: (outcome: Outcome<Uint8Array>) => Promise<void>;
} {
  const framing = new PacketFraming(1 << 24);
  framing.expectEvents();
  const { promise, resolve } = Promise.withResolvers<Outcome<Uint8Array>>();
  const unpacked = Promise.withResolvers<void>();
  const reader = new LogReader(framing, {
    unpack: () => promise,
    onUnpacked: () => unpacked.resolve(),
  });
  const format = eventBytes({ type: 15, body: formatBody(0, false) }, false);
  const after = eventBytes({ type: typeAfter, body: Buffer.alloc(8) }, false);
  framing.push(packetBytes([format, transaction(), after].map(dumpPayload)));
  const event = new LogEvent();
  const next = (): number | null => (reader.next(event) ? event.type : null);
  assert.equal(next(), 15);
  const end = async (outcome: Outcome<Uint8Array>): Promise<void> => {
    resolve(outcome);
    await unpacked.promise;
  };
  return { next, reader, end };
}

test('nothing is read past a transaction until it is unpacked elsewhere', async () => {
  const { next, reader, end } = readerOfTransaction();
  assert.deepEqual([next(), next(), reader.isUnpacking], [null, null, true]);
  await end(ok(inside));
  assert.equal(reader.isUnpacking, false);
  assert.deepEqual([next(), next(), next()], [typeInside, typeAfter, null]);
});

test('what was refused or stopped elsewhere is unpacked here', async () => {
  for (const code of ['CPU_BUSY', 'INTERNAL_FAULT', 'INTERNAL_STOPPED'] satisfies FailureCode[]) {
    const { next, end } = readerOfTransaction();
    assert.equal(next(), null);
    await end(failed(failure(code, 'no')));
    assert.deepEqual([next(), next(), next()], [typeInside, typeAfter, null], code);
  }
});

test('damaged data found elsewhere is a failure of the log', async () => {
  const { next, end } = readerOfTransaction();
  assert.equal(next(), null);
  await end(failed(failure('SOURCE_CORRUPT', 'broken')));
  assert.throws(next, { failure: failure('SOURCE_CORRUPT', 'broken') });
});
