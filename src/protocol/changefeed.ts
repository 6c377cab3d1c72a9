/** What the control plane says about a changefeed: its configuration as actors need it, and its status. */
import type { Failure } from '../base/failure.ts';
import type { Position } from '../model/position.ts';
import type { StartAt } from '../model/start-at.ts';
import type { SyncedBounds } from '../model/synced-bounds.ts';

/** Where a changefeed reads and writes, and how wide. */
export interface ChangefeedEndpoints {
  /** Passwords in them are sealed: only the port that connects opens them. */
  readonly upstreamUri: string;
  readonly sinkUri: string;
  /** Lanes per span of a MySQL-family sink. */
  readonly laneCount: number;
}

/** A changefeed as its maintainer needs it: plain data. */
export interface ChangefeedConfig {
  readonly id: string;
  /** Null in a process that was started for one changefeed, whose ports know. */
  readonly endpoints: ChangefeedEndpoints | null;
  readonly startAt: StartAt;
  /** Table filter rules (FEATURES 1.6). */
  readonly rules: readonly string[];
  /** End when the upstream's newest position at the start is applied. */
  readonly untilCaughtUp: boolean;
  /** End when everything up to this GTID (MySQL: set) is applied, and nothing behind it; null or absent: never. */
  readonly untilGtid?: string | null;
  /** Bytes that all queues of the feed on one node may hold together. */
  readonly memoryQuota: number;
  /** How long the feed may fail without progress before it is `failed`, milliseconds. */
  readonly stuckAfterMs: number;
  /** A table with more rows a second is split over the nodes; null or absent: tables are split by hand only. */
  readonly splitAbove?: number | null;
  /** When it counts as synced; null or absent: as the defaults say. */
  readonly synced?: SyncedBounds | null;
}

/** States of FEATURES 1.2; `starting` is shown before the first maintainer speaks, and never stored. */
export type ChangefeedState =
  | 'starting'
  | 'normal'
  | 'warning'
  | 'failed'
  | 'stopped'
  | 'finished'
  | 'removed';

/** True of the states in which a maintainer ends: only its last word has them. */
export function isLastWord(state: ChangefeedState): boolean {
  return state === 'failed' || state === 'finished' || state === 'stopped';
}

/** Counters since the changefeed got its present maintainer. */
export interface ChangefeedCounts {
  /** Row changes in the log that were applied. */
  readonly rows: number;
  /** Source transactions applied, counted once per span they touch. */
  readonly transactions: number;
  /** Row changes written after folding. */
  readonly writtenRows: number;
  readonly ddl: number;
  /** Bytes read from the upstream by the maintainer's node. */
  readonly sourceBytes: number;
  /** Complete transactions read from the upstream by the maintainer's node. */
  readonly sourceTransactions: number;
}

/** What a person or the API sees of a changefeed. */
export interface ChangefeedStatus {
  readonly id: string;
  readonly state: ChangefeedState;
  /** What it is doing or waiting for, one short phrase: never silently stuck (DESIGN P7). */
  readonly stage: string;
  readonly checkpoint: Position | null;
  readonly resolvedTs: number;
  /** The position `untilCaughtUp` waits for; null before the upstream was checked. */
  readonly newest: Position | null;
  /** Server time of the newest transaction read, and of the newest up to the checkpoint, milliseconds; 0 before the first. */
  readonly sourceMs: number;
  readonly appliedMs: number;
  /** Server time of the DDL that the log is not read beyond until it has run, milliseconds; 0 when there is none. */
  readonly heldMs: number;
  readonly spanCount: number;
  /** Spans on each node. */
  readonly placement: readonly { readonly node: string; readonly spanCount: number }[];
  readonly counts: ChangefeedCounts;
  readonly failure: Failure | null;
  readonly warnings: readonly string[];
}

/** Counters of a changefeed that has done nothing yet. */
export const noCounts: ChangefeedCounts = {
  rows: 0,
  transactions: 0,
  writtenRows: 0,
  ddl: 0,
  sourceBytes: 0,
  sourceTransactions: 0,
};

/** The status of a changefeed of which nothing is known yet. */
export function blankStatus(id: string): ChangefeedStatus {
  return {
    id,
    state: 'starting',
    stage: 'starting',
    checkpoint: null,
    resolvedTs: 0,
    newest: null,
    sourceMs: 0,
    appliedMs: 0,
    heldMs: 0,
    spanCount: 0,
    placement: [],
    counts: noCounts,
    failure: null,
    warnings: [],
  };
}

/**
 * How far the checkpoint is behind, milliseconds: in server time, from the newest transaction read. What comes after a DDL is
 * not read before that has run, so such a one counts from its own time to `nowMs`, the time of day.
 */
export function lagMs(status: ChangefeedStatus, nowMs: number): number {
  const { checkpoint, resolvedTs, sourceMs, appliedMs, heldMs } = status;
  const heldForMs = heldMs === 0 ? 0 : nowMs - heldMs;
  const isAtEnd = checkpoint !== null && checkpoint.ts >= resolvedTs;
  return Math.max(0, Math.round(isAtEnd ? heldForMs : Math.max(sourceMs - appliedMs, heldForMs)));
}
