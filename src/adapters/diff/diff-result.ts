/** What to compare and how much of it to list. */
export interface DiffOptions {
  /** Database URI of the upstream (MariaDB or MySQL). */
  readonly upstreamUri: string;
  /** Database URI of the downstream (MariaDB or MySQL). */
  readonly sinkUri: string;
  /** Filter rules of the changefeed: `schema.table` with wildcards and `!`. */
  readonly rules: readonly string[];
  /** Rows compared by one checksum, 100 … 1,000,000. Default 20,000. */
  readonly chunkRows?: number;
  /** Rows listed for each table; past it a table's rows are only counted as far as the last chunk looked at. Default 100. */
  readonly listedRowsPerTable?: number;
  /** Rows listed in all. Default 10,000. */
  readonly listedRows?: number;
  /** Called about once per chunk. */
  readonly onProgress?: (progress: DiffProgress) => void;
  /** Ends the comparison with INTERNAL_STOPPED. */
  readonly signal?: AbortSignal;
}

/** How far a comparison is. */
export interface DiffProgress {
  /** `schema.table` being compared. */
  readonly table: string;
  readonly tablesDone: number;
  readonly tableCount: number;
  readonly rowsCompared: number;
  readonly differenceCount: number;
}

/** One row that is not the same on both sides. */
export interface RowDifference {
  /** `schema.table`. */
  readonly table: string;
  /** Key columns and their values as text (binary as `0x…`); null for a table without a key. */
  readonly key: Readonly<Record<string, string | null>> | null;
  /**
   * `missing`: not in the downstream. `extra`: only there. `different`: other values under the same key; in a table that
   * is compared without ranges of its key such a row shows as one missing and one extra.
   */
  readonly kind: 'missing' | 'extra' | 'different';
  /** Copies of the row that are missing or extra; above 1 only in a table without a key. */
  readonly count: number;
  /** Tables compared without ranges of a key: a digest that tells rows apart without showing them. */
  readonly digest?: string;
}

/** The outcome for one table. */
export interface TableDiff {
  /** `schema.table`. */
  readonly table: string;
  /** `missing`: not in the downstream. `extra`: only there. `different`: rows or definition differ. */
  readonly state: 'equal' | 'different' | 'missing' | 'extra';
  /** Rows of the upstream that were compared. */
  readonly rowsCompared: number;
  /** Rows that differ; a lower bound when `truncated`. */
  readonly differenceCount: number;
  readonly truncated: boolean;
  /** How the definitions differ, one sentence each. */
  readonly definition: readonly string[];
  /** Columns whose values the two servers cannot express alike, so that they were left out. */
  readonly notCompared: readonly string[];
}

/** The outcome of a comparison. */
export interface DiffResult {
  /** True when every table is on both sides with the same definition and the same rows. */
  readonly equal: boolean;
  readonly tables: readonly TableDiff[];
  readonly rowsCompared: number;
  /** Rows that differ in all tables; a lower bound when `truncated`. */
  readonly differenceCount: number;
  /** True when not every differing row was counted. */
  readonly truncated: boolean;
  /** The rows that differ, up to the limits of {@link DiffOptions}. */
  readonly differences: readonly RowDifference[];
}
