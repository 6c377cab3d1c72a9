/** Captures of one cluster run a changefeed together. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { bank, type Bank } from '#test/fixtures/workload.ts';
import { ServerPair } from '#test/e2e/server-pair.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { CaptureCluster, feedBetween } from './capture-cluster.ts';

let servers: ServerPair;
let cluster: CaptureCluster;
let accounts: Bank;

before(async () => {
  [servers, cluster] = await Promise.all([ServerPair.start(startMariadb), CaptureCluster.start(3)]);
  accounts = bank(servers.upstream, { tables: 12, accounts: 20 });
  await accounts.setup();
});
after(async () => {
  await cluster.stop();
  await servers.stop();
});

test('three nodes share the tables of a changefeed, and every row arrives', async (t) => {
  const working = new AbortController();
  const work = write(working.signal);
  const config = feedBetween('shared', servers.upstream, servers.downstream);
  // Asked at a node that does not lead, as a rule.
  await cluster.ask({ kind: 'CreateChangefeed', config, createdMs: Date.now() }, 2);
  const spread = await cluster.until('shared', ({ status }) => isEven(status.placement, 12, 3));
  t.diagnostic(JSON.stringify(spread.status.placement));
  working.abort();
  await work;
  const [newest] = await servers.upstream.query<{ gtid: string }>(
    'SELECT @@gtid_binlog_pos AS gtid',
  );
  const newestTs = Number(newest!.gtid.split('-')[2]);
  await cluster.until('shared', ({ status }) => (status.checkpoint?.ts ?? 0) >= newestTs);
  await servers.assertEqual(['bank']);
  assert.equal(await accounts.sum(servers.downstream), accounts.total);
  for (const { overs, fences } of cluster.nodes) assert.deepEqual([overs, fences], [[], []]);
});

/** Every node has its share, one more or less. */
function isEven(
  placement: readonly { readonly spanCount: number }[],
  spanCount: number,
  nodeCount: number,
): boolean {
  const counts = placement.map((one) => one.spanCount);
  const sum = counts.reduce((total, count) => total + count, 0);
  return (
    sum === spanCount &&
    counts.length === nodeCount &&
    Math.max(...counts) - Math.min(...counts) <= 1
  );
}

/** Money moves until it is told to stop. */
async function write(signal: AbortSignal): Promise<void> {
  for (let round = 0; !signal.aborted; round += 1)
    await accounts.transfer(20, { connections: 2, seed: round, perTransaction: 2 });
}
