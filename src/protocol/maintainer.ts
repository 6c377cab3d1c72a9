/**
 * What others say to a maintainer. Everything but the coordinator's command answers something it began under its
 * own epoch, so a message of an earlier ownership attempt is refused at the door.
 */
import type { Failure } from '../base/failure.ts';
import type { DdlEvent, Position, TimelineSegment } from '../model/position.ts';
import type { Guards } from '../kernel/behaviour.ts';

/** Messages to a maintainer. */
export type MaintainerMessage =
  | StopMaintainer
  | SourceChecked
  | SourceFailed
  | SourceTroubled
  | SourceClosed
  | SpansSeen
  | ResolvedAdvanced
  | DdlReached
  | ManagerHeartbeat
  | DispatcherLost;

/** Save the checkpoint and end. */
export interface StopMaintainer {
  readonly kind: 'StopMaintainer';
}

/** The upstream was checked and its start position resolved. */
export interface SourceChecked {
  readonly kind: 'SourceChecked';
  readonly start: Position;
  readonly newest: Position;
  readonly timeline: readonly TimelineSegment[];
  readonly serverId: string;
  readonly version: string;
  readonly warnings: readonly string[];
}

/** The source cannot go on; a failure of retry `Never` ends the feed. */
export interface SourceFailed {
  readonly kind: 'SourceFailed';
  readonly failure: Failure;
}

/** The source reconnects (failure set) or streams again (null): shown in the status, nothing to do. */
export interface SourceTroubled {
  readonly kind: 'SourceTroubled';
  readonly failure: Failure | null;
}

/** The stream has ended as asked; nothing after `resolvedTs` was handed to the event service as complete. */
export interface SourceClosed {
  readonly kind: 'SourceClosed';
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
export interface DdlReached {
  readonly kind: 'DdlReached';
  readonly ddl: DdlEvent;
  /** Everything up to here comes before the DDL. */
  readonly resolved: Position;
}

/** Watermarks of a dispatcher manager's dispatchers that moved, and what was applied since the last heartbeat. */
export interface ManagerHeartbeat {
  readonly kind: 'ManagerHeartbeat';
  readonly watermarks: readonly (readonly [span: string, checkpointTs: number])[];
  readonly rows: number;
  readonly writtenRows: number;
  readonly transactions: number;
  readonly commitMs: number;
}

/** A dispatcher ended by itself; it is scheduled again with a new token, or the feed fails. */
export interface DispatcherLost {
  readonly kind: 'DispatcherLost';
  readonly span: string;
  readonly failure: Failure;
}

/** See {@link MaintainerMessage}. */
export const maintainerGuards: Guards<MaintainerMessage> = {
  StopMaintainer: 'open',
  SourceChecked: 'echo',
  SourceFailed: 'echo',
  SourceTroubled: 'echo',
  SourceClosed: 'echo',
  SpansSeen: 'echo',
  ResolvedAdvanced: 'echo',
  DdlReached: 'echo',
  ManagerHeartbeat: 'echo',
  DispatcherLost: 'echo',
};
