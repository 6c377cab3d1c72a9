/**
 * `sluice server` on one node, as a process of its own between two MariaDB servers, driven by the command line: changefeeds
 * live through pauses, kills and graceful restarts, and nothing is lost or applied twice.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { freePort } from '#test/servers/free-port.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { ServerPair } from './server-pair.ts';
import { SluiceCommand, sluice, type CommandEnd, type JsonLine } from './sluice-command.ts';

let pair: ServerPair;
let directory: string;
let address: string;
let server: SluiceCommand;

const limitMs = 60_000;
const tickMs = 50;
const password = 's3cr3t-canary';

before(async () => {
  pair = await ServerPair.start(startMariadb);
  for (const one of [pair.upstream, pair.downstream])
    await one.script(
      `CREATE USER copy@'127.0.0.1' IDENTIFIED BY '${password}'; GRANT ALL ON *.* TO copy@'127.0.0.1' WITH GRANT OPTION`,
    );
  directory = mkdtempSync(join(tmpdir(), 'sluice-server-'));
  address = `127.0.0.1:${await freePort()}`;
  await start();
});

after(async () => {
  server.signal('SIGKILL');
  await server.end;
  await pair.stop();
  rmSync(directory, { recursive: true, force: true });
});

async function start(): Promise<void> {
  server = new SluiceCommand(['server', '--addr', address, '--data-dir', directory]);
  await until('the server answers', async () => {
    const answer = await fetch(`http://${address}/api/v2/health`).catch(() => null);
    return answer?.status === 200;
  });
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, tickMs));
  }
}

/** What a file of a server that runs holds; nothing of one that has taken another's place since it was listed. */
function contentOf(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
}

/** One client command with its JSON answer. */
async function client(...args: readonly string[]): Promise<JsonLine> {
  const end: CommandEnd = await sluice([...args, '--server', `http://${address}`, '--json']);
  assert.equal(end.status, 0, `${JSON.stringify(end.result)} ${end.errors}`);
  return end.result;
}

/** Waits until the changefeed has applied what is in the upstream now. */
async function caughtUp(id: string): Promise<void> {
  const wanted = await pair.newestTs();
  await until(`${id} has caught up`, async () => {
    const answer = await fetch(`http://${address}/api/v2/changefeeds/${id}`);
    const { checkpoint_ts: ts } = (await answer.json()) as { checkpoint_ts: number };
    return ts >= wanted;
  });
}

function uriOf({ port }: { readonly port: number }): string {
  return `mysql://copy:${password}@127.0.0.1:${port}/`;
}

async function insert(from: number, to: number): Promise<void> {
  for (let id = from; id < to; id++) {
    await pair.upstream.query(`INSERT INTO d.t VALUES (${id}, 0)`);
    await pair.upstream.query(`UPDATE d.t SET n = n + 1 WHERE id <= ${id % 7}`);
  }
}

test(
  'a changefeed created by the command line copies, and its state is told',
  { timeout: 120_000 },
  async () => {
    const created = await client(
      'changefeed',
      'create',
      '-i',
      'copy',
      '--upstream',
      uriOf(pair.upstream),
      '--sink-uri',
      uriOf(pair.downstream),
      '--start',
      'oldest',
    );
    assert.equal(created['id'], 'copy');
    assert.match(String(created['sink_uri']), /^mysql:\/\/copy:\*\*\*@127/);
    await pair.upstream.script('CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, n INT)');
    await insert(0, 50);
    await caughtUp('copy');
    const shown = await client('changefeed', 'query', '-i', 'copy');
    assert.deepEqual([shown['state'], shown['error'], shown['lag_ms']], ['normal', null, 0]);
    const synced = await fetch(`http://${address}/api/v2/changefeeds/copy/synced`);
    const { synced: isSynced, info } = (await synced.json()) as JsonLine;
    assert.equal(isSynced, false);
    assert.match(String(info), /^everything that was read is applied, .* synced after 300 s$/);
    const tables = await client('changefeed', 'tables', '-i', 'copy');
    assert.deepEqual((tables['items'] as { tables: string[] }[])[0]?.tables, ['d.t']);
    await pair.assertEqual(['d']);
  },
);

test(
  'what is written while it is paused comes when it is resumed',
  { timeout: 120_000 },
  async () => {
    await client('changefeed', 'pause', '-i', 'copy');
    await insert(50, 80);
    const { items } = await client('changefeed', 'list', '--state', 'stopped');
    assert.deepEqual(
      (items as { id: string }[]).map(({ id }) => id),
      ['copy'],
    );
    const [{ count } = { count: 0 }] = await pair.downstream.query<{ count: string }>(
      'SELECT count(*) AS count FROM d.t',
    );
    assert.equal(Number(count), 50);
    await client('changefeed', 'resume', '-i', 'copy');
    await caughtUp('copy');
    await pair.assertEqual(['d']);
  },
);

test('passwords are stored sealed, with a key that only the owner reads', () => {
  const stored = readFileSync(join(directory, 'coordination', 'coordination.json'), 'utf8');
  assert.match(stored, /mysql:\/\/copy:sealed\.v1\./);
  const files = readdirSync(directory, { recursive: true, withFileTypes: true });
  const holders = files.filter(
    (one) => one.isFile() && contentOf(join(one.parentPath, one.name)).includes(password),
  );
  assert.deepEqual(holders, []);
  assert.equal(statSync(join(directory, 'secret.key')).mode & 0o777, 0o600);
});

test('a server killed again and again under load loses nothing', { timeout: 240_000 }, async () => {
  const load = insert(80, 500);
  for (let i = 0; i < 4; i++) {
    await new Promise((resolve) => setTimeout(resolve, 400));
    server.signal('SIGKILL');
    await server.end;
    await start();
  }
  await load;
  await caughtUp('copy');
  await pair.assertEqual(['d']);
  // Each update counts by one: the sums differ as soon as one is applied twice.
  const sums = await Promise.all(
    [pair.upstream, pair.downstream].map((one) => one.query('SELECT sum(n) AS sum FROM d.t')),
  );
  assert.deepEqual(sums[0], sums[1]);
});

test(
  'a server that is asked to end ends with success, and starts where it was',
  { timeout: 120_000 },
  async () => {
    await insert(500, 520);
    server.signal('SIGTERM');
    const { status, errors } = await server.end;
    assert.equal(status, 0, errors);
    await insert(520, 540);
    await start();
    await caughtUp('copy');
    await pair.assertEqual(['d']);
  },
);

test(
  'a server with another key says so, and with the right one the changefeed goes on',
  { timeout: 120_000 },
  async () => {
    const path = join(directory, 'secret.key');
    const right = readFileSync(path);
    await restart(() => writeFileSync(path, 'ab'.repeat(32)));
    let shown: JsonLine = {};
    await until('it has failed', async () => {
      shown = await client('changefeed', 'query', '-i', 'copy');
      return shown['state'] === 'failed';
    });
    assert.partialDeepStrictEqual(shown['error'], {
      code: 'SECRET_KEY_WRONG',
      message: 'a stored password was sealed under another key',
    });
    await insert(540, 550);
    await restart(() => writeFileSync(path, right));
    await client('changefeed', 'resume', '-i', 'copy');
    await caughtUp('copy');
    await pair.assertEqual(['d']);
  },
);

/** Ends the server in order, does something to its directory, and starts it again. */
async function restart(between: () => void): Promise<void> {
  server.signal('SIGTERM');
  assert.equal((await server.end).status, 0);
  between();
  await start();
}

test('a second server on the same directory is refused', { timeout: 60_000 }, async () => {
  const end = await sluice(['server', '--addr', '127.0.0.1:0', '--data-dir', directory]);
  assert.equal(end.status, 1);
  assert.match(end.errors, /^sluice: COORDINATION_FAILED: .*another process/m);
});

test(
  'people see tables; a removed changefeed is gone and its copy stays',
  { timeout: 120_000 },
  async () => {
    const listed = await printed('changefeed', 'list');
    assert.match(
      listed,
      /^ID +STATE +STAGE +CHECKPOINT +LAG +ERROR\ncopy +normal +running +0-\d+-\d+ +0 ms\n$/,
    );
    assert.match(
      await printed('capture', 'list'),
      /^ID +ADDRESS +STATE +COORDINATOR +CHANGEFEEDS +TABLES\n[0-9a-f-]{36} +127\.0\.0\.1:\d+ +alive +yes +1 +1\n$/,
    );
    await client('changefeed', 'remove', '-i', 'copy');
    assert.equal((await client('changefeed', 'list'))['total'], 0);
    await pair.assertEqual(['d']);
  },
);

test(
  'a name whose copy is there already goes on where that stands, and says so',
  { timeout: 120_000 },
  async () => {
    const stands = `0-\\d+-${await pair.newestTs()}`;
    await insert(550, 560);
    const ends = ['--upstream', uriOf(pair.upstream), '--sink-uri', uriOf(pair.downstream)];
    const created = await client(
      'changefeed',
      'create',
      '-i',
      'copy',
      ...ends,
      '--start',
      'oldest',
    );
    const [warning, ...others] = created['warnings'] as readonly string[];
    assert.match(
      warning!,
      new RegExp(
        `^the downstream holds the copy of changefeed copy up to ${stands}: it goes on from there, whatever --start says$`,
      ),
    );
    assert.deepEqual(others, []);
    await caughtUp('copy');
    await pair.assertEqual(['d']);
    await client('changefeed', 'remove', '-i', 'copy');
  },
);

/** What a client command prints for people. */
async function printed(...args: readonly string[]): Promise<string> {
  const command = new SluiceCommand([...args, '--server', `http://${address}`]);
  let text = '';
  command.child.stdout!.on('data', (part: string) => (text += part));
  assert.equal((await command.end).status, 0);
  return text;
}
