/**
 * Virtual time and seeded chance: whatever happens in a simulation happens here, one thing after another, so that one seed
 * gives one history. Nothing waits for a real clock.
 */
import { Dice } from './dice.ts';
import { Trace } from './trace.ts';

interface Event {
  readonly at: number;
  readonly seq: number;
  readonly run: () => void;
  dropped: boolean;
}

/** Whether a run is over is asked this often, in virtual milliseconds: it costs more than most steps. */
const askEveryMs = 5;

/** The clock, the dice, the trace and everything that is due. */
export class World {
  readonly seed: number;
  readonly trace = new Trace();
  /** Named states that were reached (see marks.ts). */
  readonly marks = new Set<string>();
  /** What broke an invariant where nothing may be thrown; the run ends with it. */
  violation: string | null = null;
  /** Things done so far. */
  stepCount = 0;
  /**
   * Set by a port whose inside is asynchronous code: awaited after every step, so that all its promises have gone as
   * far as they can before virtual time goes on.
   */
  settle: (() => Promise<void>) | null = null;
  readonly #dice = new Map<string, Dice>();
  readonly #waiting = new Map<string, (() => void)[]>();
  #now = 0;
  #seq = 0;
  /** A binary heap by time, then by order of making. */
  readonly #events: Event[] = [];

  constructor(seed: number) {
    this.seed = seed;
  }

  /** Virtual milliseconds. */
  get now(): number {
    return this.#now;
  }

  /** The stream of chance of this name. */
  dice(name: string): Dice {
    let dice = this.#dice.get(name);
    if (dice === undefined) {
      dice = new Dice(this.seed, name);
      this.#dice.set(name, dice);
    }
    return dice;
  }

  /** Says that a named state was reached. */
  mark(name: string): void {
    this.marks.add(name);
    const waiting = this.#waiting.get(name);
    if (waiting === undefined) return;
    this.#waiting.delete(name);
    for (const run of waiting) run();
  }

  /** Runs `run` when the mark is next reached. */
  onNext(name: string, run: () => void): void {
    const waiting = this.#waiting.get(name) ?? [];
    this.#waiting.set(name, waiting);
    waiting.push(run);
  }

  /** Ends the run with a broken invariant; the first one counts. */
  violate(what: string): void {
    this.violation ??= what;
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

  /** Does the next thing that is due until `untilMs`; false when there is none. */
  step(untilMs = Number.POSITIVE_INFINITY): boolean {
    const due = this.#events[0];
    if (due === undefined || due.at > untilMs) return false;
    const event = this.#take(due);
    this.#now = Math.max(this.#now, event.at);
    if (event.dropped) return true;
    this.stepCount++;
    event.run();
    return true;
  }

  /** Runs until `done`, which is asked now and then, at most until virtual time `untilMs`; false when that was not enough. */
  async run(done: () => boolean, untilMs: number): Promise<boolean> {
    let askAt = this.#now;
    while (this.#now < untilMs && this.violation === null) {
      if (this.#now >= askAt) {
        if (done()) return true;
        askAt = this.#now + askEveryMs;
      }
      if (!this.step()) return done();
      if (this.settle !== null) await this.settle();
    }
    return done();
  }

  #take(first: Event): Event {
    const events = this.#events;
    const last = events.pop();
    if (last === undefined || events.length === 0) return first;
    events[0] = last;
    for (let i = 0; ;) {
      let least = i;
      const left = 2 * i + 1;
      if (left < events.length && isBefore(events[left]!, events[least]!)) least = left;
      if (left + 1 < events.length && isBefore(events[left + 1]!, events[least]!)) least = left + 1;
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
