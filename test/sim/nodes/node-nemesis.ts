/** Makes the faults of a cluster happen, and asks of it what people ask. */
import { must, unreachable } from '#src/base/assert.ts';
import { evenParts } from '#src/model/span.ts';
import type { CoordinatorRequest } from '#src/protocol/coordinator.ts';
import { schedule } from '../nemesis.ts';
import type { NodeCluster } from './node-cluster.ts';
import { feedId, type SimNode } from './sim-node.ts';
import type { NodeFault, NodePick } from './node-fault.ts';
import type { Tending } from './tending.ts';

/** What was sent just before a pause is still on its way. */
const heldBeforeMs = 10;

/** Puts the schedule into virtual time. */
export function releaseNodes(
  cluster: NodeCluster,
  tending: Tending,
  faults: readonly NodeFault[],
): void {
  schedule(cluster, faults, (fault) => happen(cluster, tending, fault));
}

function happen(cluster: NodeCluster, tending: Tending, fault: NodeFault): void {
  const { world, network, coordination } = cluster;
  const later = (afterMs: number, run: () => void): void => void world.after(afterMs, run);
  const node = 'node' in fault ? picked(cluster, fault.node) : null;
  switch (fault.kind) {
    case 'kill-node':
      if (node === null) return;
      markLoss(cluster, node);
      return cluster.kill(node, fault.downMs);
    case 'pause-node':
      if (node === null) return;
      markLoss(cluster, node);
      node.machine.heldMs = world.now + fault.heldMs;
      return later(fault.heldMs === 0 ? 0 : heldBeforeMs, () => cluster.pause(node, fault.forMs));
    case 'stop-node':
      if (node === null) return;
      world.mark('node left in order');
      cluster.checks.excuses(node.id);
      return node.process.shutdown();
    case 'crash-cell':
      if (node?.process.crash(fault.role, fault.pick) === true) world.mark(`crash ${fault.role}`);
      return;
    case 'kill-node-thread':
      return node?.process.killThread(fault.thread);
    case 'pause-node-thread': {
      const thread = node?.process.threads.get(fault.thread);
      thread?.pause();
      return later(fault.forMs, () => thread?.resume());
    }
    case 'cut-node':
      if (node === null) return;
      for (const { name } of cluster.machines) {
        if (fault.way !== 'from') network.cut(name, node.machine.name, fault.forMs);
        if (fault.way !== 'to') network.cut(node.machine.name, name, fault.forMs);
      }
      return;
    case 'cut-store':
      if (node === null) return;
      if (fault.way !== 'from') node.machine.cutToStoreMs = world.now + fault.forMs;
      if (fault.way !== 'to') node.machine.cutFromStoreMs = world.now + fault.forMs;
      return;
    case 'cut-link': {
      const [from, to] = [picked(cluster, fault.from), picked(cluster, fault.to)];
      if (from === null || to === null) return;
      return network.cut(from.machine.name, to.machine.name, fault.forMs);
    }
    case 'sever-node':
      if (node === null) return;
      for (const { name } of cluster.machines) network.sever(name, node.machine.name);
      return;
    case 'slow-network':
      network.slow = fault.factor;
      return later(fault.forMs, () => {
        network.slow = 1;
      });
    case 'revoke':
      if (node === null) return;
      return cluster.revoke(node);
    case 'lose-leader':
      coordination.loseLeader();
      return later(fault.forMs, () => cluster.coordination.gainLeader());
    case 'slow-store':
      cluster.weather.coordination.slow = fault.factor;
      return later(fault.forMs, () => {
        cluster.weather.coordination.slow = 1;
      });
    case 'lose-store':
      return cluster.loseStore();
    case 'late-batch': {
      const { lateMs } = fault;
      const mishap = { how: 'late', after: 0, brokenAfterMs: 0, lateMs, offlineMs: 0 } as const;
      return cluster.downstream.breakNext(mishap);
    }
    case 'compact':
      coordination.compact();
      return coordination.dropWatches();
    case 'move-table':
      if (node === null) return;
      return ask(cluster, {
        kind: 'MoveTable',
        id: feedId,
        span: `d.t${fault.table}`,
        node: node.id,
      });
    case 'split-table': {
      const span = `d.t${fault.table}`;
      const { partCount } = fault;
      return ask(cluster, { kind: 'SplitTable', id: feedId, span, partCount });
    }
    case 'merge-table':
      return ask(cluster, { kind: 'MergeTable', id: feedId, span: `d.t${fault.table}` });
    case 'old-word':
      return network.sayAgain(fault.as, fault.pick, cluster.checks.record?.epoch ?? 0);
    case 'move-part': {
      if (node === null) return;
      const parts = evenParts(`d.t${fault.table}`, fault.partCount);
      const span = must(parts[fault.part], 'a part');
      return ask(cluster, { kind: 'MoveTable', id: feedId, span, node: node.id });
    }
    case 'move-feed':
      if (node === null) return;
      return ask(cluster, { kind: 'MoveChangefeed', id: feedId, node: node.id });
    case 'drain':
      if (node === null) return;
      ask(cluster, { kind: 'DrainCapture', node: node.id });
      return later(fault.forMs, () => ask(cluster, { kind: 'DrainCapture', node: null }));
    case 'pause-feed':
      tending.pauseFor(fault.forMs);
      return ask(cluster, { kind: 'PauseChangefeed', id: feedId });
    case 'remove-feed':
      return ask(cluster, { kind: 'RemoveChangefeed', id: feedId });
    case 'resign':
      return ask(cluster, { kind: 'ResignCoordinator', node: cluster.leader?.id ?? '' });
    default:
      return unreachable(fault);
  }
}

/** Asks some node that is awake; nobody sees to it that it is done. */
function ask(cluster: NodeCluster, request: CoordinatorRequest): void {
  const { world } = cluster;
  const awake = cluster.nodes.filter(({ isPaused }) => !isPaused);
  const node = awake[world.dice('people').pick(awake.length)];
  node?.process.ask(request, (outcome) => {
    world.mark(`${request.kind}: ${outcome.ok ? 'done' : outcome.failure.code}`);
  });
}

function picked(cluster: NodeCluster, { who, pick }: NodePick): SimNode | null {
  const { nodes } = cluster;
  const chosen: Readonly<Record<NodePick['who'], () => SimNode | null | undefined>> = {
    any: () => null,
    leader: () => cluster.leader,
    maintainer: () => cluster.maintainer,
    writer: () => nodes.find(({ id }) => cluster.downstream.writer.startsWith(id)),
  };
  return chosen[who]() ?? nodes[pick % Math.max(1, nodes.length)] ?? null;
}

/** What is cut off in the middle. */
function markLoss({ world }: NodeCluster, { process }: SimNode): void {
  const isDoing = (role: string, phase: string): boolean => process.isDoing(role, phase);
  for (const stage of ['ddl draining', 'ddl saving', 'ddl ddl', 'gathering', 'raising', 'closing'])
    if (isDoing('maintainer', stage)) world.mark(`maintainer lost while ${stage}`);
  for (const phase of ['loading', 'gathering', 'running'])
    if (isDoing('coordinator', phase)) world.mark(`coordinator lost while ${phase}`);
}
