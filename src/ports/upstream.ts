/**
 * The upstream port: a committed history as blocks of raw row events, pulled chunk by chunk. One call of `Next` at a
 * time; while none is under way the adapter stops reading its socket, so back-pressure reaches the server.
 */
import type { BlockInfo } from '../model/block.ts';
import type { DdlEvent, Position, TimelineSegment } from '../model/position.ts';
import type { Routing, StartAt } from '../model/start-at.ts';
import type { Port } from './port.ts';

/** Requests of the port. */
export type UpstreamRequest =
  /** Connects, checks everything that would make replication wrong, resolves the start, and reads the newest position. */
  | { readonly kind: 'Check'; readonly startAt: StartAt }
  /** Starts the stream after `position`; replaces a stream under way. */
  | {
      readonly kind: 'Open';
      readonly position: Position;
      readonly timeline: readonly TimelineSegment[];
      readonly routing: Routing;
      /** The stream ends behind the transaction that completes this GTID (MySQL: set); null or absent: never. */
      readonly until?: string | null;
    }
  /**
   * The next chunk, as soon as there is anything to say (a complete transaction, a full block of a big one, a DDL, an
   * idle server's heartbeat). Holds about `byteCountMax` bytes of blocks at most, more only when one event is larger.
   */
  | { readonly kind: 'Next'; readonly byteCountMax: number }
  /** New routing from the next event on; legal only while the stream is paused behind a DDL. */
  | { readonly kind: 'Route'; readonly routing: Routing }
  /** Ends the stream. */
  | { readonly kind: 'Close' };

/** Answer to `Check`. */
export interface UpstreamChecked {
  readonly kind: 'Checked';
  readonly flavor: 'mariadb' | 'mysql' | 'workload';
  readonly version: string;
  /** Stable identity of the upstream's history, for "upstream equals downstream" and the stored timeline. */
  readonly serverId: string;
  readonly start: Position;
  /** The upstream's newest position: `--until-caught-up` ends when it is applied. Never a watermark (BINLOG §4). */
  readonly newest: Position;
  readonly timeline: readonly TimelineSegment[];
  /** What works but may surprise, one sentence each. */
  readonly warnings: readonly string[];
}

/** Answer to `Next`. */
export interface UpstreamChunk {
  readonly kind: 'Chunk';
  readonly blocks: readonly { readonly info: BlockInfo; readonly bytes: Uint8Array<ArrayBuffer> }[];
  /**
   * Every transaction with commitTs ≤ resolved.ts is complete and has been handed over in this or an earlier chunk. No block
   * straddles it: a block ends at or before it, or holds a part of the one transaction behind it.
   */
  readonly resolved: Position;
  /** Server time of the last complete transaction, milliseconds; 0 when none was read yet. */
  readonly commitMs: number;
  /** Set when the stream stands before a DDL: nothing after it is read until the next `Next`. ddl.ts > resolved.ts. */
  readonly ddl?: DdlEvent;
  /**
   * With `ddl`: rows of the same transaction follow it (CREATE TABLE … SELECT), in blocks with commitTs = ddl.ts, and
   * `resolved` reaches ddl.ts only behind them. A span made for the new table starts at `resolved.ts`, not at ddl.ts.
   */
  readonly rowsFollow?: boolean;
  /** The stream has come to its `until`: nothing follows `resolved`, and nobody asks for more. */
  readonly isEnd?: true;
  /** Bytes read from the log for this chunk. */
  readonly byteCount: number;
  /** Complete transactions in this chunk, also those without rows for us. */
  readonly transactionCount: number;
}

/** Answers of the port. */
export type UpstreamAnswer =
  | UpstreamChecked
  | UpstreamChunk
  | { readonly kind: 'Opened' }
  | { readonly kind: 'Routed' }
  | { readonly kind: 'Closed' };

/** The upstream port. */
export type UpstreamPort = Port<UpstreamRequest, UpstreamAnswer>;
