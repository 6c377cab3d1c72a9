/**
 * A changefeed of a cluster that ends at a GTID, in virtual time: whatever dies on the way, what is copied is exactly what lies up
 * to it. Every invariant of the simulator is looked at on the way.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gtidAt, tsStep } from './history.ts';
import { NodeCluster } from './nodes/node-cluster.ts';
import type { NodeFault } from './nodes/node-fault.ts';
import { releaseNodes } from './nodes/node-nemesis.ts';
import { Tending } from './nodes/tending.ts';
import { caseOf } from './sim-case.ts';
import { assertCopied } from './sim-downstream.ts';

const safetyMs = 30_000;
/** In good weather it is finished within this time. */
const endingMs = 120_000;

/** Somebody dies now and then, a table moves, and the maintainer ends when the target is nearly reached. */
function faultsOf(seed: number): readonly NodeFault[] {
  const kinds = ['any', 'leader', 'maintainer'] as const;
  return [
    ...kinds.map((who, i): NodeFault => ({
      atMs: 3_000 + i * 7_000 + seed * 100,
      kind: 'kill-node',
      node: { who, pick: seed },
      downMs: 200 + seed * 300,
    })),
    { atMs: 8_000, kind: 'move-table', table: seed % 3, node: { who: 'any', pick: seed + 1 } },
    {
      atMs: 14_000,
      kind: 'crash-cell',
      node: { who: 'maintainer', pick: 0 },
      role: 'maintainer',
      pick: 0,
    },
    { atMs: 21_000, kind: 'pause-feed', forMs: 2_000 },
  ];
}

for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
  test(`seed ${seed}: what is copied ends with the target`, async () => {
    const drawn = caseOf(seed);
    const count = drawn.workload.length;
    const targetTs = Math.ceil(count * 0.6) * tsStep;
    const options = {
      ...drawn.options,
      downstream: 'model' as const,
      untilCaughtUp: false,
      untilGtid: gtidAt(targetTs),
      clockRate: 1,
      clockError: 0,
      safetyMs,
    };
    const workload = drawn.workload.map((item, i) => ({
      ...item,
      atMs: Math.round((i / count) * safetyMs),
    }));
    const nodes = { count: 3, ttlMs: 5_000, isPrompt: true, faults: faultsOf(seed) };
    const cluster = new NodeCluster({ ...drawn, options, workload, faults: [], nodes }, nodes);
    const { world, history, downstream, checks, machines } = cluster;
    const tending = new Tending(cluster);
    for (const machine of machines) cluster.boot(machine);
    tending.start();
    releaseNodes(cluster, tending, nodes.faults);
    await world.run(() => false, safetyMs);
    cluster.calm();
    const isFinished = (): boolean => checks.record?.state === 'finished';
    assert.ok(await world.run(isFinished, world.now + endingMs), JSON.stringify(cluster.status));
    // Long enough for anybody to go too far.
    await world.run(() => false, world.now + 5_000);
    assert.equal(world.violation, null);
    assert.equal(downstream.checkpointTs(), targetTs);
    assertCopied(history, downstream, targetTs);
    assert.ok(history.lastTs > targetTs);
  });
}
