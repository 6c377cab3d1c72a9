/**
 * Faults that belong together: an ownership attempt, and trouble for whoever makes it just then. Faults drawn one by one
 * seldom meet there, because most of a run no epoch is being stored.
 */
import type { Dice } from '../dice.ts';
import type { NodeFault, NodeFaultKind, NodePick } from './node-fault.ts';

/** Bounds of a plot: how long faults may happen, and the time of a session; virtual milliseconds. */
interface PlotBounds {
  readonly safetyMs: number;
  readonly sessionMs: number;
}

/** Share of the clusters that have one. */
const plotShare = 0.6;
/** A maintainer is often not at rest: it is asked to move so often. */
const attemptCount = 4;

const any = (dice: Dice): NodePick => ({ who: 'any', pick: dice.pick(8) });
const leader: NodePick = { who: 'leader', pick: 0 };
const maintainer: NodePick = { who: 'maintainer', pick: 0 };
const writer: NodePick = { who: 'writer', pick: 0 };

/** What makes the coordinator begin an attempt. */
const causes: readonly ((dice: Dice) => NodeFaultKind)[] = [
  (dice) => ({ kind: 'move-feed', node: any(dice) }),
  (dice) => ({ kind: 'move-feed', node: any(dice) }),
  () => ({ kind: 'crash-cell', node: maintainer, role: 'maintainer', pick: 0 }),
  () => ({ kind: 'kill-node', node: maintainer, downMs: 1 }),
];

/** What comes in between. */
const troubles: readonly ((dice: Dice, sessionMs: number) => NodeFaultKind)[] = [
  () => ({ kind: 'crash-cell', node: leader, role: 'coordinator', pick: 0 }),
  () => ({ kind: 'resign' }),
  () => ({ kind: 'kill-node', node: leader, downMs: 1 }),
  (_, sessionMs) => ({ kind: 'pause-node', node: leader, forMs: sessionMs * 1.2, heldMs: 0 }),
  (dice, sessionMs) => ({
    kind: 'cut-store',
    node: leader,
    way: dice.of(['both', 'to', 'from'] as const),
    forMs: sessionMs * dice.next(),
  }),
  (dice) => ({ kind: 'move-feed', node: any(dice) }),
  (dice, sessionMs) => ({ kind: 'pause-feed', forMs: sessionMs * dice.next() }),
  () => ({ kind: 'remove-feed' }),
];

/** Who leads afterwards finds a maintainer that should have ended. */
const leaderEnds = troubles.slice(0, 3);

/** The plot of a run; many have none. */
export function drawPlot(dice: Dice, bounds: PlotBounds): NodeFault[] {
  if (!dice.chance(plotShare)) return [];
  const startMs = bounds.safetyMs * (0.2 + dice.next() * 0.6);
  return dice.of([drawStale, drawTroubled, drawRest])(dice, startMs, bounds);
}

/** Who has sent a batch that is still on its way dies, and somebody pauses or removes the changefeed just then; more than once. */
function drawRest(dice: Dice, startMs: number, { sessionMs }: PlotBounds): NodeFault[] {
  return [0, 1, 2].flatMap((at): NodeFault[] => {
    const atMs = startMs + at * sessionMs * 1.5;
    const end: NodeFaultKind = dice.chance(0.8)
      ? { kind: 'pause-feed', forMs: sessionMs * 4 }
      : { kind: 'remove-feed' };
    const held = { atMs, on: 'batch held up', delayMs: dice.next() * 2 } as const;
    return [
      { atMs, kind: 'late-batch', lateMs: sessionMs * (1 + dice.next() * 2) },
      { ...held, kind: 'kill-node', node: dice.of([any(dice), writer, maintainer]), downMs: 1 },
      { ...held, ...end },
    ];
  });
}

/** A maintainer does not hear that it is to end, and the coordinator ends when the next epoch is stored. */
function drawStale(dice: Dice, startMs: number, { sessionMs }: PlotBounds): NodeFault[] {
  const forMs = sessionMs * 2;
  const moves = Array.from({ length: attemptCount }, (_, i): NodeFault => {
    const atMs = startMs + (i * sessionMs) / attemptCount;
    return { atMs, kind: 'move-feed', node: any(dice) };
  });
  const end = dice.of(leaderEnds)(dice, sessionMs);
  return [
    { atMs: startMs, kind: 'cut-link', from: leader, to: maintainer, forMs },
    ...moves,
    { atMs: startMs, on: 'epoch committed', delayMs: dice.next() * 8, ...end },
  ];
}

/** Attempts while the store is slow perhaps, and something in between. */
function drawTroubled(dice: Dice, startMs: number, { sessionMs }: PlotBounds): NodeFault[] {
  const faults: NodeFault[] = [];
  // So slow that much may happen while an epoch is being stored.
  if (dice.chance(0.6)) {
    const factor = dice.magnitude(sessionMs / 20);
    faults.push({ atMs: startMs, kind: 'slow-store', factor, forMs: sessionMs * 2 });
  }
  const cause = dice.of(causes);
  for (let i = 0; i < attemptCount; i++)
    faults.push({ atMs: startMs + (i * sessionMs) / attemptCount, ...cause(dice) });
  const troubleCount = dice.between(1, 2);
  for (let i = 0; i < troubleCount; i++) {
    const on = dice.of(['epoch asked', 'epoch committed']);
    const delayMs = dice.magnitude(sessionMs / 4) - 1;
    faults.push({ atMs: startMs, on, delayMs, ...dice.of(troubles)(dice, sessionMs) });
  }
  return faults;
}
