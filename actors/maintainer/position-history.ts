import { Queue } from '#src/base/queue.ts';
import type { Position } from '#src/model/position.ts';

/** Positions kept; when the feed lags further, neighbours are thinned out: a checkpoint may then be a little older. */
const positionCountMax = 4_096;

/**
 * The positions the source has passed, so that a checkpoint found as a commitTs has its GTID. Bounded: when full, every
 * other position is dropped, the newest always kept.
 */
export class PositionHistory {
  #positions = new Queue<Position>();
  #newestTs = -1;

  /** Adds a position; older or equal ones are ignored. */
  push(position: Position): void {
    if (position.ts <= this.#newestTs) return;
    this.#newestTs = position.ts;
    this.#positions.push(position);
    if (this.#positions.length > positionCountMax) this.#thin();
  }

  /** The newest position with `position.ts ≤ ts`, dropping all older ones; undefined when there is none. */
  takeUpTo(ts: number): Position | undefined {
    let found: Position | undefined;
    for (;;) {
      const next = this.#positions.peek();
      if (next === undefined || next.ts > ts) return found;
      found = this.#positions.shift();
    }
  }

  #thin(): void {
    const all = [...this.#positions];
    this.#positions = new Queue();
    for (const [i, position] of all.entries()) {
      if (i % 2 === (all.length - 1) % 2) this.#positions.push(position);
    }
  }
}
