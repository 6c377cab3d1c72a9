/** What goes wrong between and in the nodes of a cluster, and what people ask of it, as an explicit schedule. */
import type { Dice } from '../dice.ts';

/** One fault or request. Times are virtual milliseconds. */
export type NodeFault = {
  /** When it happens, or from when on it waits for `on`. */
  readonly atMs: number;
  /** Happens this long after the mark of this name is next reached. */
  readonly on?: string;
  readonly delayMs?: number;
} & NodeFaultKind;

/**
 * Which node: one of those that live, by number; or the one that leads, maintains, or has sent a batch last, at that moment
 * (`any` of all when there is none).
 */
export interface NodePick {
  readonly who: 'any' | 'leader' | 'maintainer' | 'writer';
  readonly pick: number;
}

/** The kinds. */
export type NodeFaultKind =
  | { readonly kind: 'kill-node'; readonly node: NodePick; readonly downMs: number }
  /** It stands still; what it has just sent downstream may stay in the system's buffers for `heldMs`. */
  | {
      readonly kind: 'pause-node';
      readonly node: NodePick;
      readonly forMs: number;
      readonly heldMs: number;
    }
  /** Leaves in order, and comes back. */
  | { readonly kind: 'stop-node'; readonly node: NodePick }
  | {
      readonly kind: 'crash-cell';
      readonly node: NodePick;
      readonly role: string;
      readonly pick: number;
    }
  | { readonly kind: 'kill-node-thread'; readonly node: NodePick; readonly thread: string }
  | {
      readonly kind: 'pause-node-thread';
      readonly node: NodePick;
      readonly thread: string;
      readonly forMs: number;
    }
  /** Nothing goes between a node and the others, or one way only. */
  | {
      readonly kind: 'cut-node';
      readonly node: NodePick;
      readonly way: 'both' | 'to' | 'from';
      readonly forMs: number;
    }
  /** Nothing goes between a node and the coordination store, or one way only. */
  | {
      readonly kind: 'cut-store';
      readonly node: NodePick;
      readonly way: 'both' | 'to' | 'from';
      readonly forMs: number;
    }
  /** Nothing goes from one node to another one. */
  | {
      readonly kind: 'cut-link';
      readonly from: NodePick;
      readonly to: NodePick;
      readonly forMs: number;
    }
  /** All connections of a node to the others break. */
  | { readonly kind: 'sever-node'; readonly node: NodePick }
  | { readonly kind: 'slow-network'; readonly factor: number; readonly forMs: number }
  /** Its session ends behind its back. */
  | { readonly kind: 'revoke'; readonly node: NodePick }
  | { readonly kind: 'lose-leader'; readonly forMs: number }
  /** The store starts empty, as after the loss of its data. */
  | { readonly kind: 'lose-store' }
  /** Every way to the store and back takes so many times as long. */
  | { readonly kind: 'slow-store'; readonly factor: number; readonly forMs: number }
  | { readonly kind: 'compact' }
  /** The next batch is held up on its way downstream, and its sender is told that it was lost. */
  | { readonly kind: 'late-batch'; readonly lateMs: number }
  /**
   * A word that was heard before is heard again, by a node of a version without epochs (`zero`), or from a sender that is
   * past: whatever is governed by an epoch must not take it.
   */
  | { readonly kind: 'old-word'; readonly as: 'zero' | 'past'; readonly pick: number }
  | { readonly kind: 'move-table'; readonly table: number; readonly node: NodePick }
  | { readonly kind: 'split-table'; readonly table: number; readonly partCount: number }
  | { readonly kind: 'merge-table'; readonly table: number }
  /** Moves one of the parts that the table would have if it was split so. */
  | {
      readonly kind: 'move-part';
      readonly table: number;
      readonly partCount: number;
      readonly part: number;
      readonly node: NodePick;
    }
  | { readonly kind: 'move-feed'; readonly node: NodePick }
  | { readonly kind: 'drain'; readonly node: NodePick; readonly forMs: number }
  | { readonly kind: 'pause-feed'; readonly forMs: number }
  /** It is removed for good; somebody makes it again under the same id. */
  | { readonly kind: 'remove-feed' }
  | { readonly kind: 'resign' };

const roleNames = [
  'dispatcher',
  'dispatcher-manager',
  'maintainer',
  'log-puller',
  'event-service',
  'coordinator',
  'elector',
  'maintainer-manager',
  'dispatcher-orchestrator',
  'membership',
  'peer-keeper',
  'session',
];
const threadNames = ['lease', 'ingest', 'work-1', 'work-2'];

/** Moments at which a fault hurts most. */
const moments = [
  'maintainer ddl draining',
  'maintainer ddl saving',
  'maintainer ddl ddl',
  'maintainer raising',
  'maintainer gathering',
  'maintainer checking',
  'maintainer grouping',
  'maintainer finishing',
  'maintainer closing',
  'coordinator loading',
  'coordinator gathering',
  'epoch asked',
  'epoch committed',
  'dispatcher raising',
  'dispatcher recovering',
  'batch cut',
  'store read',
  'node fenced',
  'table split',
  'table merged',
];

function pickOf(dice: Dice): NodePick {
  return { who: dice.of(['any', 'any', 'leader', 'maintainer'] as const), pick: dice.pick(8) };
}

/** Often short, as often about as long as a session, or beyond it. */
function lasting(dice: Dice, sessionMs: number): number {
  return dice.chance(0.5) ? dice.magnitude(sessionMs) : (0.6 + dice.next() * 1.6) * sessionMs;
}

const ways = ['both', 'to', 'from'] as const;

const draws: Readonly<
  Record<NodeFaultKind['kind'], (dice: Dice, sessionMs: number) => NodeFaultKind>
> = {
  'kill-node': (dice, sessionMs) => ({
    kind: 'kill-node',
    node: pickOf(dice),
    downMs: lasting(dice, sessionMs),
  }),
  'pause-node': (dice, sessionMs) => ({
    kind: 'pause-node',
    node: pickOf(dice),
    forMs: lasting(dice, sessionMs),
    heldMs: dice.chance(0.5) ? 0 : lasting(dice, sessionMs),
  }),
  'stop-node': (dice) => ({ kind: 'stop-node', node: pickOf(dice) }),
  'crash-cell': (dice) => ({
    kind: 'crash-cell',
    node: pickOf(dice),
    role: dice.of(roleNames),
    pick: dice.pick(8),
  }),
  'kill-node-thread': (dice) => ({
    kind: 'kill-node-thread',
    node: pickOf(dice),
    thread: dice.of(threadNames),
  }),
  'pause-node-thread': (dice, sessionMs) => ({
    kind: 'pause-node-thread',
    node: pickOf(dice),
    thread: dice.of(['main', ...threadNames]),
    forMs: lasting(dice, sessionMs),
  }),
  'cut-node': (dice, sessionMs) => ({
    kind: 'cut-node',
    node: pickOf(dice),
    way: dice.of(ways),
    // Beyond what a new coordinator and a new maintainer wait for whoever is not heard.
    forMs: dice.chance(0.4) ? (1.5 + dice.next() * 3) * sessionMs : lasting(dice, sessionMs),
  }),
  'cut-store': (dice, sessionMs) => ({
    kind: 'cut-store',
    node: pickOf(dice),
    way: dice.of(ways),
    forMs: lasting(dice, sessionMs),
  }),
  'cut-link': (dice, sessionMs) => ({
    kind: 'cut-link',
    from: pickOf(dice),
    to: pickOf(dice),
    forMs: lasting(dice, sessionMs),
  }),
  'sever-node': (dice) => ({ kind: 'sever-node', node: pickOf(dice) }),
  'slow-network': (dice) => ({
    kind: 'slow-network',
    factor: dice.magnitude(500),
    forMs: dice.magnitude(5_000),
  }),
  revoke: (dice) => ({ kind: 'revoke', node: pickOf(dice) }),
  'lose-leader': (dice, sessionMs) => ({
    kind: 'lose-leader',
    forMs: lasting(dice, sessionMs),
  }),
  'lose-store': () => ({ kind: 'lose-store' }),
  'slow-store': (dice, sessionMs) => ({
    kind: 'slow-store',
    factor: dice.magnitude(sessionMs / 10),
    forMs: lasting(dice, sessionMs),
  }),
  compact: () => ({ kind: 'compact' }),
  'late-batch': (dice, sessionMs) => ({ kind: 'late-batch', lateMs: lasting(dice, sessionMs) }),
  'move-table': (dice) => ({ kind: 'move-table', table: dice.pick(5), node: pickOf(dice) }),
  'split-table': (dice) => ({
    kind: 'split-table',
    table: dice.pick(5),
    partCount: dice.between(2, 4),
  }),
  'merge-table': (dice) => ({ kind: 'merge-table', table: dice.pick(5) }),
  'old-word': (dice) => ({
    kind: 'old-word',
    as: dice.of(['zero', 'past'] as const),
    pick: dice.pick(1_000),
  }),
  'move-part': (dice) => {
    const partCount = dice.between(2, 4);
    const part = dice.pick(partCount);
    return { kind: 'move-part', table: dice.pick(5), partCount, part, node: pickOf(dice) };
  },
  'move-feed': (dice) => ({ kind: 'move-feed', node: pickOf(dice) }),
  drain: (dice) => ({ kind: 'drain', node: pickOf(dice), forMs: dice.magnitude(10_000) }),
  'pause-feed': (dice) => ({ kind: 'pause-feed', forMs: dice.magnitude(8_000) }),
  'remove-feed': () => ({ kind: 'remove-feed' }),
  resign: () => ({ kind: 'resign' }),
};

/** Kinds that few runs have: after them little of what was there counts. */
const rare: readonly NodeFaultKind['kind'][] = ['lose-store', 'remove-feed'];

/** Draws the schedule of one run: a few kinds, often few faults, sometimes many. */
export function drawNodeFaults(
  dice: Dice,
  { safetyMs, sessionMs }: { readonly safetyMs: number; readonly sessionMs: number },
): NodeFault[] {
  const kinds = (Object.keys(draws) as NodeFaultKind['kind'][]).filter((kind) =>
    dice.chance(rare.includes(kind) ? 0.06 : 0.3),
  );
  if (kinds.length === 0) return [];
  const count = Math.round(dice.magnitude(30));
  const faults = Array.from({ length: count }, (): NodeFault => {
    const kind = draws[dice.of(kinds)](dice, sessionMs);
    const atMs = Math.round(dice.next() * safetyMs);
    if (!dice.chance(0.4)) return { atMs, ...kind };
    return { atMs, on: dice.of(moments), delayMs: dice.next() * 8, ...kind };
  });
  return faults.sort((a, b) => a.atMs - b.atMs);
}
