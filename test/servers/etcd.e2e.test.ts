import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startEtcd } from './etcd.ts';

import type { EtcdServer } from './etcd.ts';

let server: EtcdServer;
const key = Buffer.from('k').toString('base64');

before(async () => {
  server = await startEtcd();
});
after(() => server.stop());

test('a private etcd keeps its keys, its port and its identity over a kill and a restart', async () => {
  await server.call('kv/put', { key, value: Buffer.from('v').toString('base64') });
  const { port } = server;
  await server.kill('SIGKILL');
  await server.restart();
  assert.equal(server.port, port);
  const found = (await server.call('kv/range', { key })) as { kvs: { value: string }[] };
  assert.equal(Buffer.from(found.kvs[0]!.value, 'base64').toString(), 'v');
  assert.match(server.version, /^3\./);
});
