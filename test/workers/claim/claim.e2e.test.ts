/** Nodes that consist of their claim, on real threads with a real etcd: who joins, leaves, is fenced, and who sees that. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startEtcd, type EtcdServer } from '#test/servers/etcd.ts';
import { ClaimNode, until } from './node.ts';

async function withEtcd(
  run: (
    server: EtcdServer,
    start: (id: string, ttlMs?: number) => Promise<ClaimNode>,
  ) => Promise<void>,
): Promise<void> {
  const server = await startEtcd();
  const nodes: ClaimNode[] = [];
  try {
    await run(server, async (id, ttlMs = 10_000) => {
      const node = await ClaimNode.start(id, server.endpoint, ttlMs);
      nodes.push(node);
      return node;
    });
  } finally {
    await Promise.all(nodes.map((node) => node.stop()));
    await server.stop();
  }
}

test('a node may write once it has joined; one that leaves is out of every view at once', async () => {
  await withEtcd(async (_, start) => {
    const a = await start('a');
    await until(
      () => a.mayWrite(),
      () => a.phase(),
    );
    assert.equal(await a.phase(), 'member');
    const b = await start('b');
    await Promise.all([a, b].map((node) => node.sees('a alive', 'b alive')));
    const seen = new Set<string>();
    const leaving = a.stop();
    await until(
      async () => {
        seen.add(await b.view());
        return seen.has('b alive');
      },
      () => [...seen].join(' | '),
    );
    await leaving;
    assert.deepEqual(
      [...seen].filter((view) => view.includes('lingering')),
      [],
    );
    assert.deepEqual([a.fences, b.fences], [[], []]);
  });
});

test('a node whose lease is revoked is fenced, and lingers for those who come later too', async () => {
  await withEtcd(async (server, start) => {
    const [a, b] = [await start('a'), await start('b')];
    await Promise.all([a, b].map((node) => node.sees('a alive', 'b alive')));
    await server.call('lease/revoke', { ID: await a.lease() });
    await until(
      () => a.fences.length > 0,
      () => a.phase(),
    );
    assert.equal(a.mayWrite(), false);
    assert.equal(a.fences[0]!.isProven, true);
    await b.sees('a lingering', 'b alive');
    const late = await start('late');
    await late.sees('a lingering', 'b alive', 'late alive');
    await Promise.all([b, late].map((node) => node.sees('b alive', 'late alive')));
    // Its record is gone from the store: whoever starts now has nothing to wait for.
    const later = await start('later');
    await later.sees('b alive', 'late alive', 'later alive');
    assert.equal(b.mayWrite(), true);
  });
});

test('an etcd that stalls fences every node in time; none is un-fenced when it comes back', async () => {
  await withEtcd(async (server, start) => {
    const nodes = [await start('a', 3_000), await start('b', 3_000)];
    await Promise.all(
      nodes.map((node) =>
        until(
          () => node.mayWrite(),
          () => node.phase(),
        ),
      ),
    );
    await server.kill('SIGSTOP');
    await Promise.all(
      nodes.map((node) =>
        until(
          () => node.fences.length > 0,
          () => node.phase(),
        ),
      ),
    );
    assert.ok(nodes.every((node) => !node.mayWrite()));
    await server.kill('SIGCONT');
    await sleep(1_000);
    assert.ok(nodes.every((node) => !node.mayWrite()));
    const next = await start('next', 3_000);
    await until(
      () => next.mayWrite(),
      () => next.phase(),
    );
    await next.sees('a lingering', 'b lingering', 'next alive');
  });
});

test('a node keeps its claim while etcd restarts, and a capture id is no use a second time', async () => {
  await withEtcd(async (server, start) => {
    const a = await start('a');
    await until(
      () => a.mayWrite(),
      () => a.phase(),
    );
    await server.kill('SIGKILL');
    await server.restart();
    const lease = await a.lease();
    await sleep(3_000);
    assert.deepEqual([a.mayWrite(), await a.lease(), a.fences.length], [true, lease, 0]);
    const twin = await start('a');
    await until(
      () => twin.fences.length > 0,
      () => twin.phase(),
    );
    assert.deepEqual([twin.mayWrite(), a.mayWrite()], [false, true]);
  });
});

test('links follow membership: nodes that join are linked, one that leaves or loses its session is cut off', async () => {
  await withEtcd(async (server, start) => {
    const nodes = [await start('a'), await start('b'), await start('c')];
    const [a, b, c] = nodes as [ClaimNode, ClaimNode, ClaimNode];
    const linked = (node: ClaimNode, to: string): Promise<void> =>
      until(
        () => node.links() === to,
        () => node.links(),
      );
    await Promise.all([linked(a, 'b,b,c,c'), linked(b, 'a,a,c,c'), linked(c, 'a,a,b,b')]);
    await b.stop();
    await Promise.all([linked(a, 'c,c'), linked(c, 'a,a')]);
    await server.call('lease/revoke', { ID: await c.lease() });
    await linked(a, '');
  });
});
