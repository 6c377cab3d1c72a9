/** The client protocol: packets round-trip at every cut, and no bytes a server may send do more than end the connection. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { AnswerReader } from '#src/adapters/mysql-sink/command-answer.ts';
import {
  PacketReader,
  commandByte,
  commandPackets,
  packetCountOf,
} from '#src/adapters/mysql-sink/wire.ts';
import { FailureError } from '#src/base/failure.ts';

const bytesMax = 1 << 26;

function isComplete(reader: AnswerReader): boolean {
  return reader.answer !== null;
}

function readAll(packets: Uint8Array, cut: number): Buffer[] {
  const payloads: Buffer[] = [];
  const reader = new PacketReader((payload) => payloads.push(Buffer.from(payload)), bytesMax);
  reader.expect(0);
  for (let at = 0; at < packets.byteLength; at += cut) {
    reader.push(Buffer.from(packets.subarray(at, at + cut)));
  }
  return payloads;
}

describe('packets', () => {
  it('carry a command unchanged, however the socket cuts them', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }),
        fc.integer({ min: 1, max: 50 }),
        (parts, cut) => {
          const packets = commandPackets(commandByte.query, parts);
          const [payload, ...more] = readAll(packets, cut);
          assert.deepEqual(more, []);
          assert.deepEqual(payload, Buffer.concat([Uint8Array.of(3), ...parts]));
        },
      ),
    );
  });

  it('are as many as the length needs, an empty one behind an exact multiple', () => {
    const full = 0xffffff;
    for (const bytes of [full - 2, full - 1, full, 2 * full - 1]) {
      const packets = commandPackets(commandByte.query, [new Uint8Array(bytes)]);
      const count = packetCountOf(bytes + 1);
      assert.equal(packets.byteLength, bytes + 1 + 4 * count);
      const [payload] = readAll(packets, 1 << 22);
      assert.equal(payload?.byteLength, bytes + 1);
    }
  });

  it('out of order or above the bound end the connection', () => {
    const reader = new PacketReader(() => {}, 10);
    reader.expect(1);
    assert.throws(() => reader.push(Buffer.from([1, 0, 0, 0, 9])), FailureError);
    assert.throws(() => reader.push(Buffer.from([11, 0, 0, 1, 9])), FailureError);
  });
});

describe('answers', () => {
  it('are total: any payloads give an answer, no answer yet, or a Failure', () => {
    const payload = fc.oneof(
      fc.uint8Array({ minLength: 0, maxLength: 30 }),
      fc.constantFrom(
        Uint8Array.of(0, 0, 0, 2, 0, 0, 0),
        Uint8Array.of(2),
        Uint8Array.of(0xfe, 0, 0, 2, 0),
        Uint8Array.of(0xfe, 0, 0, 8, 0),
        Uint8Array.of(0xff, 0x15, 0x04),
        Uint8Array.of(0xfb, 0x2f),
      ),
    );
    fc.assert(
      fc.property(fc.array(payload, { maxLength: 20 }), (payloads) => {
        const reader = new AnswerReader(1000);
        try {
          for (const bytes of payloads) {
            if (reader.answer !== null) break;
            reader.push(Buffer.from(bytes));
          }
        } catch (error) {
          assert.ok(error instanceof FailureError, String(error));
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('never grant a request for a local file', () => {
    const reader = new AnswerReader(1000);
    assert.throws(() => reader.push(Buffer.from('\xfb/etc/passwd', 'latin1')), /local file/);
  });

  it('count the statements before an error', () => {
    const reader = new AnswerReader(1000);
    const okMore = Buffer.from([0, 1, 0, 0x0a, 0, 0, 0]);
    reader.push(okMore);
    reader.push(okMore);
    assert.ok(!isComplete(reader));
    reader.push(Buffer.from('\xff\xda\x04#21000Subquery', 'latin1'));
    const { answer } = reader;
    assert.deepEqual(answer?.error, {
      errno: 1242,
      sqlState: '21000',
      text: 'Subquery',
      statementIndex: 2,
    });
  });
});
