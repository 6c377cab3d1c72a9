import { Queue } from '../base/queue.ts';
import type { Envelope, Signal } from './message.ts';

/**
 * Two lanes: signals overtake messages. The message lane is bounded by `limit`; a full one refuses (the sender's protocol
 * credit keeps this from happening, DESIGN §6). The signal lane holds at most a few per child and watch.
 */
export class Mailbox {
  readonly limit: number;
  readonly #signals = new Queue<Signal>();
  readonly #envelopes = new Queue<Envelope>();

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Mail waiting in both lanes. */
  get depth(): number {
    return this.#signals.length + this.#envelopes.length;
  }

  /** False when the message lane is full. */
  push(envelope: Envelope): boolean {
    if (this.#envelopes.length >= this.limit) return false;
    this.#envelopes.push(envelope);
    return true;
  }

  /** Signals are never refused. */
  pushSignal(signal: Signal): void {
    this.#signals.push(signal);
  }

  /** The next signal: taken before any envelope. */
  takeSignal(): Signal | undefined {
    return this.#signals.shift();
  }

  /** The next envelope; the caller has taken every signal. */
  takeEnvelope(): Envelope | undefined {
    return this.#envelopes.shift();
  }

  /** Drops everything, when the cell is dead. */
  clear(): void {
    this.#signals.clear();
    this.#envelopes.clear();
  }
}
