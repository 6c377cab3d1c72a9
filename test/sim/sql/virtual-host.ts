import type { World } from '../world.ts';
import type { SimHost } from './connection.ts';

/** What a simulated server needs of `world`: its time, and a stream of its chance. */
export function hostIn(world: World): SimHost {
  return {
    now: () => world.now,
    random: world.dice('server').next,
    after: (ms, run) => world.after(ms, run),
  };
}
