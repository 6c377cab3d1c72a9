// One private MariaDB with a log of everything that may stand in one; the stream is read whole, in parts, through a proxy
// that cuts and corrupts it, and must always give the same history.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openCpuPool } from '#src/adapters/cpu-pool/cpu-pool.ts';
import { openMysqlUpstream } from '#src/adapters/mysql-upstream/mysql-upstream.ts';
import type { Position } from '#src/model/position.ts';
import type { UpstreamChunk, UpstreamPort } from '#src/ports/upstream.ts';
import { Proxy } from '#test/net/proxy.ts';
import { startMariadb, type MariadbServer } from '#test/servers/mariadb.ts';
import {
  allTables,
  check,
  History,
  next,
  open,
  readHistory,
  UnexpectedFailure,
} from './history.ts';

let server: MariadbServer;
let proxy: Proxy;
const ports: UpstreamPort[] = [];
const logged: string[] = [];

function upstream(port = server.port, parameters = ''): UpstreamPort {
  const opened = openMysqlUpstream({
    uri: `mysql://root@127.0.0.1:${port}/?heartbeat-ms=200${parameters}`,
    log: (_level, event) => logged.push(event),
    cpu: openCpuPool(),
  });
  ports.push(opened);
  return opened;
}

async function newestTs(): Promise<number> {
  return (await check(upstream(), { kind: 'now' })).newest.ts;
}

before(async () => {
  server = await startMariadb({ config: { binlog_row_event_max_size: '4096' } });
  proxy = await Proxy.start(server.port);
  await writeLog();
});

after(async () => {
  for (const port of ports) await port.close();
  await proxy.stop();
  await server.stop();
});

/** Writes a log with transactions over several tables, DDL, XA, two-phase ALTER, compression, rotation. */
async function writeLog(): Promise<void> {
  const session = await server.connect();
  await session.query('CREATE DATABASE a');
  await session.query('CREATE DATABASE b');
  await session.query('USE a');
  await session.query('CREATE TABLE a.t (id INT PRIMARY KEY, v VARCHAR(100))');
  await session.query('CREATE TABLE b.t (id INT PRIMARY KEY, v VARCHAR(100))');
  await session.query('CREATE TABLE b.plain (id INT) ENGINE=MyISAM');
  for (let i = 0; i < 30; i++) {
    await session.query('BEGIN');
    await session.query(`INSERT INTO a.t VALUES (${i}, 'x${i}')`);
    await session.query(`INSERT INTO b.t VALUES (${i}, 'y${i}')`);
    await session.query(`UPDATE a.t SET v = 'z' WHERE id <= ${i}`);
    await session.query('COMMIT');
    if (i % 10 === 5) await session.query('FLUSH BINARY LOGS');
    if (i === 20) await session.query('SET GLOBAL log_bin_compress = ON');
  }
  await session.query("UPDATE a.t SET v = REPEAT('c', 90)");
  await session.query(`CREATE TABLE a.long_name (id INT COMMENT '${'k'.repeat(600)}')`);
  await session.query('SET GLOBAL log_bin_compress = OFF');
  await session.query('INSERT INTO b.plain VALUES (1)');
  await session.query('CREATE TABLE a.copied AS SELECT * FROM a.t');
  await session.query("XA START 'one'");
  await session.query("INSERT INTO a.t VALUES (1000, 'xa')");
  await session.query("XA END 'one'");
  await session.query("XA PREPARE 'one'");
  const other = await server.connect();
  await other.query("INSERT INTO a.t VALUES (1001, 'between')");
  await other.query("XA START 'gone','b',7");
  await other.query("INSERT INTO a.t VALUES (1002, 'gone')");
  await other.query("XA END 'gone','b',7");
  await other.query("XA PREPARE 'gone','b',7");
  await other.query("XA ROLLBACK 'gone','b',7");
  await session.query("XA COMMIT 'one'");
  await session.query("XA START 'single'");
  await session.query("INSERT INTO a.t VALUES (1003, 'single')");
  await session.query("XA END 'single'");
  await session.query("XA COMMIT 'single' ONE PHASE");
  await session.query('SET binlog_alter_two_phase = ON');
  await session.query('ALTER TABLE a.t ADD COLUMN c INT');
  await assert.rejects(session.query('ALTER TABLE a.t ADD UNIQUE (v)'));
  await session.query('FLUSH BINARY LOGS');
  await session.query('BEGIN');
  await session.query("INSERT INTO a.t VALUES (2000, 'kept', 1)");
  await session.query('SAVEPOINT s');
  await session.query("INSERT INTO a.t VALUES (2001, 'not kept', 1)");
  await session.query('ROLLBACK TO s');
  await session.query('COMMIT');
  await session.query("CREATE USER someone@localhost IDENTIFIED BY 'secret'");
  await session.query('ANALYZE TABLE a.t');
  await session.query('CREATE FUNCTION a.f() RETURNS INT DETERMINISTIC RETURN 1');
  await session.query('CREATE SEQUENCE a.numbers');
  await session.query('SELECT NEXTVAL(a.numbers)');
  await session.query('RENAME TABLE a.copied TO b.copied');
  await session.query('DROP TABLE b.plain, b.copied');
  await session.end();
  await other.end();
}

async function wholeHistory(byteCountMax = 1 << 20): Promise<{
  readonly history: History;
  readonly positions: readonly Position[];
  readonly chunks: readonly UpstreamChunk[];
}> {
  const port = upstream();
  const { start } = await check(port, { kind: 'oldest' });
  const chunks: UpstreamChunk[] = [];
  const { history } = await readHistory(port, {
    start,
    untilTs: await newestTs(),
    byteCountMax,
    onChunk: (chunk) => void chunks.push(chunk),
  });
  await port.close();
  return { history, positions: [start, ...chunks.map((chunk) => chunk.resolved)], chunks };
}

test('the whole log comes as transactions and DDL in order', async () => {
  const { history, chunks } = await wholeHistory();
  const lines = history.lines();
  const ddls = chunks.flatMap((chunk) => (chunk.ddl === undefined ? [] : [chunk.ddl]));
  assert.deepEqual(
    ddls.map((ddl) =>
      ddl.sql
        .split(/[\s(]+/)
        .slice(0, 3)
        .join(' ')
        .toUpperCase(),
    ),
    [
      'CREATE DATABASE A',
      'CREATE DATABASE B',
      'CREATE TABLE A.T',
      'CREATE TABLE B.T',
      'CREATE TABLE B.PLAIN',
      'CREATE TABLE A.LONG_NAME',
      'CREATE TABLE `COPIED`',
      'ALTER TABLE A.T',
      'CREATE SEQUENCE A.NUMBERS',
      'RENAME TABLE A.COPIED',
      'DROP TABLE `B`.`PLAIN`,`B`.`COPIED`',
    ],
  );
  const rows = lines.filter((line) => line.split(' ')[1] === '1');
  const spans = rows.map((line) => line.split(' ')[2]);
  assert.equal(spans.filter((span) => span === 'b.t').length, 30);
  // 30 transactions, one UPDATE, the row between, two XA commits, the transaction with the savepoint.
  assert.equal(spans.filter((span) => span === 'a.t').length, 35);
  assert.equal(spans.filter((span) => span === 'b.plain').length, 1);
  const copied = chunks.find((chunk) => chunk.rowsFollow === true)?.ddl;
  assert.ok(rows.some((line) => line.startsWith(`${copied?.ts} 1 a.copied `)));
  assert.equal(ddls[2]?.schema, 'a');
  assert.ok(ddls.every((ddl) => ddl.commitMs > 0 && ddl.sqlMode !== undefined));
  assert.ok(ddls.every((ddl) => ddl.explicitDefaultsForTimestamp === true));
  assert.ok(logged.includes('upstream.routine-not-replicated'));
});

test('a DDL comes before its position is resolved and with everything before it resolved', async () => {
  const { chunks } = await wholeHistory();
  let behind = 0;
  for (const chunk of chunks) {
    assert.ok(chunk.resolved.ts >= behind);
    for (const { info } of chunk.blocks) {
      assert.ok(info.firstTs > behind || info.continues);
      if (!info.unfinished) assert.ok(info.lastTs <= chunk.resolved.ts);
    }
    if (chunk.ddl !== undefined) assert.ok(chunk.ddl.ts > chunk.resolved.ts);
    behind = chunk.resolved.ts;
  }
});

test('the history is the same however small the chunks are', async () => {
  const { history } = await wholeHistory();
  const small = await wholeHistory(600);
  assert.deepEqual(small.history.lines(), history.lines());
  assert.ok(small.chunks.some((chunk) => chunk.blocks.some((block) => block.info.unfinished)));
});

test('a restart from every position gives exactly the rest of the history', async () => {
  const { history, positions } = await wholeHistory(60);
  const untilTs = await newestTs();
  const distinct = [...new Map(positions.map((at) => [`${at.ts} ${at.gtid}`, at])).values()];
  assert.ok(distinct.length > 30);
  const port = upstream();
  for (const start of distinct) {
    const rest = await readHistory(port, { start, untilTs });
    assert.deepEqual(rest.history.lines(), history.lines(start.ts), `from ${start.gtid}`);
  }
});

test('while an XA transaction is prepared the position to restart from stays before it', async () => {
  const { positions } = await wholeHistory(60);
  assert.ok(positions.some((at) => at.gtid !== '' && Number(at.gtid.split('-')[2]) < at.ts));
  const last = positions.at(-1)!;
  assert.equal(Number(last.gtid.split('-')[2]), last.ts);
});

test('connections cut after any number of bytes lose and repeat nothing', async () => {
  const { history } = await wholeHistory();
  const untilTs = await newestTs();
  const port = upstream(proxy.port);
  const { start } = await check(port, { kind: 'oldest' });
  let seed = 20261121;
  const random = (): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return seed / 2 ** 32;
  };
  let failures = 0;
  for (let round = 0; round < 6; round++) {
    const cut = (): void => {
      proxy.fault = { kind: 'cut', byteCount: 4000 + Math.floor(random() * 12_000) };
    };
    cut();
    const { history: seen } = await readHistory(port, {
      start,
      untilTs,
      byteCountMax: 2000,
      onFailure: () => {
        failures++;
        if (failures % 15 === 0) proxy.fault = { kind: 'none' };
        else cut();
      },
    });
    assert.deepEqual(seen.lines(), history.lines());
  }
  proxy.fault = { kind: 'none' };
  assert.ok(failures >= 12, `${failures} cuts`);
});

test('a byte changed on the way is noticed, and reading again gives the right history', async () => {
  const { history } = await wholeHistory();
  const untilTs = await newestTs();
  const port = upstream(proxy.port);
  const { start } = await check(port, { kind: 'oldest' });
  const codes = new Set<string>();
  for (let at = 9_000; at < 21_000; at += 1_013) {
    proxy.fault = { kind: 'flip', at };
    const { history: seen } = await readHistory(port, {
      start,
      untilTs,
      onFailure: (failure) => {
        codes.add(failure.code);
        proxy.fault = { kind: 'none' };
      },
    });
    assert.deepEqual(seen.lines(), history.lines(), `byte ${at}`);
  }
  assert.ok(codes.has('SOURCE_CHECKSUM'), [...codes].join(' '));
  proxy.fault = { kind: 'none' };
});

test('filters leave tables out, and groups put several tables into one span', async () => {
  const { history } = await wholeHistory();
  const port = upstream();
  const { start } = await check(port, { kind: 'oldest' });
  const untilTs = await newestTs();
  const onlyB = await readHistory(port, {
    start,
    untilTs: (await newestTs()) - 3,
    routing: { rules: ['b.t'], groups: {} },
  });
  const lines = onlyB.history.lines();
  assert.deepEqual(
    lines.filter((line) => line.includes(' 1 ')),
    history.lines().filter((line) => line.includes(' 1 b.t ')),
  );
  assert.equal(lines.filter((line) => line.includes(' 0 ')).length, 2);
  const grouped = await readHistory(port, {
    start,
    untilTs,
    routing: { rules: ['*.*'], groups: { 'a.t': 'group:a.t+b.t', 'b.t': 'group:a.t+b.t' } },
  });
  const spans = grouped.history.lines().map((line) => line.split(' ')[2]);
  assert.equal(spans.filter((span) => span === 'group:a.t+b.t').length, 35);
});

test('a rename over the edge of the filter is refused with its tables', async () => {
  const port = upstream();
  const { start } = await check(port, { kind: 'oldest' });
  const reading = readHistory(port, {
    start,
    untilTs: await newestTs(),
    routing: { rules: ['a.*'], groups: {} },
  });
  await assert.rejects(
    reading,
    (error) =>
      error instanceof UnexpectedFailure &&
      error.failure.code === 'SOURCE_UNSUPPORTED' &&
      error.failure.message.includes('`b`.`copied`') &&
      error.failure.detail?.['file'] !== undefined,
  );
});

test('a chunk stays near its bound for one big transaction, which comes in parts', async () => {
  await server.query('CREATE TABLE a.big (id INT PRIMARY KEY, v VARCHAR(1000), w LONGBLOB)');
  const port = upstream();
  const { start } = await check(port, { kind: 'now' });
  await server.query("INSERT INTO a.big SELECT seq, REPEAT('v', 1000), NULL FROM a.seq_1_to_40000");
  await server.query("INSERT INTO a.big VALUES (0, 'wide', REPEAT('w', 20971520))");
  await server.query("INSERT INTO a.big VALUES (-1, 'after', NULL)");
  const untilTs = await newestTs();
  const sizes: number[] = [];
  const chunks: UpstreamChunk[] = [];
  const { history } = await readHistory(port, {
    start,
    untilTs,
    onChunk: (chunk) => {
      sizes.push(chunk.blocks.reduce((sum, block) => sum + block.bytes.byteLength, 0));
      chunks.push({ ...chunk, blocks: [] });
    },
  });
  assert.equal(history.lines().length, 3);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  assert.ok(total > 60_000_000, `${total}`);
  const large = sizes.filter((size) => size > 1_400_000);
  assert.equal(large.length, 1, `${large.join(' ')}`);
  assert.ok(large[0]! < 23_000_000);
  const distinctTs = new Set(chunks.map((chunk) => chunk.resolved.ts));
  assert.ok(chunks.length > 30 && distinctTs.size <= 4);
});

test('nobody asking for chunks leaves the bytes with the server, and it is not taken for frozen', async () => {
  const port = upstream(proxy.port);
  const { start } = await check(port, { kind: 'now' });
  await server.query("UPDATE a.big SET v = REPEAT('u', 1000) WHERE id BETWEEN 1 AND 12000");
  assert.equal(await open(port, { position: start, timeline: [] }), undefined);
  const first = await next(port, 1 << 20);
  assert.ok('blocks' in first);
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const held = proxy.passedBytes;
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(proxy.passedBytes, held);
  let rows = 0;
  const untilTs = await newestTs();
  for (let resolved = start.ts; resolved < untilTs;) {
    const chunk = await next(port);
    assert.ok('blocks' in chunk, JSON.stringify(chunk));
    rows += chunk.blocks.length;
    resolved = chunk.resolved.ts;
  }
  assert.ok(rows > 30 && proxy.passedBytes - held > 10_000_000);
  await port.call({ kind: 'Close' });
});

test('new routing counts from the next event on', async () => {
  const port = upstream();
  const { start } = await check(port, { kind: 'now' });
  await server.query('CREATE TABLE b.later (id INT PRIMARY KEY)');
  await server.query('INSERT INTO b.later VALUES (1)');
  await open(port, { position: start, timeline: [] }, { rules: ['b.*'], groups: {} });
  const ddl = await next(port);
  assert.ok('ddl' in ddl && ddl.ddl !== undefined);
  await port.call({ kind: 'Route', routing: { rules: ['b.*'], groups: { 'b.later': 'group:x' } } });
  for (;;) {
    const chunk = await next(port);
    assert.ok('blocks' in chunk);
    const [block] = chunk.blocks;
    if (block === undefined) continue;
    assert.equal(block.info.span, 'group:x');
    break;
  }
});

test('closing answers a waiting call, and a closed stream asks for a new one', async () => {
  const port = upstream();
  const { start } = await check(port, { kind: 'now' });
  await open(port, { position: start, timeline: [] }, allTables);
  const waiting = (async () => {
    for (;;) {
      const chunk = await next(port);
      if ('code' in chunk) return chunk.code;
    }
  })();
  await port.call({ kind: 'Close' });
  assert.equal(await waiting, 'INTERNAL_STOPPED');
  const later = await next(port);
  assert.equal('code' in later && later.retry, 'Reconnect');
});
