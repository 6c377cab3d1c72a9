/** Nodes of one cluster run a changefeed together; one that loses its session comes back as another capture. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { must } from '#src/base/assert.ts';
import type { ChangefeedView } from '#src/protocol/coordinator.ts';
import { bank, type Bank } from '#test/fixtures/workload.ts';
import { moving, provesEqual } from '#test/e2e/bank-proof.ts';
import { ServerPair } from '#test/e2e/server-pair.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { NodeCluster, feedBetween } from './node-cluster.ts';

let servers: ServerPair;
let cluster: NodeCluster;
let accounts: Bank;

before(async () => {
  [servers, cluster] = await Promise.all([ServerPair.start(startMariadb), NodeCluster.start(3)]);
  accounts = bank(servers.upstream, { tables: 12, accounts: 20 });
  await accounts.setup();
});
after(async () => {
  await cluster.stop();
  await servers.stop();
});

test('three nodes share the tables of a changefeed, and every row arrives', async (t) => {
  const work = moving(accounts);
  const config = feedBetween('shared', servers.upstream, servers.downstream);
  // Asked at a node that does not lead, as a rule.
  await cluster.ask({ kind: 'CreateChangefeed', config, createdMs: Date.now() }, 2);
  const spread = await cluster.until('shared', ({ status }) => isEven(status.placement, 12, 3));
  t.diagnostic(JSON.stringify(spread.status.placement));
  await work.end();
  await arrives('shared');
});

test('a node whose lease is revoked stops writing, joins as another capture, and has its share again', async (t) => {
  const work = moving(accounts);
  const { maintainer } = await cluster.view('shared');
  const maintained = must(
    cluster.nodes.find(({ captureId }) => captureId === maintainer),
    'the node of the maintainer',
  );
  const other = must(
    cluster.nodes.find((one) => one !== maintained),
    'another node',
  );
  for (const node of [maintained, other]) {
    const former = node.captureId;
    await cluster.revoke(node);
    const isBack = ({ status }: ChangefeedView): boolean =>
      isEven(status.placement, 12, 3) && status.placement.every((one) => one.node !== former);
    const { status } = await cluster.until('shared', isBack);
    t.diagnostic(JSON.stringify(status.placement));
    assert.notEqual(node.captureId, former);
  }
  await work.end();
  await arrives('shared');
});

test('a node that is not to rejoin ends by its fence', async () => {
  const alone = await NodeCluster.start(1, { onFence: 'exit' });
  try {
    const node = must(alone.nodes[0], 'a node');
    await alone.ask({ kind: 'ListCaptures' });
    assert.equal(node.trouble(), null);
    await alone.revoke(node);
    assert.deepEqual(await node.ended, { kind: 'fenced' });
    assert.equal(node.trouble()?.code, 'COORDINATION_SESSION_LOST');
  } finally {
    await alone.stop();
  }
});

/** Everything written so far arrives, and nothing else is there. */
async function arrives(id: string): Promise<void> {
  const newestTs = await servers.newestTs();
  await cluster.until(id, ({ status }) => (status.checkpoint?.ts ?? 0) >= newestTs);
  await provesEqual(servers, accounts);
}

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
