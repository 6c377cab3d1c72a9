/**
 * The feeds port of main: tells every thread of this process where a changefeed reads and writes, before cells of it start.
 * Its answer comes when the ports `sink:<id>`, `upstream:<id>` and `event-store:<id>` may be called on each thread.
 */
import type { ChangefeedEndpoints } from '../protocol/changefeed.ts';
import type { Port } from './port.ts';

/** Requests of the port. */
export type FeedsRequest =
  /** Idempotent; other endpoints than before replace the ports, which close. */
  | {
      readonly kind: 'OpenFeed';
      readonly id: string;
      readonly holder: FeedHolder;
      readonly endpoints: ChangefeedEndpoints | null;
    }
  /** `holder` has no cells of this changefeed any more; with the last holder its ports close. */
  | { readonly kind: 'CloseFeed'; readonly id: string; readonly holder: FeedHolder };

/** Whose cells need a changefeed's ports: its maintainer's, or its dispatcher manager's. */
export type FeedHolder = 'maintainer' | 'manager';

/** Answers of the port. */
export type FeedsAnswer = { readonly kind: 'FeedOpened' } | { readonly kind: 'FeedClosed' };

/** The feeds port. */
export type FeedsPort = Port<FeedsRequest, FeedsAnswer>;
