import type { Outcome } from '../base/failure.ts';

/**
 * What an actor may ask of the outside world (DESIGN §12). A port takes one request and answers once, with a value or a
 * Failure; it never throws at its caller. Adapters may be asynchronous inside; the answer reaches the actor as a private
 * message. Requests and answers are plain data.
 */
export interface Port<Request, Answer> {
  readonly call: (request: Request) => Promise<Outcome<Answer>>;
  /** Ends everything the port holds (connections, files), at once. Calls under way answer INTERNAL_STOPPED or fail. */
  readonly close: () => Promise<void>;
}

/** The name of a port that each changefeed has for itself on a thread, as an actor calls it. */
export function portOf(name: 'sink' | 'upstream' | 'event-store', changefeed: string): string {
  return `${name}:${changefeed}`;
}
