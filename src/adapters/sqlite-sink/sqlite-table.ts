import type { SQLInputValue, StatementSync } from 'node:sqlite';
import type { RowEvent } from '#src/adapters/binlog/row-event.ts';
import { type RowImage, cellState } from '#src/adapters/binlog/row-image.ts';
import type { TableMap } from '#src/adapters/binlog/table-map.ts';
import { readValue } from '#src/adapters/binlog/value.ts';
import { fail } from '#src/base/failure.ts';
import {
  bindable,
  createTableSql,
  isUnsignedLong,
  quoteName,
  sqliteType,
  tableName,
} from './sqlite-column.ts';
import type { SqliteConnection } from './sqlite-connection.ts';
import { isDuplicate } from './sqlite-error.ts';

/**
 * Writes rows of one table map into its table. Made for one connection and one version of both the log's and the
 * downstream's definition; statements depend on which columns an image has and are prepared once per such pattern.
 */
export class SqliteTable {
  readonly #connection: SqliteConnection;
  readonly #map: TableMap;
  readonly #name: string;
  readonly #names: readonly string[];
  readonly #asLong: readonly boolean[];
  /** Log columns of the downstream's primary key; empty: rows are found by all their columns. */
  readonly #key: readonly number[];
  /** False for tables WITHOUT ROWID, which always have a key. */
  readonly #statements = new Map<string, StatementSync>();

  constructor(connection: SqliteConnection, map: TableMap) {
    this.#connection = connection;
    this.#map = map;
    this.#name = tableName(map.schema, map.table);
    const columns = openTable(connection, map);
    this.#names = logNames(map, columns);
    this.#asLong = map.columns.map(isUnsignedLong);
    const key = columns
      .filter(({ keyPlace }) => keyPlace > 0)
      .sort((a, b) => a.keyPlace - b.keyPlace);
    const places = key.map(({ name }) => this.#names.findIndex((one) => same(one, name)));
    this.#key = places.includes(-1) ? [] : places;
  }

  /** Applies the current row of `event`; with `isIdempotent` as a final state, whatever is there. */
  apply(event: RowEvent, isIdempotent: boolean): void {
    switch (event.operation) {
      case 'insert':
        this.#insert(event.after, isIdempotent);
        return;
      case 'update':
        this.#update(event.before, event.after, isIdempotent);
        return;
      case 'delete':
        if (this.#delete(event.before) === 0 && !isIdempotent) this.#missing();
    }
  }

  #insert(after: RowImage, isIdempotent: boolean): void {
    const verb = isIdempotent ? 'INSERT OR REPLACE' : 'INSERT';
    const statement = this.#statement(verb, null, after, (columns) => {
      const names = columns.map((i) => quoteName(this.#names[i]!)).join(', ');
      const values = columns.map(() => '?').join(', ');
      return columns.length === 0
        ? `${verb} INTO ${this.#name} DEFAULT VALUES`
        : `${verb} INTO ${this.#name} (${names}) VALUES (${values})`;
    });
    const values: SQLInputValue[] = [];
    this.#values(after, values);
    this.#run(statement, values);
  }

  #update(before: RowImage, after: RowImage, isIdempotent: boolean): void {
    if (isIdempotent && this.#isWhole(after)) {
      this.#delete(before);
      this.#insert(after, true);
      return;
    }
    const verb = isIdempotent ? 'UPDATE OR REPLACE' : 'UPDATE';
    const statement = this.#statement(verb, before, after, (columns) => {
      const set = columns.map((i) => `${quoteName(this.#names[i]!)}=?`).join(', ');
      return `${verb} ${this.#name} SET ${set} WHERE ${this.#where(before)}`;
    });
    const values: SQLInputValue[] = [];
    this.#values(after, values);
    this.#keyValues(before, values);
    if (this.#run(statement, values) === 0 && !isIdempotent) this.#missing();
  }

  #delete(before: RowImage): number {
    const statement = this.#statement(
      'DELETE',
      before,
      null,
      () => `DELETE FROM ${this.#name} WHERE ${this.#where(before)}`,
    );
    const values: SQLInputValue[] = [];
    this.#keyValues(before, values);
    return this.#run(statement, values);
  }

  #run(statement: StatementSync, values: SQLInputValue[]): number {
    try {
      return Number(statement.run(...values).changes);
    } catch (error) {
      if (!isDuplicate(error)) throw error;
      return fail('SINK_ROW_DUPLICATE', `a row to write exists in ${this.#label()}`, {
        scope: 'Table',
      });
    }
  }

  #missing(): never {
    return fail('SINK_ROW_MISSING', `a row to change or delete is not in ${this.#label()}`, {
      scope: 'Table',
    });
  }

  #label(): string {
    return `${this.#map.schema}.${this.#map.table}`;
  }

  /** The row's place: its key, or, without one, one row that equals it in all columns. */
  #where(before: RowImage): string {
    if (this.#key.length > 0)
      return this.#key.map((i) => `${quoteName(this.#names[i]!)}=?`).join(' AND ');
    const matches = this.#present(before).map((i) => `${quoteName(this.#names[i]!)} IS ?`);
    return `rowid=(SELECT rowid FROM ${this.#name} WHERE ${matches.join(' AND ')} LIMIT 1)`;
  }

  #keyValues(before: RowImage, values: SQLInputValue[]): void {
    const columns = this.#key.length > 0 ? this.#key : this.#present(before);
    for (const i of columns) values.push(this.#value(before, i));
  }

  #values(image: RowImage, values: SQLInputValue[]): void {
    const count = this.#names.length;
    for (let i = 0; i < count; i++) {
      if (image.state(i) !== cellState.absent) values.push(this.#value(image, i));
    }
  }

  #value(image: RowImage, i: number): SQLInputValue {
    const state = image.state(i);
    if (state === cellState.null) return null;
    if (state === cellState.absent) {
      return fail(
        'SINK_SCHEMA_MISMATCH',
        `the log lacks key column ${this.#names[i]} of ${this.#label()}`,
        {
          scope: 'Table',
        },
      );
    }
    if (image.isPartial(i)) {
      return fail('SINK_UNSUPPORTED', 'partial JSON updates: set binlog_row_value_options=""', {
        scope: 'Table',
      });
    }
    const value = readValue(this.#map.columns[i]!, image.bytes, image.start(i), image.end(i));
    return bindable(value, this.#asLong[i]!);
  }

  #present(image: RowImage): readonly number[] {
    return this.#names.flatMap((_, i) => (image.state(i) === cellState.absent ? [] : [i]));
  }

  #isWhole(image: RowImage): boolean {
    for (let i = 0; i < this.#names.length; i++)
      if (image.state(i) === cellState.absent) return false;
    return true;
  }

  #statement(
    verb: string,
    before: RowImage | null,
    after: RowImage | null,
    sql: (columns: readonly number[]) => string,
  ): StatementSync {
    // Bound: images of one table have few patterns of columns; the connection bounds the rest.
    const pattern = `${verb} ${this.#pattern(before)} ${this.#pattern(after)}`;
    const known = this.#statements.get(pattern);
    if (known !== undefined) return known;
    const made = this.#connection.prepare(sql(after === null ? [] : this.#present(after)));
    this.#statements.set(pattern, made);
    return made;
  }

  #pattern(image: RowImage | null): string {
    if (image === null || this.#isWhole(image)) return '';
    return this.#present(image).join();
  }
}

interface TableColumn {
  readonly name: string;
  /** Place in the primary key from 1; 0 when not in it. */
  readonly keyPlace: number;
}

/** The table's columns; a missing table is made from what the log says of it. */
function openTable(connection: SqliteConnection, map: TableMap): readonly TableColumn[] {
  const flat = `${map.schema}.${map.table}`;
  const found = connection.row(
    "SELECT name FROM sqlite_master WHERE type='table' AND name=? COLLATE NOCASE",
    flat,
  );
  if (found === undefined) makeTable(connection, map);
  else if (found['name'] !== flat) {
    return fail(
      'SINK_UNSUPPORTED',
      `SQLite can not hold both ${flat} and ${String(found['name'])}`,
      {
        scope: 'Table',
      },
    );
  }
  return connection
    .rows('SELECT name, pk FROM pragma_table_info(?) ORDER BY cid', flat)
    .map((row) => ({ name: String(row['name']), keyPlace: Number(row['pk']) }));
}

function makeTable(connection: SqliteConnection, map: TableMap): void {
  if (!map.hasNames) {
    fail(
      'SINK_TABLE_MISSING',
      `${map.schema}.${map.table} is missing and the log has no column names`,
      {
        scope: 'Table',
      },
    );
  }
  const columns = map.columns.map((column) => ({ name: column.name!, type: sqliteType(column) }));
  const key = map.columns
    .filter((column) => column.primaryKeyOrdinal >= 0)
    .sort((a, b) => a.primaryKeyOrdinal - b.primaryKeyOrdinal)
    .map((column) => column.name!);
  connection.exec(createTableSql(tableName(map.schema, map.table), columns, key));
}

/** Names of the log's columns; by place when the log has none. Each must exist downstream. */
function logNames(map: TableMap, columns: readonly TableColumn[]): readonly string[] {
  const label = `${map.schema}.${map.table}`;
  if (!map.hasNames) {
    if (columns.length === map.columns.length) return columns.map(({ name }) => name);
    return fail(
      'SINK_SCHEMA_MISMATCH',
      `${label}: ${map.columns.length} columns in the log, ${columns.length} here`,
      {
        scope: 'Table',
      },
    );
  }
  const names = map.columns.map((column) => column.name!);
  const absent = names.filter((name) => !columns.some((column) => same(column.name, name)));
  if (absent.length > 0) {
    fail('SINK_SCHEMA_MISMATCH', `${label} lacks the columns ${absent.join(', ')}`, {
      scope: 'Table',
    });
  }
  return names;
}

/** Column names are compared without case, as both sides do. */
function same(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}
