/**
 * What the upstream of a run commits, as an explicit list: drawn from the seed, made smaller by shrinking, kept in
 * regression files.
 */
import type { Dice } from './dice.ts';

/** A transaction, or a DDL statement; `rows` are moved from one version to the next, in order. */
export interface WorkItem {
  /** Virtual time of its commit; rises. */
  readonly atMs: number;
  readonly ddl: boolean;
  /** Table and key. A DDL with rows is a CREATE TABLE … SELECT. */
  readonly rows: readonly (readonly [table: number, key: number])[];
}

/** How a workload is drawn. */
export interface WorkloadOptions {
  readonly itemCount: number;
  readonly tableCount: number;
  /** Keys of each table; few keys make conflicts. */
  readonly keyCount: number;
  readonly ddlShare: number;
  readonly bigShare: number;
  /** Rows of a big transaction at most. */
  readonly bigRows: number;
  /** The commits are spread over this time; 0: everything is there at the start. */
  readonly spreadMs: number;
  /** Some DDL statements carry rows. */
  readonly rowsFollow: boolean;
}

/** From this many rows on a transaction is big: it may be cut into several blocks and chunks. */
export const bigRowCount = 8;

/** Draws a workload. */
export function drawWorkload(dice: Dice, options: WorkloadOptions): WorkItem[] {
  const { itemCount, tableCount, keyCount, spreadMs } = options;
  const times = Array.from({ length: itemCount }, () => Math.round(dice.next() * spreadMs)).sort(
    (a, b) => a - b,
  );
  return times.map((atMs): WorkItem => {
    const ddl = dice.chance(options.ddlShare);
    const rowsOfDdl = options.rowsFollow && dice.chance(0.3) ? dice.between(1, bigRowCount) : 0;
    const big = dice.chance(options.bigShare);
    const count = ddl
      ? rowsOfDdl
      : big
        ? dice.between(bigRowCount, options.bigRows)
        : dice.between(1, 4);
    // Most transactions change one table, as most do for real; the others tie tables together.
    const home = dice.pick(tableCount);
    const isSpread = dice.chance(0.3);
    const rows = Array.from({ length: count }, (): readonly [number, number] => [
      isSpread ? dice.pick(tableCount) : home,
      dice.pick(keyCount),
    ]);
    return { atMs, ddl, rows };
  });
}
