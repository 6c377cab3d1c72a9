/**
 * The feeds port of main: tells every thread of this process where a changefeed reads and writes, before cells of it start.
 * Its answer comes when the ports `sink:<id>`, `upstream:<id>` and `event-store:<id>` may be called on each thread.
 */
import type { Port } from './port.ts';

/** Requests of the port. */
export type FeedsRequest =
  /** Idempotent; other endpoints than before replace the ports, which close. */
  | {
      readonly kind: 'OpenFeed';
      readonly id: string;
      readonly endpoints: { readonly upstreamUri: string; readonly sinkUri: string } | null;
    }
  /** Closes the ports of a changefeed that has no cells here any more. */
  | { readonly kind: 'CloseFeed'; readonly id: string };

/** Answers of the port. */
export type FeedsAnswer = { readonly kind: 'FeedOpened' } | { readonly kind: 'FeedClosed' };

/** The feeds port. */
export type FeedsPort = Port<FeedsRequest, FeedsAnswer>;
