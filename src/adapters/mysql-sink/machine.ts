import { randomBytes } from 'node:crypto';
import { connectLink } from './driver-link.ts';

import type { Surroundings } from './surroundings.ts';

/** The real surroundings: monotonic clock, timers, random names, the driver's connections. */
export const machine: Surroundings = {
  now: () => performance.now(),
  timer: (afterMs, due) => {
    const timer = setTimeout(due, afterMs);
    return () => clearTimeout(timer);
  },
  uniqueName: () => randomBytes(6).toString('hex'),
  connect: connectLink,
};
