import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { openEmbeddedCoordination } from '#src/adapters/embedded-coordination/embedded-coordination.ts';
import { must } from '#src/base/assert.ts';
import { ok } from '#src/base/failure.ts';
import type { CoordinationPort } from '#src/ports/coordination.ts';
import type { ChangefeedStatus } from '#src/protocol/changefeed.ts';
import type { TreeOver } from '#src/kernel/tree-io.ts';
import { Capture } from '#workers/capture.ts';
import { Replication } from '#workers/replication.ts';

test('a finite workload is copied over real threads, and everything is closed', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-test-'));
  const file = join(directory, 'copy.sqlite');
  const replication = await Replication.start({
    upstreamUri: 'workload://insert?tables=3&rows=5&transactions=200&seed=4',
    sinkUri: `sqlite://${file}`,
    startAt: { kind: 'oldest' },
    untilCaughtUp: true,
    workThreadCount: 2,
    logLevel: 'silent',
  });
  const paths = (await replication.capture.overview()).map((cell) => cell.path);
  assert.ok(paths.includes('capture/control/elector'));
  assert.ok(paths.includes('capture/write-path/dispatcher-orchestrator'));
  const { ok, status } = await replication.result;
  assert.deepEqual([ok, status.state, status.failure], [true, 'finished', null]);
  assert.equal(status.checkpoint?.ts, status.newest?.ts);
  assert.equal(status.counts.rows, 1000);
  const database = new DatabaseSync(file);
  assert.ok(database.prepare('SELECT count(*) AS n FROM sqlite_master').get()!['n'] !== 0);
  database.close();
  rmSync(directory, { recursive: true });
});

test('an endless workload stops when asked, at a saved position', async () => {
  const replication = await Replication.start({
    upstreamUri: 'workload://bank?accounts=50&rate=500',
    sinkUri: 'blackhole://',
    startAt: { kind: 'oldest' },
    workThreadCount: 1,
    logLevel: 'silent',
    onStatus: (status) => {
      if (status.counts.transactions > 20) replication.stop();
    },
  });
  const { ok, status } = await replication.result;
  assert.deepEqual([ok, status.state], [true, 'stopped']);
  assert.ok(status.checkpoint !== null && status.checkpoint.ts > 0);
});

const base = {
  clusterId: 'c',
  upstreamUri: 'workload://bank?accounts=50&rate=500',
  sinkUri: 'blackhole://',
  isTemporary: true,
  logLevel: 'silent',
  storeBytesMax: 1 << 20,
  laneCount: 1,
} as const;

/** A capture with one feed; `workers` are its threads in order of their starts. */
async function feed(): Promise<{
  readonly capture: Capture;
  readonly workers: Worker[];
  readonly statuses: ChangefeedStatus[];
  readonly overs: TreeOver[];
  readonly dataDirectory: string;
  /** Resolves when more transactions than now have been applied. */
  readonly progress: () => Promise<void>;
}> {
  const overs: TreeOver[] = [];
  const workers: Worker[] = [];
  const statuses: ChangefeedStatus[] = [];
  process.on('worker', (worker) => workers.push(worker));
  const dataDirectory = mkdtempSync(join(tmpdir(), 'sluice-test-'));
  let heard: () => void = () => {};
  const capture = await Capture.start({
    settings: { ...base, dataDirectory, captureId: Capture.newId() },
    workThreadCount: 1,
    onStatus: (status) => {
      statuses.push(status);
      heard();
    },
    onOver: (reason) => {
      overs.push(reason);
      heard();
    },
  });
  void capture.startChangefeed({
    id: 'f',
    endpoints: null,
    startAt: { kind: 'oldest' },
    rules: ['*.*'],
    untilCaughtUp: false,
    memoryQuota: 8 << 20,
    stuckAfterMs: 600_000,
  });
  const progress = async (): Promise<void> => {
    const from = statuses.length;
    const applied = (): boolean =>
      statuses
        .slice(from)
        .some(({ state, counts }) => state === 'normal' && counts.transactions > 5);
    while (!applied() && overs.length === 0)
      await new Promise<void>((resolve) => {
        heard = resolve;
      });
  };
  return { capture, workers, statuses, overs, dataDirectory, progress };
}

test('a worker thread that dies is started again, and its cells with it', async () => {
  const { capture, workers, overs, dataDirectory, progress } = await feed();
  await progress();
  // ingest, work-1, watchdog: the first loses the source, the second the writers.
  for (const index of [0, 1]) {
    await must(workers[index], 'a thread').terminate();
    await progress();
    assert.deepEqual(overs, []);
  }
  await capture.stop();
  assert.equal(existsSync(dataDirectory), false);
});

test('threads that die again and again end the capture once, and it still closes', async () => {
  const { capture, workers, overs } = await feed();
  for (let i = 0; i < 10 && overs.length === 0; i++) {
    const worker = workers.findLast((one) => one.threadId > 0 && one !== workers[2]);
    await must(worker, 'a thread').terminate();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const facts = { supervisor: 'threads', context: 'intensity exceeded', reason: 'ended' };
  assert.equal(overs.length, 1);
  assert.partialDeepStrictEqual(overs[0], { kind: 'gave-up', ...facts });
  await capture.stop();
  assert.equal(overs.length, 1);
});

test('coordinators that break again and again are told of, by the fault they break by', async (t) => {
  const dataDirectory = mkdtempSync(join(tmpdir(), 'sluice-test-'));
  const store = openEmbeddedCoordination({ directory: null });
  // A store that lists no entries at all is against its port: whoever reads the list breaks.
  const broken: CoordinationPort = {
    call: async (request) =>
      request.kind === 'List' && request.prefix.includes('changefeed')
        ? ok({ kind: 'Listed', revision: 1 } as never)
        : await store.call(request),
    close: () => store.close(),
  };
  const capture = await Capture.start({
    settings: { ...base, dataDirectory, captureId: Capture.newId() },
    workThreadCount: 1,
    coordination: broken,
    onStatus: () => {},
    onOver: () => {},
  });
  t.after(async () => {
    await capture.stop();
    await store.close();
    rmSync(dataDirectory, { recursive: true, force: true });
  });
  for (let i = 0; i < 600 && capture.leaderTrouble === null; i++)
    await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(capture.leaderTrouble?.code, 'COORDINATOR_FAILING');
  assert.match(capture.leaderTrouble.message, /the last by fault: /);
});
