import { messageOf } from '#src/base/failure.ts';
import { Unpackr } from 'msgpackr';
import { placeOfText, tag, textPlaceCount } from './value-tag.ts';

const unpackr = new Unpackr({ useRecords: true, moreTypes: false, mapsAsObjects: true });

/** Thrown within the codec when bytes are no batch; `decodeBatch` makes a Failure of it. */
export class CorruptBatch extends Error {
  override readonly name = 'CorruptBatch';
}

/** Strings that came before, by a hash of their bytes: names repeat in almost every message. */
const textCacheSize = 2_048;
const textCache: string[] = Array.from({ length: textCacheSize }, () => '');

/** Reads what `ValueWriter` wrote. Every read is checked: past the end or of no known form it throws CorruptBatch. */
export class ValueReader {
  #bytes: Buffer = Buffer.alloc(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  #at = 0;
  #end = 0;
  /** Short texts of this batch by place. */
  readonly #texts: string[] = Array.from({ length: textPlaceCount }, () => '');

  /** Begins with other bytes. */
  open(bytes: Uint8Array): void {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = 0;
    this.#end = bytes.byteLength;
    this.forget();
  }

  /** What follows refers to no text before it. */
  forget(): void {
    this.#texts.fill('');
  }

  /** True when nothing is left. */
  get isAtEnd(): boolean {
    return this.#at === this.#end;
  }

  /** One byte. */
  byte(): number {
    if (this.#at === this.#end) throw new CorruptBatch('it ends too early');
    return this.#bytes[this.#at++]!;
  }

  /** A count below 2^31. */
  count(): number {
    let value = this.byte();
    if (value < 0x80) return value;
    value &= 0x7f;
    for (let shift = 7; shift <= 28; shift += 7) {
      const part = this.byte();
      value += (part & 0x7f) * 2 ** shift;
      if (part < 0x80 && value < 2 ** 31) return value;
    }
    throw new CorruptBatch('a count is out of range');
  }

  /** A safe integer from 0. */
  integer(): number {
    const value = this.value();
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
    throw new CorruptBatch('a number is out of range');
  }

  /** A string. */
  text(): string {
    const value = this.value();
    if (typeof value === 'string') return value;
    throw new CorruptBatch('a string is missing');
  }

  /** Any value. */
  value(): unknown {
    const first = this.byte();
    if (first < tag.smallEnd) return first;
    switch (first) {
      case tag.float64:
        return this.#view.getFloat64(this.#take(8), true);
      case tag.uint32:
        return this.#view.getUint32(this.#take(4), true);
      case tag.sameText: {
        const text = this.#texts[this.byte()];
        if (text === undefined || text === '') throw new CorruptBatch('a text is missing');
        return text;
      }
      case tag.shortText:
        return this.#shortText();
      case tag.null:
        return null;
      case tag.undefined:
        return undefined;
      case tag.false:
        return false;
      case tag.true:
        return true;
      case tag.text: {
        const byteCount = this.count();
        const at = this.#take(byteCount);
        return this.#bytes.toString('utf8', at, at + byteCount);
      }
      case tag.packed:
        return this.#packed();
      default:
        throw new CorruptBatch('a value is of no known form');
    }
  }

  /** Steps over `count` bytes; answers where they begin. */
  #take(count: number): number {
    const at = this.#at;
    if (count > this.#end - at) throw new CorruptBatch('it ends too early');
    this.#at = at + count;
    return at;
  }

  #shortText(): string {
    const length = this.byte();
    if (length === 0) throw new CorruptBatch('a short text is empty');
    const text = this.#cachedText(this.#take(length), length);
    this.#texts[placeOfText(text)] = text;
    return text;
  }

  #cachedText(at: number, length: number): string {
    const bytes = this.#bytes;
    let hash = length;
    for (let i = at; i < at + length; i++) hash = (Math.imul(hash, 31) + bytes[i]!) | 0;
    const place = hash & (textCacheSize - 1);
    const cached = textCache[place]!;
    if (cached.length === length && isSame(cached, bytes, at)) return cached;
    const text = bytes.toString('latin1', at, at + length);
    textCache[place] = text;
    return text;
  }

  #packed(): unknown {
    const byteCount = this.count();
    const at = this.#take(byteCount);
    try {
      // A copy: what msgpackr makes of byte strings must not hold the batch.
      return unpackr.unpack(Buffer.from(this.#bytes.subarray(at, at + byteCount))) as unknown;
    } catch (error) {
      throw new CorruptBatch(`a nested value: ${messageOf(error)}`);
    }
  }
}

function isSame(text: string, bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) !== bytes[at + i]) return false;
  }
  return true;
}
