/**
 * The history of a workload as transactions by commitTs: 1 makes the database, then each table is made by one statement,
 * then the tables are filled, then the workload runs. GTIDs are `0-1-commitTs`.
 */
import { assert } from '#src/base/assert.ts';
import { bankWorkload } from './bank-workload.ts';
import { hotWorkload } from './hot-workload.ts';
import { insertWorkload } from './insert-workload.ts';
import type { WriterRow, WriterTable } from './row-event-writer.ts';
import { type RowChange, type Workload, createTableSql } from './workload.ts';
import { type WorkloadKind, type WorkloadSettings, parseWorkloadUri } from './workload-uri.ts';

const makers: Readonly<Record<WorkloadKind, (settings: WorkloadSettings) => Workload>> = {
  bank: bankWorkload,
  insert: insertWorkload,
  hot: hotWorkload,
};

/** A DDL of the history. `table` is undefined when it makes the database. */
export interface WorkloadDdl {
  readonly sql: string;
  readonly schema: string;
  readonly table: string | undefined;
}

/** Walks the history from the start; the tables' contents are those after `ts`. */
export class WorkloadHistory {
  readonly settings: WorkloadSettings;
  readonly #workload: Workload;
  readonly #ddl: readonly WorkloadDdl[];
  /** commitTs of the last transaction taken. */
  ts = 0;

  constructor(settings: WorkloadSettings) {
    this.settings = settings;
    this.#workload = makers[settings.kind](settings);
    const { schema, tables } = this.#workload;
    const create = `CREATE DATABASE IF NOT EXISTS \`${schema}\``;
    this.#ddl = [
      { sql: create, schema, table: undefined },
      ...tables.map((table) => ({ sql: createTableSql(table), schema, table: table.table })),
    ];
  }

  /** commitTs of the last transaction that makes or fills the tables. */
  get setupTs(): number {
    return this.#ddl.length + this.#workload.setupCount;
  }

  /** commitTs of the last transaction of all; Infinity without a limit. */
  get lastTs(): number {
    const { transactions } = this.settings;
    return transactions === 0 ? Infinity : this.setupTs + transactions;
  }

  /** The DDL at `ts`, or undefined when it is a transaction of rows. */
  ddl(ts: number): WorkloadDdl | undefined {
    return this.#ddl[ts - 1];
  }

  /** Takes the next transaction; the changes must be taken whole before the next. None when it is a DDL. */
  next(): Iterable<RowChange> {
    assert(this.ts < this.lastTs, 'the history goes on');
    this.ts++;
    return this.ts <= this.#ddl.length
      ? []
      : this.#workload.transaction(this.ts - this.#ddl.length - 1);
  }

  /** Takes everything up to `ts`. */
  skipTo(ts: number): void {
    while (this.ts < ts) {
      for (const change of this.next()) assert(change.after !== change.before, 'a change changes');
    }
  }

  /** Tables made so far. */
  tables(): readonly WriterTable[] {
    return this.#workload.tables.slice(0, Math.max(0, this.ts - 1));
  }

  /** The rows of a table after `ts`, in key order. */
  rows(table: WriterTable): Iterable<WriterRow> {
    return this.#workload.rows(table);
  }
}

/** The exact contents of one table. */
export interface WorkloadTableContents {
  readonly schema: string;
  readonly table: string;
  readonly columns: readonly string[];
  /** In key order; made anew at each iteration. */
  readonly rows: Iterable<WriterRow>;
  readonly rowCount: number;
  /** Sum of each integer column. */
  readonly sums: Readonly<Record<string, bigint>>;
}

/**
 * The exact contents of all tables after the transaction `ts`, computed anew from the seed: what any copy of the
 * workload must equal. FailureError CONFIG_INVALID for a wrong URI. Takes time in proportion to `ts`.
 */
export function workloadModel(uri: string, ts: number): readonly WorkloadTableContents[] {
  const history = new WorkloadHistory(parseWorkloadUri(uri));
  history.skipTo(Math.min(ts, history.lastTs));
  return history.tables().map((table) => {
    let rowCount = 0;
    const sums = table.columns.map(() => 0n);
    for (const row of history.rows(table)) {
      rowCount++;
      for (const [i, column] of table.columns.entries()) {
        const value = row[i];
        if (column.kind === 'integer' && value !== null) sums[i]! += BigInt(value as number);
      }
    }
    const names = table.columns.map((column) => column.name);
    const integers = names.flatMap((name, i) =>
      table.columns[i]!.kind === 'integer' ? [[name, sums[i]!] as const] : [],
    );
    return {
      schema: table.schema,
      table: table.table,
      columns: names,
      rows: { [Symbol.iterator]: () => history.rows(table)[Symbol.iterator]() },
      rowCount,
      sums: Object.fromEntries(integers),
    };
  });
}
