/** Makes the faults of a run happen. */
import { unreachable } from '#src/base/assert.ts';
import type { Cluster } from './cluster.ts';
import type { Fault } from './fault.ts';

/** Puts the schedule of faults into virtual time. */
export function release(cluster: Cluster, faults: readonly Fault[]): void {
  const { world } = cluster;
  for (const fault of faults) {
    world.after(fault.atMs, () => {
      if (fault.on === undefined) happen(cluster, fault);
      else
        world.onNext(
          fault.on,
          () => void world.after(fault.delayMs ?? 0, () => happen(cluster, fault)),
        );
    });
  }
}

function happen(cluster: Cluster, fault: Fault): void {
  const { world, current, weather } = cluster;
  if (cluster.isCalm) return;
  world.trace.note(world.now, 'nemesis', fault.kind, 0);
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
      cluster.downstream.restart();
      weather.sink.isDown = true;
      return later(fault.downMs, () => {
        weather.sink.isDown = false;
      });
    case 'lock-row':
      return cluster.downstream.lockRow?.(fault.pick, fault.forMs);
    case 'upstream-cut':
      return cluster.upstream.cut();
    case 'upstream-crash':
      if (cluster.upstream.crash()) world.mark('incomplete group never happened');
      return;
    case 'purge':
      cluster.history.purgedTs = Math.max(
        cluster.history.purgedTs,
        cluster.downstream.checkpointTs(),
      );
      return;
    case 'purge-all':
      // A feed that has saved nothing yet may begin where the log now begins.
      if (cluster.downstream.checkpointTs() === 0) return;
      cluster.history.purgedTs = cluster.history.newestTs(world.now);
      cluster.expected.add('SOURCE_BINLOG_PURGED');
      return;
    case 'lose-tail':
      return loseTail(cluster);
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

function loseTail(cluster: Cluster): void {
  const { history, downstream, upstream } = cluster;
  const count = history.indexAfter(downstream.checkpointTs()) - 1;
  if (count < 0) return;
  cluster.expected.add('SOURCE_DIVERGED');
  history.truncate(count);
  upstream.cut();
}
