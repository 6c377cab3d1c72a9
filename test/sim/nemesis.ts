/** Makes the faults of a run happen. */
import { unreachable } from '#src/base/assert.ts';
import type { Cluster } from './cluster.ts';
import type { Fault } from './fault.ts';
import type { NodeFault } from './nodes/node-fault.ts';
import type { Outside } from './outside.ts';

/** Puts the schedule of faults into virtual time. */
export function release(cluster: Cluster, faults: readonly Fault[]): void {
  schedule(cluster, faults, (fault) => {
    if (isOutside(fault)) happenOutside(cluster, fault);
    else happen(cluster, fault);
  });
}

/** Puts a schedule into virtual time; nothing of it happens any more once the weather is good for ever. */
export function schedule<F extends Fault | NodeFault>(
  outside: Outside,
  faults: readonly F[],
  happen: (fault: F) => void,
): void {
  const { world } = outside;
  const act = (fault: F): void => {
    if (outside.isCalm) return;
    world.trace.note(world.now, 'nemesis', fault.kind, 0);
    happen(fault);
  };
  for (const fault of faults) {
    world.after(fault.atMs, () => {
      if (fault.on === undefined) act(fault);
      else world.onNext(fault.on, () => void world.after(fault.delayMs ?? 0, () => act(fault)));
    });
  }
}

/** Kinds that have to do with the servers around the processes only. */
const outsideKinds = [
  'port',
  'port-down',
  'slow-port',
  'sink-restart',
  'lock-rows',
  'break-batch',
  'upstream-cut',
  'upstream-crash',
  'purge',
  'purge-all',
  'lose-tail',
] as const;

type OutsideFault = Extract<Fault, { readonly kind: (typeof outsideKinds)[number] }>;

/** True for a fault of the servers around the processes, whoever these are. */
export function isOutside(fault: Fault): fault is OutsideFault {
  return outsideKinds.some((kind) => kind === fault.kind);
}

function happen(cluster: Cluster, fault: Exclude<Fault, OutsideFault>): void {
  const { world, current } = cluster;
  const later = (afterMs: number, run: () => void): void => void world.after(afterMs, run);
  switch (fault.kind) {
    case 'crash':
      if (current?.crash(fault.role, fault.pick) === true) world.mark(`crash ${fault.role}`);
      return;
    case 'fence':
      return current?.fence(fault.team, () =>
        later(fault.downMs, () => {
          if (!current.isDead) current.revive(fault.team);
        }),
      );
    case 'kill-thread':
      return current?.killThread(fault.thread);
    case 'kill-process':
      if (current === null) return;
      if (current.isDoing('maintainer', 'ddl ddl')) world.mark('killed during a DDL');
      cluster.kill(current);
      return cluster.bootAfter(fault.downMs);
    case 'pause-thread': {
      const thread = current?.threads.get(fault.thread);
      thread?.pause();
      return later(fault.forMs, () => thread?.resume());
    }
    case 'pause-process':
      current?.pause();
      return later(fault.forMs, () => current?.resume());
    case 'takeover':
      if (current === null) return;
      current.pause();
      cluster.zombies.add(current);
      cluster.hadTakeover = true;
      cluster.boot();
      return later(fault.asleepMs, () => {
        if (!current.isDead) world.mark('zombie woke up');
        current.resume();
        later(fault.awakeMs, () => cluster.kill(current));
      });
    case 'slow-link':
      current?.slowLink(fault.from, fault.to, fault.factor);
      return later(fault.forMs, () => current?.slowLink(fault.from, fault.to, 1));
    case 'restore-coordination':
      return cluster.loseCoordination();
    case 'stop-start':
      cluster.isWanted = false;
      current?.stopChangefeed();
      return later(fault.forMs, () => {
        cluster.isWanted = true;
      });
    default:
      return unreachable(fault);
  }
}

/** Makes a fault of the servers around happen. */
export function happenOutside(outside: Outside, fault: OutsideFault): void {
  const { world, weather } = outside;
  const later = (afterMs: number, run: () => void): void => void world.after(afterMs, run);
  switch (fault.kind) {
    case 'port':
      weather[fault.port][fault.how] = fault.chance;
      return later(fault.forMs, () => {
        weather[fault.port][fault.how] = 0;
      });
    case 'port-down':
      weather[fault.port].isDown = true;
      return later(fault.forMs, () => {
        weather[fault.port].isDown = false;
      });
    case 'slow-port':
      weather[fault.port].slow = fault.factor;
      return later(fault.forMs, () => {
        weather[fault.port].slow = 1;
      });
    case 'sink-restart':
      outside.downstream.restart();
      weather.sink.isDown = true;
      return later(fault.downMs, () => {
        weather.sink.isDown = false;
      });
    case 'lock-rows':
      return outside.downstream.lockRows?.(fault.pick, fault.count, fault.forMs);
    case 'break-batch':
      return outside.downstream.breakNext(fault);
    case 'upstream-cut':
      return outside.upstream.cut();
    case 'upstream-crash':
      if (outside.upstream.crash()) world.mark('incomplete group never happened');
      return;
    case 'purge':
      outside.history.purgedTs = Math.max(
        outside.history.purgedTs,
        outside.downstream.checkpointTs(),
      );
      return;
    case 'purge-all':
      // A feed that has saved nothing yet may begin where the log now begins.
      if (outside.downstream.checkpointTs() === 0) return;
      outside.history.purgedTs = outside.history.newestTs(world.now);
      outside.expected.add('SOURCE_BINLOG_PURGED');
      return;
    case 'lose-tail':
      return loseTail(outside);
    default:
      return unreachable(fault);
  }
}

function loseTail(outside: Outside): void {
  const { history, downstream, upstream } = outside;
  const count = history.indexAfter(downstream.checkpointTs()) - 1;
  if (count < 0) return;
  outside.expected.add('SOURCE_DIVERGED');
  history.truncate(count);
  upstream.cut();
}
