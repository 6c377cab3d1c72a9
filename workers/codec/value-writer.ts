import { Packr } from 'msgpackr';
import { placeOfText, tag, textPlaceCount } from './value-tag.ts';

const packr = new Packr({ useRecords: true, moreTypes: false });

/** Most bytes one scalar takes besides the text of a string. */
const scalarBytesMax = 10;
/** Text up to so many characters is written character by character; the call of a native writer costs more. */
const shortTextLength = 64;

/**
 * Writes plain values into one growing buffer that is used again for each batch. Scalars are written here, whatever holds
 * other values goes through msgpackr. Lone surrogates of a string become U+FFFD.
 */
export class ValueWriter {
  #bytes: Buffer<ArrayBuffer>;
  #view: DataView<ArrayBuffer>;
  #length = 0;
  /** Short texts by place; names repeat in almost every message. */
  readonly #texts: string[] = Array.from({ length: textPlaceCount }, () => '');

  constructor(initialBytes = 16_384) {
    this.#bytes = Buffer.from(new ArrayBuffer(initialBytes));
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Bytes written. */
  get length(): number {
    return this.#length;
  }

  /** Drops what was written from `length` on: takes back a half-written part. {@link forget} has to follow. */
  truncate(length: number): void {
    this.#length = length;
  }

  /** What follows refers to no text before it. */
  forget(): void {
    this.#texts.fill('');
  }

  /** A copy of what was written that owns its buffer, and an empty writer. */
  take(): Uint8Array<ArrayBuffer> {
    const taken = new Uint8Array(this.#bytes.buffer.slice(0, this.#length));
    this.#length = 0;
    return taken;
  }

  /** One byte. */
  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  /** A count below 2^31, in one byte below 128. */
  count(value: number): void {
    this.#reserve(5);
    let rest = value;
    while (rest > 0x7f) {
      this.#bytes[this.#length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#bytes[this.#length++] = rest;
  }

  /** Any number; small counts take one byte. */
  number(value: number): void {
    this.#reserve(scalarBytesMax);
    // Negative zero is equal to zero, and another value.
    if (value >>> 0 === value && (value !== 0 || 1 / value > 0)) {
      if (value < tag.smallEnd) this.#bytes[this.#length++] = value;
      else {
        this.#bytes[this.#length++] = tag.uint32;
        this.#view.setUint32(this.#length, value, true);
        this.#length += 4;
      }
      return;
    }
    this.#bytes[this.#length++] = tag.float64;
    this.#view.setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  /** A string; the reader tells by its first byte that it is one. */
  text(value: string): void {
    const { length } = value;
    if (length > 0 && length <= shortTextLength) {
      const place = placeOfText(value);
      if (this.#texts[place] === value) {
        this.#reserve(2);
        this.#bytes[this.#length++] = tag.sameText;
        this.#bytes[this.#length++] = place;
        return;
      }
      if (this.#shortText(value, length)) {
        this.#texts[place] = value;
        return;
      }
    }
    const byteCount = Buffer.byteLength(value);
    this.#reserve(scalarBytesMax + byteCount);
    this.#bytes[this.#length++] = tag.text;
    this.count(byteCount);
    this.#bytes.write(value, this.#length, byteCount, 'utf8');
    this.#length += byteCount;
  }

  /** Any plain value. */
  value(value: unknown): void {
    switch (typeof value) {
      case 'number':
        return this.number(value);
      case 'string':
        return this.text(value);
      case 'boolean':
        return this.byte(value ? tag.true : tag.false);
      case 'undefined':
        return this.byte(tag.undefined);
      case 'function':
      case 'symbol':
        throw new TypeError(`a ${typeof value} is no plain value`);
      default:
        return value === null ? this.byte(tag.null) : this.#packed(value);
    }
  }

  #shortText(value: string, length: number): boolean {
    this.#reserve(2 + shortTextLength);
    const bytes = this.#bytes;
    let at = this.#length;
    bytes[at++] = tag.shortText;
    bytes[at++] = length;
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i);
      if (code > 0x7f) return false;
      bytes[at++] = code;
    }
    this.#length = at;
    return true;
  }

  #packed(value: unknown): void {
    const packed = packr.pack(value);
    this.#reserve(scalarBytesMax + packed.byteLength);
    this.#bytes[this.#length++] = tag.packed;
    this.count(packed.byteLength);
    this.#bytes.set(packed, this.#length);
    this.#length += packed.byteLength;
  }

  #reserve(count: number): void {
    if (this.#length + count > this.#bytes.byteLength) this.#grow(count);
  }

  #grow(count: number): void {
    const grown = Buffer.from(
      new ArrayBuffer(Math.max(this.#bytes.byteLength * 2, this.#length + count)),
    );
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}
