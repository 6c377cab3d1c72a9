/**
 * What others say to the dispatcher manager of a changefeed on a node: the maintainer that adopted it governs it, its
 * own dispatchers and source cells report.
 */
import type { Failure } from '../base/failure.ts';
import type { Guards } from '../kernel/behaviour.ts';
import type { DdlEvent, Position } from '../model/position.ts';
import type { Routing, StartAt } from '../model/start-at.ts';
import type { SourceFacts } from './maintainer.ts';

/** Messages to a dispatcher manager. */
export type ManagerMessage =
  | AdoptManager
  | CheckSource
  | StartSource
  | ScheduleDispatcher
  | StopDispatcher
  | ResumeStream
  | CheckpointAdvanced
  | HeartbeatTaken
  | CloseStream
  | CloseManager
  | DispatcherWatermark
  | DispatcherFailed
  | UpstreamChecked
  | UpstreamFailed
  | UpstreamTroubled
  | UpstreamClosed
  | SpansSeen
  | ResolvedAdvanced
  | StreamHeld;

// ── from the maintainer ─────────────────────────────────────────────────────────────────────────────────────────────

/** A maintainer takes the manager over (spec/04 E1–E4); answered by `ManagerAdopted`. What runs goes on. */
export interface AdoptManager {
  readonly kind: 'AdoptManager';
}

/** Check the upstream and find the start; answered by `SourceChecked`. */
export interface CheckSource {
  readonly kind: 'CheckSource';
  readonly startAt: StartAt;
}

/** Read the log from `position`; nothing happens when the stream runs already. */
export interface StartSource {
  readonly kind: 'StartSource';
  readonly position: Position;
  /** What the check of the upstream found, on whatever node. */
  readonly facts: SourceFacts;
  readonly routing: Routing;
  /** GTID (MySQL: set) behind which the stream ends; null: never. */
  readonly until: string | null;
}

/** Start a dispatcher for `span`. `token` is fresh; slots that do not exist yet begin at `startTs`. */
export interface ScheduleDispatcher {
  readonly kind: 'ScheduleDispatcher';
  readonly span: string;
  readonly token: number;
  readonly startTs: number;
}

/** End the dispatcher of an assignment; reported as `stopped`, also when there is none. */
export interface StopDispatcher {
  readonly kind: 'StopDispatcher';
  readonly span: string;
  readonly token: number;
}

/** The DDL at `ddlTs` is done: the stream that stands before it goes on, under a new routing. */
export interface ResumeStream {
  readonly kind: 'ResumeStream';
  readonly ddlTs: number;
  readonly routing: Routing;
}

/** The feed's checkpoint: nothing ≤ `ts` will be asked for again, on any node. */
export interface CheckpointAdvanced {
  readonly kind: 'CheckpointAdvanced';
  readonly ts: number;
}

/** The heartbeat `beat` has arrived, with everything it said. */
export interface HeartbeatTaken {
  readonly kind: 'HeartbeatTaken';
  readonly beat: number;
}

/** End the stream; what was read is still applied. Heartbeats say `isSourceClosed` once nothing more comes. */
export interface CloseStream {
  readonly kind: 'CloseStream';
}

/** End everything of the feed on this node: dispatchers first, then the source cells, then the manager. */
export interface CloseManager {
  readonly kind: 'CloseManager';
}

// ── from its own cells ──────────────────────────────────────────────────────────────────────────────────────────────

/** Everything of the span with commitTs ≤ checkpointTs is committed downstream; counters since the last report. */
export interface DispatcherWatermark {
  readonly kind: 'DispatcherWatermark';
  readonly span: string;
  readonly checkpointTs: number;
  readonly rows: number;
  readonly writtenRows: number;
  readonly transactions: number;
}

/** A dispatcher's last word. */
export interface DispatcherFailed {
  readonly kind: 'DispatcherFailed';
  readonly span: string;
  readonly failure: Failure;
}

/** The log puller has checked the upstream and resolved its start position. */
export interface UpstreamChecked {
  readonly kind: 'UpstreamChecked';
  readonly facts: SourceFacts;
}

/** The source cannot go on; a failure of retry `Never` ends the feed. */
export interface UpstreamFailed {
  readonly kind: 'UpstreamFailed';
  readonly failure: Failure;
}

/** The source reconnects (failure set) or streams again (null): shown in the status, nothing to do. */
export interface UpstreamTroubled {
  readonly kind: 'UpstreamTroubled';
  readonly failure: Failure | null;
}

/** The stream has ended as asked, or at its `until`; nothing after `resolvedTs` was handed to the event service as complete. */
export interface UpstreamClosed {
  readonly kind: 'UpstreamClosed';
  readonly resolvedTs: number;
}

/** First events of spans nobody subscribes to. */
export interface SpansSeen {
  readonly kind: 'SpansSeen';
  readonly spans: readonly string[];
}

/** The upstream's history is known up to `position`; every block up to it has been stored. */
export interface ResolvedAdvanced {
  readonly kind: 'ResolvedAdvanced';
  readonly position: Position;
  readonly commitMs: number;
  /** Since the last such message. */
  readonly byteCount: number;
  readonly transactionCount: number;
}

/** The stream stands before a DDL; nothing after it is read until `ResumeSource`. */
export interface StreamHeld {
  readonly kind: 'StreamHeld';
  readonly ddl: DdlEvent;
  /** Everything up to here comes before the DDL. */
  readonly resolved: Position;
}

/** See {@link ManagerMessage}; own cells are known by their addresses, whatever maintainer they were started under. */
export const managerGuards: Guards<ManagerMessage> = {
  AdoptManager: 'raise',
  CheckSource: 'owner',
  StartSource: 'owner',
  ScheduleDispatcher: 'owner',
  StopDispatcher: 'owner',
  ResumeStream: 'owner',
  CheckpointAdvanced: 'owner',
  HeartbeatTaken: 'owner',
  CloseStream: 'owner',
  CloseManager: 'close',
  DispatcherWatermark: 'open',
  DispatcherFailed: 'open',
  UpstreamChecked: 'open',
  UpstreamFailed: 'open',
  UpstreamTroubled: 'open',
  UpstreamClosed: 'open',
  SpansSeen: 'open',
  ResolvedAdvanced: 'open',
  StreamHeld: 'open',
};
