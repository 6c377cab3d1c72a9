/** How the cluster of a run is drawn (swarm options of its nodes). */
import { drawNodeFaults, type NodeFault } from './node-fault.ts';
import type { Dice } from '../dice.ts';

/** The nodes of a run. */
export interface NodesOptions {
  /** Machines: 2 to 5. One node is a process alone, with the plan of one. */
  readonly count: number;
  /** Time of a session, by the clock of the store. */
  readonly ttlMs: number;
  /** Failing changefeeds are tried again within seconds. */
  readonly isPrompt: boolean;
  readonly faults: readonly NodeFault[];
}

/** Share of the seeds that have several nodes. */
const clusterShare = 0.3;

/** The nodes of a seed; null for a process alone. */
export function drawNodes(dice: Dice, safetyMs: number): NodesOptions | null {
  if (!dice.chance(clusterShare)) return null;
  const count = dice.of([2, 2, 2, 3, 3, 4, 5]);
  const ttlMs = dice.of([5_000, 10_000]);
  const isPrompt = dice.chance(0.7);
  const faults = drawNodeFaults(dice, safetyMs);
  return { count, ttlMs, isPrompt, faults };
}
