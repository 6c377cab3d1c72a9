/**
 * The gate (DESIGN §4, FENCE §2): memory that says who may still write. Each fenceable subtree has a word with its highest
 * fenced generation; storing there stops the deliveries and submits of that life on all threads. A new life of the subtree is
 * the next generation; a fenced one never comes back.
 */
import type { GateLife } from '#src/kernel/host.ts';
import type { SubmitGate } from '#src/ports/submit-gate.ts';
import {
  deadlineAwaited,
  gateCountMax,
  makeSharedMemory,
  noDeadline,
  sharedWords,
  threadCountMax,
  type SharedWords,
} from './shared-memory.ts';

/** What a gate has let through. */
export interface Submits {
  readonly count: number;
  /** When the last one asked: monotonic ns; 0 never. */
  readonly lastNs: bigint;
}

/** One thread's view of the gate. */
export class Gate {
  /** Memory to hand to other threads. */
  readonly memory: SharedArrayBuffer;
  readonly words: SharedWords;
  /** This thread's index in the shared words; `main` is 0. */
  readonly thread: number;

  constructor(memory: SharedArrayBuffer = makeSharedMemory(), thread = 0) {
    this.memory = memory;
    this.words = sharedWords(memory);
    this.thread = thread;
  }

  /** Begins the next life of a gate's subtree and answers its generation. Only the supervision tree does this. */
  begin(gate: number): number {
    const { lives, fences } = this.words;
    const generation = Math.max(Atomics.load(lives, gate), Atomics.load(fences, gate)) + 1;
    Atomics.store(lives, gate, generation);
    return generation;
  }

  /** Whether the life that began last under `gate` has been fenced. */
  isShut(gate: number): boolean {
    const { lives, fences } = this.words;
    return Atomics.load(fences, gate) >= Atomics.load(lives, gate);
  }

  /**
   * Fences the living generation of each gate: first all words, then the bell. Callable from any thread at any time and
   * any number of times; false when all of them were shut already.
   */
  fence(gates: readonly number[]): boolean {
    const { lives, fences, bells } = this.words;
    let isNews = false;
    for (const gate of gates) isNews = raise(fences, gate, Atomics.load(lives, gate)) || isNews;
    if (!isNews) return false;
    Atomics.add(bells, 0, 1);
    Atomics.notify(bells, 0);
    return true;
  }

  /** Says that on this thread nothing runs any more of what is fenced now: cells dead, ports closed. */
  confirm(fenced: Int32Array): void {
    this.confirmFor(this.thread, fenced);
  }

  /** The same for a thread that has ended. */
  confirmFor(thread: number, fenced: Int32Array): void {
    const { confirmed, bells } = this.words;
    for (let gate = 0; gate < gateCountMax; gate++)
      raise(confirmed, thread * gateCountMax + gate, fenced[gate]!);
    Atomics.add(bells, 1, 1);
    Atomics.notify(bells, 1);
  }

  /** Whether `thread` has confirmed the fence of `life`. */
  isConfirmed(thread: number, life: GateLife): boolean {
    const { confirmed } = this.words;
    return Atomics.load(confirmed, thread * gateCountMax + life.gate) >= life.generation;
  }

  /** Whether `thread` has confirmed everything that `fenced` ends. */
  hasConfirmed(thread: number, fenced: Int32Array): boolean {
    const { confirmed } = this.words;
    return fenced.every(
      (generation, gate) => Atomics.load(confirmed, thread * gateCountMax + gate) >= generation,
    );
  }

  /** Shows that this thread's event loop turns; a thread found stale is back by that. */
  beat(): void {
    const { heartbeats, suspended } = this.words;
    Atomics.store(heartbeats, this.thread, process.hrtime.bigint());
    Atomics.store(suspended, this.thread, 0);
  }

  /** Says that `thread` does not run. */
  rest(thread: number): void {
    const { heartbeats, suspended, cuts } = this.words;
    Atomics.store(heartbeats, thread, 0n);
    Atomics.store(suspended, thread, 0);
    Atomics.store(cuts, thread, 0);
  }

  /** A copy of the fence words as they are now. */
  fencedNow(): Int32Array {
    return this.words.fences.slice();
  }

  /** The gate as the ports of `life` see it. */
  of(life: GateLife): SubmitGate {
    const { fences } = this.words;
    return {
      mayWrite: () => this.mayWrite(life),
      isShut: () => Atomics.load(fences, life.gate) >= life.generation,
    };
  }

  /** Whether this process has a claim now: nothing fenced it whole, and its session stands if it needs one. */
  hasClaim(): boolean {
    const until = Atomics.load(this.words.deadline, 0);
    if (until !== noDeadline && process.hrtime.bigint() >= until) return false;
    return !this.isShut(0);
  }

  /**
   * Whether `life` may submit now (FENCE §2.1); to be asked immediately before the bytes go to the socket. A yes is written
   * down with a time from before the fence word was read: one that is later than a fence proves the gate wrong.
   */
  mayWrite(life: GateLife): boolean {
    const askedNs = process.hrtime.bigint();
    if (!this.#isOpen(life)) return false;
    const { lastSubmits, submitCounts } = this.words;
    Atomics.store(lastSubmits, this.thread, askedNs);
    Atomics.add(submitCounts, this.thread, 1n);
    return true;
  }

  /** The submits of all threads so far. */
  submits(): Submits {
    const { lastSubmits, submitCounts } = this.words;
    let [count, lastNs] = [0n, 0n];
    for (let thread = 0; thread < threadCountMax; thread++) {
      count += Atomics.load(submitCounts, thread);
      const askedNs = Atomics.load(lastSubmits, thread);
      if (askedNs > lastNs) lastNs = askedNs;
    }
    return { count: Number(count), lastNs };
  }

  #isOpen(life: GateLife): boolean {
    const { fences, suspended, deadline } = this.words;
    if (Atomics.load(fences, life.gate) >= life.generation) return false;
    const until = Atomics.load(deadline, 0);
    if (until === noDeadline) return true;
    if (until === deadlineAwaited || Atomics.load(deadline, 1) !== 0n) return false;
    if (Atomics.load(suspended, this.thread) !== 0) return false;
    return process.hrtime.bigint() < until;
  }
}

/** Raises a word to `value`; false when it was there already. */
function raise(words: Int32Array, index: number, value: number): boolean {
  for (let seen = Atomics.load(words, index); seen < value;) {
    const found = Atomics.compareExchange(words, index, seen, value);
    if (found === seen) return true;
    seen = found;
  }
  return false;
}
