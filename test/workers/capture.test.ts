import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { must } from '#src/base/assert.ts';
import type { TreeOver } from '#src/kernel/tree.ts';
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
  assert.ok(paths.includes('capture/control/coordinator'));
  assert.ok(paths.includes('capture/source/log-puller'));
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

test('a worker thread that dies ends the capture once, and it still closes', async () => {
  const overs: TreeOver[] = [];
  const workers: Worker[] = [];
  const remember = (worker: Worker): void => void workers.push(worker);
  process.on('worker', remember);
  const dataDirectory = mkdtempSync(join(tmpdir(), 'sluice-test-'));
  const over = Promise.withResolvers<void>();
  const capture = await Capture.start({
    settings: {
      clusterId: 'c',
      upstreamUri: 'workload://bank',
      sinkUri: 'blackhole://',
      dataDirectory,
      isTemporary: true,
      captureId: Capture.newId(),
      logLevel: 'silent',
      storeBytesMax: 1 << 20,
      laneCount: 1,
    },
    workThreadCount: 1,
    onStatus: () => {},
    onOver: (reason) => {
      overs.push(reason);
      over.resolve();
    },
  });
  process.off('worker', remember);
  await must(workers.at(-1), 'a worker thread').terminate();
  await over.promise;
  assert.deepEqual(overs, [
    {
      kind: 'gave-up',
      supervisor: 'capture',
      context: 'thread lost',
      reason: 'ended',
      offender: 'work-1',
    },
  ]);
  await capture.stop();
  assert.equal(overs.length, 1);
  assert.equal(existsSync(dataDirectory), false);
});
