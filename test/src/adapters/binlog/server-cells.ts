import assert from 'node:assert/strict';
import { readJsonDiffs, writeJsonDiffs } from '#src/adapters/binlog/json-diff.ts';
import { writeJsonExpression } from '#src/adapters/binlog/json-expression.ts';
import { columnClass } from '#src/adapters/binlog/column.ts';
import type { RowImage } from '#src/adapters/binlog/row-image.ts';
import type { LogColumn } from '#src/adapters/binlog/table-map.ts';
import { cellContent, writeText } from '#src/adapters/binlog/text.ts';
import { readValue } from '#src/adapters/binlog/value.ts';
import { ByteWriter } from '#src/base/byte-writer.ts';
import { quoteName } from '#test/fixtures/types.ts';
import type { SqlServer } from '#test/servers/sql-server.ts';

/** A table as information_schema has it. */
export interface ServerTable {
  readonly name: string;
  readonly columns: readonly { readonly name: string; readonly type: string }[];
}

/** A logged column with the name of its type in information_schema. */
export interface TypedColumn {
  readonly column: LogColumn;
  readonly type: string;
}

const out = new ByteWriter();

/** Types that the log shows as BINARY(n), and how to select their bytes. */
const fixedBytes: Readonly<Record<string, number>> = { uuid: 16, inet6: 16, inet4: 4 };

/** A cell in the form of `readServerTable`: the text, and where there is one the utf-8 of its value. Null is NULL. */
export async function cellText(
  server: SqlServer,
  typed: TypedColumn,
  image: RowImage,
  old: RowImage | null,
): Promise<string | null> {
  const { column } = typed;
  const { index } = column;
  const state = image.state(index);
  assert.notEqual(state, 0, 'no cell is absent with binlog_row_image=FULL');
  if (state === 1) return null;
  if (image.isPartial(index)) return partialText(server, column, image, old!);
  const [start, end] = [image.start(index), image.end(index)];
  const value = readValue(column, image.bytes, start, end);
  out.truncate(0);
  writeText(out, column, image.bytes, start, end);
  const text = Buffer.from(out.bytes());
  switch (columnClass(column)) {
    case 'character': {
      if (typed.type === 'json') assert.equal(typeof value, 'string');
      return `${hex(text)} ${typeof value === 'string' ? hex(Buffer.from(value)) : 'undecoded'}`;
    }
    case 'json':
      assert.equal(value, text.toString());
      return hex(text);
    case 'binary':
      return hex(value as Uint8Array);
    case 'geometry':
    case 'vector':
      assert.equal(hex(value as Uint8Array), hex(cellContent(column, image.bytes, start, end)));
      return hex(text);
    case 'enum':
    case 'set':
      return `${text.toString()} ${hex(Buffer.from(String(value)))}`;
    case 'float':
    case 'double':
      assert.ok(Object.is(Number(text.toString()), value));
      return String(value);
    case 'bit':
      assert.equal(BigInt(`0x${hex(value as Uint8Array)}`), BigInt(text.toString()));
      return text.toString();
    case 'integer':
      assert.equal(String(value), text.toString());
      return text.toString();
    case 'year':
      assert.equal(value, Number(text.toString()));
      return text.toString();
    default:
      assert.equal(value, text.toString());
      return text.toString();
  }
}

/** All rows of a table, each as the JSON text of its cells. */
export async function readServerTable(server: SqlServer, table: ServerTable): Promise<string[]> {
  const connection = await server.connect({ charset: 'utf8mb4' });
  try {
    await connection.query("SET time_zone = '+00:00'");
    const cells = table.columns.flatMap(({ name, type }) => expressions(quoteName(name), type));
    const [rows] = await connection.query({
      sql: `SELECT ${cells.join(', ')} FROM types.${quoteName(table.name)}`,
      rowsAsArray: true,
    });
    return (rows as (string | number | null)[][]).map((row) => {
      let at = 0;
      return JSON.stringify(
        table.columns.map(({ type }) => {
          const parts = row.slice(at, at + expressions('', type).length);
          at += parts.length;
          return parts[0] === null ? null : joined(parts, type);
        }),
      );
    });
  } finally {
    await connection.end();
  }
}

const characterTypes = new Set(['char', 'varchar', 'tinytext', 'text', 'mediumtext', 'longtext']);

function expressions(name: string, type: string): string[] {
  if (characterTypes.has(type)) {
    return [`HEX(${name})`, `HEX(CONVERT(${name} USING utf8mb4))`, `CHARSET(${name})`];
  }
  if (type in fixedBytes) return [`HEX(CAST(${name} AS BINARY(${fixedBytes[type]})))`];
  switch (type) {
    case 'int':
      // An addition takes the leading zeros of ZEROFILL away.
      return [`CAST(${name} + 0 AS CHAR)`];
    case 'enum':
    case 'set':
      return [`CAST(CAST(${name} AS UNSIGNED) AS CHAR)`, `HEX(CONVERT(${name} USING utf8mb4))`];
    case 'float':
    case 'double':
      return [`CAST(${name} AS DOUBLE)`];
    case 'bit':
      return [`CAST(CAST(${name} AS UNSIGNED) AS CHAR)`];
    case 'binary':
    case 'varbinary':
    case 'tinyblob':
    case 'blob':
    case 'mediumblob':
    case 'longblob':
    case 'json':
    case 'vector':
    case 'point':
    case 'linestring':
    case 'polygon':
    case 'multipoint':
    case 'multilinestring':
    case 'multipolygon':
    case 'geometry':
    case 'geometrycollection':
    case 'geomcollection':
      return [`HEX(${name})`];
    default:
      return [`CAST(${name} AS CHAR)`];
  }
}

const undecodable = new Set([
  'big5',
  'cp932',
  'euckr',
  'eucjpms',
  'gb2312',
  'gb18030',
  'sjis',
  'ujis',
]);

function joined(parts: readonly (string | number | null)[], type: string): string {
  if (characterTypes.has(type)) {
    const [bytes, text, charset] = parts;
    // The server puts a question mark (Thai: U+FFFD) for what the character set does not define; the decoder gives the bytes.
    const isUndecoded =
      (undecodable.has(String(charset)) && !/^([0-7].)*$/.test(String(bytes))) ||
      questionMarks(text!) > questionMarks(bytes!) ||
      (charset === 'tis620' && String(text).includes('EFBFBD'));
    return `${bytes} ${isUndecoded ? 'undecoded' : text}`;
  }
  if (type === 'float' || type === 'double') return String(Number(parts[0]));
  return parts.join(' ');
}

function questionMarks(hexText: string | number): number {
  return (
    String(hexText)
      .match(/../g)
      ?.filter((byte) => byte === '3F').length ?? 0
  );
}

/** The server itself applies the changes, by the expression that a sink would send. */
async function partialText(
  server: SqlServer,
  column: LogColumn,
  image: RowImage,
  old: RowImage,
): Promise<string> {
  const { index } = column;
  const target = new ByteWriter();
  writeJsonExpression(target, old.bytes, old.start(index) + column.meta, old.end(index));
  const changed = new ByteWriter();
  const diffs = readJsonDiffs(column, image.bytes, image.start(index), image.end(index));
  writeJsonDiffs(changed, diffs, target.bytes());
  const sql = Buffer.from(changed.bytes()).toString();
  const [row] = await server.query<{ value: string }>(`SELECT HEX(${sql}) AS value`);
  return row!.value;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex').toUpperCase();
}
