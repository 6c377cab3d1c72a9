/**
 * Until when a node may write, as its session publishes it and its watchdog watches it (FENCE §2): the shared memory and the
 * watchdog thread of a process, in the virtual time of its own clock.
 */
import type { WriteDeadlineRequest } from '#src/ports/write-deadline.ts';
import type { SimClock } from '../sim-coordination.ts';

/** The watchdog looks this often. */
const watchEveryMs = 10;

/** See the top of this file. `now` and `after` are by the node's clock. */
export class WriteRight {
  readonly #clock: SimClock;
  readonly #fence: (reason: string) => void;
  /** 0 before the first: nothing may be written. */
  #deadlineMs = 0;
  /** Since when only a newer renewal lets writes go on; null: nothing is doubted. */
  #doubtedSinceMs: number | null = null;
  #isFenced = false;
  #isPaused = false;

  constructor(clock: SimClock, fence: (reason: string) => void) {
    this.#clock = clock;
    this.#fence = fence;
  }

  /** Asked immediately before anything is sent. */
  get mayWrite(): boolean {
    return !this.#isFenced && this.#doubtedSinceMs === null && this.#clock.now < this.#deadlineMs;
  }

  /** What the session says. */
  take(request: WriteDeadlineRequest): void {
    if (request.kind === 'Fence') return this.#fenceNow(request.reason);
    const { deadlineMs, sentAtMs } = request;
    if (this.#doubtedSinceMs !== null && this.#doubtedSinceMs < sentAtMs)
      this.#doubtedSinceMs = null;
    if (deadlineMs <= this.#deadlineMs) return;
    this.#deadlineMs = deadlineMs;
    this.#watchAt(deadlineMs);
  }

  /** The process stands still, its watchdog too. */
  pause(): void {
    this.#isPaused = true;
  }

  /** It goes on; the watchdog finds the gap at its next look. */
  resume(): void {
    this.#isPaused = false;
    this.#clock.after(watchEveryMs, () => {
      if (this.#isPaused) return;
      this.#doubtedSinceMs = this.#clock.now;
      this.#look();
    });
  }

  #watchAt(deadlineMs: number): void {
    this.#clock.after(deadlineMs - this.#clock.now + watchEveryMs, () => this.#look());
  }

  #look(): void {
    const isOver = this.#deadlineMs > 0 && this.#clock.now >= this.#deadlineMs;
    if (!this.#isPaused && isOver) this.#fenceNow('deadline passed');
  }

  #fenceNow(reason: string): void {
    if (this.#isFenced) return;
    this.#isFenced = true;
    this.#fence(reason);
  }
}
