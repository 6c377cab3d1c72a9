/** The simulated store promises what the others do; what it does on top of them: lost leaders, in virtual time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failed, failure, type Outcome } from '#src/base/failure.ts';
import type { CoordinationAnswer, CoordinationPort } from '#src/ports/coordination.ts';
import { testCoordinationConformance } from '../src/adapters/coordination-conformance.ts';
import { SimCoordination, type SimClock } from './sim-coordination.ts';
import { World } from './world.ts';

/** The suite waits for real. */
const realClock: SimClock = {
  get now() {
    return performance.now();
  },
  after: (afterMs, run) => {
    const timer = setTimeout(run, afterMs);
    return () => clearTimeout(timer);
  },
};

function portOf(sim: SimCoordination): CoordinationPort {
  const closed = failed(failure('INTERNAL_STOPPED', 'closed'));
  const waiting = new Set<(outcome: Outcome<CoordinationAnswer>) => void>();
  let isClosed = false;
  return {
    call: (request) =>
      new Promise((resolve) => {
        if (isClosed) return resolve(closed);
        waiting.add(resolve);
        sim.perform(request, realClock.now, (outcome) => {
          waiting.delete(resolve);
          resolve(outcome);
        });
      }),
    close: () => {
      isClosed = true;
      for (const resolve of waiting) resolve(closed);
      return Promise.resolve();
    },
  };
}

testCoordinationConformance('simulated coordination', () => {
  const sim = new SimCoordination(realClock);
  return Promise.resolve({
    open: () => portOf(sim),
    compact: () => Promise.resolve(sim.compact()),
    revoke: (lease) => Promise.resolve(sim.revoke(lease)),
    expiryMs: 1_000,
    // Timers of sessions and readers that nobody ended would keep the process waiting.
    stop: () => {
      for (const lease of sim.leases) sim.revoke(lease);
      sim.dropWatches();
      return Promise.resolve();
    },
  });
});

test('a session outlives the loss of the leader by its whole time, and ends once', () => {
  const world = new World(1);
  const sim = new SimCoordination(world);
  const heard: string[] = [];
  const ask = (request: Parameters<SimCoordination['perform']>[0]): void =>
    sim.perform(request, world.now, (outcome) =>
      heard.push(`${world.now} ${outcome.ok ? outcome.value.kind : outcome.failure.code}`),
    );
  const runTo = (ms: number): void => {
    world.after(ms - world.now, () => {});
    while (world.now < ms) world.step();
  };
  ask({ kind: 'OpenSession', ttlMs: 10_000 });
  runTo(9_000);
  sim.loseLeader();
  ask({ kind: 'KeepAlive', lease: sim.leases[0]! });
  runTo(30_000);
  assert.deepEqual(heard, ['0 SessionOpened', '10500 COORDINATION_UNREACHABLE']);
  assert.equal(sim.leases.length, 1);
  sim.gainLeader();
  runTo(39_999);
  assert.equal(sim.leases.length, 1);
  runTo(40_001);
  assert.equal(sim.leases.length, 0);
});
