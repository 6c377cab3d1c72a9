/** Cells as SQL literals, byte for byte, for a session with `SET NAMES binary` and NO_BACKSLASH_ESCAPES. */
import { columnClass, isCompressedColumn } from '#src/adapters/binlog/column.ts';
import { isPlainJson, writeJsonExpression } from '#src/adapters/binlog/json-expression.ts';
import { cellContent, contentStart, readFloat, writeText } from '#src/adapters/binlog/text.ts';
import { ByteWriter } from '#src/base/byte-writer.ts';

import type { LogColumn } from '#src/adapters/binlog/column.ts';
import type { ColumnDefinition } from './table-definition.ts';

/** Writes the cell `bytes[start, end)` of one column. */
export type CellWriter = (out: ByteWriter, bytes: Uint8Array, start: number, end: number) => void;

const quote = 0x27;
/** Above this a native search for quotes beats a loop. */
const searchedBytesMin = 48;

/** Writes bytes between quotes; the quotes inside are doubled, which is all NO_BACKSLASH_ESCAPES asks for. */
export function writeQuoted(out: ByteWriter, bytes: Uint8Array, start: number, end: number): void {
  if (end - start >= searchedBytesMin) {
    writeLongQuoted(out, bytes, start, end);
    return;
  }
  const begin = out.reserve((end - start) * 2 + 2);
  const target = out.buffer();
  let at = begin;
  target[at++] = quote;
  for (let i = start; i < end; i++) {
    const value = bytes[i]!;
    target[at++] = value;
    if (value === quote) target[at++] = quote;
  }
  target[at++] = quote;
  out.truncate(at);
}

function writeLongQuoted(out: ByteWriter, bytes: Uint8Array, start: number, end: number): void {
  const content = bytes.subarray(start, end);
  out.byte(quote);
  let from = 0;
  for (let at = content.indexOf(quote); at >= 0; at = content.indexOf(quote, from)) {
    out.raw(content, from, at + 1);
    out.byte(quote);
    from = at + 1;
  }
  out.raw(content, from, content.byteLength);
  out.byte(quote);
}

/** The charset's literal form: its introducer and the raw bytes. */
function introduced(column: LogColumn, charset: string): CellWriter {
  const introducer = `_${charset} `;
  // One byte per ASCII character and nothing else below 0x80: quoting by bytes cannot split a character.
  if (
    charset === 'utf8mb4' ||
    charset === 'utf8mb3' ||
    charset === 'utf8' ||
    charset === 'latin1' ||
    charset === 'ascii'
  ) {
    return (out, bytes, start, end) => {
      const content = cellContent(column, bytes, start, end);
      out.ascii(introducer);
      writeQuoted(out, content, 0, content.byteLength);
    };
  }
  return (out, bytes, start, end) => {
    const content = cellContent(column, bytes, start, end);
    out.ascii(introducer);
    out.ascii("x'");
    out.hex(content);
    out.byte(quote);
  };
}

const jsonText = new ByteWriter(1024);

/**
 * MySQL's JSON refuses binary text: the introducer says utf8mb4. Values inside that text cannot express (decimals,
 * temporals) are built by an expression; MariaDB's JSON is text and gets the text.
 */
function jsonLiteral(column: LogColumn, definition: ColumnDefinition): CellWriter {
  const isBinaryJson = definition.dataType === 'json';
  return (out, bytes, start, end) => {
    const from = contentStart(column, start);
    if (isBinaryJson && !isPlainJson(bytes, from, end)) {
      writeJsonExpression(out, bytes, from, end);
      return;
    }
    jsonText.truncate(0);
    writeText(jsonText, column, bytes, start, end);
    out.ascii('_utf8mb4 ');
    const text = jsonText.bytes();
    writeQuoted(out, text, 0, text.byteLength);
  };
}

/** Bytes that a column of fixed width is filled to with zeros: the log leaves trailing zeros out. 0 = none. */
function paddedBytes(definition: ColumnDefinition): number {
  switch (definition.dataType) {
    case 'binary':
      return definition.byteCountMax ?? 0;
    case 'inet4':
      return 4;
    case 'inet6':
    case 'uuid':
      return 16;
    default:
      return 0;
  }
}

/** How a cell is written where its value is stored: VALUES and SET. */
export function valueWriter(column: LogColumn, definition: ColumnDefinition): CellWriter {
  switch (columnClass(column)) {
    case 'integer':
    case 'decimal':
    case 'year':
    case 'enum':
    case 'set':
    case 'bit':
      return (out, bytes, start, end) => writeText(out, column, bytes, start, end);
    case 'float':
    case 'double':
      return floatWriter(column);
    case 'date':
    case 'time':
    case 'datetime':
    case 'timestamp':
      return (out, bytes, start, end) => {
        out.byte(quote);
        writeText(out, column, bytes, start, end);
        out.byte(quote);
      };
    case 'json':
      return jsonLiteral(column, definition);
    case 'null':
      return (out) => out.ascii('NULL');
    case 'character':
    case 'geometry':
    case 'vector':
      return bytesWriter(column, 0);
    case 'binary':
      return bytesWriter(column, definition.dataType === 'binary' ? 0 : paddedBytes(definition));
  }
}

/**
 * A negative zero is stored only as what a tiny negative number of the column's type rounds to: its own literal is a
 * positive zero to the servers.
 */
function floatWriter(column: LogColumn): CellWriter {
  const tiny = columnClass(column) === 'float' ? '-1e-60' : '-1e-400';
  return (out, bytes, start, end) => {
    if (Object.is(readFloat(column, bytes, start), -0)) out.ascii(tiny);
    else writeText(out, column, bytes, start, end);
  };
}

function bytesWriter(column: LogColumn, padding: number): CellWriter {
  if (isCompressedColumn(column) || padding > 0) {
    return (out, bytes, start, end) => {
      let content = cellContent(column, bytes, start, end);
      if (content.byteLength < padding) {
        const padded = new Uint8Array(padding);
        padded.set(content);
        content = padded;
      }
      writeQuoted(out, content, 0, content.byteLength);
    };
  }
  const prefix = contentStart(column, 0);
  return (out, bytes, start, end) => writeQuoted(out, bytes, start + prefix, end);
}

/**
 * How a cell is written where it is compared with its column by the column's own collation, so that an index serves: a
 * character literal carries the column's charset, and BINARY(n) its trailing zeros.
 */
export function matchWriter(column: LogColumn, definition: ColumnDefinition): CellWriter {
  switch (columnClass(column)) {
    case 'character':
      return introduced(column, definition.charset ?? 'binary');
    case 'binary':
      return definition.charset === null
        ? bytesWriter(column, paddedBytes(definition))
        : introduced(column, definition.charset);
    case 'float':
    case 'double':
      return (out, bytes, start, end) => {
        writeText(out, column, bytes, start, end);
      };
    default:
      return valueWriter(column, definition);
  }
}

/**
 * Writes a condition that only the exact value meets: `'a'` is neither `'A'` nor `'a '`. `name` is the quoted column. FLOAT
 * is compared with the double it is; the two zeros of floating point are one.
 */
export function exactWriter(
  column: LogColumn,
  definition: ColumnDefinition,
  name: string,
): CellWriter {
  const match = matchWriter(column, definition);
  const nameBytes = Buffer.from(name, 'utf8');
  switch (columnClass(column)) {
    case 'character':
    case 'binary':
      return exactBytesWriter(column, definition, nameBytes);
    case 'geometry':
      return (out, bytes, start, end) => {
        out.ascii('HEX(');
        out.raw(nameBytes);
        out.ascii(")='");
        out.hex(bytes, contentStart(column, start), end);
        out.byte(quote);
      };
    case 'vector':
      return (out, bytes, start, end) => {
        out.ascii('CAST(');
        out.raw(nameBytes);
        out.ascii(' AS BINARY)=');
        match(out, bytes, start, end);
      };
    case 'json':
      return exactJsonWriter(column, definition, nameBytes);
    default:
      return (out, bytes, start, end) => {
        out.raw(nameBytes);
        out.byte(0x3d);
        match(out, bytes, start, end);
      };
  }
}

function exactBytesWriter(
  column: LogColumn,
  definition: ColumnDefinition,
  name: Uint8Array,
): CellWriter {
  const isOwnType = ['inet4', 'inet6', 'uuid'].includes(definition.dataType);
  const match = matchWriter(column, definition);
  const plain = bytesWriter(column, paddedBytes(definition));
  if (isOwnType) {
    return (out, bytes, start, end) => {
      out.raw(name);
      out.byte(0x3d);
      match(out, bytes, start, end);
    };
  }
  return (out, bytes, start, end) => {
    if (definition.leadsIndex) {
      out.raw(name);
      out.byte(0x3d);
      match(out, bytes, start, end);
      out.ascii(' AND ');
    }
    out.ascii('CAST(');
    out.raw(name);
    out.ascii(' AS BINARY)=');
    plain(out, bytes, start, end);
  };
}

/** MySQL compares JSON by value; MariaDB holds text. */
function exactJsonWriter(
  column: LogColumn,
  definition: ColumnDefinition,
  name: Uint8Array,
): CellWriter {
  const value = jsonLiteral(column, definition);
  const isBinaryJson = definition.dataType === 'json';
  return (out, bytes, start, end) => {
    if (!isBinaryJson) out.ascii('BINARY ');
    out.raw(name);
    out.ascii(isBinaryJson ? '=CAST(' : '=');
    value(out, bytes, start, end);
    if (isBinaryJson) out.ascii(' AS JSON)');
  };
}
