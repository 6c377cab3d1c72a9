/** The first team of a node (DESIGN §5): who am I, may I write, who else is there. Started first, stopped last. */
import type { CellPlan, TeamPlan } from '#src/kernel/plan.ts';

const session: CellPlan = {
  kind: 'cell',
  id: 'session',
  role: 'session',
  thread: 'lease',
  restart: 'permanent',
  // Two calls to a coordination store that may not answer.
  stopWithinMs: 10_000,
  mailbox: 1_024,
  why: 'keeps the lease and the write deadline; alone, for nothing may delay a renewal',
};

const membership: CellPlan = {
  kind: 'cell',
  id: 'membership',
  role: 'membership',
  thread: 'main',
  restart: 'permanent',
  stopWithinMs: 2_000,
  mailbox: 16_384,
  why: 'knows the nodes, and those that linger',
};

const peerKeeper: CellPlan = {
  kind: 'cell',
  id: 'peer-keeper',
  role: 'peer-keeper',
  thread: 'main',
  restart: 'permanent',
  stopWithinMs: 2_000,
  mailbox: 1_024,
  why: 'links this node to the others, and cuts off who lost its session',
};

/** The claim of a node of a cluster. */
export const claim: TeamPlan = {
  kind: 'team',
  id: 'claim',
  strategy: 'rest_for_one',
  intensity: 3,
  periodMs: 60_000,
  why: 'who am I, may I write, who else is there',
  children: [session, membership, peerKeeper],
};

/** The claim of a process without a cluster: its session ends with it, and its store lives on main, as all that asks it. */
export const claimAlone: TeamPlan = {
  ...claim,
  children: [{ ...session, thread: 'main', why: 'a session as long as the process' }, membership],
};
