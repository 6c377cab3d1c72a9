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
  const loads = loadsOf(bounds);
  const moves: Relocation[] = [];
  const held = new Map<string, string[]>();
  for (const { id, node } of placed) held.set(node, [...(held.get(node) ?? []), id]);
  while (moves.length < bounds.slots && loads.size > 1) {
    const from = most(loads);
    const to = least(loads);
    if (loads.get(from)! - loads.get(to)! < 2) break;
    const id = held.get(from)?.pop();
    if (id === undefined) break;
    moves.push({ id, from, to });
    loads.set(from, loads.get(from)! - 1);
    loads.set(to, loads.get(to)! + 1);
  }
  return moves;
}

/**
 * Balance of maintainers (spec/01 §1.8): the objects of each group are evened out among themselves first; when every group is
 * even, all the others over everything. Objects of groups stay where they are then: they would be moved back.
 */
export function balanceGroups(
  groups: readonly (readonly Placement[])[],
  others: readonly Placement[],
  bounds: PlacementBounds,
): readonly Relocation[] {
  const moves: Relocation[] = [];
  for (const group of groups) {
    const loads = new Map<string, number>();
    for (const { node } of group) loads.set(node, (loads.get(node) ?? 0) + 1);
    moves.push(...balance(group, { ...bounds, loads, slots: bounds.slots - moves.length }));
  }
  return moves.length > 0 ? moves : balance(others, bounds);
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

/** Moves of a drain at once: at least ten, or a hundredth of what there was at its start (spec/01 §1.8). */
export function drainSlots(initialCount: number): number {
  return Math.max(10, Math.ceil(initialCount / 100));
}

function loadsOf({ nodes, loads }: PlacementBounds): Map<string, number> {
  return new Map(nodes.map((node) => [node, loads.get(node) ?? 0]));
}

function least(loads: ReadonlyMap<string, number>): string {
  return [...loads].reduce((best, entry) => (entry[1] < best[1] ? entry : best))[0];
}

function most(loads: ReadonlyMap<string, number>): string {
  return [...loads].reduce((best, entry) => (entry[1] > best[1] ? entry : best))[0];
}
