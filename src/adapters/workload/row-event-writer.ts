/**
 * Writes TABLE_MAP bodies (with full metadata) and v1 rows event bodies as MariaDB logs them: the inverse of the decoder
 * for the column kinds that generated workloads use. Bodies have no event header and no checksum.
 */
import { assert } from '#src/base/assert.ts';
import { ByteWriter } from '#src/base/byte-writer.ts';

/** A kind of column that can be written. */
export type ColumnKind =
  /** `bytes` 1, 2, 3, 4 or 8; values are numbers or bigints. */
  | { readonly kind: 'integer'; readonly bytes: 1 | 2 | 3 | 4 | 8; readonly unsigned: boolean }
  /** At most `length` utf8mb4 characters. */
  | { readonly kind: 'varchar'; readonly length: number }
  /** At most 65,535 bytes of utf8mb4. */
  | { readonly kind: 'text' }
  /** At most `length` bytes. */
  | { readonly kind: 'varbinary'; readonly length: number }
  /** Values are canonical decimal text with exactly `scale` digits after the point. */
  | { readonly kind: 'decimal'; readonly precision: number; readonly scale: number }
  /** Values are text `YYYY-MM-DD HH:MM:SS.ffffff`. */
  | { readonly kind: 'datetime' }
  | { readonly kind: 'double' };

/** A column of a table to write. */
export type WriterColumn = ColumnKind & {
  readonly name: string;
  readonly nullable: boolean;
};

/** A table to write rows of. */
export interface WriterTable {
  /** Number of the table in the log; below 2^32. */
  readonly id: number;
  readonly schema: string;
  readonly table: string;
  readonly columns: readonly WriterColumn[];
  /** Indexes of the primary key's columns, in key order; empty for a table without one. */
  readonly key: readonly number[];
}

/** A cell to write. */
export type WriterValue = null | number | bigint | string | Uint8Array;

/** A row: one value per column. */
export type WriterRow = readonly WriterValue[];

/** Event types of the v1 rows events. */
export const rowsEventType = { insert: 23, update: 24, delete: 25 } as const;

const utf8mb4Collation = 45;
const binaryCollation = 63;
/** The rows event ends its statement. */
const statementEndFlag = 1;
const option = { signedness: 1, columnCharset: 3, columnName: 4, primaryKey: 8 } as const;

const text = new TextEncoder();

/** The body of the table's TABLE_MAP event, with names, signedness, charsets and primary key. */
export function writeTableMap(table: WriterTable): Uint8Array<ArrayBuffer> {
  const out = new ByteWriter(256);
  writeUint(out, table.id, 6);
  writeUint(out, 1, 2);
  writeName(out, table.schema);
  writeName(out, table.table);
  const { columns } = table;
  writeLenenc(out, columns.length);
  for (const column of columns) out.byte(typeCode(column));
  const meta = new ByteWriter(64);
  for (const column of columns) writeMeta(meta, column);
  writeLenenc(out, meta.length);
  out.raw(meta.bytes());
  out.raw(bitmap(columns.map((column) => column.nullable)));
  writeOptions(out, table);
  return out.take();
}

function writeOptions(out: ByteWriter, table: WriterTable): void {
  const numeric = table.columns.filter(isNumeric);
  if (numeric.length > 0) {
    const bits = numeric.map((column) => column.kind === 'integer' && column.unsigned);
    writeOption(out, option.signedness, (body) => body.raw(leadingBitmap(bits)));
  }
  const character = table.columns.filter(isCharacter);
  if (character.length > 0) {
    writeOption(out, option.columnCharset, (body) => {
      for (const column of character) {
        writeLenenc(body, column.kind === 'varbinary' ? binaryCollation : utf8mb4Collation);
      }
    });
  }
  writeOption(out, option.columnName, (body) => {
    for (const column of table.columns) {
      const name = text.encode(column.name);
      writeLenenc(body, name.byteLength);
      body.raw(name);
    }
  });
  if (table.key.length > 0) {
    writeOption(out, option.primaryKey, (body) => {
      for (const index of table.key) writeLenenc(body, index);
    });
  }
}

function writeOption(out: ByteWriter, code: number, write: (body: ByteWriter) => void): void {
  const body = new ByteWriter(64);
  write(body);
  out.byte(code);
  writeLenenc(out, body.length);
  out.raw(body.bytes());
}

/**
 * Builds one rows event after another in one buffer. `rowCount` and `byteCount` say when it is time to `take` the body;
 * memory is one growing buffer.
 */
export class RowEventWriter {
  readonly #out = new ByteWriter(4096);
  #table: WriterTable | null = null;
  /** Rows written since `open`. */
  rowCount = 0;

  /** Bytes written since `open`. */
  get byteCount(): number {
    return this.#out.length;
  }

  /** Starts an event of `table`; `images` is 2 for updates (before, after), else 1. All columns are present. */
  open(table: WriterTable, images: 1 | 2): void {
    this.#table = table;
    this.rowCount = 0;
    this.#out.truncate(0);
    writeUint(this.#out, table.id, 6);
    writeUint(this.#out, statementEndFlag, 2);
    writeLenenc(this.#out, table.columns.length);
    const present = bitmap(table.columns.map(() => true));
    for (let image = 0; image < images; image++) this.#out.raw(present);
  }

  /** Adds one image: the row of an insert or delete; of an update first the row before, then the row after. */
  image(row: WriterRow): void {
    const table = this.#table;
    assert(table !== null && row.length === table.columns.length, 'a row for an open event');
    const { columns } = table;
    const out = this.#out;
    const count = columns.length;
    const nullsAt = out.reserve((count + 7) >> 3);
    out.buffer().fill(0, nullsAt, out.length);
    for (let i = 0; i < count; i++) {
      const value = row[i]!;
      if (value === null) out.buffer()[nullsAt + (i >> 3)]! |= 1 << (i & 7);
      else writeCell(out, columns[i]!, value);
    }
    this.rowCount++;
  }

  /** The body of the event; a view that is valid until the next `open`. */
  body(): Uint8Array {
    return this.#out.bytes();
  }
}

function writeCell(out: ByteWriter, column: WriterColumn, value: WriterValue): void {
  switch (column.kind) {
    case 'integer':
      if (typeof value === 'number') writeUint(out, value, column.bytes);
      else writeBigint(out, value as bigint);
      return;
    case 'varchar':
      writeText(out, value as string, byteLengthMax(column) > 255 ? 2 : 1);
      return;
    case 'varbinary': {
      const bytes = value as Uint8Array;
      writeUint(out, bytes.byteLength, byteLengthMax(column) > 255 ? 2 : 1);
      out.raw(bytes);
      return;
    }
    case 'text':
      writeText(out, value as string, 2);
      return;
    case 'decimal':
      writeDecimal(out, column, value as string);
      return;
    case 'datetime':
      writeDatetime(out, value as string);
      return;
    case 'double':
      writeDouble(out, value as number);
  }
}

/** Text as utf-8 behind its length in `prefixBytes` little-endian bytes. */
function writeText(out: ByteWriter, value: string, prefixBytes: number): void {
  const at = out.reserve(prefixBytes);
  out.utf8(value);
  const byteCount = out.length - at - prefixBytes;
  const bytes = out.buffer();
  bytes[at] = byteCount & 255;
  if (prefixBytes > 1) bytes[at + 1] = byteCount >>> 8;
}

/** An integer in `count` little-endian bytes, two's complement; |value| < 2^53. */
function writeUint(out: ByteWriter, value: number, count: number): void {
  let rest = value;
  for (let i = 0; i < count; i++) {
    const low = ((rest % 256) + 256) % 256;
    out.byte(low);
    rest = (rest - low) / 256;
  }
}

function writeBigint(out: ByteWriter, value: bigint): void {
  let rest = BigInt.asUintN(64, value);
  for (let i = 0; i < 8; i++) {
    out.byte(Number(rest & 255n));
    rest >>= 8n;
  }
}

const doubleView = new DataView(new ArrayBuffer(8));

function writeDouble(out: ByteWriter, value: number): void {
  doubleView.setFloat64(0, value, true);
  for (let i = 0; i < 8; i++) out.byte(doubleView.getUint8(i));
}

/** Bytes that hold 0 to 9 decimal digits. */
const digitBytes = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4] as const;

/** Groups of nine digits around the point, big-endian; the sign bit inverted, all bits inverted when negative. */
function writeDecimal(
  out: ByteWriter,
  column: Extract<ColumnKind, { kind: 'decimal' }>,
  value: string,
): void {
  const isNegative = value.startsWith('-');
  const [whole = '', fraction = ''] = value.slice(isNegative ? 1 : 0).split('.');
  const wholeDigits = column.precision - column.scale;
  assert(whole.length <= wholeDigits && fraction.length <= column.scale, 'decimal fits');
  const leading = wholeDigits % 9;
  const digits = whole.padStart(wholeDigits, '0');
  const tail = fraction.padEnd(column.scale, '0');
  const start = out.length;
  if (leading > 0) writeDigits(out, digits.slice(0, leading));
  for (let i = leading; i < wholeDigits; i += 9) writeDigits(out, digits.slice(i, i + 9));
  for (let i = 0; i < column.scale; i += 9) writeDigits(out, tail.slice(i, i + 9));
  const bytes = out.buffer();
  if (isNegative) for (let i = start; i < out.length; i++) bytes[i] = ~bytes[i]! & 255;
  bytes[start] = bytes[start]! ^ 0x80;
}

function writeDigits(out: ByteWriter, digits: string): void {
  writeBigEndian(out, Number(digits), digitBytes[digits.length]!);
}

function writeBigEndian(out: ByteWriter, value: number, count: number): void {
  for (let i = count - 1; i >= 0; i--) out.byte(Math.floor(value / 256 ** i) % 256);
}

/** DATETIME(6): 40 bits of sign, year and month, day and time, then three bytes of microseconds. */
function writeDatetime(out: ByteWriter, value: string): void {
  const year = digitsAt(value, 0, 4);
  const month = digitsAt(value, 5, 2);
  const day = digitsAt(value, 8, 2);
  const hour = digitsAt(value, 11, 2);
  const minute = digitsAt(value, 14, 2);
  const second = digitsAt(value, 17, 2);
  const micros = digitsAt(value, 20, 6);
  const days = (year * 13 + month) * 32 + day;
  const seconds = (hour * 64 + minute) * 64 + second;
  writeBigEndian(out, 2 ** 39 + days * 2 ** 17 + seconds, 5);
  writeBigEndian(out, micros, 3);
}

function digitsAt(value: string, start: number, count: number): number {
  let number = 0;
  for (let i = start; i < start + count; i++) number = number * 10 + value.charCodeAt(i) - 48;
  return number;
}

function typeCode(column: WriterColumn): number {
  switch (column.kind) {
    case 'integer':
      return { 1: 1, 2: 2, 3: 9, 4: 3, 8: 8 }[column.bytes];
    case 'varchar':
    case 'varbinary':
      return 15;
    case 'text':
      return 252;
    case 'decimal':
      return 246;
    case 'datetime':
      return 18;
    case 'double':
      return 5;
  }
}

function writeMeta(out: ByteWriter, column: WriterColumn): void {
  switch (column.kind) {
    case 'varchar':
    case 'varbinary':
      writeUint(out, byteLengthMax(column), 2);
      return;
    case 'text':
      out.byte(2);
      return;
    case 'decimal':
      out.byte(column.precision);
      out.byte(column.scale);
      return;
    case 'datetime':
      out.byte(6);
      return;
    case 'double':
      out.byte(8);
      return;
    case 'integer':
  }
}

function byteLengthMax(column: Extract<ColumnKind, { kind: 'varchar' | 'varbinary' }>): number {
  return column.kind === 'varchar' ? column.length * 4 : column.length;
}

function isNumeric(column: WriterColumn): boolean {
  return column.kind === 'integer' || column.kind === 'decimal' || column.kind === 'double';
}

function isCharacter(column: WriterColumn): boolean {
  return column.kind === 'varchar' || column.kind === 'varbinary' || column.kind === 'text';
}

function writeName(out: ByteWriter, name: string): void {
  const bytes = text.encode(name);
  out.byte(bytes.byteLength);
  out.raw(bytes);
  out.byte(0);
}

function writeLenenc(out: ByteWriter, value: number): void {
  if (value < 251) {
    out.byte(value);
    return;
  }
  assert(value < 65_536, 'lengths of a table map are below 64 KiB');
  out.byte(252);
  writeUint(out, value, 2);
}

/** Bits from the lowest of the first byte up. */
function bitmap(bits: readonly boolean[]): Uint8Array {
  const bytes = new Uint8Array((bits.length + 7) >> 3);
  for (const [i, bit] of bits.entries()) if (bit) bytes[i >> 3]! |= 1 << (i & 7);
  return bytes;
}

/** Bits from the highest of the first byte down. */
function leadingBitmap(bits: readonly boolean[]): Uint8Array {
  const bytes = new Uint8Array((bits.length + 7) >> 3);
  for (const [i, bit] of bits.entries()) if (bit) bytes[i >> 3]! |= 128 >> (i & 7);
  return bytes;
}
