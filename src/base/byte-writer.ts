import { assert } from './assert.ts';

const hexDigits = new TextEncoder().encode('0123456789ABCDEF');
const encoder = new TextEncoder();

/**
 * A growing byte buffer for building SQL without building strings. It grows by doubling up to `byteCountMax`; going past
 * that is a Fault, so callers check sizes first. `bytes()` is a view into the buffer, valid until the next write.
 */
export class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #length = 0;
  readonly #byteCountMax: number;

  constructor(initialBytes = 4096, byteCountMax = 2 ** 31) {
    this.#bytes = new Uint8Array(initialBytes);
    this.#byteCountMax = byteCountMax;
  }

  /** Bytes written. */
  get length(): number {
    return this.#length;
  }

  /** Drops everything after `length`: takes back a half-written part. */
  truncate(length: number): void {
    assert(length <= this.#length, 'truncate may only shorten');
    this.#length = length;
  }

  /** A view of what was written; valid until the next write. */
  bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  /** A copy of what was written, and an empty writer. */
  take(): Uint8Array<ArrayBuffer> {
    const taken = this.#bytes.slice(0, this.#length);
    this.#length = 0;
    return taken;
  }

  /** Makes room for `count` bytes and returns the place to write them; the caller then fills `buffer()` there. */
  reserve(count: number): number {
    const at = this.#length;
    const needed = at + count;
    if (needed > this.#bytes.byteLength) this.#grow(needed);
    this.#length = needed;
    return at;
  }

  /** The whole underlying buffer, for filling what `reserve` gave; changes identity when it grows. */
  buffer(): Uint8Array<ArrayBuffer> {
    return this.#bytes;
  }

  /** One byte. */
  byte(value: number): void {
    if (this.#length === this.#bytes.byteLength) this.#grow(this.#length + 1);
    this.#bytes[this.#length++] = value;
  }

  /** Bytes as they are. */
  raw(source: Uint8Array, start = 0, end = source.byteLength): void {
    const count = end - start;
    const at = this.reserve(count);
    if (count < 32) {
      const target = this.#bytes;
      for (let i = 0; i < count; i++) target[at + i] = source[start + i]!;
    } else {
      this.#bytes.set(source.subarray(start, end), at);
    }
  }

  /** Text of ASCII characters only. */
  ascii(text: string): void {
    const count = text.length;
    const at = this.reserve(count);
    const target = this.#bytes;
    for (let i = 0; i < count; i++) target[at + i] = text.charCodeAt(i);
  }

  /** Text as utf-8. */
  utf8(text: string): void {
    const at = this.reserve(text.length * 3);
    const { written } = encoder.encodeInto(text, this.#bytes.subarray(at));
    this.#length = at + written;
  }

  /** A non-negative integer below 2^53 in decimal, left-padded with zeros to `width`. */
  uint(value: number, width = 1): void {
    if (value > 0xffffffff) {
      // Above 2^32 only floating division is exact; two halves of at most eight and nine digits go on in integers.
      const high = Math.floor(value / 1e8);
      this.uint(high, width - 8);
      this.uint(value - high * 1e8, 8);
      return;
    }
    let small = value >>> 0;
    let digitCount = decimalDigits(small);
    if (digitCount < width) digitCount = width;
    const at = this.reserve(digitCount);
    const target = this.#bytes;
    for (let i = at + digitCount - 1; i >= at; i--) {
      const quotient = (small / 10) >>> 0;
      target[i] = 48 + (small - quotient * 10);
      small = quotient;
    }
  }

  /** The unsigned 64-bit integer high · 2^32 + low in decimal; both halves are below 2^32. */
  uint64(high: number, low: number): void {
    if (high < 1 << 21) {
      this.uint(high * 2 ** 32 + low);
      return;
    }
    // 2^32 = 429496 · 10^4 + 7296 takes off four digits with every number below 2^53.
    const part = high * 7296 + low;
    const carry = Math.floor(part / 10_000);
    this.uint(high * 429_496 + carry);
    this.uint(part - carry * 10_000, 4);
  }

  /** The 64-bit integer of two 32-bit halves in decimal; unless `unsigned`, the top bit of `high` is its sign. */
  long(unsigned: boolean, high: number, low: number): void {
    if (unsigned || (high | 0) >= 0) {
      this.uint64(high >>> 0, low >>> 0);
      return;
    }
    this.byte(0x2d);
    const negated = -low >>> 0;
    this.uint64((negated === 0 ? -high : ~high) >>> 0, negated);
  }

  /** An integer in decimal; |value| < 2^53. */
  int(value: number): void {
    if (value < 0) {
      this.byte(0x2d);
      this.uint(-value);
    } else {
      this.uint(value);
    }
  }

  /** Bytes as upper-case hexadecimal digits. */
  hex(source: Uint8Array, start = 0, end = source.byteLength): void {
    let at = this.reserve((end - start) * 2);
    const target = this.#bytes;
    for (let i = start; i < end; i++) {
      const value = source[i]!;
      target[at++] = hexDigits[value >> 4]!;
      target[at++] = hexDigits[value & 15]!;
    }
  }

  #grow(needed: number): void {
    assert(
      needed <= this.#byteCountMax,
      `buffer of ${needed} bytes above its bound ${this.#byteCountMax}`,
    );
    let size = this.#bytes.byteLength;
    while (size < needed) size = Math.max(64, size * 2);
    const grown = new Uint8Array(Math.min(size, this.#byteCountMax));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}

function decimalDigits(value: number): number {
  if (value < 10) return 1;
  if (value < 100) return 2;
  if (value < 1000) return 3;
  if (value < 10_000) return 4;
  if (value < 100_000) return 5;
  if (value < 1_000_000) return 6;
  if (value < 10_000_000) return 7;
  if (value < 100_000_000) return 8;
  return value < 1_000_000_000 ? 9 : 10;
}
