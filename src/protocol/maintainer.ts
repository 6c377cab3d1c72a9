/**
 * What others say to a maintainer. Whatever comes from a node answers something it began under its own epoch, so a
 * message of an earlier ownership attempt is refused at the door.
 */
import type { Failure } from '../base/failure.ts';
import type { Guards } from '../kernel/behaviour.ts';
import type { NotOwner } from '../kernel/message.ts';
import type { Ref } from '../kernel/ref.ts';
import type { DdlEvent, Position, TimelineSegment } from '../model/position.ts';
import type { DrainTarget } from './coordinator.ts';
import type { AskTable } from './maintainer-manager.ts';
import type { NodesChanged } from './membership.ts';

/** Messages to a maintainer. */
export type MaintainerMessage =
  | NodesChanged
  | RemoveThis
  | AskTable
  | DrainChanged
  | FeedBootstrapped
  | FeedClosed
  | ManagerAdopted
  | ManagerHeartbeat
  | SourceChecked
  | NotOwner;

/** End; see `RemoveMaintainer`. A later one may turn `cascade` on. */
export interface RemoveThis {
  readonly kind: 'RemoveThis';
  readonly cascade: boolean;
  readonly removed: boolean;
}

/** What may be wanted of tables: see the requests of the coordinator. */
export type TableRequest =
  | { readonly kind: 'move'; readonly span: string; readonly node: string }
  | { readonly kind: 'split'; readonly span: string; readonly partCount: number }
  | { readonly kind: 'merge'; readonly span: string }
  | { readonly kind: 'list' };

/** Spans of one node, or of none. */
export interface SpanPlacement {
  readonly node: string | null;
  readonly spans: readonly string[];
}

/** What is answered to a {@link TableRequest}. */
export type TableReply =
  | { readonly kind: 'Done' }
  | { readonly kind: 'Tables'; readonly placement: readonly SpanPlacement[] };

/** The node that is to be emptied has changed. */
export interface DrainChanged {
  readonly kind: 'DrainChanged';
  readonly drain: DrainTarget;
}

/**
 * The orchestrator's answer to `BootstrapFeed`. `ready`: the manager runs and waits to be adopted. `retry`: one is still
 * ending. `refused`: the maintainer is older than one that has closed its manager here.
 */
export interface FeedBootstrapped {
  readonly kind: 'FeedBootstrapped';
  readonly is: 'ready' | 'retry' | 'refused';
  /** The manager, as its own node addresses it; null unless `ready`. */
  readonly manager: Ref | null;
  /** With `refused`: the highest epoch that has closed its manager here. */
  readonly closedEpoch?: number;
}

/**
 * The orchestrator's answer to `CloseFeed`; `closing` while a manager is there, which is named and asked directly: its door
 * gives the third answer, `NotOwner` (spec/09 9.2.7).
 */
export interface FeedClosed {
  readonly kind: 'FeedClosed';
  readonly is: 'closed' | 'closing';
  /** The manager that has not ended, as its own node addresses it. */
  readonly manager: Ref | null;
}

/** A span that a manager serves. */
export interface ServedSpan {
  readonly span: string;
  /** Token of its assignment. */
  readonly token: number;
  /** Everything ≤ this is committed downstream. */
  readonly checkpointTs: number;
}

/** What is known of the upstream once it was checked. */
export interface SourceFacts {
  readonly start: Position;
  readonly newest: Position;
  readonly timeline: readonly TimelineSegment[];
  readonly serverId: string;
  readonly version: string;
  readonly warnings: readonly string[];
}

/** A manager has taken its maintainer on, and says what it runs. */
export interface ManagerAdopted {
  readonly kind: 'ManagerAdopted';
  readonly served: readonly ServedSpan[];
  /** Spans that its stream has shown and nobody serves here. */
  readonly idle: readonly string[];
  /** What it knows of the upstream when its stream runs already; null: it waits for `StartSource`. */
  readonly source: SourceFacts | null;
}

/** The upstream was checked as asked by `CheckSource`. */
export interface SourceChecked {
  readonly kind: 'SourceChecked';
  readonly facts: SourceFacts;
}

/** How an assignment stands. */
export interface SpanReport {
  readonly span: string;
  readonly token: number;
  readonly is: 'working' | 'stopped';
  /** Everything ≤ this is committed downstream; null: this manager does not know the assignment. */
  readonly checkpointTs: number | null;
  /** Why it ended by itself; null when it was asked to, or works. */
  readonly failure: Failure | null;
}

/** A DDL that a node's stream stands before; nothing after it is read there until `ResumeStream`. */
export interface DdlReached {
  readonly ddl: DdlEvent;
  /** Everything up to here comes before the DDL. */
  readonly resolved: Position;
}

/**
 * How a manager stands, many times a second. Everything but the counters is repeated until `HeartbeatTaken` names the
 * `beat`, and whatever was reported as ended still counts in `checkpointTs` until then: no lost message can let the
 * checkpoint pass a change (P2).
 */
export interface ManagerHeartbeat {
  readonly kind: 'ManagerHeartbeat';
  /** Counts the heartbeats of this manager's life from 1. */
  readonly beat: number;
  /** Counts the assignments it has taken on (spec/01 §1.5 rule 2). */
  readonly seq: number;
  /** Everything of its spans ≤ this is committed downstream. */
  readonly checkpointTs: number;
  /** The span that stands at `checkpointTs`; empty when all have come as far as the stream. */
  readonly hindmost: string;
  /** How far its stream is complete; null before it runs. */
  readonly resolved: Position | null;
  /** Spans that its stream has shown for the first time. */
  readonly seen: readonly string[];
  readonly spans: readonly SpanReport[];
  readonly ddl: DdlReached | null;
  /** The stream has ended as asked. */
  readonly isSourceClosed: boolean;
  /** Everything has ended here; it waits for `HeartbeatTaken`, then it is gone. */
  readonly isClosed: boolean;
  /** What keeps its stream from going on, for the moment (`trouble`) or for good (`failure`). */
  readonly trouble: Failure | null;
  readonly failure: Failure | null;
  readonly totals: ManagerTotals;
  /** The busiest spans, about once a second; empty otherwise. */
  readonly loads: readonly SpanLoad[];
}

/** Rows of a span that were applied since they were told last. */
export interface SpanLoad {
  readonly span: string;
  readonly rows: number;
}

/** Counters of a manager's life. */
export interface ManagerTotals {
  readonly rows: number;
  readonly writtenRows: number;
  readonly transactions: number;
  readonly sourceBytes: number;
  readonly sourceTransactions: number;
  /** Server time of the newest transaction read, milliseconds. */
  readonly sourceMs: number;
}

/** Counters of a manager that has done nothing yet. */
export const noTotals: ManagerTotals = {
  rows: 0,
  writtenRows: 0,
  transactions: 0,
  sourceBytes: 0,
  sourceTransactions: 0,
  sourceMs: 0,
};

/** See {@link MaintainerMessage}; what comes from the manager of its own node is known by its address. */
export const maintainerGuards: Guards<MaintainerMessage> = {
  NodesChanged: 'open',
  RemoveThis: 'open',
  AskTable: 'open',
  DrainChanged: 'open',
  FeedBootstrapped: 'open',
  FeedClosed: 'open',
  ManagerAdopted: 'echo',
  ManagerHeartbeat: 'echo',
  SourceChecked: 'echo',
  NotOwner: 'echo',
};
