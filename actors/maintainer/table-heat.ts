/**
 * How much each table has to do, as far as it matters for splitting: rows of the busiest, summed up over a window, and
 * how many windows in a row a table was hot or cold. Mutated in place by its maintainer alone; bounded by the busiest tables.
 */
import { wholeSpan } from '#src/model/span.ts';
import type { SpanLoad } from '#src/protocol/maintainer.ts';

/** Tables kept of one window. */
const tableCountMax = 1_024;

/** See the top of this file. */
export class TableHeat {
  #sinceMs: number;
  #rows = new Map<string, number>();
  #hot = new Map<string, number>();
  #cold = new Map<string, number>();
  readonly #refused = new Set<string>();

  constructor(nowMs: number) {
    this.#sinceMs = nowMs;
  }

  /** Rows were applied. */
  add(loads: readonly SpanLoad[]): void {
    for (const { span, rows } of loads) {
      const table = wholeSpan(span);
      if (!this.#rows.has(table) && this.#rows.size >= tableCountMax) continue;
      this.#rows.set(table, (this.#rows.get(table) ?? 0) + rows);
    }
  }

  /** Milliseconds of the window so far. */
  windowMs(nowMs: number): number {
    return nowMs - this.#sinceMs;
  }

  /** Ends the window: `split` are the tables in parts. */
  endWindow(nowMs: number, splitAbove: number, split: readonly string[]): void {
    const perSecond = 1_000 / Math.max(1, this.windowMs(nowMs));
    const hot = new Map<string, number>();
    const cold = new Map<string, number>();
    for (const [table, rows] of this.#rows)
      if (rows * perSecond > splitAbove) hot.set(table, (this.#hot.get(table) ?? 0) + 1);
    for (const table of split) {
      const isCold = (this.#rows.get(table) ?? 0) * perSecond < splitAbove / coldShare;
      if (isCold) cold.set(table, (this.#cold.get(table) ?? 0) + 1);
    }
    this.#hot = hot;
    this.#cold = cold;
    this.#rows = new Map();
    this.#sinceMs = nowMs;
  }

  /** Tables that were hot in so many windows in a row, and may be split as far as is known. */
  hot(windowCount: number): readonly string[] {
    return [...this.#hot].flatMap(([table, count]) =>
      count >= windowCount && !this.#refused.has(table) ? [table] : [],
    );
  }

  /** Tables in parts that were cold in so many windows in a row. */
  cold(windowCount: number): readonly string[] {
    return [...this.#cold].flatMap(([table, count]) => (count >= windowCount ? [table] : []));
  }

  /** The table may not be split: it is not asked about again before a DDL. */
  refuse(table: string): void {
    if (this.#refused.size < tableCountMax) this.#refused.add(table);
  }

  /** A DDL has run. */
  forgetRefusals(): void {
    this.#refused.clear();
  }
}

/** A table is cold below this part of what makes one hot: in between it stays as it is. */
const coldShare = 4;
