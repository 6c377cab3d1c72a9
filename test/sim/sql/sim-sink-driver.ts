/** Runs promises of real sinks to their end, in virtual time. */
import { World } from '../world.ts';
import { Drain } from './drain.ts';
import { SimMariadb } from './server.ts';
import { hostIn } from './virtual-host.ts';

import type { SimHost } from './connection.ts';
import type { SimServerSpeed } from './server.ts';

/** One simulated server in a time of its own, which passes for whoever awaits something of it. */
export class SinkWorld {
  readonly drain = new Drain();
  readonly world: World;
  readonly host: SimHost;
  readonly server: SimMariadb;

  constructor(seed: number, speed: Partial<SimServerSpeed> = {}) {
    this.world = new World(seed);
    this.host = hostIn(this.world);
    this.server = new SimMariadb(this.host, speed);
  }

  /** Lets time pass until `work` is done, at most `virtualMs`. */
  async run<T>(work: Promise<T>, virtualMs = 600_000): Promise<T> {
    const state = { isDone: false };
    const end = (): void => {
      state.isDone = true;
    };
    work.then(end, end);
    const until = this.world.now + virtualMs;
    await this.drain.settle();
    while (!state.isDone) {
      if (!this.world.step(until)) throw new Error('never done');
      await this.drain.settleIfNeeded();
    }
    return work;
  }
}
