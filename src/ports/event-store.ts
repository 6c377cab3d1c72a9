/**
 * The event store port: blocks on disk in the data directory, shared by the threads of a capture (DESIGN §9). Not
 * authoritative: the upstream's log is, so nothing here is synced, and a new process starts with an empty store.
 */
import type { BlockInfo } from '../model/block.ts';
import type { Port } from './port.ts';

/** A block with its facts. */
export interface StoredBlock {
  readonly info: BlockInfo;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Place of a block within its span: by last commitTs, then by part of a transaction that spans several blocks. */
export interface StoreCursor {
  readonly ts: number;
  readonly part: number;
}

/** Requests of the port. */
export type EventStoreRequest =
  /** Appends blocks, copying their bytes; answers when later reads see them. Order within a span is kept. */
  | { readonly kind: 'Append'; readonly blocks: readonly StoredBlock[] }
  /** Blocks of `span` after `after` whose lastTs ≤ `untilTs`, oldest first, about `byteCountMax` bytes (at least one). */
  | {
      readonly kind: 'Read';
      readonly span: string;
      readonly after: StoreCursor;
      readonly untilTs: number;
      readonly byteCountMax: number;
    }
  /** Drops blocks of `span` with lastTs ≤ ts (garbage behind the checkpoint). */
  | { readonly kind: 'Collect'; readonly span: string; readonly ts: number }
  /** Drops blocks of every span with lastTs > ts (an incomplete group after a disconnect). */
  | { readonly kind: 'DiscardAfter'; readonly ts: number };

/** Answers of the port. */
export type EventStoreAnswer =
  | { readonly kind: 'Appended'; readonly byteCount: number }
  | {
      readonly kind: 'Blocks';
      readonly blocks: readonly StoredBlock[];
      /** Where to read on. */
      readonly cursor: StoreCursor;
      /** True when more blocks ≤ untilTs follow. */
      readonly more: boolean;
    }
  | { readonly kind: 'Collected'; readonly byteCount: number }
  | { readonly kind: 'Discarded' };

/** The event store port. */
export type EventStorePort = Port<EventStoreRequest, EventStoreAnswer>;
