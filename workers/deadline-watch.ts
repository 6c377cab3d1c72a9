/** What the watchdog decides at each of its ticks (FENCE §2.2); pure but for the shared memory, so that tests drive the clock. */
import type { Gate } from './gate.ts';

/** Milliseconds after which a thread without heartbeat may not write before it is back. */
const staleAfterMs = 150;
/** A gap between two ticks above this means that the process stood still. */
const gapMs = 500;
/** Boot time that passed beyond monotonic time: the machine was suspended. */
const suspendMs = 100;
/** The time of day moved by more than this against monotonic time within a tick: it was set, or the machine restored. */
const wallShiftMs = 1_000;
/** A fence that is not confirmed by all threads within this ends the process. */
const killAfterMs = 1_000;

/** What must happen now. */
export type WatchVerdict = 'nothing' | 'fenced' | 'kill';

/** The clocks of a tick. */
export interface WatchClocks {
  /** Milliseconds since boot, with suspended time. */
  readonly bootMs: number;
  /** The time of day, milliseconds: only how it moves counts. */
  readonly wallMs: number;
  /** `process.hrtime.bigint()`, read last: a thread that loses its turn between the readings sees no suspension. */
  readonly nowNs: bigint;
}

/** See the top of this file. */
export class DeadlineWatch {
  readonly #gate: Gate;
  readonly #gates: readonly number[];
  readonly #threadCount: number;
  #last: WatchClocks | null = null;
  /** By how much boot time was ahead of monotonic time at most. */
  #bootAheadMs = Infinity;
  /** Milliseconds, a gap counted as the shortest one, since the fence that is not confirmed yet; null: none. */
  #unconfirmedMs: number | null = null;

  /** Watches threads 0 to `threadCount - 1`; a passed deadline fences `gates`. */
  constructor(gate: Gate, gates: readonly number[], threadCount: number) {
    this.#gate = gate;
    this.#gates = gates;
    this.#threadCount = threadCount;
  }

  /** One tick. */
  tick(clocks: WatchClocks): WatchVerdict {
    const last = this.#last ?? clocks;
    this.#last = clocks;
    const passedMs = Number(clocks.nowNs - last.nowNs) / 1e6;
    const { deadline } = this.#gate.words;
    const until = Atomics.load(deadline, 0);
    const hasShifted = Math.abs(clocks.wallMs - last.wallMs - passedMs) > wallShiftMs;
    const isStill = this.#hasSlept(clocks) || passedMs > gapMs || hasShifted;
    if (until > 0n && isStill) Atomics.store(deadline, 1, clocks.nowNs);
    this.#suspendStale(clocks.nowNs);
    const isFenced = until > 0n && clocks.nowNs >= until && this.#gate.fence(this.#gates);
    if (this.#isOverdue(Math.min(passedMs, gapMs))) return 'kill';
    return isFenced ? 'fenced' : 'nothing';
  }

  #hasSlept({ bootMs, nowNs }: WatchClocks): boolean {
    const aheadMs = bootMs - Number(nowNs) / 1e6;
    const hasSlept = aheadMs - this.#bootAheadMs > suspendMs;
    // The first look has nothing to compare with; a reading that came late is below what is true.
    this.#bootAheadMs =
      this.#bootAheadMs === Infinity ? aheadMs : Math.max(this.#bootAheadMs, aheadMs);
    return hasSlept;
  }

  #suspendStale(nowNs: bigint): void {
    const { heartbeats, suspended } = this.#gate.words;
    for (let thread = 0; thread < this.#threadCount; thread++) {
      const beat = Atomics.load(heartbeats, thread);
      const isStale = beat !== 0n && nowNs - beat > BigInt(staleAfterMs) * 1_000_000n;
      if (isStale) Atomics.store(suspended, thread, 1);
    }
  }

  #isOverdue(passedMs: number): boolean {
    if (this.#isConfirmed()) this.#unconfirmedMs = null;
    else if (this.#unconfirmedMs === null) this.#unconfirmedMs = 0;
    else this.#unconfirmedMs += passedMs;
    return this.#unconfirmedMs !== null && this.#unconfirmedMs >= killAfterMs;
  }

  #isConfirmed(): boolean {
    const { heartbeats } = this.#gate.words;
    const fenced = this.#gate.fencedNow();
    for (let thread = 0; thread < this.#threadCount; thread++) {
      const isRunning = Atomics.load(heartbeats, thread) !== 0n;
      if (isRunning && !this.#gate.hasConfirmed(thread, fenced)) return false;
    }
    return true;
  }
}
