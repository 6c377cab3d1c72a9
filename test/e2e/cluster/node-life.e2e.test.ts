/** The life of a node as a process: how it joins, leaves, ends, and what becomes of it when etcd does not answer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { must } from '#src/base/assert.ts';
import { bank } from '#test/fixtures/workload.ts';
import { Authority } from '#test/net/certificates.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { ServerPair } from '#test/e2e/server-pair.ts';
import { ServerCluster, until, type ServerClusterOptions } from './server-cluster.ts';

async function withCluster(
  count: number,
  options: ServerClusterOptions,
  run: (cluster: ServerCluster) => Promise<void>,
): Promise<void> {
  const cluster = await ServerCluster.start(count, options);
  try {
    await run(cluster);
  } finally {
    await cluster.stop();
  }
}

test('a node that is asked to end is out of every view long before its lease would be over', async () => {
  await withCluster(2, { leaseTtlSeconds: 300 }, async (cluster) => {
    const [stays, leaves] = cluster.members;
    await until(
      () => 'both are seen',
      async () => (await cluster.captures()).length === 2,
    );
    await must(leaves, 'a node').signal('SIGTERM');
    assert.equal(await must(leaves, 'a node').ended(), 0);
    const left = await must(stays, 'a node').captureId();
    await until(
      () => 'one is left, and leads',
      async () => (await cluster.captures()).join(' ') === left,
    );
  });
});

test('a node that is not to rejoin ends with status 3 when it is fenced', async () => {
  const args = ['--on-fence', 'exit'];
  await withCluster(1, { leaseTtlSeconds: 10, args }, async (cluster) => {
    const member = must(cluster.members[0], 'a node');
    await cluster.revoke(member);
    assert.equal(await member.ended(), 3);
  });
});

test('a second node on the same data directory is refused', async () => {
  await withCluster(1, { leaseTtlSeconds: 10 }, async (cluster) => {
    const end = await must(cluster.members[0], 'a node').another();
    assert.equal(end.status, 1);
    assert.match(end.errors, /^sluice: COORDINATION_FAILED: another process holds/m);
  });
});

test('nodes that show certificates of one authority work together', async () => {
  let authority: Authority | null = null;
  const security = (i: number, directory: string): Record<string, string> => {
    authority ??= Authority.make(directory);
    const { caPath, certPath, keyPath } = authority.issue(`node-${i}`);
    return { 'ca-path': caPath, 'cert-path': certPath, 'key-path': keyPath };
  };
  await withCluster(2, { leaseTtlSeconds: 10, security }, async (cluster) => {
    await cluster.coordinator();
    // Whoever does not lead asks over the links.
    for (const member of cluster.members) await member.get('changefeeds');
  });
});

test('an etcd that stands still fences every node; all come back with it, and nothing is lost', async () => {
  const servers = await ServerPair.start(startMariadb);
  const accounts = bank(servers.upstream, { tables: 12, accounts: 4 });
  try {
    await withCluster(3, { leaseTtlSeconds: 3 }, async (cluster) => {
      const range = ['-i', 'calm', '--start', 'oldest', '--no-confirm'];
      await cluster.client('changefeed', 'create', ...range, ...servers.uris);
      await accounts.setup();
      await cluster.balanced('calm', 12, 3);
      const before = await Promise.all(cluster.members.map((member) => member.captureId()));
      await cluster.etcd.kill('SIGSTOP');
      await until(
        () => 'every node is fenced',
        async () => {
          const healthy = await Promise.all(cluster.members.map((member) => member.isHealthy()));
          return healthy.every((one) => !one);
        },
      );
      await accounts.transfer(200);
      // Asked while etcd is away: the node waits for a coordinator, then says what is wrong.
      await assert.rejects(
        cluster.members[0]!.get('captures'),
        /: 503 .*this node has no session at the moment: its log says what etcd answers/,
      );
      await cluster.etcd.kill('SIGCONT');
      await until(
        () => 'every node is back',
        async () => {
          const healthy = await Promise.all(cluster.members.map((member) => member.isHealthy()));
          return healthy.every((one) => one);
        },
      );
      const now = await Promise.all(cluster.members.map((member) => member.captureId()));
      assert.deepEqual(
        now.filter((id) => before.includes(id)),
        [],
      );
      await cluster.balanced('calm', 12, 3);
      await cluster.reaches('calm', await servers.newestTs());
      await servers.assertEqual(['bank']);
      assert.equal(await accounts.sum(servers.downstream), accounts.total);
    });
  } finally {
    await servers.stop();
  }
});
