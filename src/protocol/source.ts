/**
 * What others say to the log puller and to the event service of a changefeed on one node, and what the event service says
 * to dispatchers. All of them belong to one life of one dispatcher manager, which alone knows their addresses; they keep
 * the epoch it was made under, whoever governs it later.
 */
import type { BlockInfo } from '../model/block.ts';
import type { DdlEvent, Position, TimelineSegment } from '../model/position.ts';
import type { Guards } from '../kernel/behaviour.ts';
import type { Ref } from '../kernel/ref.ts';
import type { Routing, StartAt } from '../model/start-at.ts';

/** Messages to the log puller. */
export type LogPullerMessage = OpenSource | StartPulling | ChunkTaken | CloseSource;

/** The upstream is checked, and the start resolved; what was open ends. */
export interface OpenSource {
  readonly kind: 'OpenSource';
  readonly startAt: StartAt;
}

/** Reads on from `position`. */
export interface StartPulling {
  readonly kind: 'StartPulling';
  readonly position: Position;
  readonly timeline: readonly TimelineSegment[];
  readonly routing: Routing;
  /** GTID (MySQL: set) behind which the stream ends by itself; null: never. */
  readonly until: string | null;
  readonly chunkBytes: number;
}

/** The event service has room for the next chunk; after a DDL, `routing` is what holds from now on. */
export interface ChunkTaken {
  readonly kind: 'ChunkTaken';
  readonly routing: Routing | null;
}

/** Ends the stream. */
export interface CloseSource {
  readonly kind: 'CloseSource';
}

/** See {@link LogPullerMessage}. */
export const logPullerGuards: Guards<LogPullerMessage> = {
  OpenSource: 'open',
  StartPulling: 'open',
  ChunkTaken: 'echo',
  CloseSource: 'open',
};

/** Messages to the event service. */
export type EventServiceMessage =
  | OpenStream
  | Chunk
  | DiscardIncomplete
  | ResumeSource
  | Retain
  | Subscribe
  | GrantCredit
  | Unsubscribe;

/** Everything held is dropped, and history begins after `position`. */
export interface OpenStream {
  readonly kind: 'OpenStream';
  readonly position: Position;
  readonly memoryQuota: number;
}

/** What the log puller read: blocks in commit order per span, and how far history is complete. */
export interface Chunk {
  readonly kind: 'Chunk';
  readonly infos: readonly BlockInfo[];
  /** Bytes of the blocks, same order as `infos`. */
  readonly moved: readonly Uint8Array<ArrayBuffer>[];
  readonly resolved: Position;
  readonly commitMs: number;
  readonly ddl: DdlEvent | null;
  readonly byteCount: number;
  readonly transactionCount: number;
}

/** The upstream connection was lost: parts of transactions after the last resolved position never happened (I-27). */
export interface DiscardIncomplete {
  readonly kind: 'DiscardIncomplete';
}

/** The DDL is done: the stream goes on, under a new routing; table definitions are read anew. */
export interface ResumeSource {
  readonly kind: 'ResumeSource';
  readonly routing: Routing;
}

/** Nothing with commitTs ≤ `ts` will be asked for again, on any node: the feed's checkpoint. */
export interface Retain {
  readonly kind: 'Retain';
  readonly ts: number;
}

/** A dispatcher wants the events of its span after `afterTs`, at most `creditBytes` unanswered. */
export interface Subscribe {
  readonly kind: 'Subscribe';
  readonly span: string;
  readonly subscriber: Ref;
  readonly afterTs: number;
  readonly creditBytes: number;
}

/** `byteCount` delivered bytes were worked off; events with commitTs ≤ appliedTs will never be asked for again. */
export interface GrantCredit {
  readonly kind: 'GrantCredit';
  readonly span: string;
  readonly byteCount: number;
  readonly appliedTs: number;
}

/** The dispatcher ends. */
export interface Unsubscribe {
  readonly kind: 'Unsubscribe';
  readonly span: string;
}

/** See {@link EventServiceMessage}. */
export const eventServiceGuards: Guards<EventServiceMessage> = {
  OpenStream: 'open',
  Chunk: 'echo',
  DiscardIncomplete: 'echo',
  ResumeSource: 'open',
  Retain: 'open',
  Subscribe: 'echo',
  GrantCredit: 'echo',
  Unsubscribe: 'echo',
};

/** Messages of the event service to a dispatcher. */
export type DispatcherMessage = Events | Resolved;

/** The next blocks of the span, complete transactions only (a big one may span several messages). */
export interface Events {
  readonly kind: 'Events';
  /** Counts the messages of one subscription from 1. */
  readonly seq: number;
  readonly infos: readonly BlockInfo[];
  readonly moved: readonly Uint8Array<ArrayBuffer>[];
  /** Rises with every DDL: definitions read under another version are stale. */
  readonly schemaVersion: number;
}

/** Every event of the span with commitTs ≤ ts has been sent. */
export interface Resolved {
  readonly kind: 'Resolved';
  readonly ts: number;
}

/** See {@link DispatcherMessage}. */
export const dispatcherGuards: Guards<DispatcherMessage> = { Events: 'echo', Resolved: 'echo' };
