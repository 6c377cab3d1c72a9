/**
 * Wrong grants, settings and positions of real servers, told when a changefeed is created, each in its exact words. Two
 * MariaDB servers, one node with its API in this process; at the end the same through the command line.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startMariadb, type MariadbServer } from '#test/servers/mariadb.ts';
import { TestNode } from '#test/workers/api/api-stage.ts';
import { sluice } from './sluice-command.ts';

let upstream: MariadbServer;
let downstream: MariadbServer;
let node: TestNode;
let count = 0;

before(async () => {
  [upstream, downstream] = await Promise.all([startMariadb(), startMariadb()]);
  node = await TestNode.start();
  for (const server of [upstream, downstream]) {
    await server.script(
      [
        "CREATE USER none@'127.0.0.1' IDENTIFIED BY 'p'",
        "CREATE USER half@'127.0.0.1' IDENTIFIED BY 'p'",
        "GRANT REPLICATION SLAVE ON *.* TO half@'127.0.0.1'",
        "CREATE USER reader@'127.0.0.1' IDENTIFIED BY 'p'",
        "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO reader@'127.0.0.1'",
      ].join(';'),
    );
  }
});

after(async () => {
  await node.stop();
  await Promise.all([upstream.stop(), downstream.stop()]);
});

function uriOf(server: MariadbServer, user: string, password = 'p'): string {
  return `mysql://${user}:${password}@127.0.0.1:${server.port}/`;
}

/** What the API says to a creation; a changefeed that comes to be is removed again. */
async function wordsOf(more: Readonly<Record<string, string>> = {}): Promise<string> {
  const id = `f-${++count}`;
  const { status, body } = await node.call('POST', '/api/v2/changefeeds', {
    changefeed_id: id,
    upstream_uri: upstream.uri(),
    sink_uri: downstream.uri(),
    ...more,
  });
  if (status === 200) {
    await node.call('DELETE', `/api/v2/changefeeds/${id}`);
    return 'created';
  }
  return `${String(body['error_code'])}: ${String(body['error_msg'])}`;
}

test('accounts: what is missing is named grant by grant', async () => {
  assert.equal(await wordsOf({ upstream_uri: uriOf(upstream, 'reader') }), 'created');
  const cases: readonly (readonly [Readonly<Record<string, string>>, words: string])[] = [
    [
      { upstream_uri: uriOf(upstream, 'none', 'wrong') },
      "SOURCE_ACCESS_DENIED: the upstream answers error 1045: Access denied for user 'none'@'127.0.0.1' (using password: YES)",
    ],
    [
      { upstream_uri: uriOf(upstream, 'none') },
      'SOURCE_GRANT_MISSING: the upstream: the account lacks REPLICATION SLAVE: GRANT REPLICATION SLAVE ON *.* TO it; the account lacks BINLOG MONITOR: GRANT BINLOG MONITOR ON *.* TO it',
    ],
    [
      { upstream_uri: uriOf(upstream, 'half') },
      'SOURCE_GRANT_MISSING: the upstream: the account lacks BINLOG MONITOR: GRANT BINLOG MONITOR ON *.* TO it',
    ],
    [
      { sink_uri: uriOf(downstream, 'none', 'wrong') },
      "SINK_ACCESS_DENIED: the downstream refuses the account: it could not connect (error 1045: Access denied for user 'none'@'127.0.0.1' (using password: YES))",
    ],
    [
      { sink_uri: uriOf(downstream, 'none') },
      "SINK_ACCESS_DENIED: the downstream refuses the account: it could not make the bookkeeping tables (error 1044: Access denied for user 'none'@'127.0.0.1' to database 'sluice_meta')",
    ],
  ];
  for (const [more, words] of cases) assert.equal(await wordsOf(more), words);
});

test('an upstream that is the downstream is refused, under whatever address', async () => {
  const words = 'SINK_IS_UPSTREAM: upstream and sink are the same server';
  assert.equal(await wordsOf({ sink_uri: upstream.uri() }), words);
  assert.equal(await wordsOf({ sink_uri: `mysql://root@/?socket=${upstream.socket}` }), words);
});

test('positions that are no GTID, of another history, or not there yet', async () => {
  const [row] = await upstream.query<{ pos: string }>('SELECT @@gtid_binlog_pos AS pos');
  const end = `is not in the upstream's history, which ends at ${row!.pos}`;
  const cases: readonly (readonly [start: string, words: string])[] = [
    ['yesterday', 'CONFIG_INVALID: a MariaDB GTID has the form domain-server-sequence'],
    ['0-1-9100000000000000', 'CONFIG_INVALID: GTID sequence of 2^53 or more'],
    ['0-1-1,1-1-1', 'SOURCE_SETTING_WRONG: GTIDs of several domains (0, 1)'],
    ['0-1-999999', `SOURCE_DIVERGED: position 0-1-999999 ${end}`],
    ['7-1-1', `SOURCE_DIVERGED: position 7-1-1 ${end}`],
  ];
  for (const [start, words] of cases) assert.equal(await wordsOf({ start }), words);
  const own = String(upstream.port);
  assert.equal(
    await wordsOf({ upstream_uri: upstream.uri({ 'server-id': own }) }),
    `SOURCE_SERVER_ID_TAKEN: server id ${own} is in use by the upstream or a replica`,
  );
});

test('targets that are no GTID, of another domain, or behind the changefeed', async () => {
  const [row] = await upstream.query<{ pos: string }>('SELECT @@gtid_binlog_pos AS pos');
  const now = row!.pos;
  const cases: readonly (readonly [target: string, words: string])[] = [
    ['tomorrow', 'a MariaDB GTID has the form domain-server-sequence'],
    ['0-1-1,0-2-9', 'one GTID of the form domain-server-sequence'],
    ['7-1-99', "7-1-99 is of domain 7, the upstream's log of domain 0"],
    [now, `${now} does not lie behind ${now}, where the changefeed begins`],
  ];
  for (const [target_gtid, words] of cases)
    assert.equal(await wordsOf({ target_gtid }), `CONFIG_INVALID: target_gtid: ${words}`);
  assert.equal(
    await wordsOf({ upstream_uri: 'workload://bank', target_gtid: 'x' }),
    'CONFIG_INVALID: target_gtid: the workload has no transaction x',
  );
});

test('settings of the upstream: every wrong one is named with the value to set', async () => {
  await upstream.query("SET GLOBAL binlog_format = 'MIXED'");
  assert.equal(
    await wordsOf(),
    'SOURCE_SETTING_WRONG: the upstream: binlog_format is MIXED: set binlog_format=ROW',
  );
  await upstream.script(
    "SET GLOBAL binlog_format = 'STATEMENT'; SET GLOBAL binlog_row_metadata = 'MINIMAL'; SET GLOBAL gtid_strict_mode = OFF",
  );
  assert.equal(
    await wordsOf(),
    'SOURCE_SETTING_WRONG: the upstream: binlog_format is STATEMENT: set binlog_format=ROW; binlog_row_metadata is MINIMAL: set binlog_row_metadata=FULL; gtid_strict_mode is OFF: set gtid_strict_mode=ON',
  );
  await upstream.script(
    "SET GLOBAL binlog_format = 'ROW'; SET GLOBAL binlog_row_metadata = 'FULL'; SET GLOBAL gtid_strict_mode = ON",
  );
  assert.equal(await wordsOf(), 'created');
});

test('tables without a key are named before and when a changefeed is created', async () => {
  await upstream.script(
    [
      'CREATE DATABASE k',
      'CREATE TABLE k.pk (id INT PRIMARY KEY)',
      'CREATE TABLE k.uk (id INT NOT NULL, n INT, UNIQUE (id), UNIQUE (n))',
      'CREATE TABLE k.maybe (n INT, UNIQUE (n))',
      'CREATE TABLE k.none (n INT)',
      'CREATE TABLE k.hidden (n INT)',
    ].join(';'),
  );
  const replica_config = { filter: { rules: ['k.*', '!k.hidden'] } };
  const verified = await node.call('POST', '/api/v2/verify_table', {
    upstream_uri: upstream.uri(),
    replica_config,
  });
  const names = (tables: unknown): string[] =>
    (tables as { database_name: string; table_name: string }[]).map(
      ({ database_name, table_name }) => `${database_name}.${table_name}`,
    );
  assert.deepEqual(names(verified.body['eligible_tables']), ['k.pk', 'k.uk']);
  assert.deepEqual(names(verified.body['ineligible_tables']), ['k.maybe', 'k.none']);
  const created = await node.call('POST', '/api/v2/changefeeds', {
    changefeed_id: 'k',
    upstream_uri: upstream.uri(),
    sink_uri: downstream.uri(),
    replica_config,
  });
  assert.deepEqual(created.body['warnings'], [
    'tables without a key are matched by all columns, in one lane: k.maybe, k.none',
  ]);
  await node.call('DELETE', '/api/v2/changefeeds/k');
  await upstream.query('DROP DATABASE k');
});

test('a downstream that is read-only is refused', async () => {
  await downstream.query('SET GLOBAL read_only = ON');
  assert.equal(await wordsOf(), 'SINK_READ_ONLY: the downstream is read-only');
  await downstream.query('SET GLOBAL read_only = OFF');
});

test('the command line says the same, as a line for people and as JSON', async (t) => {
  const common = ['--server', `http://${node.api.address}`, '-i', 'f', '--no-confirm'];
  const ends = ['--upstream', uriOf(upstream, 'half'), '--sink-uri', downstream.uri()];
  const words = 'the upstream: the account lacks BINLOG MONITOR: GRANT BINLOG MONITOR ON *.* TO it';
  await t.test('for people', async () => {
    const end = await sluice(['changefeed', 'create', ...common, ...ends]);
    assert.equal(end.status, 1);
    assert.equal(end.errors, `sluice: SOURCE_GRANT_MISSING: ${words}\n`);
  });
  await t.test('for scripts', async () => {
    const end = await sluice(['changefeed', 'create', ...common, ...ends, '--json']);
    assert.equal(end.status, 1);
    const error = { code: 'SOURCE_GRANT_MISSING', message: words };
    assert.deepEqual(end.result, { ok: false, error });
  });
  await t.test('wrong usage', async () => {
    const end = await sluice(['changefeed', 'create', ...common, '--upstream', 'x']);
    assert.equal(end.status, 2);
    assert.match(end.errors, /^error: required option '--sink-uri <uri>' not specified$/m);
  });
  await t.test('wrong choice', async () => {
    const end = await sluice(['server', '--data-dir', node.directory, '--on-fence', 'hope']);
    assert.equal(end.status, 2);
    assert.match(
      end.errors,
      /^error: option '--on-fence <what>' argument 'hope' is invalid. Allowed choices are rejoin, exit\.$/m,
    );
  });
});

test('a position that was purged, and a server without a log', async () => {
  await upstream.script(
    'CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY); INSERT INTO d.t VALUES (1)',
  );
  const [old] = await upstream.query<{ pos: string }>('SELECT @@gtid_binlog_pos AS pos');
  await upstream.script('INSERT INTO d.t VALUES (2); FLUSH BINARY LOGS');
  const last = upstream.binlogFiles().at(-1)!.split('/').at(-1)!;
  // A log that a stream still reads is not purged, and the server notices late that a reader has gone.
  for (let i = 0; i < 200 && upstream.binlogFiles().length > 1; i++) {
    await upstream.query(`PURGE BINARY LOGS TO '${last}'`);
    await upstream.query('INSERT INTO d.t SELECT max(id) + 1 FROM d.t');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.match(
    await wordsOf({ start: old!.pos }),
    /^SOURCE_BINLOG_PURGED: position 0-\d+-\d+ is purged: the oldest log begins behind 0-\d+-\d+$/,
  );
  await upstream.restart({ skip_log_bin: '' });
  assert.equal(
    await wordsOf(),
    'SOURCE_SETTING_WRONG: the upstream: log_bin is OFF: set log_bin=ON',
  );
});
