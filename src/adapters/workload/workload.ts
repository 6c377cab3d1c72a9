/** What a generated workload is: tables, a transaction for each number, and the contents that follow from them. */
import type { WriterColumn, WriterRow, WriterTable } from './row-event-writer.ts';

/** One row change of a transaction. Both rows for an update. */
export interface RowChange {
  readonly table: WriterTable;
  readonly before: WriterRow | null;
  readonly after: WriterRow | null;
}

/**
 * A generated history. Transaction n is a pure function of the seed and the state after transaction n − 1; the state
 * moves as its changes are taken, so transactions are taken whole and in order, from 0.
 */
export interface Workload {
  readonly schema: string;
  readonly tables: readonly WriterTable[];
  /** The first transactions fill the tables: these many. */
  readonly setupCount: number;
  readonly transaction: (n: number) => Iterable<RowChange>;
  /** The table's rows now, in key order. */
  readonly rows: (table: WriterTable) => Iterable<WriterRow>;
}

/** A well mixed 32-bit number of (seed, n, salt): the only source of chance here, so a place needs no history. */
export function chance(seed: number, n: number, salt: number): number {
  let x = (seed ^ Math.imul(salt + 1, 0x9e3779b1)) >>> 0;
  x = mix(x ^ (n >>> 0));
  return mix(x ^ Math.floor(n / 2 ** 32));
}

function mix(value: number): number {
  let x = (value + 0x6d2b79f5) | 0;
  x = Math.imul(x ^ (x >>> 15), 0x2c1b3c6d);
  x = Math.imul(x ^ (x >>> 12), 0x297a2d39);
  return (x ^ (x >>> 15)) >>> 0;
}

/** The text of a DATETIME(6), `n` · 1.001003 seconds after the start of 2026; days wrap within the first 28 of a month. */
export function datetimeOf(n: number): string {
  const micros = n * 1_001_003;
  const seconds = Math.floor(micros / 1e6);
  const day = Math.floor(seconds / 86_400);
  const month = Math.floor(day / 28);
  const date = `${2026 + (Math.floor(month / 12) % 100)}-${two((month % 12) + 1)}-${two((day % 28) + 1)}`;
  const time = `${two(Math.floor(seconds / 3600) % 24)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return `${date} ${time}.${String(micros - seconds * 1e6).padStart(6, '0')}`;
}

function two(value: number): string {
  return value < 10 ? `0${value}` : `${value}`;
}

/** The CREATE TABLE statement of a table. */
export function createTableSql(table: WriterTable): string {
  const columns = table.columns.map(
    (column) => `\`${column.name}\` ${typeSql(column)}${column.nullable ? '' : ' NOT NULL'}`,
  );
  const key = table.key.map((index) => `\`${table.columns[index]!.name}\``).join(', ');
  const parts = [...columns, `PRIMARY KEY (${key})`].join(', ');
  return `CREATE TABLE \`${table.schema}\`.\`${table.table}\` (${parts}) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`;
}

const integerNames = {
  1: 'tinyint',
  2: 'smallint',
  3: 'mediumint',
  4: 'int',
  8: 'bigint',
} as const;

function typeSql(column: WriterColumn): string {
  switch (column.kind) {
    case 'integer':
      return `${integerNames[column.bytes]}${column.unsigned ? ' unsigned' : ''}`;
    case 'varchar':
    case 'varbinary':
      return `${column.kind}(${column.length})`;
    case 'decimal':
      return `decimal(${column.precision},${column.scale})`;
    case 'datetime':
      return 'datetime(6)';
    case 'text':
    case 'double':
      return column.kind;
  }
}
