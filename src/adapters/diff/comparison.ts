import { fail } from '#src/base/failure.ts';

import type { TableName } from '#src/model/span.ts';
import type { DiffProgress, RowDifference } from './diff-result.ts';
import type { DiffServer } from './diff-server.ts';
import type { ComparedColumn } from './row-hash.ts';

/** The two servers of a comparison. */
export interface DiffServers {
  readonly upstream: DiffServer;
  readonly sink: DiffServer;
}

/** One table under comparison. */
export interface ComparedTable {
  readonly name: TableName;
  /** Columns that both servers have and can express alike; never empty. */
  readonly columns: readonly ComparedColumn[];
  /** Columns of the key that names a row on both servers, in key order; empty when there is none. */
  readonly key: readonly ComparedColumn[];
  /** Columns that name a row to a person: those of `key`, or of a key of the upstream that is no use for ranges. */
  readonly shownKey: readonly ComparedColumn[];
}

/** Collects what a comparison finds, within its limits, and tells how far it is. */
export class DiffCollector {
  readonly differences: RowDifference[] = [];
  rowsCompared = 0;
  differenceCount = 0;
  truncated = false;
  readonly #limits: { readonly perTable: number; readonly inAll: number };
  readonly #onStep: () => void;
  #listedOfTable = 0;

  constructor(limits: { readonly perTable: number; readonly inAll: number }, onStep: () => void) {
    this.#limits = limits;
    this.#onStep = onStep;
  }

  /** True when further rows of this table would not be listed: looking for them is not worth the reads. */
  get isFull(): boolean {
    return (
      this.#listedOfTable >= this.#limits.perTable || this.differences.length >= this.#limits.inAll
    );
  }

  /** Begins the next table. */
  nextTable(): void {
    this.#listedOfTable = 0;
    this.#onStep();
  }

  /** Counts a difference and lists it when there is room. */
  add(difference: RowDifference): void {
    this.differenceCount += difference.count;
    if (this.isFull) this.truncated = true;
    else {
      this.differences.push(difference);
      this.#listedOfTable += 1;
    }
  }

  /** Notes a stretch that differs but is not looked into. */
  skip(): void {
    this.differenceCount += 1;
    this.truncated = true;
  }

  /** Counts rows that were compared. INTERNAL_STOPPED when the caller wants no more. */
  step(rows: number): void {
    this.rowsCompared += rows;
    this.#onStep();
  }
}

/** Makes a collector whose every step reports progress and heeds `signal`. */
export function makeCollector(
  limits: { readonly perTable: number; readonly inAll: number },
  report: {
    readonly where: () => Pick<DiffProgress, 'table' | 'tablesDone' | 'tableCount'>;
    readonly onProgress: ((progress: DiffProgress) => void) | undefined;
    readonly signal: AbortSignal | undefined;
  },
): DiffCollector {
  const collector = new DiffCollector(limits, () => {
    if (report.signal?.aborted === true) fail('INTERNAL_STOPPED', 'the comparison was stopped');
    const { rowsCompared, differenceCount } = collector;
    report.onProgress?.({ ...report.where(), rowsCompared, differenceCount });
  });
  return collector;
}
