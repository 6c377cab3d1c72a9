// A private MariaDB whose settings, accounts and logs are made wrong one by one; each must be named, and nothing skipped.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Failure } from '#src/base/failure.ts';
import type { FailureCode } from '#src/base/failures.ts';
import { openCpuPool } from '#src/adapters/cpu-pool/cpu-pool.ts';
import { openMysqlUpstream } from '#src/adapters/mysql-upstream/mysql-upstream.ts';
import type { UpstreamPort } from '#src/ports/upstream.ts';
import type { StartAt } from '#src/model/start-at.ts';
import { Proxy } from '#test/net/proxy.ts';
import { startMariadb, type MariadbServer } from '#test/servers/mariadb.ts';
import { allTables, check, checkFailure, next, open, readHistory } from './history.ts';

let server: MariadbServer;
const ports: UpstreamPort[] = [];
const now: StartAt = { kind: 'now' };

function upstream(uri = server.uri({ 'heartbeat-ms': '100' })): UpstreamPort {
  const port = openMysqlUpstream({ uri, log: () => undefined, cpu: openCpuPool() });
  ports.push(port);
  return port;
}

before(async () => {
  server = await startMariadb();
  await server.query('CREATE DATABASE d');
  await server.query('CREATE TABLE d.t (id INT PRIMARY KEY)');
});

after(async () => {
  for (const port of ports) await port.close();
  await server.stop();
});

const settings: readonly (readonly [string, string, string])[] = [
  ['binlog_format', 'MIXED', 'ROW'],
  ['binlog_format', 'STATEMENT', 'ROW'],
  ['binlog_row_metadata', 'MINIMAL', 'FULL'],
  ['binlog_row_metadata', 'NO_LOG', 'FULL'],
  ['gtid_strict_mode', 'OFF', 'ON'],
];

for (const [name, wrong, right] of settings) {
  test(`${name}=${wrong} is refused, naming the value to set`, async () => {
    await server.query(`SET GLOBAL ${name} = '${wrong}'`);
    const failure = await checkFailure(upstream(), now);
    await server.query(`SET GLOBAL ${name} = '${right}'`);
    assert.equal(failure.code, 'SOURCE_SETTING_WRONG');
    assert.ok(failure.message.includes(`set ${name}=${right}`), failure.message);
  });
}

test('all wrong settings are named at once', async () => {
  await server.query("SET GLOBAL binlog_format = 'MIXED', GLOBAL gtid_strict_mode = OFF");
  const failure = await checkFailure(upstream(), now);
  await server.query("SET GLOBAL binlog_format = 'ROW', GLOBAL gtid_strict_mode = ON");
  assert.match(failure.message, /binlog_format.*gtid_strict_mode/);
});

test('partial row images are accepted with a warning', async () => {
  await server.query("SET GLOBAL binlog_row_image = 'MINIMAL'");
  const checked = await check(upstream(), now);
  await server.query("SET GLOBAL binlog_row_image = 'FULL'");
  assert.match(checked.warnings.join(), /binlog_row_image is MINIMAL/);
});

test('a server without a binary log is refused', async () => {
  const silent = await startMariadb({ config: { skip_log_bin: '' } });
  try {
    const failure = await checkFailure(upstream(silent.uri()), now);
    assert.equal(failure.code, 'SOURCE_SETTING_WRONG');
    assert.match(failure.message, /log_bin is OFF: set log_bin=ON/);
  } finally {
    await silent.stop();
  }
});

test('missing grants are named one by one, and those two are enough', async () => {
  await server.query("CREATE USER few@'127.0.0.1' IDENTIFIED BY 'pass@word/1'");
  const uri = server.uri({ 'heartbeat-ms': '100' }).replace('root@', 'few:pass%40word%2F1@');
  const failure = await checkFailure(upstream(uri), now);
  assert.equal(failure.code, 'SOURCE_GRANT_MISSING');
  assert.match(failure.message, /REPLICATION SLAVE.*BINLOG MONITOR/);
  await server.query("GRANT REPLICATION SLAVE ON *.* TO few@'127.0.0.1'");
  const second = await checkFailure(upstream(uri), now);
  assert.doesNotMatch(second.message, /REPLICATION SLAVE/);
  await server.query("GRANT BINLOG MONITOR ON *.* TO few@'127.0.0.1'");
  const port = upstream(uri);
  const { start } = await check(port, now);
  assert.equal(await open(port, { position: start, timeline: [] }), undefined);
  assert.ok('blocks' in (await next(port)));
});

test('grants of a role count when the account has it on', async () => {
  await server.script(
    `CREATE ROLE inner_role; GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO inner_role;
     CREATE ROLE reader; GRANT inner_role TO reader;
     CREATE USER role_user@'127.0.0.1'; GRANT reader TO role_user@'127.0.0.1'`,
  );
  const uri = server.uri({ 'heartbeat-ms': '100' }).replace('root@', 'role_user@');
  assert.equal((await checkFailure(upstream(uri), now)).code, 'SOURCE_GRANT_MISSING');
  await server.query("SET DEFAULT ROLE reader FOR role_user@'127.0.0.1'");
  const port = upstream(uri);
  const { start } = await check(port, now);
  assert.equal(await open(port, { position: start, timeline: [] }), undefined);
});

test('a wrong password, a wrong port and a wrong socket are told apart, without the password', async () => {
  const bad = await checkFailure(upstream(server.uri().replace('root@', 'root:hunter2@')), now);
  assert.equal(bad.code, 'SOURCE_ACCESS_DENIED');
  assert.doesNotMatch(JSON.stringify(bad), /hunter2/);
  const gone = await checkFailure(upstream('mysql://root@127.0.0.1:1/'), now);
  assert.equal(gone.code, 'SOURCE_UNREACHABLE');
  assert.equal(gone.retry, 'Again');
  const socket = await checkFailure(upstream('mysql://root@localhost/?socket=/nowhere/s'), now);
  assert.equal(socket.code, 'SOURCE_UNREACHABLE');
});

test('a Unix socket carries the stream', async () => {
  const port = upstream(`mysql://root@localhost/?heartbeat-ms=100&socket=${server.socket}`);
  const { start } = await check(port, now);
  await server.query('INSERT INTO d.t VALUES (1)');
  const untilTs = (await check(port, now)).newest.ts;
  const { history } = await readHistory(port, { start, untilTs });
  assert.equal(history.lines().length, 1);
});

test('TLS carries the stream and a certificate of somebody else is refused', async () => {
  const tls = await startMariadb({
    config: { ...makeCertificate(server.directory), require_secure_transport: 'ON' },
  });
  try {
    const ca = join(server.directory, 'ca.pem');
    const port = upstream(
      tls.uri({ 'heartbeat-ms': '100', 'ssl-ca': ca, 'ssl-mode': 'verify-ca' }),
    );
    const { start } = await check(port, { kind: 'oldest' });
    await open(port, { position: start, timeline: [] });
    assert.ok('blocks' in (await next(port)));
    await port.close();
    const foreign = join(server.directory, 'other.pem');
    const bad = upstream(tls.uri({ 'ssl-ca': foreign, 'ssl-mode': 'verify-ca' }));
    assert.equal((await checkFailure(bad, now)).code, 'SOURCE_UNREACHABLE');
    const plain = await checkFailure(upstream(tls.uri()), now);
    assert.equal(plain.code, 'SOURCE_ACCESS_DENIED');
  } finally {
    await tls.stop();
  }
});

/** A self-signed certificate for the server, and a foreign one. */
function makeCertificate(directory: string): Record<string, string> {
  const make = (name: string, key: string): void => {
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-days',
        '2',
        '-subj',
        '/CN=localhost',
        '-keyout',
        join(directory, key),
        '-out',
        join(directory, name),
      ],
      { stdio: 'pipe' },
    );
  };
  make('ca.pem', 'key.pem');
  make('other.pem', 'other-key.pem');
  return { ssl_cert: join(directory, 'ca.pem'), ssl_key: join(directory, 'key.pem') };
}

test('the server id of the upstream itself, or of a replica, is refused', async () => {
  const own = upstream(server.uri({ 'server-id': String(server.port) }));
  assert.equal((await checkFailure(own, now)).code, 'SOURCE_SERVER_ID_TAKEN');
  const first = upstream(server.uri({ 'server-id': '4242', 'heartbeat-ms': '100' }));
  const { start } = await check(first, now);
  await open(first, { position: start, timeline: [] });
  await next(first);
  const second = upstream(server.uri({ 'server-id': '4242' }));
  const failure = await checkFailure(second, now);
  assert.equal(failure.code, 'SOURCE_SERVER_ID_TAKEN');
  assert.equal(failure.retry, 'Again');
  await first.close();
});

async function openFailure(gtid: string): Promise<Failure> {
  const port = upstream();
  const position = { ts: Number(gtid.split('-')[2] ?? 0), gtid };
  const failure = await open(port, { position, timeline: [] });
  if (failure !== undefined) return failure;
  for (let i = 0; i < 100; i++) {
    const chunk = await next(port);
    if ('code' in chunk) return chunk;
  }
  throw new Error('the stream was to fail');
}

test('a purged position fails as purged, both when checked and when opened', async () => {
  const old = (await check(upstream(), now)).newest;
  await server.query('INSERT INTO d.t VALUES (10)');
  await server.query('FLUSH BINARY LOGS');
  const last = server.binlogFiles().at(-1)!.split('/').at(-1)!;
  // A log that a stream still reads is not purged: those of earlier tests must be gone first.
  for (const port of ports.splice(0)) await port.close();
  for (let i = 0; i < 100 && server.binlogFiles().length > 1; i++) {
    await server.query(`PURGE BINARY LOGS TO '${last}'`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const asked: StartAt[] = [
    { kind: 'gtid', gtid: old.gtid },
    { kind: 'position', position: old, timeline: [] },
  ];
  for (const startAt of asked) {
    const failure = await checkFailure(upstream(), startAt);
    assert.equal(failure.code, 'SOURCE_BINLOG_PURGED');
    assert.equal(failure.retry, 'Never');
  }
  assert.equal((await openFailure(old.gtid)).code, 'SOURCE_BINLOG_PURGED');
  assert.equal((await openFailure('')).code, 'SOURCE_BINLOG_PURGED');
});

test('the oldest position is the one before the oldest log', async () => {
  const checked = await check(upstream(), { kind: 'oldest' });
  assert.equal(checked.start.ts, checked.newest.ts);
  assert.equal(checked.start.gtid, checked.newest.gtid);
});

test('a position the server never had fails as diverged, both when checked and when opened', async () => {
  const { newest } = await check(upstream(), now);
  const ahead = `0-${server.port}-${newest.ts + 100}`;
  const other = `0-77-${newest.ts}`;
  for (const gtid of [ahead, other]) {
    assert.equal((await checkFailure(upstream(), { kind: 'gtid', gtid })).code, 'SOURCE_DIVERGED');
  }
  const failure = await openFailure(ahead);
  assert.equal(failure.code, 'SOURCE_DIVERGED');
  assert.equal(failure.retry, 'Never');
});

test('a GTID that is none is a configuration fault', async () => {
  const failure = await checkFailure(upstream(), { kind: 'gtid', gtid: "1-2-3'; DROP" });
  assert.equal(failure.code, 'CONFIG_INVALID');
});

const badStatements: readonly (readonly [string, string, FailureCode])[] = [
  ["SET SESSION binlog_format = 'STATEMENT'", 'INSERT INTO d.t VALUES (500)', 'SOURCE_STATEMENT'],
  ["SET SESSION binlog_format = 'STATEMENT'", 'UPDATE d.t SET id = id + 1000', 'SOURCE_STATEMENT'],
  ['SET SESSION gtid_domain_id = 9', 'INSERT INTO d.t VALUES (501)', 'SOURCE_SETTING_WRONG'],
];

for (const [setting, statement, code] of badStatements) {
  test(`after ${setting} a data change stops the stream with ${code}, its place named`, async () => {
    const port = upstream();
    const { start } = await check(port, now);
    const session = await server.connect();
    await session.query(setting);
    await session.query(statement);
    await session.end();
    await open(port, { position: start, timeline: [] }, allTables);
    let failure: Failure | undefined;
    while (failure === undefined) {
      const chunk = await next(port);
      if ('code' in chunk) failure = chunk;
      else assert.equal(chunk.resolved.ts, start.ts);
    }
    assert.equal(failure.code, code);
    assert.equal(failure.retry, 'Never');
    assert.match(failure.message, /binlog\.\d+ before \d+/);
    if (code === 'SOURCE_STATEMENT') assert.doesNotMatch(JSON.stringify(failure), /500|1000/);
  });
}

test('several domains in the log are refused with the cure', async () => {
  const failure = await checkFailure(upstream(), now);
  assert.equal(failure.code, 'SOURCE_SETTING_WRONG');
  assert.match(failure.message, /gtid_domain_id/);
});

test('a frozen server is noticed, and so is a killed one; both ask for a new connection', async () => {
  const own = await startMariadb();
  const port = upstream(own.uri({ 'heartbeat-ms': '100' }));
  const { start } = await check(port, now);
  await open(port, { position: start, timeline: [] });
  await next(port);
  await own.kill('SIGSTOP');
  const failureOf = async (): Promise<Failure> => {
    for (;;) {
      const chunk = await next(port);
      if ('code' in chunk) return chunk;
    }
  };
  const frozen = await failureOf();
  await own.kill('SIGCONT');
  assert.deepEqual([frozen.code, frozen.retry], ['SOURCE_FROZEN', 'Reconnect']);
  await open(port, { position: start, timeline: [] });
  await next(port);
  await own.kill('SIGKILL');
  const killed = await failureOf();
  assert.deepEqual([killed.code, killed.retry], ['SOURCE_DISCONNECTED', 'Reconnect']);
  assert.equal((await open(port, { position: start, timeline: [] }))?.code, 'SOURCE_UNREACHABLE');
  await own.restart();
  assert.equal(await open(port, { position: start, timeline: [] }), undefined);
  await own.stop();
});

test('a connection through which nothing comes any more is given up', async () => {
  const own = await startMariadb();
  const proxy = await Proxy.start(own.port);
  const uri = `mysql://root@127.0.0.1:${proxy.port}/?heartbeat-ms=100&timeout-ms=500`;
  const port = upstream(uri);
  const { start } = await check(port, now);
  await open(port, { position: start, timeline: [] });
  await next(port);
  proxy.frozen = true;
  let code = '';
  while (code === '') {
    const chunk = await next(port);
    if ('code' in chunk) code = chunk.code;
  }
  assert.equal(code, 'SOURCE_FROZEN');
  assert.equal((await checkFailure(upstream(uri), now)).code, 'SOURCE_UNREACHABLE');
  await proxy.stop();
  await own.stop();
});

test('a server that lost its tail and went on is diverged when its history is shorter', async () => {
  const own = await startMariadb();
  await own.query('CREATE DATABASE d');
  await own.query('CREATE DATABASE e');
  const { newest } = await check(upstream(own.uri()), now);
  await own.query('RESET MASTER');
  await own.query('CREATE DATABASE f');
  const failure = await checkFailure(upstream(own.uri()), {
    kind: 'position',
    position: newest,
    timeline: [],
  });
  assert.equal(failure.code, 'SOURCE_DIVERGED');
  await own.stop();
});
