/**
 * Virtual time and seeded chance: whatever happens in a simulation happens here, one thing after another, so that one seed
 * gives one history. Nothing waits for a real clock.
 */
import { TestRandom } from '../fixtures/random.ts';

interface Event {
  readonly at: number;
  readonly seq: number;
  readonly run: () => void;
  dropped: boolean;
}

/** The clock, the dice and everything that is due. */
export class World {
  readonly random: () => number;
  /** Things done so far. */
  stepCount = 0;
  #now = 0;
  #seq = 0;
  /** A binary heap by time, then by order of making. */
  readonly #events: Event[] = [];

  constructor(seed: number) {
    const dice = new TestRandom(seed);
    this.random = () => dice.below(2 ** 30) / 2 ** 30;
  }

  /** Virtual milliseconds. */
  get now(): number {
    return this.#now;
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.random() < probability;
  }

  /** An integer from 0 to below `count`. */
  pick(count: number): number {
    return Math.floor(this.random() * count);
  }

  /** Runs `run` after `afterMs`; the answer cancels it. */
  after(afterMs: number, run: () => void): () => void {
    const event: Event = { at: this.#now + afterMs, seq: ++this.#seq, run, dropped: false };
    this.#events.push(event);
    this.#rise(this.#events.length - 1);
    return () => {
      event.dropped = true;
    };
  }

  /** A one-way channel whose messages arrive in order, each after up to `delayMsMax`. */
  channel(delayMsMax: number): (run: () => void) => void {
    let lastAt = 0;
    return (run) => {
      lastAt = Math.max(lastAt, this.#now + this.random() * delayMsMax);
      this.after(lastAt - this.#now, run);
    };
  }

  /** Does the next thing; false when nothing is left. */
  step(): boolean {
    const event = this.#take();
    if (event === undefined) return false;
    this.#now = Math.max(this.#now, event.at);
    if (event.dropped) return true;
    this.stepCount++;
    event.run();
    return true;
  }

  #take(): Event | undefined {
    const events = this.#events;
    const first = events[0];
    const last = events.pop();
    if (first === undefined || last === undefined || events.length === 0) return first;
    events[0] = last;
    for (let i = 0; ;) {
      let least = i;
      for (const child of [2 * i + 1, 2 * i + 2]) {
        if (child < events.length && isBefore(events[child]!, events[least]!)) least = child;
      }
      if (least === i) return first;
      [events[i], events[least]] = [events[least]!, events[i]!];
      i = least;
    }
  }

  #rise(from: number): void {
    const events = this.#events;
    for (let i = from; i > 0;) {
      const parent = (i - 1) >> 1;
      if (!isBefore(events[i]!, events[parent]!)) return;
      [events[i], events[parent]] = [events[parent]!, events[i]!];
      i = parent;
    }
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.seq < b.seq);
}
