import { type SQLInputValue, DatabaseSync, type StatementSync } from 'node:sqlite';
import { FailureError } from '#src/base/failure.ts';
import { gateFailure, type SubmitGate } from '#src/ports/submit-gate.ts';
import { isBusy } from './sqlite-error.ts';

/** SQLite itself waits this long for a lock, milliseconds; it blocks the thread, so it is short. */
const lockWaitMs = 20;
/** A transaction that finds the file locked is tried again for this long, milliseconds, without blocking the thread. */
const busyMsMax = 10_000;
const pauseMsMax = 50;
/** Statements kept prepared per connection; beyond it the cache starts anew. */
const statementCountMax = 2000;

/** One connection to the file: short immediate transactions, prepared statements by their text. */
export class SqliteConnection {
  readonly #database: DatabaseSync;
  readonly #gate: SubmitGate | undefined;
  readonly #statements = new Map<string, StatementSync>();

  private constructor(database: DatabaseSync, gate: SubmitGate | undefined) {
    this.#database = database;
    this.#gate = gate;
  }

  /** Opens the file, making it when missing, in WAL mode: readers never wait for a writer. */
  static async open(path: string, gate: SubmitGate | undefined): Promise<SqliteConnection> {
    const database = new DatabaseSync(path, {
      timeout: lockWaitMs,
      enableForeignKeyConstraints: false,
    });
    try {
      await whenFree(() => database.exec('PRAGMA journal_mode=WAL'));
      // In WAL mode NORMAL keeps the file consistent in any crash; position and data go together.
      database.exec('PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16000');
    } catch (error) {
      database.close();
      throw error;
    }
    return new SqliteConnection(database, gate);
  }

  /** Runs `work` in one write transaction; a locked file is waited for, bounded. Anything thrown rolls back. */
  async transaction<T>(work: () => T): Promise<T> {
    return whenFree(() => {
      this.#begin();
      try {
        const result = work();
        this.commit();
        return result;
      } catch (error) {
        this.rollback();
        throw error;
      }
    });
  }

  /** Opens a transaction that stays open over several calls; ends with `commit` or `rollback`. */
  async begin(): Promise<void> {
    await whenFree(() => this.#begin());
  }

  /** Commits, when the gate is still open. */
  commit(): void {
    this.#checkGate();
    this.#database.exec('COMMIT');
  }

  /** Rolls back what is open, if anything is. */
  rollback(): void {
    if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
  }

  /** Runs statements that give no rows. */
  exec(sql: string): void {
    this.#database.exec(sql);
  }

  /** The prepared statement of `sql`. */
  prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    if (this.#statements.size >= statementCountMax) this.#statements.clear();
    const statement = this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }

  /** The first row, or undefined. */
  row(sql: string, ...values: SQLInputValue[]): Readonly<Record<string, unknown>> | undefined {
    return this.prepare(sql).get(...values);
  }

  /** All rows. */
  rows(sql: string, ...values: SQLInputValue[]): readonly Readonly<Record<string, unknown>>[] {
    return this.prepare(sql).all(...values);
  }

  /** Runs a change; answers how many rows it met. */
  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.prepare(sql).run(...values).changes);
  }

  /** Ends the connection; an open transaction is lost. */
  close(): void {
    this.#statements.clear();
    if (this.#database.isOpen) this.#database.close();
  }

  #begin(): void {
    this.#checkGate();
    this.#database.exec('BEGIN IMMEDIATE');
  }

  #checkGate(): void {
    const gate = this.#gate;
    if (gate?.mayWrite() === false) throw new FailureError(gateFailure(gate));
  }
}

/** Tries `work` until the file is not locked, at most {@link busyMsMax}; then the last error goes to the caller. */
async function whenFree<T>(work: () => T): Promise<T> {
  const endMs = performance.now() + busyMsMax;
  for (let attempt = 1; ; attempt++) {
    try {
      return work();
    } catch (error) {
      if (!isBusy(error) || performance.now() >= endMs) throw error;
    }
    const pauseMs = Math.min(pauseMsMax, attempt * 2);
    await new Promise((resolve) => void setTimeout(resolve, pauseMs));
  }
}
