/**
 * A capture with a thousand dispatchers over real connections is fenced while they write: the downstream's own log shows
 * no commit once the fence is proven, no session is left, and the next run goes on where this one was cut.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkHistory, describeViolations } from '#test/history/check-history.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import type { SqlServer } from '#test/servers/sql-server.ts';
import { Replication, type ReplicationOptions } from '#workers/replication.ts';

const tableCount = 1_000;
/** What a fence promises (DESIGN §5): far above what it takes, so that a slow machine does not fail it. */
const goneWithinMs = 1_000;

async function one(server: SqlServer, sql: string): Promise<string> {
  const rows = await server.query(sql);
  return String(Object.values(rows[0] as Record<string, unknown>)[0]);
}

test('nothing commits after a fence of a thousand dispatchers, and nothing is lost', async (t) => {
  const server = await startMariadb();
  t.after(() => server.stop());
  const options: ReplicationOptions = {
    upstreamUri: `workload://insert?tables=${tableCount}&rows=2&transactions=8000&seed=7`,
    sinkUri: server.uri(),
    startAt: { kind: 'oldest' },
    untilCaughtUp: true,
    workThreadCount: 2,
    logLevel: 'silent',
  };
  const busy = Promise.withResolvers<void>();
  const cut = await Replication.start({
    ...options,
    onStatus: ({ spanCount, counts }) => {
      if (spanCount >= tableCount && counts.transactions > 1_500) busy.resolve();
    },
  });
  await busy.promise;
  const fencing = cut.capture.fence('test');
  // The call has shut the gate by now, before anything of it was awaited.
  const shutNs = process.hrtime.bigint();
  const proof = await fencing;
  assert.equal(proof.isProven, true);
  t.diagnostic(`${proof.elapsedMs.toFixed(1)} ms, ${proof.terminated.length} threads terminated`);
  assert.ok(proof.elapsedMs < goneWithinMs);
  assert.ok(proof.submits.lastNs <= shutNs, 'a submit after the gate was shut');
  const sessions =
    "SELECT COUNT(*) FROM information_schema.processlist WHERE user <> 'system user'";
  // The server finishes what it had been sent; our own question is the one session left.
  while ((await one(server, sessions)) !== '1') await sleep(5);
  const position = await one(server, 'SELECT @@gtid_binlog_pos');
  await sleep(300);
  assert.equal(await one(server, 'SELECT @@gtid_binlog_pos'), position);
  // Each commit in the downstream's log was let through by the gate: none came by another way.
  const commits = Number(position.split('-').at(-1));
  t.diagnostic(`${commits} commits, ${proof.submits.count} submits`);
  assert.ok(commits > 1_500 && commits <= proof.submits.count);
  await cut.capture.stop();
  const { ok, status } = await (await Replication.start(options)).result;
  assert.deepEqual([ok, status.state], [true, 'finished']);
  // The fence cut it in the middle: something was left to do.
  assert.ok(status.counts.transactions > 0);
  const report = await checkHistory(server, {
    isReplicated: (table) => !table.startsWith('sluice_meta.'),
  });
  assert.equal(describeViolations(report), '');
  assert.equal(report.dataRows, 16_000);
});
