/**
 * MySQL's binary JSON. A value is a type byte and its data; objects and arrays begin with their element count and size,
 * then fixed-size entries (keys: offset and length; values: type and offset, or the value itself when it is small), then
 * keys and values. Offsets count from the start of the container.
 */
import type { ByteWriter } from '#src/base/byte-writer.ts';
import { columnType } from './column.ts';
import { corrupt, unsupported } from './corrupt.ts';
import { writeDecimal } from './decimal.ts';
import { writeJsonDouble, writeJsonString, writeOpaque } from './json-scalar.ts';
import { checkMeta, decimalBytes } from './row-layout.ts';
import { writePackedTemporal } from './temporal.ts';

/** Types of binary JSON values. */
export const jsonType = {
  smallObject: 0,
  largeObject: 1,
  smallArray: 2,
  largeArray: 3,
  literal: 4,
  int16: 5,
  uint16: 6,
  int32: 7,
  uint32: 8,
  int64: 9,
  uint64: 10,
  double: 11,
  string: 12,
  opaque: 15,
} as const;

/** Nesting that is followed; MySQL refuses documents deeper than 100. */
export const jsonDepthMax = 128;

/** Largest binary document that is read: its text may be six times as large and must fit into one buffer. */
const jsonBytesMax = 2 ** 28;

/** Where a value lies: its type, its data, and the end of what it may use. */
export interface JsonPlace {
  readonly type: number;
  readonly at: number;
  readonly end: number;
}

/** An opened object or array. */
export interface JsonContainer {
  readonly isObject: boolean;
  readonly count: number;
  readonly large: boolean;
  readonly start: number;
  readonly end: number;
}

/**
 * Reads one document. Each byte of a document belongs to one value only, so visiting more bytes than there are means
 * overlapping values: that is refused, which keeps the work linear in the size of the input.
 */
export class JsonDocument {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  #budget: number;

  constructor(bytes: Uint8Array, start: number, end: number) {
    if (start > end || end > bytes.byteLength) corrupt('a JSON value is cut short');
    if (end - start > jsonBytesMax) unsupported('a JSON value above 256 MiB');
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#budget = end - start;
  }

  /** The outermost value of `bytes[start, end)`; no bytes at all stand for the literal null. */
  root(start: number, end: number): JsonPlace | null {
    if (start === end) return null;
    this.spend(1);
    return { type: this.bytes[start]!, at: start + 1, end };
  }

  /** Opens the object or array at `place`. */
  container(place: JsonPlace): JsonContainer {
    const { type, at } = place;
    const large = type === jsonType.largeObject || type === jsonType.largeArray;
    const isObject = type === jsonType.smallObject || type === jsonType.largeObject;
    const wordBytes = large ? 4 : 2;
    this.#need(at, wordBytes * 2, place.end);
    this.spend(wordBytes * 2);
    const count = this.#word(at, large);
    const size = this.#word(at + wordBytes, large);
    const entryBytes = (isObject ? wordBytes + 2 : 0) + 1 + wordBytes;
    if (size > place.end - at || wordBytes * 2 + count * entryBytes > size) {
      corrupt('a JSON container is larger than its place');
    }
    return { isObject, count, large, start: at, end: at + size };
  }

  /** The key of element `i` of an object, as [start, end) packed into two numbers of `range`. */
  key(container: JsonContainer, i: number, range: { start: number; end: number }): void {
    const wordBytes = container.large ? 4 : 2;
    const entry = container.start + wordBytes * 2 + i * (wordBytes + 2);
    const start = container.start + this.#word(entry, container.large);
    const length = this.#view.getUint16(entry + wordBytes, true);
    this.#need(start, length, container.end);
    this.spend(wordBytes + 2 + length);
    range.start = start;
    range.end = start + length;
  }

  /** Element `i` of a container. */
  element(container: JsonContainer, i: number): JsonPlace {
    const { large, count, start, end } = container;
    const wordBytes = large ? 4 : 2;
    const keys = container.isObject ? count * (wordBytes + 2) : 0;
    const entry = start + wordBytes * 2 + keys + i * (1 + wordBytes);
    this.spend(1 + wordBytes);
    const type = this.bytes[entry]!;
    if (isInline(type, large)) return { type, at: entry + 1, end: entry + 1 + wordBytes };
    const at = start + this.#word(entry + 1, large);
    if (at >= end) corrupt('a JSON value lies outside its container');
    return { type, at, end };
  }

  /** An integer of the integer types, as halves [high, low] for the 64-bit ones. */
  integer(place: JsonPlace): {
    readonly unsigned: boolean;
    readonly high: number;
    readonly low: number;
  } {
    const { type, at, end } = place;
    switch (type) {
      case jsonType.int16:
      case jsonType.uint16: {
        this.#need(at, 2, end);
        const unsigned = type === jsonType.uint16;
        const low = unsigned ? this.#view.getUint16(at, true) : this.#view.getInt16(at, true);
        return { unsigned, high: low < 0 ? -1 : 0, low };
      }
      case jsonType.int32:
      case jsonType.uint32: {
        this.#need(at, 4, end);
        const low = this.#view.getInt32(at, true);
        const unsigned = type === jsonType.uint32;
        return { unsigned, high: low < 0 && !unsigned ? -1 : 0, low };
      }
      default:
        this.#need(at, 8, end);
        this.spend(8);
        return {
          unsigned: type === jsonType.uint64,
          high: this.#view.getInt32(at + 4, true),
          low: this.#view.getInt32(at, true),
        };
    }
  }

  /** A double; NaN and infinities are SOURCE_CORRUPT. */
  double(place: JsonPlace): number {
    this.#need(place.at, 8, place.end);
    this.spend(8);
    const value = this.#view.getFloat64(place.at, true);
    if (!Number.isFinite(value)) corrupt('a JSON number is not a number');
    return value;
  }

  /** `null`, `true` or `false`. */
  literal(place: JsonPlace): 'null' | 'true' | 'false' {
    this.#need(place.at, 1, place.end);
    const value = this.bytes[place.at]!;
    if (value === 0) return 'null';
    if (value === 1) return 'true';
    if (value === 2) return 'false';
    return corrupt('a JSON literal is unknown');
  }

  /** Where the content of a string lies. */
  string(place: JsonPlace): { readonly start: number; readonly end: number } {
    return this.#sized(place.at, place.end);
  }

  /** The column type and the content of an opaque value. */
  opaque(place: JsonPlace): {
    readonly type: number;
    readonly start: number;
    readonly end: number;
  } {
    this.#need(place.at, 1, place.end);
    const type = this.bytes[place.at]!;
    return { type, ...this.#sized(place.at + 1, place.end) };
  }

  /** Counts bytes that a value uses; SOURCE_CORRUPT when the document is used up. */
  spend(byteCount: number): void {
    this.#budget -= byteCount;
    if (this.#budget < 0) corrupt('JSON values overlap');
  }

  #sized(at: number, end: number): { start: number; end: number } {
    let length = 0;
    let next = at;
    for (let unit = 1; ; unit *= 128) {
      if (next >= end || unit > 2 ** 28) corrupt('a JSON value has a bad length');
      const byte = this.bytes[next++]!;
      length += (byte & 0x7f) * unit;
      if (byte < 0x80) break;
    }
    this.#need(next, length, end);
    this.spend(next - at + length);
    return { start: next, end: next + length };
  }

  #word(at: number, large: boolean): number {
    return large ? this.#view.getUint32(at, true) : this.#view.getUint16(at, true);
  }

  #need(at: number, byteCount: number, end: number): void {
    if (byteCount > end - at) corrupt('a JSON value is cut short');
  }
}

function isInline(type: number, large: boolean): boolean {
  return (
    type === jsonType.literal ||
    type === jsonType.int16 ||
    type === jsonType.uint16 ||
    (large && (type === jsonType.int32 || type === jsonType.uint32))
  );
}

/**
 * Writes the text of the binary JSON value in `bytes[start, end)` exactly as MySQL shows it (utf-8). On SOURCE_CORRUPT
 * `out` is left as it was.
 */
export function writeJsonText(
  out: ByteWriter,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  const from = out.length;
  const document = new JsonDocument(bytes, start, end);
  const root = document.root(start, end);
  try {
    if (root === null) out.ascii('null');
    else writeJsonPlace(out, document, root, 0);
  } catch (error) {
    out.truncate(from);
    throw error;
  }
}

/** Writes the text of one value of `document`; `depth` counts the containers around it. */
export function writeJsonPlace(
  out: ByteWriter,
  document: JsonDocument,
  place: JsonPlace,
  depth: number,
): void {
  switch (place.type) {
    case jsonType.smallObject:
    case jsonType.largeObject:
    case jsonType.smallArray:
    case jsonType.largeArray:
      writeContainer(out, document, place, depth);
      break;
    case jsonType.literal:
      out.ascii(document.literal(place));
      break;
    case jsonType.int16:
    case jsonType.uint16:
    case jsonType.int32:
    case jsonType.uint32:
    case jsonType.int64:
    case jsonType.uint64: {
      const { unsigned, high, low } = document.integer(place);
      out.long(unsigned, high, low);
      break;
    }
    case jsonType.double:
      writeJsonDouble(out, document.double(place));
      break;
    case jsonType.string: {
      const { start, end } = document.string(place);
      writeJsonString(out, document.bytes, start, end);
      break;
    }
    case jsonType.opaque:
      writeOpaqueText(out, document, place);
      break;
    default:
      corrupt('a JSON value has an unknown type');
  }
}

const keyRange = { start: 0, end: 0 };

function writeContainer(
  out: ByteWriter,
  document: JsonDocument,
  place: JsonPlace,
  depth: number,
): void {
  if (depth >= jsonDepthMax) corrupt('a JSON value is nested too deeply');
  const container = document.container(place);
  const { isObject, count } = container;
  out.byte(isObject ? 0x7b : 0x5b);
  for (let i = 0; i < count; i++) {
    if (i > 0) out.ascii(', ');
    if (isObject) {
      document.key(container, i, keyRange);
      writeJsonString(out, document.bytes, keyRange.start, keyRange.end);
      out.ascii(': ');
    }
    writeJsonPlace(out, document, document.element(container, i), depth + 1);
  }
  out.byte(isObject ? 0x7d : 0x5d);
}

function writeOpaqueText(out: ByteWriter, document: JsonDocument, place: JsonPlace): void {
  const { type, start, end } = document.opaque(place);
  const kind = opaqueTemporal(type);
  if (kind !== null) {
    out.byte(0x22);
    writeJsonTemporal(out, kind, document.bytes, { start, end });
    out.byte(0x22);
  } else if (type === columnType.decimal) {
    writeJsonDecimal(out, document.bytes, start, end);
  } else {
    writeOpaque(out, type, document.bytes, { start, end });
  }
}

/** Which temporal an opaque value of column type `type` is; null for none. */
export function opaqueTemporal(type: number): 'date' | 'datetime' | 'time' | null {
  if (type === columnType.date) return 'date';
  if (type === columnType.time) return 'time';
  return type === columnType.datetime || type === columnType.timestamp ? 'datetime' : null;
}

/** Writes the text of a temporal value inside JSON, without quotes. */
export function writeJsonTemporal(
  out: ByteWriter,
  kind: 'date' | 'datetime' | 'time',
  bytes: Uint8Array,
  range: { readonly start: number; readonly end: number },
): void {
  if (range.end - range.start !== 8) corrupt('a temporal value inside JSON has a bad size');
  writePackedTemporal(out, kind, bytes, range.start);
}

/** Writes the text of a decimal inside JSON (precision, scale, packed digits) and answers its precision and scale. */
export function writeJsonDecimal(
  out: ByteWriter,
  bytes: Uint8Array,
  start: number,
  end: number,
): { readonly precision: number; readonly scale: number } {
  if (end - start < 2) corrupt('a decimal inside JSON is cut short');
  const precision = bytes[start]!;
  const scale = bytes[start + 1]!;
  checkMeta(columnType.decimal, (precision << 8) | scale);
  if (decimalBytes(precision, scale) !== end - start - 2) {
    corrupt('a decimal inside JSON has a bad size');
  }
  writeDecimal(out, bytes, start + 2, precision, scale);
  return { precision, scale };
}
