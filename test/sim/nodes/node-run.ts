/**
 * A run of several nodes: faults while the workload goes on (safety), then good weather in which everything must be copied,
 * one coordinator leads, one maintainer runs under the stored epoch, and the tables are spread evenly (liveness, spec/09 G5).
 */
import { captureRecordKey, coordinatorKey } from '#src/model/coordination-key.ts';
import { happenOutside, isOutside, schedule } from '../nemesis.ts';
import type { SimCase } from '../sim-case.ts';
import { assertCopied } from '../sim-downstream.ts';
import type { NodeCluster } from './node-cluster.ts';
import { clusterId, type SimNode } from './sim-node.ts';
import { releaseNodes } from './node-nemesis.ts';
import type { NodesOptions } from './node-options.ts';
import { Tending } from './tending.ts';

/** In good weather everything is copied, and all is in order, within this time. */
const livenessMs = 300_000;
/** A feed asked to stop, and then the nodes, end within this time. */
const endingMs = 60_000;

/** How often it is looked whether all is in order. */
const lookEveryMs = 25;

/** Cells that only a running changefeed has. */
const feedRoles = ['maintainer', 'dispatcher-manager', 'dispatcher', 'log-puller', 'event-service'];

/** Runs the case to its end; violations are the world's. */
export async function runNodes(
  cluster: NodeCluster,
  simCase: SimCase,
  nodes: NodesOptions,
): Promise<void> {
  const { world } = cluster;
  const { safetyMs, stopsAtEnd } = simCase.options;
  const tending = new Tending(cluster);
  for (const machine of cluster.machines)
    world.after(world.dice('boots').magnitude(500), () => {
      if (machine.node === null) cluster.boot(machine);
    });
  tending.start();
  const around = simCase.faults.filter((fault) => isOutside(fault));
  schedule(cluster, around, (fault) => happenOutside(cluster, fault));
  releaseNodes(cluster, tending, nodes.faults);
  await world.run(() => false, safetyMs);
  if (world.violation === null) await recover(cluster, tending);
  if (world.violation === null && stopsAtEnd) await end(cluster, tending);
  cluster.checks.rests();
}

async function recover(cluster: NodeCluster, tending: Tending): Promise<void> {
  const { world, history, downstream } = cluster;
  cluster.calm();
  tending.decide(true);
  undrain(cluster);
  const isFinal = (): boolean =>
    cluster.expected.size > 0 &&
    (cluster.checks.record?.state === 'failed' ||
      (history.isTruncated && cluster.checks.record?.state === 'finished'));
  let lookedAtMs = 0;
  const isDone = (): boolean => {
    // Looking at every cell takes longer than most of what happens.
    if (world.now - lookedAtMs < lookEveryMs) return false;
    lookedAtMs = world.now;
    return isFinal() || missing(cluster).length === 0;
  };
  const wasDone = await world.run(isDone, world.now + livenessMs);
  if (world.violation !== null) return;
  if (!wasDone)
    return world.violate(
      `not in order in good weather: ${missing(cluster).join('; ')} ${picture(cluster)}`,
    );
  if (isFinal()) return;
  assertCopied(history, downstream, history.lastTs);
  world.mark('copied');
  world.mark(`copied by ${cluster.nodes.length} nodes`);
}

/** What is not yet as it must be. */
function missing(cluster: NodeCluster): readonly string[] {
  const { history, downstream, checks, nodes } = cluster;
  const isLeft: string[] = [];
  if (downstream.checkpointTs() !== history.lastTs)
    return [`the checkpoint is ${downstream.checkpointTs()} of ${history.lastTs}`];
  const isFinished = checks.record?.state === 'finished';
  if (checks.record?.state !== 'normal' && !isFinished)
    isLeft.push(`the record is ${checks.record?.state}`);
  if (nodes.length < cluster.machines.length) isLeft.push('a node is down');
  isLeft.push(...ownership(cluster));
  if (!isFinished) isLeft.push(...spread(cluster));
  return isLeft;
}

/** One coordinator that owns the key, one maintainer under the stored epoch (G5). */
function ownership(cluster: NodeCluster): readonly string[] {
  const { nodes, checks } = cluster;
  const owner = cluster.stored(coordinatorKey(clusterId));
  const leaders = nodes.filter(({ process }) => process.isDoing('coordinator', 'running'));
  const isOne = leaders.length === 1 && leaders[0]?.id === owner;
  const isLeft = isOne ? [] : [`${leaders.length} coordinators, ${owner} owns the key`];
  const epochs = nodes.flatMap((node) => epochsOf(node));
  const wanted = checks.record?.state === 'finished' ? [] : [checks.record?.epoch];
  if (epochs.join() !== wanted.join())
    isLeft.push(`maintainers under ${epochs.join()}, wanted ${wanted.join()}`);
  return isLeft;
}

function epochsOf({ process }: SimNode): readonly number[] {
  return process
    .overview()
    .filter((cell) => cell.role === 'maintainer')
    .map(({ path }) => Number(path.split(':').at(-1)));
}

/** No table has two dispatchers (one whose changes are all copied may have none), and no node has two more than another. */
function spread(cluster: NodeCluster): readonly string[] {
  const loads = cluster.nodes.map((node) => spansOf(node));
  const spans = loads.flat();
  const isLeft: string[] = [];
  if (new Set(spans).size < spans.length) isLeft.push(`dispatchers of ${spans.join()}`);
  const counts = loads.map((load) => load.length);
  if (Math.max(...counts) - Math.min(...counts) > 1) isLeft.push(`uneven: ${counts.join()}`);
  return isLeft;
}

function spansOf({ process }: SimNode): readonly string[] {
  return process
    .overview()
    .filter((cell) => cell.role === 'dispatcher')
    .map(({ path }) => decodeURIComponent(path.split(':').at(-1) ?? ''));
}

/** Somebody looks after the drain, and ends it: an ask from before may be heard after one that ended it. */
function undrain(cluster: NodeCluster): void {
  const { world, nodes } = cluster;
  const node = nodes[world.dice('people').pick(nodes.length)];
  const again = (): void => void world.after(1_000, () => undrain(cluster));
  if (node === undefined) return again();
  node.process.ask({ kind: 'ListCaptures' }, (listed) => {
    const views = listed.ok && listed.value.kind === 'Captures' ? listed.value.views : [];
    if (!views.some(({ isDraining }) => isDraining)) return again();
    node.process.ask({ kind: 'DrainCapture', node: null }, again);
  });
}

/** Stops the feed, then all nodes: nothing of either is left (G6). */
async function end(cluster: NodeCluster, tending: Tending): Promise<void> {
  const { world, checks } = cluster;
  tending.decide(false);
  const state = checks.record?.state;
  const isOver = (): boolean => state === 'failed' || left(cluster).length === 0;
  if (!(await world.run(isOver, world.now + endingMs)))
    return world.violate(`G6: the feed leaves ${left(cluster).join()}: ${picture(cluster)}`);
  if (world.violation !== null) return;
  world.mark('stopped');
  cluster.isEnding = true;
  const { nodes } = cluster;
  for (const { id, process } of nodes) {
    checks.excuses(id);
    world.after(world.dice('boots').magnitude(2_000), () => process.shutdown());
  }
  const isDown = (): boolean => nodes.every(({ process }) => process.isDead);
  if (!(await world.run(isDown, world.now + endingMs)))
    return world.violate(`the nodes did not end: ${picture(cluster)}`);
  const records = nodes.filter(
    ({ id }) => cluster.stored(captureRecordKey(clusterId, id)) !== null,
  );
  // Who was fenced on the way is told of by its record; others said that they had stopped writing.
  if (records.length > 0) world.mark('record left behind');
}

function left({ nodes }: NodeCluster): readonly string[] {
  return nodes.flatMap(({ process }) =>
    process.overview().flatMap(({ role, path }) => (feedRoles.includes(role) ? [path] : [])),
  );
}

function picture({ nodes, status, checks }: NodeCluster): string {
  const cells = nodes.map(({ id, process }) => [
    id,
    ...process.overview().map(({ path, state }) => [path, state]),
  ]);
  return JSON.stringify({ status, record: checks.record, cells });
}
