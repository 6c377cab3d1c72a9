import { fail } from '#src/base/failure.ts';
import { cellText } from './catalog-cell.ts';
import { collationFold, foldQuery } from './collation-fold.ts';
import { foreignKeysQuery, readForeignKey, tableGroups } from './foreign-keys.ts';
import { quoteText } from './identifier.ts';
import { typeLabels } from './table-definition.ts';

import type { CollationFold } from './collation-fold.ts';
import type { ColumnDefinition, KeyPart, TableDefinition, UniqueKey } from './table-definition.ts';

/** Runs one statement downstream and gives its rows as objects by column alias. */
export type CatalogQuery = (sql: string) => Promise<readonly Record<string, unknown>[]>;

const tableCountMax = 20_000;

/**
 * Table definitions of the downstream, read from its information_schema when first needed and kept until `forget`. At
 * most 20,000 are kept; above that all are dropped and read again on demand.
 */
export class TableCatalog {
  readonly #query: CatalogQuery;
  #tables = new Map<string, Promise<TableDefinition>>();
  readonly #folds = new Map<string, Promise<CollationFold>>();

  constructor(query: CatalogQuery) {
    this.#query = query;
  }

  /**
   * The definition of a table. SINK_TABLE_MISSING when it does not exist; SINK_UNSUPPORTED when its rows cannot be
   * replicated exactly: no transactions, triggers (their effects are in the log already), system versioning.
   */
  table(schema: string, table: string): Promise<TableDefinition> {
    const key = `${schema}\0${table}`;
    const known = this.#tables.get(key);
    if (known !== undefined) return known;
    if (this.#tables.size >= tableCountMax) this.#tables.clear();
    const reading = this.#read(schema, table);
    this.#tables.set(key, reading);
    // A failure is not remembered: the operator may repair the table.
    reading.catch(() => {
      if (this.#tables.get(key) === reading) this.#tables.delete(key);
    });
    return reading;
  }

  /** Drops all definitions: something ran that may have changed them. */
  forget(): void {
    this.#tables = new Map();
  }

  /** How values of a collation are folded for conflict keys; asked of the server once for each collation. */
  fold(charset: string, collation: string): Promise<CollationFold> {
    const known = this.#folds.get(collation);
    if (known !== undefined) return known;
    const reading = this.#readFold(charset, collation);
    this.#folds.set(collation, reading);
    reading.catch(() => this.#folds.delete(collation));
    return reading;
  }

  /**
   * Which tables must share a span because a foreign key between them changes rows on its own: table span name → group
   * span name. Only tables that `rules` select are grouped; a selected child whose parent is not selected is refused
   * with SINK_UNSUPPORTED, because the parent's cascades would be missing downstream.
   */
  async groups(rules: readonly string[]): Promise<Record<string, string>> {
    const rows = await this.#query(foreignKeysQuery(null));
    return tableGroups(rows.map(readForeignKey), rules);
  }

  async #readFold(charset: string, collation: string): Promise<CollationFold> {
    const sql = foldQuery(charset, collation);
    const rows = sql === null ? [] : await this.#query(sql);
    return collationFold(
      charset,
      collation,
      rows.flatMap((row) => {
        // NULL: not a character of this charset. Without an entry it is wild.
        const weights = cellText(row['weights']);
        return weights === null ? [] : [{ code: Number(cellText(row['code'])), weights }];
      }),
    );
  }

  async #read(schema: string, table: string): Promise<TableDefinition> {
    const place = `TABLE_SCHEMA=${quoteText(schema)} AND TABLE_NAME=${quoteText(table)}`;
    await this.#checkTable(schema, table, place);
    const keyRows = await this.#query(keysQuery(place));
    const leading = keyRows.filter((row) => cellText(row['ordinal']) === '1');
    const indexed = new Set(leading.map((row) => cellText(row['columnName'])));
    const columns = (await this.#query(columnsQuery(place))).map((row) => readColumn(row, indexed));
    const uniqueRows = keyRows.filter((row) => cellText(row['nonUnique']) === '0');
    const uniqueKeys = readKeys(uniqueRows, columns);
    const foreign = (await this.#query(foreignKeysQuery({ schema, table }))).map(readForeignKey);
    const checks = await this.#query(
      `SELECT COUNT(*) AS count FROM information_schema.TABLE_CONSTRAINTS WHERE ${place} AND CONSTRAINT_TYPE='CHECK'`,
    );
    return {
      schema,
      table,
      columns,
      uniqueKeys,
      rowKey: uniqueKeys.find((key) => isRowKey(key, columns)) ?? null,
      foreignKeys: foreign.filter((key) => key.childSchema === schema && key.childTable === table),
      referencedBy: foreign.filter(
        (key) => key.parentSchema === schema && key.parentTable === table,
      ),
      hasChecks: cellText(checks[0]?.['count']) !== '0',
    };
  }

  async #checkTable(schema: string, table: string, place: string): Promise<void> {
    const [found] = await this.#query(
      `SELECT t.TABLE_TYPE AS tableType, t.ENGINE AS engine, e.TRANSACTIONS AS transactions
       FROM information_schema.TABLES t LEFT JOIN information_schema.ENGINES e ON e.ENGINE=t.ENGINE WHERE ${place}`,
    );
    const detail = { schema, table };
    const more = { scope: 'Table', detail } as const;
    if (found === undefined) {
      fail('SINK_TABLE_MISSING', `table ${schema}.${table} does not exist downstream`, more);
    }
    const tableType = cellText(found['tableType']);
    if (tableType !== 'BASE TABLE') {
      fail(
        'SINK_UNSUPPORTED',
        `${schema}.${table} is a ${tableType ?? 'thing'}, not a plain table`,
        more,
      );
    }
    if (cellText(found['transactions']) !== 'YES') {
      const engine = cellText(found['engine']) ?? 'unknown';
      fail(
        'SINK_UNSUPPORTED',
        `engine ${engine} of ${schema}.${table} has no transactions; use InnoDB`,
        more,
      );
    }
    const [trigger] = await this.#query(
      `SELECT TRIGGER_NAME AS name FROM information_schema.TRIGGERS WHERE
       EVENT_OBJECT_SCHEMA=${quoteText(schema)} AND EVENT_OBJECT_TABLE=${quoteText(table)} LIMIT 1`,
    );
    if (trigger !== undefined) {
      const name = cellText(trigger['name']) ?? '';
      fail(
        'SINK_UNSUPPORTED',
        `trigger ${name} on ${schema}.${table} would fire again downstream; drop it there`,
        more,
      );
    }
  }
}

function columnsQuery(place: string): string {
  return `SELECT COLUMN_NAME AS name, DATA_TYPE AS dataType, COLUMN_TYPE AS columnType,
    CHARACTER_SET_NAME AS charset, COLLATION_NAME AS collation, IS_NULLABLE AS nullable,
    COLUMN_DEFAULT AS defaultValue, EXTRA AS extra, CHARACTER_OCTET_LENGTH AS byteCountMax,
    DATETIME_PRECISION AS secondDigits FROM information_schema.COLUMNS WHERE ${place} ORDER BY ORDINAL_POSITION`;
}

function readColumn(
  row: Record<string, unknown>,
  indexed: ReadonlySet<string | null>,
): ColumnDefinition {
  const text = (name: string): string => cellText(row[name]) ?? '';
  const extra = text('extra').toUpperCase();
  const columnType = text('columnType');
  const isNullable = text('nullable') === 'YES';
  const isAutoIncrement = extra.includes('AUTO_INCREMENT');
  const byteCountMax = cellText(row['byteCountMax']);
  const defaultValue = cellText(row['defaultValue']);
  // A default like NEXTVAL(s) has effects of its own.
  const isComputed = defaultValue?.includes('(') === true;
  const secondDigits = cellText(row['secondDigits']);
  return {
    name: text('name'),
    dataType: text('dataType').toLowerCase(),
    columnType,
    charset: cellText(row['charset']),
    collation: cellText(row['collation']),
    isNullable,
    hasDefault: !isComputed && (isNullable || isAutoIncrement || defaultValue !== null),
    generated: generation(extra),
    isInvisible: extra.includes('INVISIBLE'),
    isAutoIncrement,
    updatesItself: extra.includes('ON UPDATE'),
    byteCountMax: byteCountMax === null ? null : Number(byteCountMax),
    secondDigits: secondDigits === null ? null : Number(secondDigits),
    leadsIndex: indexed.has(text('name')),
    labels: typeLabels(columnType),
  };
}

function generation(extra: string): ColumnDefinition['generated'] {
  if (extra.includes('VIRTUAL')) return 'virtual';
  // MySQL says DEFAULT_GENERATED of a column whose default is an expression: that one is written.
  if (extra.includes('STORED') || extra.includes('PERSISTENT')) return 'stored';
  return 'no';
}

function keysQuery(place: string): string {
  return `SELECT INDEX_NAME AS name, COLUMN_NAME AS columnName, SUB_PART AS prefixLength,
    NON_UNIQUE AS nonUnique, SEQ_IN_INDEX AS ordinal FROM information_schema.STATISTICS WHERE ${place}
    ORDER BY INDEX_NAME='PRIMARY' DESC, INDEX_NAME, SEQ_IN_INDEX`;
}

function readKeys(
  rows: readonly Record<string, unknown>[],
  columns: readonly ColumnDefinition[],
): readonly UniqueKey[] {
  const keys = new Map<string, KeyPart[]>();
  for (const row of rows) {
    const name = cellText(row['name']) ?? '';
    const columnName = cellText(row['columnName']);
    const parts = keys.get(name) ?? [];
    parts.push({
      column: columns.findIndex((column) => column.name === columnName),
      prefixLength: Number(cellText(row['prefixLength']) ?? 0),
    });
    keys.set(name, parts);
  }
  return [...keys].map(([name, parts]) => ({ name, parts }));
}

function isRowKey(key: UniqueKey, columns: readonly ColumnDefinition[]): boolean {
  if (key.name === 'PRIMARY') return true;
  return key.parts.every(
    (part) =>
      part.column >= 0 && part.prefixLength === 0 && columns[part.column]?.isNullable === false,
  );
}
