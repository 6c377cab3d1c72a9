import { ByteWriter } from '#src/base/byte-writer.ts';
import { binaryCollation, columnClass, columnType, type LogColumn } from './column.ts';
import { charsetOfCollation, decodeCharset } from './charset.ts';
import { corrupt } from './corrupt.ts';
import { cellContent, readFloat, writeText } from './text.ts';

/** A cell as a JS value; see {@link readValue}. */
export type Value = null | number | bigint | string | Uint8Array;

const scratch = new ByteWriter(256);
const ascii = new TextDecoder('latin1');
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * A present cell as an exact JS value, for tests, comparisons and sinks without SQL text:
 *
 * - integer, year: number, or bigint beyond 2^53; float and double: number.
 * - decimal and temporals: the server's text; timestamps in UTC.
 * - character: string when charset and bytes decode exactly, else the bytes.
 * - binary, bit, geometry, vector: bytes. BINARY(n) is filled up with the zero bytes that the log leaves out.
 * - enum: its label, '' for the invalid value; set: labels joined by commas; without labels the number.
 * - JSON of MySQL: the server's text.
 */
export function readValue(column: LogColumn, bytes: Uint8Array, start: number, end: number): Value {
  if (end > bytes.byteLength) corrupt('a cell is cut short');
  const name = columnClass(column);
  switch (name) {
    case 'null':
      return null;
    case 'integer':
    case 'year': {
      const text = textOf(column, bytes, start, end);
      const value = Number(text);
      return Number.isSafeInteger(value) ? value : BigInt(text);
    }
    case 'float':
    case 'double':
      return readFloat(column, bytes, start);
    case 'decimal':
    case 'date':
    case 'time':
    case 'datetime':
    case 'timestamp':
      return textOf(column, bytes, start, end);
    case 'enum':
    case 'set':
      return labelled(column, textOf(column, bytes, start, end));
    case 'json':
      return jsonOf(column, bytes, start, end);
    case 'bit':
      return new Uint8Array(bytes.subarray(start, end));
    case 'character': {
      const content = cellContent(column, bytes, start, end);
      const charset = charsetOfCollation(column.collation ?? binaryCollation) ?? '';
      return decodeCharset(charset, content, 0, content.byteLength) ?? new Uint8Array(content);
    }
    default:
      return padded(column, cellContent(column, bytes, start, end));
  }
}

function textOf(column: LogColumn, bytes: Uint8Array, start: number, end: number): string {
  scratch.truncate(0);
  writeText(scratch, column, bytes, start, end);
  return ascii.decode(scratch.bytes());
}

function jsonOf(column: LogColumn, bytes: Uint8Array, start: number, end: number): string {
  // A large document must not stay in the shared scratch.
  const out = new ByteWriter(end - start + 16);
  writeText(out, column, bytes, start, end);
  try {
    return utf8.decode(out.bytes());
  } catch {
    return corrupt('a JSON value is not utf-8');
  }
}

function labelled(column: LogColumn, text: string): Value {
  const { labels, type } = column;
  const bits = BigInt(text);
  if (labels === null) return bits <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(bits) : bits;
  if (type === columnType.enum) {
    if (bits === 0n) return '';
    return labels[Number(bits) - 1] ?? corrupt('an enum has no such label');
  }
  if (bits >> BigInt(labels.length) !== 0n) corrupt('a set has no such label');
  return labels.filter((_, i) => ((bits >> BigInt(i)) & 1n) === 1n).join(',');
}

function padded(column: LogColumn, content: Uint8Array): Uint8Array {
  if (
    column.type !== columnType.string ||
    column.collation === null ||
    content.byteLength >= column.meta
  ) {
    return new Uint8Array(content);
  }
  const whole = new Uint8Array(column.meta);
  whole.set(content);
  return whole;
}
