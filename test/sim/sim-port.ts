/** Ports of a simulation: plain functions in virtual time, and what goes wrong with them. */
import type { Outcome } from '#src/base/failure.ts';
import type { Dice } from './dice.ts';
import type { World } from './world.ts';

/** A simulated port: `answered` is called once, later, never within the call. */
export type SimPort = (
  request: { readonly kind: string },
  answered: (outcome: Outcome<unknown>) => void,
) => void;

/** A port of one life of a thread. */
export interface LivingPort {
  readonly call: SimPort;
  /** The thread died: whatever it held open is closed by the system. */
  readonly close: () => void;
}

/** Names of the ports that trouble can be made at. */
export type PortName = 'upstream' | 'sink' | 'event-store' | 'coordination';

/** How the calls of one port fail, and how slow they are; shared by all processes, changed by the faults of a run. */
export class PortWeather {
  readonly dice: Dice;
  /** The call has no effect. */
  before = 0;
  /** It has its effect, but the caller hears of a failure. */
  after = 0;
  /** It has its effect, perhaps much later, long after the caller heard of a failure. */
  late = 0;
  /** Multiplies delays. */
  slow = 1;
  /** Nothing answers. */
  isDown = false;

  constructor(world: World, port: PortName) {
    this.dice = world.dice(`port ${port}`);
  }

  /** The weather of the next call. */
  draw(): 'fine' | 'before' | 'after' | 'late' {
    const x = this.dice.next();
    if (this.isDown || x < this.before) return 'before';
    if (x < this.before + this.after) return 'after';
    return x < this.before + this.after + this.late ? 'late' : 'fine';
  }

  /** Milliseconds a call or an answer is under way. */
  delay(delayMsMax: number): number {
    return this.dice.next() * delayMsMax * this.slow;
  }

  /** Good weather again. */
  clear(): void {
    this.before = 0;
    this.after = 0;
    this.late = 0;
    this.slow = 1;
    this.isDown = false;
  }
}
