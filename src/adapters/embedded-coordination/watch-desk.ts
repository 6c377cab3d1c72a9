import { failed, FailureError, ok, type Outcome } from '#src/base/failure.ts';
import {
  type CoordinationAnswer,
  type CoordinationRequest,
  coordinationLimits,
} from '#src/ports/coordination.ts';
import type { KeyStore } from './key-store.ts';

type NextEvents = Extract<CoordinationRequest, { kind: 'NextEvents' }>;
type Answered = (outcome: Outcome<CoordinationAnswer>) => void;

interface Wait {
  readonly prefix: string;
  /** Nothing for this watcher happened up to here, however much of others; never moves back. */
  after: number | null;
  readonly answered: Answered;
  readonly dropTimer: () => void;
}

/** Watchers that wait for something to happen; the clock is its holder's. */
export class WatchDesk {
  readonly #store: KeyStore;
  readonly #timer: (afterMs: number, due: () => void) => () => void;
  readonly #waits = new Set<Wait>();

  constructor(store: KeyStore, timer: (afterMs: number, due: () => void) => () => void) {
    this.#store = store;
    this.#timer = timer;
  }

  /** Answers once: at once when there is something, else at the first change or when the wait is over. */
  wait(request: NextEvents, answered: Answered): void {
    const now = this.#look(request.prefix, request.after);
    if (now !== null) return answered(now);
    const waitMs = Math.min(request.waitMs, coordinationLimits.waitMs);
    const dropTimer = this.#timer(waitMs, () => {
      this.#waits.delete(wait);
      answered(ok({ kind: 'Events', events: [], after: this.#store.revision }));
    });
    const wait: Wait = { prefix: request.prefix, after: this.#store.revision, answered, dropTimer };
    this.#waits.add(wait);
  }

  /** Answers whoever has something to hear; called after each change. */
  changed(): void {
    for (const wait of this.#waits) {
      const heard = this.#look(wait.prefix, wait.after);
      if (heard === null) wait.after = this.#store.revision;
      else this.#end(wait, heard);
    }
  }

  /** Answers everybody with `outcome`. */
  endAll(outcome: Outcome<CoordinationAnswer>): void {
    for (const wait of this.#waits) this.#end(wait, outcome);
  }

  #end(wait: Wait, outcome: Outcome<CoordinationAnswer>): void {
    this.#waits.delete(wait);
    wait.dropTimer();
    wait.answered(outcome);
  }

  #look(prefix: string, after: number | null): Outcome<CoordinationAnswer> | null {
    try {
      const answer = this.#store.eventsAfter(prefix, after);
      return answer === null ? null : ok(answer);
    } catch (error) {
      if (error instanceof FailureError) return failed(error.failure);
      throw error;
    }
  }
}
