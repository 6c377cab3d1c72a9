/** Numbers are compared with what BigInt prints, over all sizes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { ByteWriter } from '#src/base/byte-writer.ts';

function written(write: (out: ByteWriter) => void): string {
  const out = new ByteWriter(1);
  write(out);
  return Buffer.from(out.bytes()).toString();
}

const half = fc.oneof(
  fc.integer({ min: 0, max: 0xffffffff }),
  fc.constantFrom(0, 1, 2 ** 21, 2 ** 31, 0xffffffff),
);

test('an unsigned integer below 2^53 is written in decimal and padded to its width', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.nat(24), (value, width) => {
      assert.equal(
        written((out) => out.uint(value, width)),
        String(value).padStart(width, '0'),
      );
    }),
  );
});

test('64-bit integers of two halves are written in decimal, signed or not', () => {
  fc.assert(
    fc.property(half, half, (high, low) => {
      const value = BigInt(high) * 2n ** 32n + BigInt(low);
      assert.equal(
        written((out) => out.uint64(high, low)),
        String(value),
      );
      assert.equal(
        written((out) => out.long(true, high | 0, low | 0)),
        String(value),
      );
      assert.equal(
        written((out) => out.long(false, high | 0, low | 0)),
        String(BigInt.asIntN(64, value)),
      );
    }),
    { numRuns: 2000 },
  );
});

test('bytes of any length are copied as they are', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 300 }), (a, b) => {
      const out = new ByteWriter(1);
      out.raw(a);
      out.raw(b);
      assert.deepEqual(new Uint8Array(out.bytes()), Uint8Array.from([...a, ...b]));
    }),
  );
});
