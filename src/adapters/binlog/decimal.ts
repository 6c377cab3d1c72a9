import type { ByteWriter } from '#src/base/byte-writer.ts';
import { corrupt } from './corrupt.ts';
import { decimalBytes } from './row-layout.ts';

const digitBytes = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
const powers = [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/**
 * Writes a packed decimal as the server shows it: sign, digits before the point without leading zeros (at least one),
 * and exactly `scale` digits after it. The format is groups of nine digits as big-endian numbers, the first bit flipped,
 * and every byte inverted when negative.
 */
export function writeDecimal(
  out: ByteWriter,
  bytes: Uint8Array,
  start: number,
  precision: number,
  scale: number,
): void {
  const byteCount = decimalBytes(precision, scale);
  if (start + byteCount > bytes.byteLength) corrupt('a decimal is cut short');
  const negative = (bytes[start]! & 0x80) === 0;
  // Xor with this mask undoes the inversion; the first byte also has its sign bit flipped back.
  const mask = negative ? 255 : 0;
  const from = out.length;
  if (negative) out.byte(0x2d);
  let at = start;
  let started = false;
  let nonZero = false;
  const whole = precision - scale;
  for (let left = whole, size = whole % 9; left > 0; size = 9) {
    if (size === 0) size = 9;
    const value = readGroup(bytes, at, size, at === start ? mask ^ 0x80 : mask, mask);
    at += digitBytes[size]!;
    left -= size;
    if (started) {
      out.uint(value, size);
    } else if (value !== 0) {
      out.uint(value);
      started = true;
    }
    if (value !== 0) nonZero = true;
  }
  if (!started) out.byte(0x30);
  if (scale > 0) {
    out.byte(0x2e);
    for (let left = scale; left > 0;) {
      const size = left > 9 ? 9 : left;
      const value = readGroup(bytes, at, size, at === start ? mask ^ 0x80 : mask, mask);
      at += digitBytes[size]!;
      left -= size;
      out.uint(value, size);
      if (value !== 0) nonZero = true;
    }
  }
  // No server stores a negative zero.
  if (negative && !nonZero) {
    out.truncate(from);
    corrupt('a decimal is a negative zero');
  }
}

function readGroup(
  bytes: Uint8Array,
  at: number,
  size: number,
  firstMask: number,
  mask: number,
): number {
  const byteCount = digitBytes[size]!;
  let value = bytes[at]! ^ firstMask;
  for (let i = 1; i < byteCount; i++) value = value * 256 + (bytes[at + i]! ^ mask);
  if (value >= powers[size]!) corrupt('a decimal has a group of too many digits');
  return value;
}
