/**
 * Cells straight to text, without JS strings or objects in between: what a sink puts into SQL. The caller has checked
 * that the cell is present; `start` and `end` come from a `RowImage`.
 */
import type { ByteWriter } from '#src/base/byte-writer.ts';
import { columnType, isCompressedColumn, type LogColumn } from './column.ts';
import { corrupt } from './corrupt.ts';
import { writeDecimal } from './decimal.ts';
import { inflateCell } from './inflate.ts';
import { writeJsonText } from './json-binary.ts';
import { writeDate, writeDatetime, writeTime, writeTimestamp, writeYear } from './temporal.ts';

const scratch = new Uint8Array(8);
const scratchView = new DataView(scratch.buffer);

/**
 * Writes a cell of a fixed-width class as ASCII, ready to stand in SQL as it is or between quotes:
 *
 * - integer, decimal, year, enum (its index), set and bit (their bits as a number): digits; put them as they are.
 * - float, double: a literal with an exponent, the shortest that gives the very same double; put it as it is.
 * - date, time, datetime, timestamp (in UTC): the server's text with the column's digits; put it between quotes.
 * - JSON of MySQL: the server's text, utf-8; quote and escape it.
 * - all others: the content's bytes as they are.
 */
export function writeText(
  out: ByteWriter,
  column: LogColumn,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  switch (column.type) {
    case columnType.tiny:
    case columnType.short:
    case columnType.int24:
    case columnType.long:
    case columnType.longlong:
      writeInteger(out, column, bytes, start);
      break;
    case columnType.decimal:
      writeDecimal(out, bytes, start, column.meta >> 8, column.meta & 255);
      break;
    case columnType.float:
    case columnType.double:
      writeDouble(out, readFloat(column, bytes, start));
      break;
    case columnType.timestamp2:
    case columnType.timestamp:
      writeTimestamp(out, column, bytes, start);
      break;
    case columnType.datetime2:
    case columnType.datetime:
      writeDatetime(out, column, bytes, start);
      break;
    case columnType.date:
    case columnType.newdate:
      writeDate(out, bytes, start);
      break;
    case columnType.time2:
    case columnType.time:
      writeTime(out, column, bytes, start);
      break;
    case columnType.year:
      writeYear(out, bytes, start);
      break;
    case columnType.enum:
    case columnType.set:
      writeLittle(out, bytes, start, end);
      break;
    case columnType.bit:
      writeBig(out, bytes, start, end);
      break;
    case columnType.json:
      writeJsonText(out, bytes, start + column.meta, end);
      break;
    default:
      writeContent(out, column, bytes, start, end);
  }
}

/** Writes the content of a string, blob, geometry or vector cell: no length prefix, decompressed. */
function writeContent(
  out: ByteWriter,
  column: LogColumn,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  if (isCompressedColumn(column)) out.raw(inflateCell(bytes, contentStart(column, start), end));
  else out.raw(bytes, contentStart(column, start), end);
}

/**
 * Where the content of a cell begins, behind its length prefix; it ends where the cell ends. Of a COMPRESSED column it is
 * the stored form: see `cellContent`. BINARY(n) comes without its trailing zero bytes, CHAR(n) without trailing spaces.
 */
export function contentStart(column: LogColumn, start: number): number {
  const { type, meta } = column;
  switch (type) {
    case columnType.varchar:
    case columnType.varcharCompressed:
    case columnType.varString:
    case columnType.string:
      return start + (meta > 255 ? 2 : 1);
    case columnType.tinyBlob:
    case columnType.blob:
    case columnType.mediumBlob:
    case columnType.longBlob:
    case columnType.blobCompressed:
    case columnType.json:
    case columnType.geometry:
    case columnType.vector:
      return start + meta;
    default:
      return start;
  }
}

/** The content of a string, blob, geometry or vector cell as bytes: a view, or new bytes when it was compressed. */
export function cellContent(
  column: LogColumn,
  bytes: Uint8Array,
  start: number,
  end: number,
): Uint8Array {
  const from = contentStart(column, start);
  return isCompressedColumn(column) ? inflateCell(bytes, from, end) : bytes.subarray(from, end);
}

/** The double of a FLOAT or DOUBLE cell; NaN and infinities, which no server stores, are SOURCE_CORRUPT. */
export function readFloat(column: LogColumn, bytes: Uint8Array, start: number): number {
  const isFloat = column.type === columnType.float;
  const byteCount = isFloat ? 4 : 8;
  for (let i = 0; i < byteCount; i++) scratch[i] = bytes[start + i]!;
  const value = isFloat ? scratchView.getFloat32(0, true) : scratchView.getFloat64(0, true);
  if (!Number.isFinite(value)) corrupt('a float is not a number');
  return value;
}

/**
 * Writes the shortest literal that reads back as the very same double, always with an exponent: `1.5e0`, `1e+21`. Servers
 * drop the sign of a zero literal: for `-0e0` a sink that cares writes the string '-0' instead.
 */
export function writeDouble(out: ByteWriter, value: number): void {
  const millionths = Math.round(value * 1e6);
  // Division and parsing both round to the nearest double, so equality here means that these digits are the number.
  if (Math.abs(millionths) < 2 ** 53 && millionths / 1e6 === value && value !== 0) {
    writeMillionths(out, millionths);
    return;
  }
  const text = Object.is(value, -0) ? '-0' : String(value);
  out.ascii(text);
  if (!text.includes('e')) out.ascii('e0');
}

/** Most numbers that people store have few digits after the point: they need no general algorithm. */
function writeMillionths(out: ByteWriter, millionths: number): void {
  if (millionths < 0) out.byte(0x2d);
  const amount = Math.abs(millionths);
  const whole = Math.floor(amount / 1e6);
  out.uint(whole);
  let rest = (amount - whole * 1e6) | 0;
  if (rest !== 0) {
    let width = 6;
    while (rest % 10 === 0) {
      rest = (rest / 10) | 0;
      width--;
    }
    out.byte(0x2e);
    out.uint(rest, width);
  }
  out.byte(0x65);
  out.byte(0x30);
}

function writeInteger(out: ByteWriter, column: LogColumn, bytes: Uint8Array, at: number): void {
  const { type, unsigned } = column;
  switch (type) {
    case columnType.tiny:
      out.int(unsigned ? bytes[at]! : (bytes[at]! << 24) >> 24);
      break;
    case columnType.short: {
      const value = bytes[at]! | (bytes[at + 1]! << 8);
      out.int(unsigned ? value : (value << 16) >> 16);
      break;
    }
    case columnType.int24: {
      const value = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
      out.int(unsigned ? value : (value << 8) >> 8);
      break;
    }
    case columnType.long: {
      const value = readLow(bytes, at);
      out.int(unsigned ? value >>> 0 : value);
      break;
    }
    default:
      out.long(unsigned, readLow(bytes, at + 4), readLow(bytes, at));
  }
}

function readLow(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

/** Writes a little-endian number of 1 to 8 bytes. */
function writeLittle(out: ByteWriter, bytes: Uint8Array, start: number, end: number): void {
  let high = 0;
  let low = 0;
  for (let i = end - 1; i >= start + 4; i--) high = high * 256 + bytes[i]!;
  for (let i = Math.min(end, start + 4) - 1; i >= start; i--) low = low * 256 + bytes[i]!;
  out.uint64(high, low);
}

/** Writes a big-endian number of 1 to 8 bytes. */
function writeBig(out: ByteWriter, bytes: Uint8Array, start: number, end: number): void {
  let high = 0;
  let low = 0;
  for (let i = start; i < end - 4; i++) high = high * 256 + bytes[i]!;
  for (let i = Math.max(start, end - 4); i < end; i++) low = low * 256 + bytes[i]!;
  out.uint64(high, low);
}
