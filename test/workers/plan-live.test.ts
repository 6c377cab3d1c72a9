/** `sluice plan --live` beside a running capture: real processes, a real socket. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Replication } from '#workers/replication.ts';

const cli = new URL('../../workers/cli.ts', import.meta.url).pathname;

/** Runs `sluice plan` with arguments; answers its exit status and output. */
function plan(
  ...args: readonly string[]
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [cli, 'plan', ...args], (error, stdout, stderr) =>
      resolve({ status: typeof error?.code === 'number' ? error.code : 0, text: stdout + stderr }),
    );
  });
}

test('the tree of a running capture is shown with what lives in it, until the capture ends', async (t) => {
  const dataDirectory = mkdtempSync(join(tmpdir(), 'sluice-live-'));
  const moving = Promise.withResolvers<void>();
  const replication = await Replication.start({
    upstreamUri: 'workload://bank?accounts=20&rate=200',
    sinkUri: 'blackhole://',
    startAt: { kind: 'oldest' },
    workThreadCount: 1,
    dataDirectory,
    logLevel: 'silent',
    onStatus: ({ counts }) => {
      if (counts.transactions > 5) moving.resolve();
    },
  });
  // One that fails would keep this file's process running for ever.
  t.after(async () => {
    replication.stop();
    await replication.result;
    rmSync(dataDirectory, { recursive: true, force: true });
  });
  await moving.promise;
  const drawn = await plan('--live', '--data-dir', dataDirectory);
  assert.equal(drawn.status, 0, drawn.text);
  assert.match(drawn.text, /log-puller:\S* \[ingest\] +running/);
  assert.match(drawn.text, /dispatcher:\S* \[work-1\] +running, epoch \d+/);
  const { text } = await plan('--live', '--data-dir', dataDirectory, '--json');
  const inspection = JSON.parse(text) as {
    readonly tree: { readonly id: string };
    readonly threads: object;
  };
  assert.equal(inspection.tree.id, 'capture');
  assert.deepEqual(Object.keys(inspection.threads).toSorted(), ['ingest', 'main', 'work-1']);
  replication.stop();
  await replication.result;
  const gone = await plan('--live', '--data-dir', dataDirectory);
  assert.deepEqual([gone.status, /no running sluice/.test(gone.text)], [2, true]);
  assert.equal((await plan('--live')).status, 2);
});
