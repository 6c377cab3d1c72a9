/** How the cluster of a run is drawn (swarm options of its nodes). */
import { drawPlot } from './node-plot.ts';
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

/** Nodes, and what of a run goes with them. */
interface DrawnNodes {
  readonly nodes: NodesOptions;
  /** How fast all clocks run beside virtual time. */
  readonly clockRate: number;
  /** How long faults may happen, virtual milliseconds. */
  readonly safetyMs: number;
}

/** Share of the seeds that have several nodes. */
const clusterShare = 0.25;
/** Faults happen for so long by the clocks of the nodes: sessions end, and nodes come back. */
const safetyMsMin = 2_000;
const safetyMsMax = 30_000;

/** The nodes of a seed; null for a process alone. */
export function drawNodes(dice: Dice): DrawnNodes | null {
  if (!dice.chance(clusterShare)) return null;
  const count = dice.of([2, 2, 2, 3, 3, 4, 5]);
  const ttlMs = dice.of([3_000, 5_000, 10_000]);
  const isPrompt = dice.chance(0.7);
  const clockRate = dice.of([0.5, 1, 2, 4, 8]);
  const safetyMs = Math.round(
    (safetyMsMin + dice.next() ** 2 * (safetyMsMax - safetyMsMin)) / clockRate,
  );
  const bounds = { safetyMs, sessionMs: ttlMs / clockRate };
  const faults = [...drawNodeFaults(dice, bounds), ...drawPlot(dice, bounds)];
  return { nodes: { count, ttlMs, isPrompt, faults }, clockRate, safetyMs };
}
