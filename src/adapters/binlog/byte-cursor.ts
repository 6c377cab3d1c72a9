import { corrupt } from './corrupt.ts';

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Reads a run of bytes front to back; every read past the end is SOURCE_CORRUPT naming `what`. For cold paths. */
export class ByteCursor {
  readonly bytes: Uint8Array;
  readonly end: number;
  readonly #what: string;
  #at: number;

  constructor(bytes: Uint8Array, what: string, start = 0, end = bytes.byteLength) {
    this.bytes = bytes;
    this.end = end;
    this.#at = start;
    this.#what = what;
  }

  /** Offset of the next byte. */
  get at(): number {
    return this.#at;
  }

  /** Bytes left. */
  get left(): number {
    return this.end - this.#at;
  }

  /** Steps over `count` bytes and gives the offset of the first. */
  skip(count: number): number {
    const at = this.#at;
    if (count > this.end - at) corrupt(`${this.#what} is cut short`);
    this.#at = at + count;
    return at;
  }

  /** An unsigned byte. */
  uint8(): number {
    return this.bytes[this.skip(1)]!;
  }

  /** An unsigned little-endian number of two bytes. */
  uint16(): number {
    const at = this.skip(2);
    return this.bytes[at]! | (this.bytes[at + 1]! << 8);
  }

  /** An unsigned little-endian number of `byteCount` bytes (≤ 6). */
  uint(byteCount: number): number {
    const at = this.skip(byteCount);
    let value = 0;
    for (let i = byteCount - 1; i >= 0; i--) value = value * 256 + this.bytes[at + i]!;
    return value;
  }

  /** A length-encoded integer: one byte below 251, else a marker and 2, 3 or 8 bytes; above 2^53 is SOURCE_CORRUPT. */
  lenenc(): number {
    const first = this.uint8();
    if (first < 251) return first;
    if (first === 252) return this.uint(2);
    if (first === 253) return this.uint(3);
    if (first !== 254) return corrupt(`${this.#what} has a bad length`);
    const low = this.uint(4);
    const high = this.uint(4);
    if (high >= 1 << 21) corrupt(`${this.#what} has a length above 2^53`);
    return high * 2 ** 32 + low;
  }

  /** A view of the next `count` bytes. */
  view(count: number): Uint8Array {
    const at = this.skip(count);
    return this.bytes.subarray(at, at + count);
  }

  /** The next `count` bytes as utf-8 text; ill-formed text is SOURCE_CORRUPT. */
  text(count: number): string {
    const view = this.view(count);
    try {
      return decoder.decode(view);
    } catch {
      return corrupt(`${this.#what} has a name that is not utf-8`);
    }
  }
}
