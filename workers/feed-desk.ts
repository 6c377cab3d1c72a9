/**
 * The feeds port of main (src/ports/feeds.ts): counts who needs a changefeed's ports, and opens and closes them on all
 * threads, one step of a changefeed after another, so that what was closed late never closes what was opened since.
 */
import { FailureError, failed, failure, messageOf, ok, type Outcome } from '#src/base/failure.ts';
import type { FeedHolder, FeedsAnswer, FeedsPort, FeedsRequest } from '#src/ports/feeds.ts';
import type { OpenFeed } from './feed-ports.ts';

/** What the desk makes all threads do. */
export interface FeedDeskParts {
  readonly open: (feed: OpenFeed) => Promise<void>;
  readonly close: (id: string) => Promise<void>;
}

/** See the top of this file. */
export class FeedDesk {
  readonly #parts: FeedDeskParts;
  readonly #holders = new Map<string, Set<FeedHolder>>();
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(parts: FeedDeskParts) {
    this.#parts = parts;
  }

  /** The port; each life of a subtree may have one, they are all this desk. */
  port(): FeedsPort {
    return {
      call: (request) => this.#call(request),
      close: () => Promise.resolve(),
    };
  }

  #call(request: FeedsRequest): Promise<Outcome<FeedsAnswer>> {
    const before = this.#turns.get(request.id) ?? Promise.resolve();
    const turn = before.then(() => this.#perform(request));
    this.#turns.set(request.id, turn);
    void turn.finally(() => {
      if (this.#turns.get(request.id) === turn) this.#turns.delete(request.id);
    });
    return turn;
  }

  async #perform(request: FeedsRequest): Promise<Outcome<FeedsAnswer>> {
    try {
      return ok(await this.#answer(request));
    } catch (error) {
      if (error instanceof FailureError) return failed(error.failure);
      return failed(failure('INTERNAL_FAULT', `ports of a changefeed: ${messageOf(error)}`));
    }
  }

  async #answer(request: FeedsRequest): Promise<FeedsAnswer> {
    const { id, holder } = request;
    const holders = this.#holders.get(id) ?? new Set();
    if (request.kind === 'OpenFeed') {
      this.#holders.set(id, holders.add(holder));
      await this.#parts.open({ id, endpoints: request.endpoints });
      return { kind: 'FeedOpened' };
    }
    if (holders.delete(holder) && holders.size === 0) {
      this.#holders.delete(id);
      await this.#parts.close(id);
    }
    return { kind: 'FeedClosed' };
  }
}
