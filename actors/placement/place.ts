/**
 * Where objects go (spec/01 §1.8), as pure functions over counts: basic (absent ones to the least loaded node), balance (from
 * the most to the least loaded), drain (off one node). Both levels use them: maintainers over nodes, spans over nodes.
 */

/** How often an uneven load is looked for, milliseconds. */
export const balanceEveryMs = 15_000;

/** After a drain nothing is evened out for so long, milliseconds: the node may be about to leave. */
export const drainCooldownMs = 120_000;

/** One object placed on one node. */
export interface Placement {
  readonly id: string;
  readonly node: string;
}

/** An object moved from one node to another. */
export interface Relocation {
  readonly id: string;
  readonly from: string;
  readonly to: string;
}

/** How a round is bounded. */
export interface PlacementBounds {
  /** Nodes an object may be placed on: alive, and not being drained. Order breaks ties. */
  readonly nodes: readonly string[];
  /** Objects on each node now, those under way to it included. */
  readonly loads: ReadonlyMap<string, number>;
  /** Operators that may start in this round. */
  readonly slots: number;
}

/** Basic: each absent object goes to the node that is least loaded at that moment, as many as slots allow. */
export function placeAbsent(
  absent: readonly string[],
  bounds: PlacementBounds,
): readonly Placement[] {
  const loads = loadsOf(bounds);
  if (loads.size === 0) return [];
  return absent.slice(0, Math.max(0, bounds.slots)).map((id) => {
    const node = least(loads);
    loads.set(node, loads.get(node)! + 1);
    return { id, node };
  });
}

/**
 * Basic, for objects that belong together (parts of one table): each goes to the node that has fewest of them, of those to the
 * one that is least loaded, so that they work side by side. `group`: how many of them each node has already.
 */
export function spreadAbsent(
  absent: readonly string[],
  bounds: PlacementBounds,
  group: ReadonlyMap<string, number>,
): readonly Placement[] {
  const loads = loadsOf(bounds);
  const own = loadsOf({ ...bounds, loads: group });
  if (loads.size === 0) return [];
  return absent.slice(0, Math.max(0, bounds.slots)).map((id) => {
    const few = Math.min(...own.values());
    const node = least(new Map([...loads].filter(([name]) => own.get(name) === few)));
    loads.set(node, loads.get(node)! + 1);
    own.set(node, few + 1);
    return { id, node };
  });
}

/**
 * Balance: moves until no node holds two objects more than another, as many as slots allow. The caller sees to it that
 * nothing is absent and no operator is under way.
 */
export function balance(
  placed: readonly Placement[],
  bounds: PlacementBounds,
): readonly Relocation[] {
  return evenOut([], placed, bounds);
}

/**
 * Balance of maintainers (spec/01 §1.8): the objects of each group are evened out among themselves first; when every group is
 * even, everything over everything. Of a group an object goes only where the group has fewer: it stays as even as it was.
 */
export function balanceGroups(
  groups: readonly (readonly Placement[])[],
  others: readonly Placement[],
  bounds: PlacementBounds,
): readonly Relocation[] {
  const moves: Relocation[] = [];
  for (const group of groups) {
    const own = { ...bounds, loads: countsOf(group), slots: bounds.slots - moves.length };
    moves.push(...balance(group, own));
  }
  return moves.length > 0 ? moves : evenOut(groups, others, bounds);
}

function evenOut(
  groups: readonly (readonly Placement[])[],
  others: readonly Placement[],
  bounds: PlacementBounds,
): readonly Relocation[] {
  const loads = loadsOf(bounds);
  const free = idsOf(others);
  const parts = groups.map((group) => ({ ids: idsOf(group), counts: countsOf(group) }));
  const take = (from: string, to: string): string | undefined => {
    const id = free.get(from)?.pop();
    if (id !== undefined) return id;
    for (const { ids, counts } of parts) {
      const [has, less] = [counts.get(from) ?? 0, counts.get(to) ?? 0];
      const part = has > less ? ids.get(from)?.pop() : undefined;
      if (part === undefined) continue;
      counts.set(from, has - 1);
      counts.set(to, less + 1);
      return part;
    }
    return undefined;
  };
  const moves: Relocation[] = [];
  while (moves.length < bounds.slots && loads.size > 1) {
    const next = nextMove(loads, take);
    if (next === null) break;
    moves.push(next);
    loads.set(next.from, loads.get(next.from)! - 1);
    loads.set(next.to, loads.get(next.to)! + 1);
  }
  return moves;
}

/** From the most loaded node that has something to give; null when none has that holds two more than the least loaded. */
function nextMove(
  loads: ReadonlyMap<string, number>,
  take: (from: string, to: string) => string | undefined,
): Relocation | null {
  const to = least(loads);
  for (const [from, load] of [...loads].sort(([, one], [, other]) => other - one)) {
    if (load - loads.get(to)! < 2) return null;
    const id = take(from, to);
    if (id !== undefined) return { id, from, to };
  }
  return null;
}

/** Drain: everything on `target` goes to the least loaded of the other nodes, as many as slots allow. */
export function drain(
  target: string,
  placed: readonly Placement[],
  bounds: PlacementBounds,
): readonly Relocation[] {
  const nodes = bounds.nodes.filter((node) => node !== target);
  const leaving = placed.filter(({ node }) => node === target).map(({ id }) => id);
  return placeAbsent(leaving, { ...bounds, nodes }).map(({ id, node }) => ({
    id,
    from: target,
    to: node,
  }));
}

/** Moves of a drain at once: at least ten, or a hundredth of what is still there (spec/01 §1.8, decision 47). */
export function drainSlots(count: number): number {
  return Math.max(10, Math.ceil(count / 100));
}

function loadsOf({ nodes, loads }: PlacementBounds): Map<string, number> {
  return new Map(nodes.map((node) => [node, loads.get(node) ?? 0]));
}

function least(loads: ReadonlyMap<string, number>): string {
  return [...loads].reduce((best, entry) => (entry[1] < best[1] ? entry : best))[0];
}

function idsOf(placed: readonly Placement[]): Map<string, string[]> {
  const held = new Map<string, string[]>();
  for (const { id, node } of placed) held.set(node, [...(held.get(node) ?? []), id]);
  return held;
}

function countsOf(placed: readonly Placement[]): Map<string, number> {
  return new Map([...idsOf(placed)].map(([node, ids]) => [node, ids.length]));
}
