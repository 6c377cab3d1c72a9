import type { SQLInputValue } from 'node:sqlite';
import { type LogColumn, columnClass, columnType } from '#src/adapters/binlog/column.ts';
import type { Value } from '#src/adapters/binlog/value.ts';

/**
 * SQLite's column types, chosen so that no value changes when it is stored: exact decimals and temporals are text.
 * `''` (no type) is for unsigned 64-bit integers: those beyond SQLite's integers are kept as text, unconverted.
 */
export type SqliteType = 'INTEGER' | 'REAL' | 'TEXT' | 'BLOB' | '';

const int64Max = 2n ** 63n - 1n;

/** The type for a column of the log. */
export function sqliteType(column: LogColumn): SqliteType {
  switch (columnClass(column)) {
    case 'integer':
      return isUnsignedLong(column) ? '' : 'INTEGER';
    case 'year':
      return 'INTEGER';
    case 'float':
    case 'double':
      return 'REAL';
    case 'binary':
    case 'bit':
    case 'geometry':
    case 'vector':
      return 'BLOB';
    default:
      return 'TEXT';
  }
}

/** True for BIGINT UNSIGNED. */
export function isUnsignedLong(column: LogColumn): boolean {
  return column.type === columnType.longlong && column.unsigned;
}

/** A cell as SQLite takes it. `asLong` for columns without a type, where a JS number would be stored as a real. */
export function bindable(value: Value, asLong: boolean): SQLInputValue {
  if (typeof value === 'bigint') return value > int64Max ? value.toString() : value;
  return asLong && typeof value === 'number' ? BigInt(value) : value;
}

/** A name between double quotes. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** The table `schema.table` of upstream as SQLite's one flat name, quoted. */
export function tableName(schema: string, table: string): string {
  return quoteName(`${schema}.${table}`);
}

/** A column of a table to make. */
export interface NewColumn {
  readonly name: string;
  readonly type: SqliteType;
}

/** CREATE TABLE with the given primary key (column names; empty for none). */
export function createTableSql(
  name: string,
  columns: readonly NewColumn[],
  key: readonly string[],
): string {
  const alone = key.length === 1 ? columns.find((column) => column.name === key[0]) : undefined;
  // An integer key alone becomes SQLite's row number: the fastest way to a row.
  if (alone?.type === 'INTEGER') {
    const parts = columns.map((column) =>
      column === alone ? `${quoteName(column.name)} INTEGER PRIMARY KEY` : definition(column),
    );
    return `CREATE TABLE ${name} (${parts.join(', ')})`;
  }
  const parts = columns.map(definition);
  if (key.length === 0) return `CREATE TABLE ${name} (${parts.join(', ')})`;
  parts.push(`PRIMARY KEY (${key.map(quoteName).join(', ')})`);
  return `CREATE TABLE ${name} (${parts.join(', ')}) WITHOUT ROWID`;
}

function definition(column: NewColumn): string {
  return `${quoteName(column.name)} ${column.type}`.trimEnd();
}
