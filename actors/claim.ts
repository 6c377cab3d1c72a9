/** The first team of a node of a cluster (DESIGN §5): who am I, may I write, who else is there. Started first, stopped last. */
import type { TeamPlan } from '#src/kernel/plan.ts';

/** See the top of this file. */
export const claim: TeamPlan = {
  kind: 'team',
  id: 'claim',
  strategy: 'rest_for_one',
  intensity: 3,
  periodMs: 60_000,
  why: 'who am I, may I write, who else is there',
  children: [
    {
      kind: 'cell',
      id: 'session',
      role: 'session',
      thread: 'lease',
      restart: 'permanent',
      // Two calls to a coordination store that may not answer.
      stopWithinMs: 10_000,
      mailbox: 1_024,
      why: 'keeps the lease and the write deadline; alone, for nothing may delay a renewal',
    },
    {
      kind: 'cell',
      id: 'membership',
      role: 'membership',
      thread: 'main',
      restart: 'permanent',
      stopWithinMs: 2_000,
      mailbox: 16_384,
      why: 'knows the nodes, and those that linger',
    },
    {
      kind: 'cell',
      id: 'peer-keeper',
      role: 'peer-keeper',
      thread: 'main',
      restart: 'permanent',
      stopWithinMs: 2_000,
      mailbox: 1_024,
      why: 'links this node to the others, and cuts off who lost its session',
    },
  ],
};
