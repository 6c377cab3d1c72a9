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
    let digitCount = 1;
    for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) digitCount++;
    if (digitCount < width) digitCount = width;
    const at = this.reserve(digitCount);
    const target = this.#bytes;
    let rest = value;
    let i = at + digitCount - 1;
    // Above 2^32 the remainder needs floating division; below, integer arithmetic is several times faster.
    while (rest > 0xffffffff) {
      const quotient = Math.floor(rest / 10);
      target[i--] = 48 + (rest - quotient * 10);
      rest = quotient;
    }
    let small = rest >>> 0;
    for (; i >= at; i--) {
      const quotient = (small / 10) >>> 0;
      target[i] = 48 + (small - quotient * 10);
      small = quotient;
    }
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
