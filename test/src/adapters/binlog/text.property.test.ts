/** Random values are packed by an encoder of the tests and must come back as the text they were packed from. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { encodeDecimal } from './encode.ts';
import type { LogColumn } from '#src/adapters/binlog/column.ts';
import { writeText } from '#src/adapters/binlog/text.ts';
import { readValue } from '#src/adapters/binlog/value.ts';
import { ByteWriter } from '#src/base/byte-writer.ts';

function column(type: number, meta = 0, more: Partial<LogColumn> = {}): LogColumn {
  return {
    index: 0,
    name: 'c',
    type,
    meta,
    unsigned: false,
    nullable: true,
    collation: null,
    labels: null,
    labelBytes: null,
    geometryType: null,
    visible: true,
    primaryKeyOrdinal: -1,
    primaryKeyPrefix: 0,
    ...more,
  };
}

function textOf(of: LogColumn, bytes: readonly number[]): string {
  const out = new ByteWriter(8);
  // Other cells stand around it.
  const around = Uint8Array.from([170, ...bytes, 187]);
  writeText(out, of, around, 1, 1 + bytes.length);
  const text = Buffer.from(out.bytes()).toString();
  const value = readValue(of, around, 1, 1 + bytes.length);
  if (typeof value === 'string') assert.equal(value, text);
  return text;
}

const little = (value: bigint, byteCount: number): number[] =>
  Array.from({ length: byteCount }, (_, i) => Number((value >> BigInt(8 * i)) & 255n));
const big = (value: bigint, byteCount: number): number[] => little(value, byteCount).toReversed();

test('integers of every size and sign keep their value', () => {
  for (const [type, byteCount] of [
    [1, 1],
    [2, 2],
    [9, 3],
    [3, 4],
    [8, 8],
  ] as const) {
    const bits = byteCount * 8;
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** BigInt(bits) - 1n }), (value) => {
        assert.equal(
          textOf(column(type, 0, { unsigned: true }), little(value, byteCount)),
          String(value),
        );
        const signed = BigInt.asIntN(bits, value);
        assert.equal(textOf(column(type), little(value, byteCount)), String(signed));
      }),
    );
  }
  assert.equal(readValue(column(8), Uint8Array.from(little(2n ** 53n, 8)), 0, 8), 2n ** 53n);
  assert.equal(readValue(column(8), Uint8Array.from(little(2n ** 53n - 1n, 8)), 0, 8), 2 ** 53 - 1);
});

test('decimals of every precision and scale keep every digit', () => {
  const shape = fc
    .tuple(fc.integer({ min: 1, max: 65 }), fc.nat(38))
    .map(([precision, scale]) => [precision, Math.min(precision, scale)] as const);
  const sample = shape.chain(([precision, scale]) =>
    fc.tuple(
      fc.constant(precision),
      fc.constant(scale),
      fc.boolean(),
      fc.array(fc.nat(9), { minLength: precision, maxLength: precision }),
    ),
  );
  fc.assert(
    fc.property(sample, ([precision, scale, negative, all]) => {
      const digits = all.join('');
      const whole = digits.slice(0, precision - scale).replace(/^0+/, '');
      const fraction = digits.slice(precision - scale);
      const zero = /^0*$/.test(digits);
      const text = `${negative && !zero ? '-' : ''}${whole === '' ? '0' : whole}${scale === 0 ? '' : `.${fraction}`}`;
      const bytes = encodeDecimal(text, precision, scale);
      assert.equal(textOf(column(246, precision * 256 + scale), bytes), text);
    }),
    { numRuns: 2000 },
  );
});

const digits = fc.integer({ min: 0, max: 6 });
const pad = (value: number, width = 2): string => String(value).padStart(width, '0');
const fractionText = (micro: number, count: number): string =>
  count === 0 ? '' : `.${pad(micro, 6).slice(0, count)}`;

/** The stored fraction: pairs of digits. */
function fractionOf(micro: number, count: number): { value: bigint; byteCount: number } {
  const byteCount = (count + 1) >> 1;
  const kept = Math.floor(micro / 10 ** (6 - count)) * 10 ** (6 - count);
  return { value: BigInt(Math.floor(kept / 100 ** (3 - byteCount))), byteCount };
}

test('datetimes keep every part, also zero and impossible days', () => {
  const parts = fc.tuple(
    fc.nat(9999),
    fc.nat(12),
    fc.nat(31),
    fc.nat(23),
    fc.nat(59),
    fc.nat(59),
    fc.nat(999_999),
    digits,
  );
  fc.assert(
    fc.property(parts, ([year, month, day, hour, minute, second, micro, count]) => {
      const days = BigInt((year * 13 + month) * 32 + day);
      const clock = BigInt(hour * 4096 + minute * 64 + second);
      const { value, byteCount } = fractionOf(micro, count);
      const bytes = [...big(0x8000000000n + (days << 17n) + clock, 5), ...big(value, byteCount)];
      const date = `${pad(year, 4)}-${pad(month)}-${pad(day)}`;
      const time = `${pad(hour)}:${pad(minute)}:${pad(second)}`;
      assert.equal(
        textOf(column(18, count), bytes),
        `${date} ${time}${fractionText(micro, count)}`,
      );
      assert.equal(textOf(column(10), little(BigInt(year * 512 + month * 32 + day), 3)), date);
    }),
    { numRuns: 1000 },
  );
});

test('timestamps are the UTC time of their second, to 2106', () => {
  const parts = fc.tuple(fc.integer({ min: 1, max: 2 ** 32 - 1 }), fc.nat(999_999), digits);
  fc.assert(
    fc.property(parts, ([seconds, micro, count]) => {
      const { value, byteCount } = fractionOf(micro, count);
      const iso = new Date(seconds * 1000).toISOString().replace('T', ' ').slice(0, 19);
      const bytes = [...big(BigInt(seconds), 4), ...big(value, byteCount)];
      assert.equal(textOf(column(17, count), bytes), `${iso}${fractionText(micro, count)}`);
    }),
    { numRuns: 1000 },
  );
  assert.equal(textOf(column(17, 3), [0, 0, 0, 0, 0, 0]), '0000-00-00 00:00:00.000');
});

test('times keep sign and fraction', () => {
  const parts = fc.tuple(
    fc.boolean(),
    fc.nat(838),
    fc.nat(59),
    fc.nat(59),
    fc.nat(999_999),
    digits,
  );
  fc.assert(
    fc.property(parts, ([negative, hour, minute, second, micro, count]) => {
      const { value, byteCount } = fractionOf(micro, count);
      const size = 8n * BigInt(byteCount);
      const amount = (BigInt(hour * 4096 + minute * 64 + second) << size) + value;
      const stored = (0x800000n << size) + (negative ? -amount : amount);
      const sign = negative && amount !== 0n ? '-' : '';
      const text = `${sign}${pad(hour)}:${pad(minute)}:${pad(second)}${fractionText(micro, count)}`;
      assert.equal(textOf(column(19, count), big(stored, 3 + byteCount)), text);
    }),
    { numRuns: 1000 },
  );
});

test('a double is written as a literal that reads back as the same double', () => {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  const number = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.tuple(fc.maxSafeInteger(), fc.nat(9)).map(([digits, places]) => digits / 10 ** places),
  );
  fc.assert(
    fc.property(number, (value) => {
      view.setFloat64(0, value, true);
      const text = textOf(column(5, 8), [...bytes]);
      assert.match(text, /^-?\d+(\.\d+)?e[+-]?\d+$/);
      assert.ok(Object.is(Number(text), value), text);
      view.setFloat32(0, value, true);
      const single = view.getFloat32(0, true);
      if (Number.isFinite(single)) {
        assert.ok(Object.is(Number(textOf(column(4, 4), [...bytes.subarray(0, 4)])), single));
      }
    }),
    { numRuns: 5000 },
  );
});

test('values that no server stores are refused', () => {
  const corrupt = /SOURCE_CORRUPT/;
  const bad: readonly (readonly [LogColumn, readonly number[]])[] = [
    [column(5), [0, 0, 0, 0, 0, 0, 0xf8, 0x7f]],
    [column(4), [0, 0, 0x80, 0xff]],
    [column(246, 0x0200), [0x80 + 100]],
    [column(246, 0x0200), [0x7f]],
    [column(18), [0x7f, 0, 0, 0, 0]],
    [column(18), [0x80, 0, 0, 0, 60]],
    [column(18, 2), [0x80, 0, 0, 0, 0, 100]],
    [column(10), [0xff, 0xff, 0xff]],
    [column(19), [0xff, 0xff, 0xff]],
    [column(12), [255, 255, 255, 255, 255, 255, 255, 0]],
  ];
  for (const [of, bytes] of bad) assert.throws(() => textOf(of, bytes), corrupt, String(of.type));
});

test('years, bits, enums and sets', () => {
  assert.equal(textOf(column(13), [0]), '0000');
  assert.equal(textOf(column(13), [255]), '2155');
  assert.equal(
    textOf(column(16, 64), [255, 255, 255, 255, 255, 255, 255, 255]),
    '18446744073709551615',
  );
  assert.equal(textOf(column(16, 9), [1, 2]), '258');
  const labels = ['a', 'b,c'];
  const one = column(247, 1, { labels });
  assert.equal(readValue(one, Uint8Array.of(0), 0, 1), '');
  assert.equal(readValue(one, Uint8Array.of(2), 0, 1), 'b,c');
  assert.throws(() => readValue(one, Uint8Array.of(3), 0, 1), /SOURCE_CORRUPT/);
  assert.equal(readValue(column(248, 1, { labels }), Uint8Array.of(3), 0, 1), 'a,b,c');
  assert.equal(
    readValue(column(248, 8), Uint8Array.from(Array<number>(8).fill(255)), 0, 8),
    2n ** 64n - 1n,
  );
});

test('BINARY(n) is filled up with the zero bytes that the log leaves out', () => {
  const bytes = Uint8Array.of(2, 1, 2);
  assert.deepEqual(
    readValue(column(254, 4, { collation: 63 }), bytes, 0, 3),
    Uint8Array.of(1, 2, 0, 0),
  );
  assert.deepEqual(readValue(column(15, 4, { collation: 63 }), bytes, 0, 3), Uint8Array.of(1, 2));
});
