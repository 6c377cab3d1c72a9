/**
 * One run: faults while the workload goes on (safety), then good weather in which everything must be copied (liveness).
 * Invariants are checked with every write and report, the whole copy at the end.
 */
import { Cluster } from './cluster.ts';
import { release } from './nemesis.ts';
import { NodeCluster } from './nodes/node-cluster.ts';
import { runNodes } from './nodes/node-run.ts';
import type { SimCase } from './sim-case.ts';
import type { Outside } from './outside.ts';
import { assertCopied } from './sim-downstream.ts';

/** What became of a run. */
export interface SimResult {
  readonly seed: number;
  /** What was broken; null when all held. */
  readonly problem: string | null;
  readonly hash: string;
  readonly events: number;
  readonly virtualMs: number;
  readonly marks: readonly string[];
  /** The newest events, for a failed run. */
  readonly trace: readonly string[];
}

/** In good weather everything is copied within this time. */
const livenessMs = 300_000;
/** A feed asked to stop, and then a process, end within this time. */
const endingMs = 60_000;

/** Runs a case to its end. */
export async function runCase(simCase: SimCase): Promise<SimResult> {
  const { nodes } = simCase;
  if (nodes === undefined) {
    const cluster = new Cluster(simCase);
    return await resultOf(cluster, simCase, () => runAlone(cluster, simCase));
  }
  const cluster = new NodeCluster(simCase, nodes);
  return await resultOf(cluster, simCase, () => runNodes(cluster, simCase, nodes));
}

async function resultOf(
  { world }: Outside,
  { seed }: SimCase,
  run: () => Promise<void>,
): Promise<SimResult> {
  let problem: string | null = null;
  try {
    await run();
  } catch (error) {
    problem = error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  problem = world.violation ?? problem;
  return {
    seed,
    problem,
    hash: world.trace.hash,
    events: world.stepCount,
    virtualMs: world.now,
    marks: [...world.marks],
    trace: problem === null ? [] : world.trace.newest(40),
  };
}

async function runAlone(cluster: Cluster, simCase: SimCase): Promise<void> {
  const { world } = cluster;
  cluster.boot();
  cluster.tend();
  release(cluster, simCase.faults);
  await world.run(() => false, simCase.options.safetyMs);
  if (world.violation === null) await recover(cluster);
  if (world.violation === null && simCase.options.stopsAtEnd) await end(cluster);
}

async function recover(cluster: Cluster): Promise<void> {
  const { world, history, downstream } = cluster;
  cluster.calm();
  const hasFailed = (): boolean => cluster.current?.status?.state === 'failed';
  const isCopied = (): boolean =>
    !history.isTruncated &&
    cluster.current?.status?.checkpoint?.ts === history.lastTs &&
    downstream.checkpointTs() === history.lastTs &&
    cluster.current.hasFeed();
  // A feed that had ended before the tail was lost never learns of it.
  const hasFinished = (): boolean =>
    history.isTruncated && cluster.current?.status?.state === 'finished';
  const isDone = (): boolean =>
    isCopied() || hasFinished() || (hasFailed() && cluster.expected.size > 0);
  if (!(await world.run(isDone, world.now + livenessMs)))
    return world.violate(
      `not copied in good weather: ${JSON.stringify(cluster.current?.status)} ${JSON.stringify(cluster.current?.overview())}`,
    );
  if (world.violation !== null) return;
  if (isCopied()) {
    assertCopied(history, downstream, history.lastTs);
    world.mark('copied');
  }
}

/** Stops the feed, then the process. */
async function end(cluster: Cluster): Promise<void> {
  const { world, current } = cluster;
  if (current === null) return;
  cluster.isWanted = false;
  const { state } = current.status!;
  if (state !== 'finished' && state !== 'failed') {
    current.stopChangefeed();
    const isStopped = (): boolean =>
      current.status?.state === 'stopped' || current.status?.state === 'finished';
    if (!(await world.run(isStopped, world.now + endingMs)))
      return world.violate(`the feed did not stop: ${JSON.stringify(current.status)}`);
    world.mark('stopped');
  }
  cluster.isEnding = true;
  current.shutdown();
  if (!(await world.run(() => current.isDead, world.now + endingMs)))
    world.violate(`the process did not end: ${JSON.stringify(current.overview())}`);
}
