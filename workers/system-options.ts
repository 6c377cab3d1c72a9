/** What an actor system is made of, and what its shared memory has room for. */
import { checkPlan, gatesOf, threadsOf, type TeamPlan } from '#src/kernel/plan.ts';
import type { TreeOver } from '#src/kernel/tree-io.ts';
import type { PeerEvents, Peers } from '#src/ports/peers.ts';
import type { ActorSystem } from './actor-system.ts';
import type { FenceProof } from './fence-proof.ts';
import type { CaptureSettings } from './settings.ts';
import { gateCountMax, threadCountMax } from './shared-memory.ts';
import type { AnyPort } from './thread-host.ts';
import type { World } from './world.ts';

/** See the top of this file. */
export interface ActorSystemOptions {
  readonly plan: TeamPlan;
  readonly world: World;
  /** Address of the module that exports `world`: each thread imports it. */
  readonly worldUrl: string;
  readonly settings: CaptureSettings;
  readonly workThreadCount: number;
  /** A session bounds this node's right to write: nothing is written before its first deadline is published. */
  readonly isLeased?: boolean;
  /** Props of a cell of the plan, given at each start. */
  readonly props: (path: string, system: ActorSystem) => unknown;
  /** Ports of main besides the world's. */
  readonly mainPorts: Readonly<Record<string, () => AnyPort>>;
  /** Opens the links to other nodes; absent: there are none. */
  readonly openPeers?: (events: PeerEvents) => Promise<Peers>;
  /** Called once when the supervision tree gave up. */
  readonly onOver: (over: TreeOver) => void;
  /** Called after every fence, from whichever thread it came, when it is proven that nothing fenced runs any more. */
  readonly onFence?: (proof: FenceProof) => void;
}

/** What is wrong with a plan, or too much for the shared memory: one message each. */
export function faultsOf({ plan, world, workThreadCount }: ActorSystemOptions): readonly string[] {
  const threadCount = 1 + threadsOf(plan).length + workThreadCount;
  const gateCount = gatesOf(plan).length;
  return [
    ...checkPlan(plan, Object.keys(world.roles)),
    ...(threadCount > threadCountMax ? [`${threadCount} threads, at most ${threadCountMax}`] : []),
    ...(gateCount > gateCountMax ? [`${gateCount} gates, at most ${gateCountMax}`] : []),
  ];
}
