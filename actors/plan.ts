/** THE HOUSE PLAN: who lives where, under whom, restarted how (DESIGN §5). `sluice plan` prints it; README shows the print. */
import type { TeamPlan } from '#src/kernel/plan.ts';
import { claim, claimAlone } from './claim.ts';

const children: readonly TeamPlan[] = [
  {
    kind: 'team',
    id: 'source',
    strategy: 'one_for_one',
    intensity: 1_000,
    periodMs: 60_000,
    why: "the upstream log of each feed, read here for this node's dispatchers",
    children: [
      {
        kind: 'cell',
        id: 'event-service',
        role: 'event-service',
        thread: 'ingest',
        restart: 'temporary',
        stopWithinMs: 2_000,
        mailbox: 65_536,
        many: { per: 'changefeed', dynamic: true },
        why: 'keeps events until they are committed downstream',
      },
      {
        kind: 'cell',
        id: 'log-puller',
        role: 'log-puller',
        thread: 'ingest',
        restart: 'temporary',
        stopWithinMs: 2_000,
        mailbox: 1_024,
        many: { per: 'changefeed', dynamic: true },
        why: 'reads the log in order; ends with its dispatcher manager',
      },
    ],
  },
  {
    kind: 'team',
    id: 'write-path',
    strategy: 'rest_for_one',
    intensity: 5,
    periodMs: 60_000,
    gate: true,
    why: 'everything that writes downstream: a fence kills it whole',
    children: [
      {
        kind: 'cell',
        id: 'dispatcher-orchestrator',
        role: 'dispatcher-orchestrator',
        thread: 'main',
        restart: 'permanent',
        stopWithinMs: 2_000,
        mailbox: 65_536,
        why: 'one dispatcher manager per feed; remembers who has closed it',
      },
      {
        kind: 'team',
        id: 'dispatchers',
        strategy: 'one_for_one',
        intensity: 1_000,
        periodMs: 60_000,
        why: 'one crash never touches another table',
        children: [
          {
            kind: 'cell',
            id: 'dispatcher',
            role: 'dispatcher',
            thread: 'work',
            restart: 'temporary',
            stopWithinMs: 2_000,
            mailbox: 4_096,
            many: { per: 'span', dynamic: true },
            why: 'applies one span; started again by its maintainer with a new token',
          },
        ],
      },
      {
        kind: 'team',
        id: 'managers',
        strategy: 'one_for_one',
        intensity: 10,
        periodMs: 60_000,
        why: "one feed's trouble never restarts another's",
        children: [
          {
            kind: 'cell',
            id: 'dispatcher-manager',
            role: 'dispatcher-manager',
            thread: 'work',
            restart: 'temporary',
            stopWithinMs: 2_000,
            mailbox: 65_536,
            many: { per: 'changefeed', dynamic: true },
            why: 'starts dispatchers, sums up their watermarks; adopted by the next maintainer',
          },
        ],
      },
    ],
  },
  {
    kind: 'team',
    id: 'control',
    strategy: 'one_for_one',
    intensity: 5,
    periodMs: 60_000,
    why: 'who does what',
    children: [
      {
        kind: 'team',
        id: 'maintainers',
        strategy: 'one_for_one',
        intensity: 1_000,
        periodMs: 60_000,
        why: 'one feed never restarts another',
        children: [
          {
            kind: 'cell',
            id: 'maintainer',
            role: 'maintainer',
            thread: 'work',
            restart: 'temporary',
            stopWithinMs: 10_000,
            mailbox: 65_536,
            many: { per: 'changefeed', dynamic: true },
            why: 'leads one changefeed under one epoch; started again by the coordinator under the next',
          },
        ],
      },
      {
        kind: 'cell',
        id: 'maintainer-manager',
        role: 'maintainer-manager',
        thread: 'main',
        restart: 'permanent',
        stopWithinMs: 2_000,
        mailbox: 65_536,
        why: 'starts and ends maintainers as the coordinator says, reports how they are',
      },
      {
        kind: 'team',
        id: 'coordinators',
        strategy: 'one_for_one',
        intensity: 1_000,
        periodMs: 60_000,
        why: 'at most one, while this node is elected',
        children: [
          {
            kind: 'cell',
            id: 'coordinator',
            role: 'coordinator',
            thread: 'main',
            restart: 'temporary',
            stopWithinMs: 5_000,
            mailbox: 65_536,
            many: { per: 'term', dynamic: true },
            why: 'persists epochs, places maintainers, does what people ask',
          },
        ],
      },
      {
        kind: 'cell',
        id: 'elector',
        role: 'elector',
        thread: 'main',
        restart: 'permanent',
        stopWithinMs: 5_000,
        mailbox: 4_096,
        why: 'campaigns for the coordinator key; takes requests to whoever leads',
      },
    ],
  },
];

/** The supervision tree of a node of a cluster. */
export const plan: TeamPlan = planOf(claim);

/** The same for a process without a cluster: its session is as long as itself, and it has no peers. */
export const planAlone: TeamPlan = planOf(claimAlone);

function planOf(first: TeamPlan): TeamPlan {
  return {
    kind: 'team',
    id: 'capture',
    strategy: 'one_for_one',
    intensity: 3,
    periodMs: 60_000,
    why: 'one running node',
    children: [first, ...children],
  };
}
