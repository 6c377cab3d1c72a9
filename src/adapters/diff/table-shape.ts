import { systemSchemas } from '#src/model/table-filter.ts';

import type { TableName } from '#src/model/span.ts';
import type { DiffServer } from './diff-server.ts';

/** A column as its server describes it. */
export interface ColumnShape {
  readonly name: string;
  /** Without attributes, lower case: `varchar`, `int`, `enum`. */
  readonly dataType: string;
  /** With attributes, e.g. `varchar(20)`, `int unsigned`. */
  readonly columnType: string;
  readonly nullable: boolean;
  /** null for a column that holds no text. */
  readonly charset: string | null;
  readonly collation: string | null;
  readonly generated: boolean;
}

/** A key: a primary key is called `PRIMARY`. */
export interface KeyShape {
  readonly name: string;
  readonly unique: boolean;
  readonly columns: readonly string[];
  /** False when a part is a prefix, an expression or may be NULL: then it does not name a row. */
  readonly identifies: boolean;
  /** Parts as text, for comparing definitions. */
  readonly text: string;
}

/** What the comparison needs to know of a table on one server. */
export interface TableShape {
  readonly columns: readonly ColumnShape[];
  readonly keys: readonly KeyShape[];
}

/** A name in backquotes. */
export function quoteName(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}

/** `schema`.`table`, quoted. */
export function quoteTable({ schema, table }: TableName): string {
  return `${quoteName(schema)}.${quoteName(table)}`;
}

/** A string literal under NO_BACKSLASH_ESCAPES. */
export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** All base tables outside the system schemas, in order of name. */
export async function readTableNames(server: DiffServer): Promise<TableName[]> {
  const rows = await server.rows(
    `SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES
     WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')
     AND TABLE_SCHEMA NOT IN (${systemSchemas.map(quoteText).join(', ')})`,
  );
  const names = rows.map(([schema, table]) => ({ schema: schema!, table: table! }));
  // Ordered here: the two servers may sort names differently.
  return names.sort((a, b) => compareText(a.schema, b.schema) || compareText(a.table, b.table));
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Columns and keys of one table, columns in order of position. */
export async function readTableShape(server: DiffServer, name: TableName): Promise<TableShape> {
  const where = `TABLE_SCHEMA = ${quoteText(name.schema)} AND TABLE_NAME = ${quoteText(name.table)}`;
  const columns = await server.rows(
    `SELECT COLUMN_NAME, LOWER(DATA_TYPE), COLUMN_TYPE, IS_NULLABLE = 'YES', CHARACTER_SET_NAME, COLLATION_NAME,
     IFNULL(GENERATION_EXPRESSION, '') <> '' FROM information_schema.COLUMNS WHERE ${where} ORDER BY ORDINAL_POSITION`,
  );
  const parts = await server.rows(
    `SELECT INDEX_NAME, NON_UNIQUE, COLUMN_NAME, SUB_PART, NULLABLE FROM information_schema.STATISTICS
     WHERE ${where} ORDER BY INDEX_NAME, SEQ_IN_INDEX`,
  );
  return {
    columns: columns.map((row) => ({
      name: row[0]!,
      dataType: row[1]!,
      columnType: row[2]!,
      nullable: row[3] === '1',
      charset: row[4] ?? null,
      collation: row[5] ?? null,
      generated: row[6] === '1',
    })),
    keys: readKeys(parts),
  };
}

function readKeys(parts: readonly (readonly (string | null)[])[]): KeyShape[] {
  const byName = new Map<string, (readonly (string | null)[])[]>();
  for (const part of parts) {
    const list = byName.get(part[0]!) ?? [];
    list.push(part);
    byName.set(part[0]!, list);
  }
  return [...byName].map(([name, list]) => {
    const unique = list.every((part) => part[1] === '0');
    const whole = list.every(
      ([, , column, length, nullable]) => column !== null && length === null && nullable !== 'YES',
    );
    const texts = list.map(
      ([, , column, length]) =>
        `${column ?? '(expression)'}${length === null ? '' : `(${length})`}`,
    );
    return {
      name,
      unique,
      columns: list.map((part) => part[2] ?? ''),
      identifies: unique && whole,
      text: `${unique ? 'unique ' : ''}${name === 'PRIMARY' ? 'primary ' : ''}key (${texts.join(', ')})`,
    };
  });
}
