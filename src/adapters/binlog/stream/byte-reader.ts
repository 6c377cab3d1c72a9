import { fail } from '../../../base/failure.ts';

const utf8 = new TextDecoder();

/**
 * A cursor over the bytes of one event. Every read checks its bounds, so any input gives values or SOURCE_CORRUPT,
 * never a crash. Byte views point into the input: copy what you keep.
 */
export class ByteReader {
  readonly bytes: Uint8Array;
  readonly end: number;
  at: number;
  readonly #what: string;

  /** Reads `bytes` from `at` to `end`; `what` names the structure in failures. */
  constructor(bytes: Uint8Array, what: string, at = 0, end = bytes.byteLength) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
    this.#what = what;
  }

  /** Bytes not read yet. */
  get remaining(): number {
    return this.end - this.at;
  }

  /** An unsigned byte. */
  u8(): number {
    this.#need(1);
    return this.bytes[this.at++]!;
  }

  /** Little-endian unsigned integers. */
  u16(): number {
    return this.uint(2);
  }

  u24(): number {
    return this.uint(3);
  }

  u32(): number {
    return this.uint(4);
  }

  /** A little-endian unsigned integer of 64 bits; SOURCE_CORRUPT at 2^53 or more, which no position or size reaches. */
  u64(): number {
    return this.uint(8);
  }

  /** A little-endian unsigned integer of `count` bytes, 1 to 8. */
  uint(count: number): number {
    this.#need(count);
    let value = 0;
    for (let i = count - 1; i >= 0; i--) value = value * 256 + this.bytes[this.at + i]!;
    this.at += count;
    if (value > Number.MAX_SAFE_INTEGER) this.corrupt('an integer of 2^53 or more');
    return value;
  }

  /** A little-endian unsigned integer of 64 bits, whole. */
  big64(): bigint {
    const low = this.uint(4);
    return (BigInt(this.uint(4)) << 32n) | BigInt(low);
  }

  /** A length-encoded integer of the client protocol. */
  packed(): number {
    const first = this.u8();
    if (first < 0xfb) return first;
    if (first === 0xfc) return this.u16();
    if (first === 0xfd) return this.u24();
    if (first === 0xfe) return this.u64();
    return this.corrupt('a length that is not a number');
  }

  /** A view of the next `count` bytes. */
  raw(count: number): Uint8Array {
    this.#need(count);
    const view = this.bytes.subarray(this.at, this.at + count);
    this.at += count;
    return view;
  }

  /** A view of everything left. */
  rest(): Uint8Array {
    return this.raw(this.remaining);
  }

  /** The next `count` bytes as utf-8 text. */
  text(count: number): string {
    return utf8.decode(this.raw(count));
  }

  /** Text up to a zero byte, which is taken as well. */
  textUntilZero(): string {
    const zero = this.bytes.indexOf(0, this.at);
    if (zero < 0 || zero >= this.end) return this.corrupt('a text without its end');
    const text = this.text(zero - this.at);
    this.at = zero + 1;
    return text;
  }

  /** Steps over `count` bytes. */
  skip(count: number): void {
    this.#need(count);
    this.at += count;
  }

  /** Throws SOURCE_CORRUPT naming the structure. */
  corrupt(problem: string): never {
    return fail('SOURCE_CORRUPT', `${this.#what}: ${problem}`, { retry: 'Reconnect' });
  }

  #need(count: number): void {
    if (count < 0 || this.at + count > this.end) {
      this.corrupt(`${count} bytes wanted, ${this.end - this.at} there`);
    }
  }
}
