/**
 * A node that keeps its session while nobody hears it, in virtual time: whoever leads and maintains next goes on without it,
 * and what it says when it is heard again does no harm. Every invariant of the simulator is looked at on the way.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NodeCluster } from './nodes/node-cluster.ts';
import type { NodeFault, NodePick } from './nodes/node-fault.ts';
import { runNodes } from './nodes/node-run.ts';
import { caseOf } from './sim-case.ts';

const cutAtMs = 5_000;
/** Session, a coordinator that hears hardly anybody, waiting for the silent node at both levels, and their ends. */
const goesOnMs = 10_000 + 10_000 + 2 * 10_000 + 3_000;
/** The same when it is the coordinator: it hears nobody for thirty seconds, but keeps its session. */
const othersLeadMs = 30_000 + 2 * 10_000 + 3_000;

/** What it was like in the last seconds of the cut, and how the run ended. */
interface Seen {
  readonly problem: string | null;
  readonly marks: ReadonlySet<string>;
  /** Checkpoint downstream when all must go on, and when the cut ends. */
  readonly checkpoints: readonly number[];
  readonly answers: readonly string[];
}

async function run(
  seed: number,
  goesOnAfterMs: number,
  faultsOf: (cutMs: number) => readonly NodeFault[],
): Promise<Seen> {
  const cutMs = goesOnAfterMs + 10_000;
  const goesOnAtMs = cutAtMs + goesOnAfterMs;
  const safetyMs = cutAtMs + cutMs + 5_000;
  const drawn = caseOf(seed);
  const options = {
    ...drawn.options,
    downstream: 'model' as const,
    untilCaughtUp: false,
    clockRate: 1,
    clockError: 0,
    safetyMs,
  };
  const workload = drawn.workload.map((item, i, { length }) => ({
    ...item,
    atMs: Math.round((i / length) * safetyMs),
  }));
  const nodes = { count: 3, ttlMs: 10_000, isPrompt: true, faults: faultsOf(cutMs) };
  const simCase = { ...drawn, options, workload, faults: [], nodes };
  const cluster = new NodeCluster(simCase, nodes);
  const { world, downstream } = cluster;
  const checkpoints: number[] = [];
  const answers: string[] = [];
  for (const atMs of [goesOnAtMs, cutAtMs + cutMs - 100])
    world.after(atMs, () => checkpoints.push(downstream.checkpointTs()));
  world.after(goesOnAtMs, () =>
    cluster.leader?.process.ask({ kind: 'ListChangefeeds' }, (outcome) =>
      answers.push(outcome.ok ? outcome.value.kind : outcome.failure.code),
    ),
  );
  await runNodes(cluster, simCase, nodes);
  return { problem: world.violation, marks: world.marks, checkpoints, answers };
}

const cut = (node: NodePick, cutMs: number): NodeFault => ({
  atMs: cutAtMs,
  kind: 'cut-node',
  node,
  way: 'both',
  forMs: cutMs,
});
const lost: NodeFault = {
  atMs: cutAtMs,
  kind: 'kill-node',
  node: { who: 'leader', pick: 0 },
  downMs: 500,
};

for (const seed of [1, 2, 3, 4, 5, 6]) {
  test(`seed ${seed}: a node is cut off while the coordinator dies: the others go on without it, and take it back`, async () => {
    const { problem, marks, checkpoints, answers } = await run(seed, goesOnMs, (cutMs) => [
      cut({ who: 'any', pick: seed }, cutMs),
      lost,
    ]);
    assert.equal(problem, null);
    assert.ok(marks.has('log node-passed-over'));
    assert.deepEqual(answers, ['Changefeeds']);
    assert.ok(checkpoints[1]! > checkpoints[0]!, checkpoints.join());
    assert.ok(marks.has('copied'));
  });
}

for (const seed of [1, 2, 3]) {
  test(`seed ${seed}: the coordinator is cut off, but not from the store: another leads, and the changefeed goes on`, async () => {
    const { problem, marks, checkpoints, answers } = await run(seed, othersLeadMs, (cutMs) => [
      cut({ who: 'leader', pick: 0 }, cutMs),
    ]);
    assert.equal(problem, null);
    assert.ok(marks.has('log coordinator-unheard'));
    assert.deepEqual(answers, ['Changefeeds']);
    assert.ok(checkpoints[1]! > checkpoints[0]!, checkpoints.join());
    assert.ok(marks.has('copied'));
  });
}
