/**
 * What the event service holds of one span: the live window in memory, the backlog in the event store, and the one
 * subscriber. Mutated in place by the event service alone (a hot ring, STYLE §7).
 */
import { Queue } from '#src/base/queue.ts';
import type { Ref } from '#src/kernel/ref.ts';
import { wholeSpan } from '#src/model/span.ts';
import type { BlockInfo } from '#src/model/block.ts';
import type { StoreCursor, StoredBlock } from '#src/ports/event-store.ts';

/** A block in the live window with its place. */
export interface WindowBlock extends StoredBlock {
  readonly cursor: StoreCursor;
}

/**
 * The events of a table or group, or the way of one part of a table through them: the store has them once, under `source`.
 * Invariants: behind ⇒ the window is empty; 0 ≤ collectedTs ≤ appliedTs.
 */
export interface SpanStream {
  readonly span: string;
  /** What the blocks and the store call it: `span` itself unless it is a part. */
  readonly source: string;
  subscriber: Ref | null;
  /** Bytes the subscriber may still be sent. */
  creditBytes: number;
  /** Bytes sent and not granted back. */
  deliveredBytes: number;
  /** Messages sent in this subscription. */
  seq: number;
  /** Unsent blocks, contiguous up to `newest`. */
  readonly window: Queue<WindowBlock>;
  windowBytes: number;
  /** Some blocks after `cursor` are only in the store. */
  behind: boolean;
  /** A read of the store is under way. */
  reading: boolean;
  /** How far that read, or the last one, goes. */
  readTs: number;
  /** Place of the last block sent. */
  cursor: StoreCursor;
  /** Place of the last block appended. */
  newest: StoreCursor;
  /** Place of the last block appended that holds complete transactions only: what a reconnect goes back to. */
  complete: StoreCursor;
  /** Bytes appended after `complete`. */
  openBytes: number;
  /** Number of the subscription: reads for an earlier one are dropped. */
  subscription: number;
  /** Committed downstream. */
  appliedTs: number;
  /** Dropped from the store. */
  collectedTs: number;
  /** The last Resolved told to the subscriber. */
  toldTs: number;
}

/** A span whose first events have just arrived. */
export function newStream(span: string): SpanStream {
  return {
    span,
    source: wholeSpan(span),
    subscriber: null,
    creditBytes: 0,
    deliveredBytes: 0,
    seq: 0,
    window: new Queue(),
    windowBytes: 0,
    behind: false,
    reading: false,
    readTs: 0,
    cursor: { ts: 0, part: 0 },
    newest: { ts: 0, part: 0 },
    complete: { ts: 0, part: 0 },
    openBytes: 0,
    subscription: 0,
    appliedTs: 0,
    collectedTs: 0,
    toldTs: 0,
  };
}

/** The place of the next block: parts count the blocks of one span that end with the same transaction, from 0. */
export function cursorAfter(newest: StoreCursor, info: BlockInfo): StoreCursor {
  return { ts: info.lastTs, part: info.lastTs === newest.ts ? newest.part + 1 : 0 };
}

/** Drops the live window: its blocks are read back from the store. */
export function evict(stream: SpanStream): void {
  if (stream.window.length === 0) return;
  stream.window.clear();
  stream.windowBytes = 0;
  stream.behind = true;
}

/** True for a way through the events of a table: everything of it is held by the stream of the table. */
export function isPartial(stream: SpanStream): boolean {
  return stream.source !== stream.span;
}

/** True when everything appended has been sent. */
export function isDrained(stream: SpanStream): boolean {
  // A subscriber may begin beyond the newest block: what it has applied comes again after a restart.
  const { cursor, newest } = stream;
  return cursor.ts > newest.ts || (cursor.ts === newest.ts && cursor.part >= newest.part);
}
