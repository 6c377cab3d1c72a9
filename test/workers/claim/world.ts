/** The claim of a node on real threads, beside a write path in which one cell sits and waits. */
import { claim, claimAlone } from '#actors/claim.ts';
import { roles } from '#actors/roles.ts';
import { role, type Behaviour } from '#src/kernel/behaviour.ts';
import type { TeamPlan } from '#src/kernel/plan.ts';
import { openPorts } from '#workers/ports.ts';
import type { World } from '#workers/world.ts';

const idle: Behaviour<null, never, null> = {
  init: () => [null, []],
  receive: (state) => [state, []],
  overview: () => ({}),
};

/** The plan of a node of a cluster, or of a process without one. */
export const planOf = (isAlone: boolean): TeamPlan => ({
  kind: 'team',
  id: 'capture',
  strategy: 'one_for_one',
  intensity: 3,
  periodMs: 60_000,
  why: 'test',
  children: [
    isAlone ? claimAlone : claim,
    {
      kind: 'team',
      id: 'write-path',
      strategy: 'one_for_one',
      intensity: 3,
      periodMs: 60_000,
      gate: true,
      why: 'test',
      children: [
        {
          kind: 'cell',
          id: 'idle',
          role: 'idle',
          thread: 'ingest',
          restart: 'permanent',
          stopWithinMs: 1_000,
          mailbox: 16,
          why: 'test',
        },
      ],
    },
  ],
});

/** The world: production's ports. */
export const world: World = { roles: { ...roles, idle: role(idle, {}) }, openPorts };

/** Where each thread finds it. */
export const worldUrl = import.meta.url;
