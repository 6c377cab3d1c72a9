/**
 * A node that its peers cannot reach while it keeps its session: three nodes in this process over a real etcd, where the address of
 * one is made to lead nowhere. The others go on without it, and take it back when it can be reached again.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { must } from '#src/base/assert.ts';
import type { ChangefeedView } from '#src/protocol/coordinator.ts';
import { bank, type Bank } from '#test/fixtures/workload.ts';
import { moving, provesEqual } from '#test/e2e/bank-proof.ts';
import { ServerPair } from '#test/e2e/server-pair.ts';
import { freePort } from '#test/servers/free-port.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import type { ClusterNode } from '#workers/cluster-node.ts';
import { NodeCluster, feedBetween } from './node-cluster.ts';

const id = 'deaf';
const tableCount = 6;

let servers: ServerPair;
let cluster: NodeCluster;
let accounts: Bank;

before(async () => {
  [servers, cluster] = await Promise.all([ServerPair.start(startMariadb), NodeCluster.start(3)]);
  accounts = bank(servers.upstream, { tables: tableCount, accounts: 20 });
  await accounts.setup();
  const config = feedBetween(id, servers.upstream, servers.downstream);
  await cluster.ask({ kind: 'CreateChangefeed', config, createdMs: Date.now() });
});
after(async () => {
  await cluster.stop();
  await servers.stop();
});

/** The node's address in etcd becomes `address`, beside the session that it keeps; the one it was. */
async function redirect(node: ClusterNode, address: string): Promise<string> {
  const key = Buffer.from(`/sluice/e2e/capture/${node.captureId}`).toString('base64');
  const { kvs } = (await cluster.etcd.call('kv/range', { key })) as {
    readonly kvs: readonly { readonly lease: string; readonly value: string }[];
  };
  const { lease, value } = must(kvs[0], 'a key');
  const info = JSON.parse(Buffer.from(value, 'base64').toString()) as { peerAddress: string };
  const text = JSON.stringify({ ...info, peerAddress: address });
  await cluster.etcd.call('kv/put', { key, lease, value: Buffer.from(text).toString('base64') });
  return info.peerAddress;
}

test('a node that nobody reaches loses what it maintains and serves, and has its share again later', async () => {
  const work = moving(accounts);
  await cluster.until(id, ({ status }) => status.placement.length === 3);
  const leader = must(cluster.nodes[0]?.leader, 'a leader');
  const deafAt = cluster.nodes.findIndex(({ captureId }) => captureId !== leader);
  const deaf = must(cluster.nodes[deafAt], 'a node that does not lead');
  const others = cluster.nodes.filter((node) => node !== deaf);
  const at = cluster.nodes.indexOf(must(others[0], 'another node'));
  if ((await cluster.view(id)).maintainer !== deaf.captureId)
    await cluster.ask({ kind: 'MoveChangefeed', id, node: deaf.captureId });
  await cluster.until(
    id,
    ({ maintainer, status }) => maintainer === deaf.captureId && status.state === 'normal',
  );

  const address = await redirect(deaf, `127.0.0.1:${await freePort()}`);
  await cluster.ask({ kind: 'ResignCoordinator', node: leader }, at);
  // Whoever asks is told whom the next one waits for, until it goes on without.
  let words = '';
  const listed = async (): Promise<boolean> => {
    const outcome = await must(others[0], 'another node').ask({ kind: 'ListChangefeeds' });
    if (!outcome.ok && outcome.failure.message.includes(deaf.captureId))
      words = outcome.failure.message;
    return outcome.ok;
  };
  const deadline = performance.now() + 60_000;
  while (!(await listed())) assert.ok(performance.now() < deadline, 'never answered');
  assert.match(
    words,
    /^the new coordinator still waits for a word of .*; it goes on without it in \d s$/,
  );
  const isElsewhere = (node: string | null): boolean => node !== null && node !== deaf.captureId;
  const isTaken = ({ maintainer, status: { state, placement } }: ChangefeedView): boolean => {
    const there = placement.filter(({ node }) => isElsewhere(node));
    const spanCount = there.reduce((sum, one) => sum + one.spanCount, 0);
    return isElsewhere(maintainer) && state === 'normal' && spanCount === tableCount;
  };
  await cluster.until(id, isTaken, at);
  const newestTs = await servers.newestTs();
  await cluster.until(id, ({ status }) => (status.checkpoint?.ts ?? 0) >= newestTs, at);
  assert.equal(deaf.trouble(), null, 'it has kept its session');

  await redirect(deaf, address);
  await cluster.until(
    id,
    ({ status }) => status.placement.some(({ node }) => node === deaf.captureId),
    at,
  );
  await work.end();
  const endTs = await servers.newestTs();
  await cluster.until(id, ({ status }) => (status.checkpoint?.ts ?? 0) >= endTs);
  await provesEqual(servers, accounts);
});

test('a coordinator that nobody reaches lets another node lead, and what is asked of the others is answered', async () => {
  const former = must(cluster.nodes[0]?.leader, 'a leader');
  const leading = must(
    cluster.nodes.find(({ captureId }) => captureId === former),
    'the node that leads',
  );
  const others = cluster.nodes.filter((node) => node !== leading);
  const address = await redirect(leading, `127.0.0.1:${await freePort()}`);
  const deadline = performance.now() + 90_000;
  while (others.some(({ leader }) => leader === null || leader === former)) {
    assert.ok(performance.now() < deadline, 'another node leads');
    await sleep(100);
  }
  const at = cluster.nodes.indexOf(must(others[0], 'another node'));
  await cluster.until(id, ({ status }) => status.state === 'normal', at);
  assert.equal(leading.trouble(), null, 'it has kept its session');
  await redirect(leading, address);
});
