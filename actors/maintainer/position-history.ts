import { Queue } from '#src/base/queue.ts';
import type { Position } from '#src/model/position.ts';

/** Positions kept; when the feed lags further, neighbours are thinned out: a checkpoint may then be a little older. */
const positionCountMax = 4_096;

/** A place of the source. */
export interface PassedPosition {
  readonly position: Position;
  /** Server time of the newest transaction up to there, milliseconds; 0 when none was read. */
  readonly sourceMs: number;
}

/**
 * The positions the source has passed, so that a checkpoint found as a commitTs has its GTID and its time. Bounded: when
 * full, every other position is dropped, the newest always kept.
 */
export class PositionHistory {
  #passed = new Queue<PassedPosition>();
  #newestTs = -1;

  /** Adds a position; older or equal ones are ignored. */
  push(position: Position, sourceMs: number): void {
    if (position.ts <= this.#newestTs) return;
    this.#newestTs = position.ts;
    this.#passed.push({ position, sourceMs });
    if (this.#passed.length > positionCountMax) this.#thin();
  }

  /** The newest one with `position.ts ≤ ts`, dropping all older ones; undefined when there is none. */
  takeUpTo(ts: number): PassedPosition | undefined {
    let found: PassedPosition | undefined;
    for (;;) {
      const next = this.#passed.peek();
      if (next === undefined || next.position.ts > ts) return found;
      found = this.#passed.shift();
    }
  }

  #thin(): void {
    const all = [...this.#passed];
    this.#passed = new Queue();
    for (const [i, passed] of all.entries()) {
      if (i % 2 === (all.length - 1) % 2) this.#passed.push(passed);
    }
  }
}
