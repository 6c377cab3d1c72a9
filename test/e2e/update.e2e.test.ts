/**
 * Changes of a changefeed that stands, long after the log it began in was purged: with its own downstream, and with another.
 * Three MariaDB servers, one node with its API in this process.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startMariadb, type MariadbServer } from '#test/servers/mariadb.ts';
import { TestNode } from '#test/workers/api/api-stage.ts';

const base = '/api/v2/changefeeds';
const table = 'CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY)';

let upstream: MariadbServer;
let first: MariadbServer;
let second: MariadbServer;
let node: TestNode;

before(async () => {
  [upstream, first, second] = await Promise.all([startMariadb(), startMariadb(), startMariadb()]);
  node = await TestNode.start();
});

after(async () => {
  await node.stop();
  await Promise.all([upstream, first, second].map((server) => server.stop()));
});

async function newest(): Promise<string> {
  const [row] = await upstream.query<{ pos: string }>('SELECT @@gtid_binlog_pos AS pos');
  return row!.pos;
}

async function idsOf(server: MariadbServer): Promise<readonly number[]> {
  return (await server.query<{ id: number }>('SELECT id FROM d.t ORDER BY id')).map(({ id }) => id);
}

/** Waits until everything that is in the upstream now has been applied. */
async function arrives(): Promise<void> {
  const gtid = await newest();
  await node.until('f', (body) => body['checkpoint_gtid'] === gtid);
}

async function does(method: string, path: string, body?: unknown): Promise<void> {
  const answer = await node.call(method, `${base}/f${path}`, body);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
}

/** The log before now goes; whoever reads it still is waited for. */
async function purge(): Promise<void> {
  await upstream.query('FLUSH BINARY LOGS');
  const last = upstream.binlogFiles().at(-1)!.split('/').at(-1)!;
  for (let i = 0; i < 600; i++) {
    await upstream.query(`PURGE BINARY LOGS TO '${last}'`);
    if (upstream.binlogFiles().length === 1) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail('never purged');
}

test('a changefeed whose first log is purged is updated: its checkpoint counts, not its start', async () => {
  const created = await node.call('POST', base, {
    changefeed_id: 'f',
    upstream_uri: upstream.uri(),
    sink_uri: first.uri(),
    start: 'oldest',
  });
  assert.equal(created.status, 200, JSON.stringify(created.body));
  await upstream.script(`${table}; INSERT INTO d.t VALUES (1), (2)`);
  await arrives();
  await does('POST', '/pause');
  await purge();
  await does('PUT', '', { replica_config: { sink: { lane_count: 2 } } });
  await does('POST', '/resume');
  await upstream.query('INSERT INTO d.t VALUES (3)');
  await arrives();
  assert.deepEqual(await idsOf(first), [1, 2, 3]);
});

test('another downstream that has no position of it goes on at the checkpoint', async () => {
  await does('POST', '/pause');
  // A copy of what was there, but for a row by which it is seen that nothing is applied again.
  await second.script(`${table}; INSERT INTO d.t VALUES (1), (3)`);
  await upstream.query('INSERT INTO d.t VALUES (4)');
  await does('PUT', '', { sink_uri: second.uri() });
  await does('POST', '/resume');
  await upstream.query('DELETE FROM d.t WHERE id = 3');
  await arrives();
  assert.deepEqual(await idsOf(second), [1, 4]);
  assert.deepEqual(await idsOf(first), [1, 2, 3]);
});

test('back at the first one it goes on where that one stands: nothing is left out', async () => {
  await does('POST', '/pause');
  await does('PUT', '', { sink_uri: first.uri() });
  await does('POST', '/resume');
  await upstream.query('INSERT INTO d.t VALUES (5)');
  await arrives();
  assert.deepEqual(await idsOf(first), [1, 2, 4, 5]);
});
