/** Who an etcd lets in: accounts with passwords and permissions, certificates of both sides. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openEtcdCoordination } from '#src/adapters/etcd-coordination/etcd-coordination.ts';
import type {
  CoordinationAnswer,
  CoordinationPort,
  CoordinationRequest,
} from '#src/ports/coordination.ts';
import { Authority } from '#test/net/certificates.ts';
import { startEtcd, type EtcdServer } from '#test/servers/etcd.ts';
import { freePort } from '#test/servers/free-port.ts';
import { CoordinationClient, told } from '../coordination-client.ts';

function clientOf(urls: string): CoordinationClient {
  return new CoordinationClient(openEtcdCoordination({ urls, callMs: 2_000 }));
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** An etcd with accounts `root` and `sluice`; the latter may touch keys below /sluice/ only. */
async function startGuarded(): Promise<EtcdServer> {
  const server = await startEtcd({ flags: ['--auth-token-ttl=60'] });
  for (const [name, password] of [
    ['root', 'r'],
    ['sluice', 'p@ss/word'],
  ] as const) {
    await server.call('auth/user/add', { name, password });
    await server.call('auth/role/add', { name });
    await server.call('auth/user/grant', { user: name, role: name });
  }
  const perm = { permType: 'READWRITE', key: base64('/sluice/'), range_end: base64('/sluice0') };
  await server.call('auth/role/grant', { name: 'sluice', perm });
  await server.call('auth/enable', {});
  return server;
}

test('an account may do what it is allowed to; what it is not is told without its password', async () => {
  const server = await startGuarded();
  const at = `127.0.0.1:${server.port}`;
  const good = clientOf(`http://sluice:p%40ss%2Fword@${at}`);
  const strangers = [
    clientOf(`http://sluice:wrong-secret@${at}`),
    clientOf(`http://nobody:wrong-secret@${at}`),
    clientOf(`http://${at}`),
  ];
  try {
    const { lease } = await good.open();
    await good.put('/sluice/c/a', '1', lease);
    await good.keepAlive(lease);
    const { after } = await good.next('/sluice/c/', null);
    const waiting = good.next('/sluice/c/', after, 20_000);
    await good.put('/sluice/c/a', '2');
    const heard = await waiting;
    assert.deepEqual(heard.kind === 'Events' && told(heard.events), ['a=2']);
    const refusals: readonly (readonly [CoordinationClient, CoordinationRequest])[] = [
      [good, { kind: 'Get', key: '/other' }],
      [good, { kind: 'NextEvents', prefix: '/other', after: 1, waitMs: 5_000 }],
      ...strangers.flatMap((one): (readonly [CoordinationClient, CoordinationRequest])[] => [
        [one, { kind: 'Get', key: '/sluice/c/a' }],
        [one, { kind: 'NextEvents', prefix: '/sluice/c/', after, waitMs: 5_000 }],
      ]),
    ];
    for (const [client, request] of refusals) {
      const failure = await client.refused(request);
      assert.equal(failure.code, 'COORDINATION_ACCESS_DENIED', JSON.stringify(failure));
      assert.ok(!/secret|p@ss/.test(JSON.stringify(failure)));
    }
  } finally {
    await Promise.all([good, ...strangers].map((client) => client.port.close()));
    await server.stop();
  }
});

test('an account whose token etcd has forgotten is let in again, readers and renewals too', async () => {
  const server = await startGuarded();
  const client = clientOf(`http://sluice:p%40ss%2Fword@127.0.0.1:${server.port}`);
  try {
    const { lease } = await client.open(60_000);
    await client.put('/sluice/c/a', '1', lease);
    const { after } = await client.next('/sluice/c/', null);
    const waiting = readOn(client.port, after);
    // Tokens live in memory: a restart forgets them.
    await server.kill('SIGKILL');
    await server.restart();
    let isRenewed = false;
    let writes = 0;
    for (let tries = 0; tries < 100 && (!isRenewed || writes === 0); tries++) {
      const renewal = await client.port.call({ kind: 'KeepAlive', lease });
      isRenewed = renewal.ok;
      const write = await client.port.call({
        kind: 'Transact',
        compares: [{ key: '/sluice/c/b', target: 'createRevision', equals: 0 }],
        puts: [{ key: '/sluice/c/b', value: 'x' }],
      });
      if (write.ok) writes++;
      else await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.ok(isRenewed && writes > 0);
    const heard = await waiting;
    assert.deepEqual(heard?.kind === 'Events' && told(heard.events), ['b=x']);
  } finally {
    await client.port.close();
    await server.stop();
  }
});

/** A reader that asks again with its `after` when a question fails, as actors do: a server that is down answers nobody. */
async function readOn(
  port: CoordinationPort,
  after: number,
): Promise<CoordinationAnswer | undefined> {
  for (let tries = 0; tries < 100; tries++) {
    const request = { kind: 'NextEvents', prefix: '/sluice/c/', after, waitMs: 30_000 } as const;
    const outcome = await port.call(request);
    if (outcome.ok) return outcome.value;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return undefined;
}

test('with TLS both sides show certificates of the authority, or there is no connection', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-etcd-tls-'));
  const authority = Authority.make(directory);
  const own = authority.issue('etcd');
  const stranger = Authority.make(directory, 'stranger').issue('stranger');
  const port = await freePort();
  const server = await startEtcd({ secure: { port, ...own } });
  const at = `https://127.0.0.1:${port}/?`;
  const clients = [
    clientOf(`${at}ca=${own.caPath}&cert=${own.certPath}&key=${own.keyPath}`),
    clientOf(`${at}ca=${own.caPath}`),
    clientOf(`${at}ca=${own.caPath}&cert=${stranger.certPath}&key=${stranger.keyPath}`),
    clientOf(`${at}ca=${stranger.caPath}&cert=${own.certPath}&key=${own.keyPath}`),
    clientOf(at),
  ];
  try {
    const [good, ...refused] = clients;
    const { lease } = await good!.open();
    await good!.put('/k', 'x', lease);
    assert.equal((await good!.next('/k', 1)).kind, 'Events');
    assert.equal((await good!.keepAlive(lease)).lease, lease);
    for (const client of refused)
      assert.equal(
        (await client.refused({ kind: 'Get', key: '/k' })).code,
        'COORDINATION_UNREACHABLE',
      );
  } finally {
    await Promise.all(clients.map((client) => client.port.close()));
    await server.stop();
    rmSync(directory, { recursive: true });
  }
});
