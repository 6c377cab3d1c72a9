/** Cells of COMPRESSED columns, as MariaDB stores them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateRawSync, deflateSync } from 'node:zlib';
import { inflateCell } from '#src/adapters/binlog/inflate.ts';

const corrupt = /SOURCE_CORRUPT/;
const plain = Buffer.from('compress me '.repeat(100));

function cell(bytes: readonly number[]): Uint8Array {
  return new Uint8Array(inflateCell(Uint8Array.from(bytes), 0, bytes.length));
}

test('a cell is nothing, plain behind a zero byte, or deflated with or without a wrapper', () => {
  assert.deepEqual(cell([]), new Uint8Array(0));
  assert.deepEqual(cell([0]), new Uint8Array(0));
  assert.deepEqual(cell([0, 1, 2]), Uint8Array.of(1, 2));
  const size = [plain.length >> 8, plain.length & 255];
  assert.deepEqual(cell([0x82, ...size, ...deflateSync(plain)]), new Uint8Array(plain));
  assert.deepEqual(cell([0x8a, ...size, ...deflateRawSync(plain)]), new Uint8Array(plain));
});

test('a cell of another method, size or content is refused', () => {
  const packed = [...deflateSync(plain)];
  const size = [plain.length >> 8, plain.length & 255];
  assert.throws(() => cell([0x92, ...size, ...packed]), corrupt);
  assert.throws(() => cell([0x82, size[0]!, size[1]! + 1, ...packed]), corrupt);
  assert.throws(() => cell([0x82, size[0]!, size[1]! - 1, ...packed]), corrupt);
  assert.throws(() => cell([0x84, 0x40, 0, 0, 0, ...packed]), corrupt);
  assert.throws(() => cell([0x85, 0, 0, 0, ...size, ...packed]), corrupt);
  assert.throws(() => cell([0x82, ...size, 1, 2, 3]), corrupt);
  assert.throws(() => cell([0x82, 1]), corrupt);
});
