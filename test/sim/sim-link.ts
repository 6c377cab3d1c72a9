/**
 * A one-way link of a simulation: what is sent arrives in order, each after a delay of its own; links overtake each other.
 * Envelopes pass through the codec of real links, so nothing is shared between sender and receiver and nothing arrives that
 * would not survive the way.
 */
import { assert } from '#src/base/assert.ts';
import type { Envelope, Message } from '#src/kernel/message.ts';
import type { Ref } from '#src/kernel/ref.ts';
import { decodeBatch, encodeBatch } from '#workers/codec/codec.ts';
import type { Dice } from './dice.ts';
import type { World } from './world.ts';

/** What arrives when `envelope` is sent through the codec of links. */
export function overTheWire(envelope: Envelope): Envelope {
  const { bytes, moved } = encodeBatch([envelope]);
  // Moved bytes would leave the sender; a simulated one may look at them afterwards, so they are copied.
  const decoded = decodeBatch(
    bytes,
    moved.map((part) => part.slice()),
  );
  assert(decoded.ok && decoded.value.length === 1, 'an envelope survives its codec');
  return decoded.value[0]!;
}

const nowhere: Ref = { path: 'nowhere', thread: 'main', incarnation: 1 };

/** A message as its receiver on another thread gets it. */
export function copyOf(message: Message): Message {
  return overTheWire({ to: nowhere, from: nowhere, epoch: 0, seq: 1, message }).message;
}

/** See the top of this file. */
export class SimLink {
  readonly #world: World;
  readonly #dice: Dice;
  readonly #delayMsMax: number;
  #lastAt = 0;
  /** Multiplies delays. */
  slow = 1;

  constructor(world: World, dice: Dice, delayMsMax: number) {
    this.#world = world;
    this.#dice = dice;
    this.#delayMsMax = delayMsMax;
  }

  /** Runs `arrive` after the delay, never before what was sent earlier. */
  send(arrive: () => void): void {
    const { now } = this.#world;
    this.#lastAt = Math.max(this.#lastAt, now + this.#dice.next() * this.#delayMsMax * this.slow);
    this.#world.after(this.#lastAt - now, arrive);
  }
}
