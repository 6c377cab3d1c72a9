/** One run of the simulator as data: everything that is drawn from a seed, so that a failing one can be made smaller and kept. */
import { Dice } from './dice.ts';
import {
  drawFaults,
  drawLockFaults,
  drawSinkFaults,
  drawStreamFaults,
  type Fault,
} from './fault.ts';
import { drawNodes, type NodesOptions } from './nodes/node-options.ts';
import { drawWorkload, type WorkItem } from './workload.ts';

/** What differs from run to run beside workload and faults (swarm options). */
export interface SimOptions {
  /** The quick model, or a simulated server under the real adapter. */
  readonly downstream: 'model' | 'server';
  /** How long a second of the simulated server lasts: short ones let its patience end within a run. */
  readonly serverSecondMs: number;
  /** Tables of the upstream. */
  readonly tableCount: number;
  /** Items of one log file of the upstream; absent: it has one only. */
  readonly logFileItemCount?: number;
  /** Lanes of every span. */
  readonly laneCount: number;
  readonly memoryQuota: number;
  /** How fast monotonic clocks run beside virtual time: a machine's error, or all timeouts scaled. */
  readonly clockRate: number;
  /** The clock of each next life differs by this share at most. */
  readonly clockError: number;
  readonly linkDelayMs: number;
  /** Transactions of one chunk at most. */
  readonly chunkItemCount: number;
  /** The feed ends by itself when it has applied what was there at its start. */
  readonly untilCaughtUp: boolean;
  /** The feed of a cluster ends behind this GTID; absent: never. */
  readonly untilGtid?: string;
  /** At the end the feed is stopped and the process shut down. */
  readonly stopsAtEnd: boolean;
  /** How long faults may happen. */
  readonly safetyMs: number;
}

/** A run. */
export interface SimCase {
  readonly seed: number;
  readonly options: SimOptions;
  readonly workload: readonly WorkItem[];
  readonly faults: readonly Fault[];
  /** Several nodes; absent: a process alone, as the main job runs. */
  readonly nodes?: NodesOptions;
}

/** The rate of a process alone is drawn in any case: what is drawn after it stays what it is. */
function clockRateOf(dice: Dice, ofNodes: number | null): number {
  const alone = dice.chance(0.6) ? 1 : 0.3 + dice.magnitude(8);
  return ofNodes ?? alone;
}

/** The run of a seed. */
export function caseOf(seed: number): SimCase {
  const dice = new Dice(seed, 'options');
  const untilCaughtUp = dice.chance(0.2);
  const isServer = dice.chance(0.4);
  // A real sink needs some hundred milliseconds until it writes its first row.
  const aloneMs = Math.round((isServer ? 3_000 : 1_000) + dice.magnitude(12_000));
  const several = drawNodes(new Dice(seed, 'nodes'));
  const { safetyMs = aloneMs } = several ?? {};
  const options: SimOptions = {
    downstream: isServer ? 'server' : 'model',
    tableCount: dice.between(1, 5),
    laneCount: dice.between(1, 4),
    // Half of the runs have so little memory that most events go by way of the store.
    memoryQuota: dice.chance(0.5) ? 1 << dice.between(9, 12) : 8 << 20,
    clockRate: clockRateOf(dice, several?.clockRate ?? null),
    clockError: dice.of([0, 0.000_1, 0.001, 0.05]),
    linkDelayMs: dice.of([0.5, 3, 3, 20]),
    chunkItemCount: dice.between(1, 8),
    untilCaughtUp,
    stopsAtEnd: dice.chance(0.3),
    safetyMs,
    serverSecondMs: Math.round(1_000 / dice.magnitude(100)),
    logFileItemCount: new Dice(seed, 'log').between(2, 40),
  };
  const workload = drawWorkload(new Dice(seed, 'workload'), {
    itemCount: (isServer ? 40 : 10) + Math.round(dice.magnitude(150)),
    tableCount: options.tableCount,
    keyCount: dice.between(1, 8),
    ddlShare: dice.of([0, 0.03, 0.1]),
    bigShare: dice.of([0, 0.1, 0.3]),
    bigRows: 10 + Math.round(dice.magnitude(60)),
    spreadMs: untilCaughtUp || dice.chance(isServer ? 0.1 : 0.3) ? 0 : safetyMs,
    rowsFollow: dice.chance(0.3),
  });
  const faults = drawFaults(new Dice(seed, 'fault'), safetyMs);
  const sinkDice = new Dice(seed, 'sink fault');
  if (isServer || sinkDice.chance(0.4)) faults.push(...drawSinkFaults(sinkDice, safetyMs));
  const streamDice = new Dice(seed, 'stream fault');
  if (streamDice.chance(0.4)) faults.push(...drawStreamFaults(streamDice, safetyMs));
  const lockDice = new Dice(seed, 'lock fault');
  if (isServer && lockDice.chance(0.4))
    faults.push(...drawLockFaults(lockDice, safetyMs, options.serverSecondMs));
  const run = { seed, options, workload, faults };
  return several === null ? run : { ...run, nodes: several.nodes };
}
