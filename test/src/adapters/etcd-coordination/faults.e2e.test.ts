/** Coordination by a real etcd that restarts, stalls, forgets, or is cut off: told as stories, each with a server of its own. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openEtcdCoordination } from '#src/adapters/etcd-coordination/etcd-coordination.ts';
import { campaign, ownershipAfter, stillOwner } from '#src/ports/ownership.ts';
import { Proxy } from '#test/net/proxy.ts';
import { startEtcd, startEtcdCluster, type EtcdServer } from '#test/servers/etcd.ts';
import { CoordinationClient, told } from '../coordination-client.ts';

async function withEtcd(
  run: (server: EtcdServer, client: CoordinationClient) => Promise<void>,
): Promise<void> {
  const server = await startEtcd();
  const client = clientOf(server.endpoint);
  try {
    await run(server, client);
  } finally {
    await client.port.close();
    await server.stop();
  }
}

function clientOf(urls: string, callMs = 2_000): CoordinationClient {
  return new CoordinationClient(openEtcdCoordination({ urls, callMs }));
}

async function compact(server: EtcdServer): Promise<void> {
  const { header } = (await server.call('kv/range', { key: 'AA==' })) as {
    readonly header: { readonly revision: string };
  };
  await server.call('kv/compaction', { revision: header.revision, physical: true });
}

/** Tries again what a restart interrupts. */
async function eventually<T>(run: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await run();
    } catch (error) {
      if (tries >= 100) throw error;
      await sleep(100);
    }
  }
}

test('a reader that waits hears what happens after etcd was killed and came back', async () => {
  await withEtcd(async (server, client) => {
    await client.put('/w/a', '1');
    const { after } = await client.next('/w/', null);
    const { lease } = await client.open(30_000);
    await client.put('/w/bound', 'x', lease);
    const waiting = client.next('/w/', after, 30_000);
    await server.kill('SIGKILL');
    assert.equal(
      (await client.refused({ kind: 'Get', key: '/w/a' })).code,
      'COORDINATION_UNREACHABLE',
    );
    await server.restart();
    await eventually(() => client.put('/w/a', '2'));
    const heard = await waiting;
    assert.ok(heard.kind === 'Events');
    const rest = told(heard.events).includes('a=2')
      ? []
      : told(((await client.next('/w/', heard.after)) as typeof heard).events);
    assert.deepEqual([...told(heard.events), ...rest], ['bound=x', 'a=2']);
    // The lease has outlived the restart.
    assert.equal((await client.keepAlive(lease)).ttlMs, 30_000);
  });
});

test('a reader whose stream broke while etcd compacted hears the list', async () => {
  await withEtcd(async (server, direct) => {
    const proxy = await Proxy.start(server.port);
    const client = clientOf(`http://127.0.0.1:${proxy.port}`);
    try {
      await direct.put('/w/a', '1');
      const { after } = await client.next('/w/', null);
      assert.deepEqual(await client.next('/w/', after, 100), { kind: 'Events', events: [], after });
      const waiting = client.next('/w/', after, 20_000);
      proxy.frozen = true;
      await direct.put('/w/a', '2');
      await direct.put('/w/b', '1');
      await compact(server);
      proxy.reset();
      proxy.frozen = false;
      const heard = await waiting;
      assert.equal(heard.kind, 'Reset');
      assert.deepEqual(heard.kind === 'Reset' && told(heard.entries), ['a=2', 'b=1']);
    } finally {
      await client.port.close();
      await proxy.stop();
    }
  });
});

test('an etcd that stalls beyond a session ends it, and its paused owner writes nothing more', async () => {
  await withEtcd(async (server, client) => {
    const first = await client.open(2_000);
    const owner = ownershipAfter(await client.transact(campaign('/o', 'a', first.lease)))!;
    await server.kill('SIGSTOP');
    const stalled = await client.refused({ kind: 'KeepAlive', lease: first.lease });
    assert.equal(stalled.code, 'COORDINATION_UNREACHABLE');
    await sleep(first.ttlMs + 2_000);
    await server.kill('SIGCONT');
    const over = await eventually(async () => {
      const failure = await client.refused({ kind: 'KeepAlive', lease: first.lease });
      assert.equal(failure.code, 'COORDINATION_SESSION_LOST');
      return failure;
    });
    assert.equal(over.retry, 'Never');
    const second = await client.open(10_000);
    const next = await eventually(async () => {
      const done = await client.transact(campaign('/o', 'b', second.lease));
      assert.ok(done.succeeded);
      return ownershipAfter(done)!;
    });
    assert.ok(next.revision > owner.revision);
    const late = { compares: [stillOwner(owner)], puts: [{ key: '/late', value: 'a' }] } as const;
    assert.equal((await client.transact(late)).succeeded, false);
    assert.equal((await client.get('/late')).value, null);
  });
});

test('a transaction without an answer is uncertain, and repeating it does not count twice', async () => {
  await withEtcd(async (server, client) => {
    const entry = await client.put('/n', '0');
    const request = {
      kind: 'Transact',
      compares: [{ key: '/n', target: 'revision', equals: entry.revision }],
      puts: [{ key: '/n', value: '1' }],
    } as const;
    await server.kill('SIGSTOP');
    const failure = await client.refused(request);
    assert.deepEqual([failure.code, failure.retry], ['COORDINATION_UNCERTAIN', 'Resync']);
    await server.kill('SIGCONT');
    await eventually(() => client.ask(request));
    const { value, revision } = await client.get('/n');
    assert.equal(value, '1');
    // One put after the first, whichever of the two attempts it was.
    const history = await client.next('/n', entry.revision, 100);
    assert.ok(history.kind === 'Events');
    assert.deepEqual(
      history.events.map((event) => event.revision),
      [revision],
    );
  });
});

test('of three members one may fail without notice; two are too many, and what is left says so', async () => {
  const members = await startEtcdCluster();
  const client = clientOf(members.map((member) => member.endpoint).join(','), 1_500);
  try {
    const { lease } = await client.open(5_000);
    await client.put('/w/a', '1', lease);
    let { after } = await client.next('/w/', null);
    for (const member of [members[0]!, members[1]!]) {
      const waiting = client.next('/w/', after, 30_000);
      await member.kill('SIGKILL');
      await eventually(() => client.keepAlive(lease));
      await eventually(() => client.put('/w/b', member.endpoint));
      const heard = await waiting;
      assert.deepEqual(heard.kind === 'Events' && told(heard.events), [`b=${member.endpoint}`]);
      after = heard.after;
      assert.equal((await client.get('/w/a')).value, '1');
      await member.restart();
    }
    // One that hangs is noticed by its silence; the session is renewed elsewhere in time.
    for (const member of members) {
      await member.kill('SIGSTOP');
      await eventually(() => client.keepAlive(lease));
      await member.kill('SIGCONT');
    }
    assert.equal((await client.get('/w/a')).lease, lease);
    await Promise.all([members[0]!.kill('SIGSTOP'), members[1]!.kill('SIGSTOP')]);
    const cut = { kind: 'NextEvents', prefix: '/w/', after, waitMs: 12_000 } as const;
    assert.equal((await client.refused(cut)).code, 'COORDINATION_UNREACHABLE');
    const read = await client.refused({ kind: 'Get', key: '/w/a' });
    assert.equal(read.code, 'COORDINATION_UNREACHABLE');
    await Promise.all([members[0]!.kill('SIGCONT'), members[1]!.kill('SIGCONT')]);
    await eventually(() => client.get('/w/b'));
  } finally {
    await client.port.close();
    await Promise.all(members.map((member) => member.stop()));
  }
});

test('an address where nobody, or somebody else, listens is named in the failure', async () => {
  const stranger = createServer((_, response) => response.end('hello'));
  await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve));
  const address = stranger.address();
  assert.ok(typeof address === 'object' && address !== null);
  try {
    for (const host of ['127.0.0.1:1', `127.0.0.1:${address.port}`, 'no-such-host.invalid:2379']) {
      const client = clientOf(`http://u:secret@${host}`, 500);
      const anonymous = clientOf(`http://${host}`, 500);
      for (const one of [client, anonymous]) {
        for (const request of [
          { kind: 'Get', key: 'k' },
          { kind: 'OpenSession', ttlMs: 5_000 },
          { kind: 'KeepAlive', lease: '7' },
          { kind: 'NextEvents', prefix: 'k', after: 3, waitMs: 100 },
        ] as const) {
          const failure = await one.refused(request);
          assert.equal(failure.code, 'COORDINATION_UNREACHABLE', `${request.kind} ${host}`);
          assert.equal(failure.detail?.['member'], host);
          assert.ok(!JSON.stringify(failure).includes('secret'));
        }
        await one.port.close();
      }
    }
  } finally {
    stranger.close();
  }
});
