import type { PartProgress } from '#src/ports/sink.ts';

/** What one lane does: complete SQL statements in order. */
export interface LanePlan {
  /** Statements without a closing semicolon, in a binary session charset; row-count checks are statements of their own. */
  readonly statements: readonly Uint8Array[];
  /** Row changes written after folding. */
  readonly writtenRowCount: number;
}

/** A batch of source transactions as downstream statements. Lanes may run and commit in any order, or at once. */
export interface BatchPlan {
  /** Index = lane; at most `laneCount` lanes; a lane without work has no statements. */
  readonly lanes: readonly LanePlan[];
  /** Row changes in the log. */
  readonly rowCount: number;
  /** Source transactions, whole or in part. */
  readonly transactionCount: number;
  /** commitTs of the last transaction; `afterTs` when there is none. */
  readonly lastTs: number;
  /** Server time of the last transaction, milliseconds; 0 when there is none. */
  readonly commitMs: number;
  /** GTID of the last transaction; empty when there is none. */
  readonly gtid: string;
}

/** What to plan. */
export interface BatchInput {
  /** Blocks of one span in order. */
  readonly blocks: readonly Uint8Array[];
  /** Name of the span: of a part of a table only the rows in its buckets are applied. */
  readonly span: string;
  /** Transactions up to and including this commitTs are left out. */
  readonly afterTs: number;
  /** Transactions after this commitTs are left out. */
  readonly untilTs: number;
  /** Rows whose keys fall into these buckets are applied so far: what was logged up to there is left out. */
  readonly parts: readonly PartProgress[];
  /** The downstream may hold some of the changes: rows are written as final states, without row-count checks. */
  readonly idempotent: boolean;
  /** All changes go to lane 0, so that source transactions stay whole. */
  readonly wholeTransactions: boolean;
}

/** Bounds of the planner. */
export interface BatchOptions {
  /** At most this many lanes; at least 1. */
  readonly laneCount: number;
  /** Longest statement in bytes: the downstream's max_allowed_packet less some room for what goes before it. */
  readonly packetBytesMax: number;
}
