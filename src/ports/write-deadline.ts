/** The write deadline as a port: how the keeper of a session tells the whole process how long it may write (FENCE §2). */
import type { Port } from './port.ts';

/** Requests of the port; both act before the call returns, on all threads. */
export type WriteDeadlineRequest =
  /** Times are milliseconds of the machine's monotonic clock. Never moves the deadline back. */
  | { readonly kind: 'Publish'; readonly deadlineMs: number; readonly sentAtMs: number }
  /** Ends the right to write, for good. */
  | { readonly kind: 'Fence'; readonly reason: string };

/** Answers of the port. */
export type WriteDeadlineAnswer = { readonly kind: 'Published' } | { readonly kind: 'Fenced' };

/** The write deadline port. */
export type WriteDeadlinePort = Port<WriteDeadlineRequest, WriteDeadlineAnswer>;
