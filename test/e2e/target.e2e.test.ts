/**
 * Changefeeds that end at a GTID: exactly what the upstream committed up to it is copied, also when it is yet to come, and by a
 * DDL. Two MariaDB servers, one node with its API in this process; one story by the command line.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startMariadb, type MariadbServer } from '#test/servers/mariadb.ts';
import { TestNode } from '#test/workers/api/api-stage.ts';
import { sluice, type JsonLine } from './sluice-command.ts';

const base = '/api/v2/changefeeds';

let upstream: MariadbServer;
let downstream: MariadbServer;
let node: TestNode;

before(async () => {
  [upstream, downstream] = await Promise.all([startMariadb(), startMariadb()]);
  node = await TestNode.start();
  await upstream.script('CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, n INT)');
});

after(async () => {
  await node.stop();
  await Promise.all([upstream, downstream].map((server) => server.stop()));
});

async function newest(): Promise<string> {
  const [row] = await upstream.query<{ pos: string }>('SELECT @@gtid_binlog_pos AS pos');
  return row!.pos;
}

/** The GTID that lies `count` transactions behind another. */
function behind(gtid: string, count: number): string {
  const [domain, server, sequence] = gtid.split('-');
  return `${domain}-${server}-${Number(sequence) + count}`;
}

async function insert(...ids: readonly number[]): Promise<void> {
  for (const id of ids) await upstream.query(`INSERT INTO d.t VALUES (${id}, 0)`);
}

async function copied(): Promise<readonly number[]> {
  const rows = await downstream.query<{ id: number }>('SELECT id FROM d.t ORDER BY id');
  return rows.map(({ id }) => id);
}

async function does(method: string, path: string, body?: unknown): Promise<void> {
  const answer = await node.call(method, `${base}${path}`, body);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
}

function create(id: string, more: Readonly<Record<string, string>>): Promise<void> {
  return does('POST', '', {
    changefeed_id: id,
    upstream_uri: upstream.uri(),
    sink_uri: downstream.uri(),
    ...more,
  });
}

async function finished(id: string): Promise<Readonly<Record<string, unknown>>> {
  return node.until(id, ({ state }) => state === 'finished');
}

test('what lies behind the target is not copied, though it is there already', async () => {
  await insert(1, 2, 3);
  const target = await newest();
  await insert(4, 5);
  await create('past', { start: 'oldest', target_gtid: target });
  const body = await finished('past');
  assert.deepEqual(
    [body['target_gtid'], body['checkpoint_gtid'], body['error']],
    [target, target, null],
  );
  assert.deepEqual(await copied(), [1, 2, 3]);
});

test('resumed it is finished again at once, and nothing more is copied', async () => {
  await does('POST', '/past/resume');
  await finished('past');
  assert.deepEqual(await copied(), [1, 2, 3]);
  await does('DELETE', '/past');
});

test('a target that is yet to come is waited for, and a pause on the way changes nothing', async () => {
  const now = await newest();
  await create('ahead', { start: behind(now, -2), target_gtid: behind(now, 3) });
  await node.until('ahead', (body) => body['checkpoint_gtid'] === now);
  await does('POST', '/ahead/pause');
  await insert(6);
  await does('POST', '/ahead/resume');
  await insert(7);
  await node.until('ahead', (body) => body['checkpoint_gtid'] === behind(now, 2));
  assert.deepEqual(await copied(), [1, 2, 3, 4, 5, 6, 7]);
  await insert(8, 9, 10);
  const body = await finished('ahead');
  assert.equal(body['checkpoint_gtid'], behind(now, 3));
  assert.deepEqual(await copied(), [1, 2, 3, 4, 5, 6, 7, 8]);
  await does('DELETE', '/ahead');
});

test('a DDL that is the target runs, and is the last', async () => {
  const now = await newest();
  await create('ddl', { start: behind(now, -2), target_gtid: behind(now, 1) });
  await upstream.query('ALTER TABLE d.t ADD COLUMN m INT');
  await upstream.query('ALTER TABLE d.t ADD COLUMN o INT');
  await finished('ddl');
  const columns = await downstream.query<{ name: string }>(
    "SELECT column_name AS name FROM information_schema.columns WHERE table_schema = 'd' ORDER BY ordinal_position",
  );
  assert.deepEqual(
    columns.map(({ name }) => name),
    ['id', 'n', 'm'],
  );
  await does('DELETE', '/ddl');
});

test('the target is changed while it is stopped: another one, and none', async () => {
  const now = await newest();
  await create('moved', { start: behind(now, -1), target_gtid: behind(now, 100) });
  await node.until('moved', (body) => body['checkpoint_gtid'] === now);
  await does('POST', '/moved/pause');
  await does('PUT', '/moved', { target_gtid: null });
  await does('POST', '/moved/resume');
  await upstream.query('INSERT INTO d.t (id) VALUES (20)');
  await node.until('moved', (body) => body['checkpoint_gtid'] === behind(now, 1));
  await does('POST', '/moved/pause');
  const refused = await node.call('PUT', `${base}/moved`, { target_gtid: now });
  assert.deepEqual(refused, {
    status: 400,
    body: {
      error_code: 'CONFIG_INVALID',
      error_msg: `target_gtid: ${now} does not lie behind ${behind(now, 1)}, where the changefeed begins`,
    },
  });
  await does('PUT', '/moved', { target_gtid: behind(now, 2) });
  await does('POST', '/moved/resume');
  await upstream.query('INSERT INTO d.t (id) VALUES (21)');
  await finished('moved');
  assert.deepEqual((await copied()).slice(-2), [20, 21]);
  await does('DELETE', '/moved');
});

test('by the command line', async () => {
  const now = await newest();
  const end = behind(now, 1);
  const run = async (...args: readonly string[]): Promise<JsonLine> => {
    const server = ['--server', `http://${node.api.address}`, '--json'];
    const { status, result, errors } = await sluice(['changefeed', ...args, ...server], 30_000);
    assert.equal(status, 0, errors);
    return result;
  };
  const ends = ['--upstream', upstream.uri(), '--sink-uri', downstream.uri()];
  await run('create', '-i', 'line', ...ends, '--start', now, '--target-gtid', end);
  assert.equal((await run('query', '-i', 'line'))['target_gtid'], end);
  await run('pause', '-i', 'line');
  const update = ['update', '-i', 'line', '--target-gtid'];
  assert.equal((await run(...update, 'none'))['target_gtid'], '');
  assert.equal((await run(...update, end))['target_gtid'], end);
  await run('resume', '-i', 'line');
  await upstream.query('INSERT INTO d.t (id) VALUES (30)');
  await upstream.query('INSERT INTO d.t (id) VALUES (31)');
  await finished('line');
  assert.deepEqual((await copied()).slice(-2), [21, 30]);
});
