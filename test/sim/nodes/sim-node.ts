/** Nodes of a simulated cluster, and the machines they live on. */
import type { SimClock } from '../sim-coordination.ts';
import type { SimProcess } from '../sim-process.ts';
import type { WriteRight } from './write-right.ts';

/** Cluster id and changefeed of every run. */
export const clusterId = 'c';
export const feedId = 'feed';

/** A life of a node. */
export interface SimNode {
  readonly id: string;
  readonly machine: Machine;
  readonly process: SimProcess;
  readonly right: WriteRight;
  readonly clock: SimClock;
  isPaused: boolean;
}

/** Where nodes live. */
export interface Machine {
  readonly name: string;
  node: SimNode | null;
  lives: number;
  /** Nothing goes to the store, or comes from it, before. */
  cutToStoreMs: number;
  cutFromStoreMs: number;
  /** Packets that were just sent downstream stay in the system's buffers until then. */
  heldMs: number;
}
