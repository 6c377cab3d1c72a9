// How a replication starts and ends as its user sees it: positions, signals, codes and exit statuses.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { freePort } from '#test/servers/free-port.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { ServerPair } from './server-pair.ts';
import { sluice, type CommandEnd } from './sluice-command.ts';

let pair: ServerPair;
let directory: string;
let shortPatience: string;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-ends-'));
  shortPatience = configFile('patience', "changefeed-error-stuck-duration = '1s'\n");
  pair = await ServerPair.start(startMariadb);
});
after(async () => {
  await pair.stop();
  rmSync(directory, { recursive: true, force: true });
});

function configFile(name: string, text: string): string {
  const path = join(directory, `${name}.toml`);
  writeFileSync(path, text);
  return path;
}

/** A database of its own for one test, on both servers or one; the arguments replicate nothing else. */
async function schemaFor(name: string, isOnBoth: boolean, table: string): Promise<string[]> {
  const servers = isOnBoth ? [pair.upstream, pair.downstream] : [pair.upstream];
  for (const server of servers) {
    await server.query(`CREATE DATABASE ${name}`);
    await server.query(`CREATE TABLE ${name}.t ${table}`);
  }
  return ['-i', name, '--config', configFile(name, `[filter]\nrules = ['${name}.*']\n`)];
}

async function position(): Promise<string> {
  const [row] = await pair.upstream.query<{ gtid: string }>('SELECT @@gtid_binlog_pos AS gtid');
  return row!.gtid;
}

function assertFailed(end: CommandEnd, status: number, code: string): string {
  assert.equal(end.status, status, `${JSON.stringify(end.result)}\n${end.errors}`);
  assert.equal(end.result['ok'], false);
  const error = end.result['error'] as { code: string; message: string };
  assert.equal(error.code, code, error.message);
  assert.deepEqual(Object.keys(end.result), ['ok', 'error']);
  return error.message;
}

async function rowsDownstream(name: string): Promise<number[]> {
  const rows = await pair.downstream.query<{ id: number }>(`SELECT id FROM ${name}.t ORDER BY id`);
  return rows.map(({ id }) => id);
}

/** A replication that is left running; killed when the test ends before it does. */
function following(t: TestContext, more: readonly string[]): ReturnType<ServerPair['begin']> {
  const command = pair.begin(more);
  t.after(() => command.signal('SIGKILL'));
  return command;
}

const isNormal = (line: Readonly<Record<string, unknown>>): boolean => line['state'] === 'normal';

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await condition())) {
    assert.ok(performance.now() < deadline, 'waited a minute for nothing');
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

test('a GTID is where the copy begins, and a stored position wins over it', async () => {
  const args = await schemaFor('fromgtid', true, '(id INT PRIMARY KEY)');
  await pair.upstream.query('INSERT INTO fromgtid.t VALUES (1)');
  const start = await position();
  await pair.upstream.query('INSERT INTO fromgtid.t VALUES (2)');
  const first = await pair.run(['--until-caught-up', '--start', start, ...args]);
  assert.equal(first.status, 0, first.errors);
  assert.equal(first.result['rows'], 1);
  assert.deepEqual(await rowsDownstream('fromgtid'), [2]);
  await pair.upstream.query('INSERT INTO fromgtid.t VALUES (3)');
  const second = await pair.run(['--until-caught-up', '--start', start, ...args]);
  assert.equal(second.result['rows'], 1);
  assert.deepEqual(await rowsDownstream('fromgtid'), [2, 3]);
  const { gtid } = second.result['checkpoint'] as { gtid: string };
  assert.equal(gtid, await position());
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`"now" copies what comes after; ${signal} ends it with what was read applied`, async (t) => {
    const name = signal.toLowerCase();
    const args = await schemaFor(name, true, '(id INT PRIMARY KEY)');
    await pair.upstream.query(`INSERT INTO ${name}.t VALUES (1)`);
    const command = following(t, ['--start', 'now', ...args]);
    await command.line(isNormal);
    await pair.upstream.query(`INSERT INTO ${name}.t VALUES (2), (3)`);
    await until(async () => (await rowsDownstream(name)).length === 2);
    command.signal(signal);
    const end = await command.end;
    assert.equal(end.status, 0, end.errors);
    const { ok, state, rows } = end.result;
    assert.deepEqual({ ok, state, rows }, { ok: true, state: 'stopped', rows: 2 });
    await pair.upstream.query(`INSERT INTO ${name}.t VALUES (4)`);
    const next = await pair.run(['--until-caught-up', ...args]);
    assert.equal(next.result['rows'], 1);
    assert.deepEqual(await rowsDownstream(name), [2, 3, 4]);
  });
}

test('servers that restart in the middle interrupt the copy and do not end it', async (t) => {
  const args = await schemaFor('restarts', true, '(id INT PRIMARY KEY)');
  const command = following(t, ['--start', 'now', ...args]);
  await command.line(isNormal);
  for (const [id, server] of [pair.upstream, pair.downstream].entries()) {
    await pair.upstream.query(`INSERT INTO restarts.t VALUES (${id * 2})`);
    await server.restart();
    await pair.upstream.query(`INSERT INTO restarts.t VALUES (${id * 2 + 1})`);
  }
  await until(async () => (await rowsDownstream('restarts')).length === 4);
  command.signal('SIGINT');
  const end = await command.end;
  assert.equal(end.status, 0, end.errors);
  assert.equal(end.result['state'], 'stopped');
});

test('the older of two replications of one changefeed ends fenced, and the younger goes on', async (t) => {
  const args = await schemaFor('twice', true, '(id INT PRIMARY KEY)');
  const older = following(t, ['--start', 'now', ...args]);
  await older.line(isNormal);
  await pair.upstream.query('INSERT INTO twice.t VALUES (1)');
  await until(async () => (await rowsDownstream('twice')).length === 1);
  const younger = following(t, ['--start', 'now', ...args]);
  await younger.line(isNormal);
  let next = 2;
  let isOver = false;
  void older.end.then(() => (isOver = true));
  await until(async () => {
    await pair.upstream.query(`INSERT INTO twice.t VALUES (${next})`);
    next += 1;
    return isOver;
  });
  assertFailed(await older.end, 3, 'SINK_FENCED');
  await until(async () => (await rowsDownstream('twice')).length === next - 1);
  younger.signal('SIGINT');
  const end = await younger.end;
  assert.equal(end.status, 0, end.errors);
  await pair.assertEqual(['twice'], args.slice(2));
});

test('wrong passwords are named by side', async () => {
  const wrong = (port: number): string => `mysql://root:not-this-one@127.0.0.1:${port}/`;
  const [up, down] = [pair.upstream, pair.downstream];
  const sides = [
    ['SOURCE_ACCESS_DENIED', wrong(up.port), down.uri()],
    ['SINK_ACCESS_DENIED', up.uri(), wrong(down.port)],
  ] as const;
  for (const [code, upstream, sink] of sides) {
    const uris = ['--upstream', upstream, '--sink-uri', sink];
    const end = await sluice(['replicate', ...uris, '-i', 'denied', '--json']);
    assertFailed(end, 1, code);
    assert.doesNotMatch(JSON.stringify(end.lines) + end.errors, /not-this-one/);
    const diff = await sluice(['diff', ...uris, '--json']);
    assert.equal(diff.status, 1);
    assert.doesNotMatch(JSON.stringify(diff.lines) + diff.errors, /not-this-one/);
  }
});

test('servers that do not answer end the copy once patience is over', async () => {
  const nobody = `mysql://root@127.0.0.1:${await freePort()}/`;
  const sides = [
    ['SOURCE_UNREACHABLE', nobody, pair.downstream.uri()],
    ['SINK_UNREACHABLE', pair.upstream.uri(), nobody],
  ] as const;
  for (const [code, upstream, sink] of sides) {
    const uris = ['--upstream', upstream, '--sink-uri', sink];
    const end = await sluice(
      ['replicate', ...uris, '-i', 'nobody', '--config', shortPatience, '--json'],
      60_000,
    );
    assertFailed(end, 1, code);
    const warned = end.lines.find((line) => line['state'] === 'warning');
    assert.equal((warned?.['failure'] as { code: string } | undefined)?.code, code);
  }
});

test('an upstream without a binary log is refused with the setting to change', async (t) => {
  const silent = await startMariadb({ config: { skip_log_bin: '' } });
  t.after(() => silent.stop());
  const uris = ['--upstream', silent.uri(), '--sink-uri', pair.downstream.uri()];
  const end = await sluice(['replicate', ...uris, '-i', 'silent', '--json']);
  assert.match(assertFailed(end, 1, 'SOURCE_SETTING_WRONG'), /log_bin=ON/);
});

test('a purged position is named as purged', async () => {
  const args = await schemaFor('purged', true, '(id INT PRIMARY KEY)');
  const start = await position();
  await pair.upstream.query('INSERT INTO purged.t VALUES (1)');
  await pair.upstream.query('FLUSH BINARY LOGS');
  const logs = await pair.upstream.query<{ Log_name: string }>('SHOW BINARY LOGS');
  await until(async () => {
    await pair.upstream.query(`PURGE BINARY LOGS TO '${logs.at(-1)!.Log_name}'`);
    return (await pair.upstream.query('SHOW BINARY LOGS')).length === 1;
  });
  assertFailed(await pair.run(['--start', start, ...args]), 1, 'SOURCE_BINLOG_PURGED');
});

test('copies that differ are named as what differs', async () => {
  const cases = [
    ['notable', 'DROP TABLE notable.t', 'SINK_TABLE_MISSING'],
    ['norow', 'DELETE FROM norow.t', 'SINK_ROW_MISSING'],
    ['duplicate', 'INSERT INTO duplicate.t VALUES (2, 5)', 'SINK_ROW_DUPLICATE'],
    ['columns', 'ALTER TABLE columns.t DROP COLUMN v', 'SINK_SCHEMA_MISMATCH'],
  ] as const;
  for (const [name, change, code] of cases) {
    const args = await schemaFor(name, true, '(id INT PRIMARY KEY, v INT)');
    for (const server of [pair.upstream, pair.downstream]) {
      await server.query(`INSERT INTO ${name}.t VALUES (1, 1)`);
    }
    const start = await position();
    await pair.downstream.query(change);
    await pair.upstream.query(`UPDATE ${name}.t SET v = 71234 WHERE id = 1`);
    await pair.upstream.query(`INSERT INTO ${name}.t VALUES (2, 72345)`);
    const end = await pair.run(['--until-caught-up', '--start', start, ...args], 60_000);
    const message = assertFailed(end, 1, code);
    assert.match(message, new RegExp(`\\b${name}\\b`));
    assert.doesNotMatch(message + end.errors, /71234|72345/);
    const diff = await sluice(['diff', ...pair.uris, ...args.slice(2), '--json']);
    assert.equal(diff.status, 1);
    assert.equal(diff.result['equal'], false);
  }
});

test('a DDL that the downstream refuses ends the copy before anything after it', async () => {
  const args = await schemaFor('refused', true, '(id INT PRIMARY KEY)');
  const start = await position();
  await pair.downstream.query('CREATE TABLE refused.other (x INT)');
  await pair.upstream.query('INSERT INTO refused.t VALUES (1)');
  await pair.upstream.query('CREATE TABLE refused.other (id INT PRIMARY KEY)');
  await pair.upstream.query('INSERT INTO refused.t VALUES (2)');
  const end = await pair.run(['--until-caught-up', '--start', start, ...args], 60_000);
  const message = assertFailed(end, 1, 'SINK_REFUSED');
  assert.match(message, /other/);
  assert.deepEqual(await rowsDownstream('refused'), [1]);
  await pair.downstream.query('DROP TABLE refused.other');
  const again = await pair.run(['--until-caught-up', ...args]);
  assert.equal(again.status, 0, JSON.stringify(again.result));
  await pair.assertEqual(['refused'], args.slice(2));
});

test('a server is not copied to itself, under whatever address', async () => {
  const { upstream } = pair;
  for (const sink of [upstream.uri(), `mysql://root@/?socket=${upstream.socket}`]) {
    const ends = ['--upstream', upstream.uri(), '--sink-uri', sink];
    const end = await sluice(['replicate', ...ends, '--until-caught-up', '--json'], 60_000);
    const message = assertFailed(end, 1, 'SINK_IS_UPSTREAM');
    assert.equal(message, 'upstream and sink are the same server');
  }
});

test('a table whose engine has no transactions is refused', async () => {
  const args = await schemaFor('engine', false, '(id INT PRIMARY KEY) ENGINE=InnoDB');
  await pair.downstream.query('CREATE DATABASE engine');
  const start = await position();
  await pair.upstream.query('CREATE TABLE engine.plain (id INT PRIMARY KEY) ENGINE=MyISAM');
  await pair.upstream.query('INSERT INTO engine.plain VALUES (1)');
  const end = await pair.run(['--until-caught-up', '--start', start, ...args], 60_000);
  assert.match(assertFailed(end, 1, 'SINK_UNSUPPORTED'), /MyISAM.*engine\.plain/);
});

test('wrong usage ends with status 2 and names what is wrong', async () => {
  const uris = pair.uris;
  const bad = configFile('bad', "memory-quota = 1\nunknown = 3\n[filter]\nrules = ['a']\n");
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['replicate', '--json'], /--upstream/],
    [['replicate', ...uris, '--no-such-option'], /no-such-option/],
    [['replicate', ...uris, '--workers', '0'], /whole number/],
    [['replicate', ...uris, '--json', '--config', bad], /memory-quota.*unknown/s],
    [['replicate', ...uris, '--json', '--config', join(directory, 'absent.toml')], /absent\.toml/],
    [['replicate', ...uris, '--json', '--start', 'yesterday'], /GTID/],
    [
      ['replicate', '--upstream', 'ftp://x/', '--sink-uri', 'what', '--json'],
      /--upstream.*--sink-uri/s,
    ],
    [
      ['replicate', '--upstream', 'mysql://u@h/?no-such=1', '--sink-uri', 'blackhole://', '--json'],
      /no-such/,
    ],
    [['diff', '--upstream', 'mysql://h/', '--json'], /--sink-uri/],
    [['no-such-command'], /no-such-command/],
  ];
  for (const [args, says] of cases) {
    const end = await sluice(args, 30_000);
    assert.equal(end.status, 2, `${args.join(' ')}: ${JSON.stringify(end.result)} ${end.errors}`);
    assert.match(JSON.stringify(end.result) + end.errors, says, args.join(' '));
    if (args.includes('--json')) assertFailed(end, 2, 'CONFIG_INVALID');
  }
});
