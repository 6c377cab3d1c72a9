/**
 * The upstream's history of a simulation: transactions that move rows from one version to the next, and DDL statements.
 * Versions make every lost, repeated or reordered change visible.
 */
import { assert } from '#src/base/assert.ts';
import type { DdlEvent, Position } from '#src/model/position.ts';
import type { WorkItem } from './workload.ts';

/** Row `key` of `span` goes from version `from` to `from + 1`; version 0 is no row. */
export interface RowChange {
  readonly span: string;
  readonly key: number;
  readonly from: number;
}

/** A transaction, or a DDL statement. */
export interface Item {
  readonly ts: number;
  readonly atMs: number;
  readonly changes: readonly RowChange[];
  readonly ddl: DdlEvent | null;
}

/** commitTs of the item with this GTID. */
export function tsOf(gtid: string): number {
  return Number(gtid.split('-').at(-1)) * tsStep;
}

/** GTID of the item with this commitTs. */
export function gtidAt(ts: number): string {
  return `0-1-${ts / tsStep}`;
}

/** Every log file begins with this many bytes, and an item takes that many more. */
const headBytes = 4;
const itemBytes = 100;

/** commitTs of neighbours differ by this, so that a place between them is visible as a mistake. */
export const tsStep = 10;

/** Virtual time 0 as a server would tell it, milliseconds. */
export const epochMs = 1_600_000_000_000;

/** The name of a row. */
export function rowName(span: string, key: number): string {
  return `${span} ${key}`;
}

/** What the upstream has committed, and what a copy of it must look like. */
export class History {
  readonly items: Item[] = [];
  /** Everything with a commitTs ≤ this was handed to somebody as complete. */
  readTs = 0;
  /** Everything with a commitTs ≤ this is no longer in the log. */
  purgedTs = 0;
  /** A tail that may have been copied is lost: only a failed state is right. */
  isTruncated = false;
  /** How many items came before each log file, rising; the first begins with the history. */
  readonly #files: number[] = [0];
  /** A file is full with so many items. */
  readonly #fileItemCount: number;
  #plan: WorkItem[];
  /** Row name → commitTs of each of its changes, rising. */
  readonly #changed = new Map<string, number[]>();

  /** `fileItemCount`: the server goes on in another log file after so many items; positions in it begin again. */
  constructor(plan: readonly WorkItem[], fileItemCount = Infinity) {
    this.#fileItemCount = fileItemCount;
    this.#plan = [...plan];
    this.#build(0);
  }

  /** The place behind everything with commitTs ≤ `ts`. */
  positionAt(ts: number): Position {
    const count = Math.floor(ts / tsStep);
    const at = this.fileAt(count);
    const offset = headBytes + (count - this.#files[at]!) * itemBytes;
    return { ts, gtid: gtidAt(ts), file: `log.${String(at + 1).padStart(6, '0')}`, offset };
  }

  /** Whether a file begins right behind what has commitTs ≤ `ts`. */
  isFileStart(ts: number): boolean {
    return this.#files.includes(Math.floor(ts / tsStep));
  }

  /** Which log file the server writes when it has committed `count` items, the first is 0. */
  fileAt(count: number): number {
    return this.#files.findLastIndex((before) => before <= count);
  }

  /** commitTs of the newest item committed at virtual time `nowMs`; 0 when there is none. */
  newestTs(nowMs: number): number {
    return this.countAt(nowMs) * tsStep;
  }

  /** How many items are committed at virtual time `nowMs`. */
  countAt(nowMs: number): number {
    let low = 0;
    let high = this.items.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.items[middle]!.atMs <= nowMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** commitTs of the last item there will be. */
  get lastTs(): number {
    return this.items.length * tsStep;
  }

  /** How many items have a commitTs ≤ `ts`. */
  indexAfter(ts: number): number {
    return Math.min(this.items.length, Math.floor(ts / tsStep));
  }

  /** Names of all rows that ever exist. */
  rows(): Iterable<string> {
    return this.#changed.keys();
  }

  /** Version of a row after everything with commitTs ≤ `ts`. */
  versionAt(row: string, ts: number): number {
    const changed = this.#changed.get(row) ?? [];
    let low = 0;
    let high = changed.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (changed[middle]! <= ts) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The server crashed while item `index` was written: it and what follows never happened; other things do. */
  replaceFrom(index: number): void {
    assert(index * tsStep >= this.readTs, 'what was read as complete stays');
    const keys = this.#plan.flatMap(({ rows }) => rows.map(([, key]) => key));
    // At least two: other things would else be the same things.
    const keyCount = Math.max(2, 1 + Math.max(0, ...keys));
    const tail = this.#plan.splice(index);
    this.#plan.push(
      ...tail.map(({ rows, ...item }) => ({
        ...item,
        rows: rows.map(([table, key]): readonly [number, number] => [table, (key + 1) % keyCount]),
      })),
    );
    // It comes back with a new file, as servers do.
    this.#files.splice(this.fileAt(index) + 1, Infinity, index);
    this.#build(index);
  }

  /** The log behind item `count` is lost, also what was read of it. */
  truncate(count: number): void {
    this.isTruncated = true;
    this.#files.splice(this.fileAt(count) + 1);
    this.#plan.length = count;
    this.#build(count);
  }

  #build(index: number): void {
    const fromTs = index * tsStep;
    this.items.length = index;
    for (const changed of this.#changed.values()) {
      while (changed.length > 0 && changed.at(-1)! > fromTs) changed.pop();
    }
    for (const [i, { atMs, ddl, rows }] of this.#plan.slice(index).entries()) {
      const ts = fromTs + (i + 1) * tsStep;
      const changes = rows.map(([table, key]): RowChange => {
        const span = `d.t${table}`;
        const row = rowName(span, key);
        const changed = this.#changed.get(row) ?? [];
        this.#changed.set(row, changed);
        changed.push(ts);
        return { span, key, from: changed.length - 1 };
      });
      this.items.push({ ts, atMs, changes, ddl: ddl ? ddlAt(ts, atMs) : null });
      if (this.items.length - this.#files.at(-1)! >= this.#fileItemCount)
        this.#files.push(this.items.length);
    }
  }
}

function ddlAt(ts: number, atMs: number): DdlEvent {
  const gtid = gtidAt(ts);
  const sql = `ALTER TABLE t0 COMMENT 'at ${ts}'`;
  return { ts, gtid, commitMs: epochMs + atMs, schema: 'd', sql };
}
