// A private MySQL with plain, compressed, tagged and XA transactions; read whole, from every position, through cuts, and
// after its log was begun anew. Left out, and said so, where no MySQL can be had.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { GtidSet } from '#src/adapters/binlog/stream/gtid-set.ts';
import { openCpuPool } from '#src/adapters/cpu-pool/cpu-pool.ts';
import { openMysqlUpstream } from '#src/adapters/mysql-upstream/mysql-upstream.ts';
import type { Position } from '#src/model/position.ts';
import type { UpstreamChecked, UpstreamChunk, UpstreamPort } from '#src/ports/upstream.ts';
import { Proxy } from '#test/net/proxy.ts';
import { mysqlMissing, startMysql, type MysqlServer } from '#test/servers/mysql.ts';
import { allTables, check, checkFailure, History, next, open, readHistory } from './history.ts';

describe('MySQL', { skip: await mysqlMissing() }, () => {
  let server: MysqlServer;
  let proxy: Proxy;
  const ports: UpstreamPort[] = [];

  const upstream = (port = server.port): UpstreamPort => {
    const opened = openMysqlUpstream({
      uri: `mysql://root@127.0.0.1:${port}/?heartbeat-ms=200`,
      log: () => undefined,
      cpu: openCpuPool(),
    });
    ports.push(opened);
    return opened;
  };

  const manyRows = `INSERT INTO a.u WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
    SELECT /*+ SET_VAR(cte_max_recursion_depth = 10000) */ 10000 + i, SHA2(i, 256) FROM n`;

  before(async () => {
    server = await startMysql();
    proxy = await Proxy.start(server.port);
    const session = await server.connect();
    for (const statement of [
      'CREATE DATABASE a',
      'CREATE TABLE a.t (id INT PRIMARY KEY, v VARCHAR(100), j JSON)',
      'CREATE TABLE a.u (id INT PRIMARY KEY, v VARCHAR(100))',
    ]) {
      await session.query(statement);
    }
    for (let i = 0; i < 24; i++) {
      if (i === 8) await session.query('SET SESSION binlog_transaction_compression = ON');
      if (i === 14) await session.query("SET SESSION gtid_next = 'AUTOMATIC:some_tag'");
      await session.query('BEGIN');
      await session.query(`INSERT INTO a.t VALUES (${i}, 'x', '{"k": [1, 2, ${i}]}')`);
      await session.query(`INSERT INTO a.u VALUES (${i}, 'y')`);
      await session.query(`UPDATE a.t SET v = REPEAT('z', 90) WHERE id <= ${i}`);
      // Large enough to be unpacked on a thread of the pool.
      if (i === 10) await session.query(manyRows);
      await session.query('COMMIT');
      if (i % 8 === 3) await session.query('FLUSH BINARY LOGS');
      if (i === 11) await session.query('SET SESSION binlog_transaction_compression = OFF');
    }
    await session.query("SET SESSION gtid_next = 'AUTOMATIC'");
    await session.query("XA START 'one'");
    await session.query("INSERT INTO a.u VALUES (1000, 'xa')");
    await session.query("XA END 'one'");
    await session.query("XA PREPARE 'one'");
    await server.query("INSERT INTO a.u VALUES (1001, 'between')");
    await session.query("XA COMMIT 'one'");
    await session.query('CREATE TABLE a.copied AS SELECT * FROM a.u');
    await session.query("CREATE USER someone@localhost IDENTIFIED BY 'secret'");
    await session.query('DROP TABLE a.copied');
    await session.end();
  });

  after(async () => {
    for (const port of ports) await port.close();
    await proxy.stop();
    await server.stop();
  });

  const whole = async (
    byteCountMax = 1 << 20,
  ): Promise<{
    checked: UpstreamChecked;
    history: History;
    positions: Position[];
    chunks: UpstreamChunk[];
  }> => {
    const port = upstream();
    const checked = await check(port, { kind: 'oldest' });
    const chunks: UpstreamChunk[] = [];
    const { history } = await readHistory(port, {
      start: checked.start,
      timeline: checked.timeline,
      untilTs: checked.newest.ts,
      byteCountMax,
      onChunk: (chunk) => void chunks.push(chunk),
    });
    await port.close();
    return {
      checked,
      history,
      positions: [checked.start, ...chunks.map((chunk) => chunk.resolved)],
      chunks,
    };
  };

  test('the whole log comes, compressed, tagged and prepared transactions too', async () => {
    const { history, checked, positions, chunks } = await whole();
    const spans = history.lines().map((line) => line.split(' ')[2]);
    assert.equal(spans.filter((span) => span === 'a.t').length, 24);
    assert.equal(spans.filter((span) => span === 'a.u').length, 26);
    const ddls = chunks.flatMap((chunk) => (chunk.ddl === undefined ? [] : [chunk.ddl.sql]));
    assert.equal(ddls.length, 5);
    assert.ok(ddls.every((sql) => !sql.includes('START TRANSACTION')));
    const last = positions.at(-1)!;
    assert.equal(last.ts, checked.newest.ts);
    const executed = await server.query<{ g: string }>('SELECT @@GLOBAL.gtid_executed AS g');
    assert.equal(last.gtid, GtidSet.parse(executed[0]!.g).toString());
    assert.ok(last.gtid.includes('some_tag'));
  });

  test('the history is the same in small chunks and from every position', async () => {
    const { history, checked } = await whole();
    const small = await whole(60);
    assert.deepEqual(small.history.lines(), history.lines());
    const port = upstream();
    const distinct = [
      ...new Map(small.positions.map((at) => [`${at.ts} ${at.gtid}`, at])).values(),
    ];
    assert.ok(distinct.length > 25);
    for (const start of distinct) {
      const rest = await readHistory(port, {
        start,
        timeline: checked.timeline,
        untilTs: checked.newest.ts,
      });
      assert.deepEqual(rest.history.lines(), history.lines(start.ts), start.gtid);
    }
  });

  test('a stream ends behind the set that is asked for, compressed and tagged transactions too', async () => {
    const { checked, positions } = await whole();
    const { timeline } = checked;
    const port = upstream();
    const executed = GtidSet.parse(checked.newest.gtid);
    const [plain] = executed.sources();
    for (const until of [`${plain}:1-6`, `${plain}:12`, checked.newest.gtid]) {
      const request = { position: checked.start, timeline, routing: allTables, until };
      assert.ok((await port.call({ kind: 'Open', ...request })).ok);
      const chunks: UpstreamChunk[] = [];
      while (chunks.at(-1)?.isEnd !== true) {
        const chunk = await next(port);
        assert.ok('blocks' in chunk, JSON.stringify(chunk));
        chunks.push(chunk);
      }
      const { resolved } = chunks.at(-1)!;
      const wanted = GtidSet.parse(until);
      const before = positions.findLast(({ ts }) => ts < resolved.ts);
      assert.ok(GtidSet.parse(resolved.gtid).contains(wanted), resolved.gtid);
      assert.ok(!GtidSet.parse(before?.gtid ?? '').contains(wanted), before?.gtid);
      const lasts = chunks.flatMap(({ blocks }) => blocks.map(({ info }) => info.lastTs));
      assert.ok(Math.max(...lasts) <= resolved.ts);
      // Read before, it is at its end at once.
      assert.ok((await port.call({ kind: 'Open', ...request, position: resolved })).ok);
      const again = await next(port);
      assert.ok('blocks' in again && again.isEnd === true && again.blocks.length === 0);
    }
  });

  test('connections cut after any number of bytes lose and repeat nothing', async () => {
    const { history, checked } = await whole();
    const port = upstream(proxy.port);
    let cuts = 0;
    proxy.fault = { kind: 'cut', byteCount: 6_000 };
    const { history: seen } = await readHistory(port, {
      start: checked.start,
      timeline: checked.timeline,
      untilTs: checked.newest.ts,
      byteCountMax: 1000,
      onFailure: () => {
        cuts++;
        proxy.fault =
          cuts % 12 === 0 ? { kind: 'none' } : { kind: 'cut', byteCount: 5_000 + cuts * 777 };
      },
    });
    proxy.fault = { kind: 'none' };
    assert.deepEqual(seen.lines(), history.lines());
    assert.ok(cuts > 0);
  });

  test('starting now gives what comes after, and starting at a GTID set what it lacks', async () => {
    const port = upstream();
    const checked = await check(port, { kind: 'now' });
    await server.query("INSERT INTO a.u VALUES (5000, 'new')");
    const { newest } = await check(upstream(), { kind: 'now' });
    const read = async (from: UpstreamChecked): Promise<readonly string[]> => {
      const { history } = await readHistory(port, {
        start: from.start,
        timeline: from.timeline,
        untilTs: newest.ts,
      });
      return history.lines();
    };
    const lines = await read(checked);
    assert.equal(lines.length, 1);
    const asked = await check(upstream(), { kind: 'gtid', gtid: checked.start.gtid });
    assert.deepEqual(await read(asked), lines);
  });

  test('a log that was begun anew goes on above, on a new segment of the timeline', async () => {
    const port = upstream();
    const before = await check(port, { kind: 'now' });
    const { resolved } = await readHistory(port, {
      start: before.start,
      timeline: before.timeline,
      untilTs: before.newest.ts,
    });
    await port.close();
    await server.query('RESET BINARY LOGS AND GTIDS');
    await server.query(`SET GLOBAL gtid_purged = '${resolved.gtid}'`);
    await server.query("INSERT INTO a.u VALUES (6000, 'after')");
    const again = upstream();
    const position = { ...resolved };
    // Who opens without a look would take the new groups for old ones.
    assert.equal(await open(again, { position, timeline: before.timeline }), undefined);
    const refused = await next(again);
    assert.ok('code' in refused);
    assert.deepEqual([refused.code, refused.retry], ['SOURCE_MOVED', 'Resync']);
    const checked = await check(again, {
      kind: 'position',
      position,
      timeline: before.timeline,
    });
    assert.equal(checked.timeline.length, 2);
    assert.equal(checked.start.ts, resolved.ts);
    assert.ok(checked.newest.ts > resolved.ts);
    const { history } = await readHistory(again, {
      start: checked.start,
      timeline: checked.timeline,
      untilTs: checked.newest.ts,
    });
    assert.equal(history.lines().length, 1);
    assert.ok(Number(history.lines()[0]!.split(' ')[0]) > resolved.ts);
  });

  test('purged and unknown positions are told apart, when checked and when opened', async () => {
    const uuid = (await server.query<{ u: string }>('SELECT @@server_uuid AS u'))[0]!.u;
    const purged = await checkFailure(upstream(), { kind: 'gtid', gtid: '' });
    assert.equal(purged.code, 'SOURCE_BINLOG_PURGED');
    const executed = (await server.query<{ g: string }>('SELECT @@GLOBAL.gtid_executed AS g'))[0]!
      .g;
    const ahead = `${executed},${uuid}:1-100000`;
    const diverged = await checkFailure(upstream(), { kind: 'gtid', gtid: ahead });
    assert.equal(diverged.code, 'SOURCE_DIVERGED');
    const codeAtOpen = async (gtid: string): Promise<string> => {
      const port = upstream();
      const timeline = [{ server: uuid, fileBase: 0, firstGtid: '' }];
      const failure = await open(port, { position: { ts: 0, gtid }, timeline });
      if (failure !== undefined) return failure.code;
      for (;;) {
        const chunk = await next(port);
        if ('code' in chunk) return chunk.code;
      }
    };
    assert.equal(await codeAtOpen(''), 'SOURCE_BINLOG_PURGED');
    assert.equal(await codeAtOpen(GtidSet.parse(ahead).toString()), 'SOURCE_DIVERGED');
  });

  test('grants of a role count when the account has it on', async () => {
    await server.script(
      `CREATE ROLE inner_role; GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO inner_role;
       CREATE ROLE reader; GRANT inner_role TO reader;
       CREATE USER role_user@'127.0.0.1' IDENTIFIED BY ''; GRANT reader TO role_user@'127.0.0.1'`,
    );
    const asUser = (): UpstreamPort => {
      const uri = server.uri({ 'heartbeat-ms': '200' }).replace('root@', 'role_user@');
      const port = openMysqlUpstream({ uri, log: () => undefined, cpu: openCpuPool() });
      ports.push(port);
      return port;
    };
    assert.equal((await checkFailure(asUser(), { kind: 'now' })).code, 'SOURCE_GRANT_MISSING');
    await server.query("SET DEFAULT ROLE reader TO role_user@'127.0.0.1'");
    const port = asUser();
    const { start, timeline } = await check(port, { kind: 'now' });
    assert.equal(await open(port, { position: start, timeline }), undefined);
  });

  test('wrong settings are refused, naming the value to set', async () => {
    for (const [name, wrong, right] of [
      ['binlog_format', 'MIXED', 'ROW'],
      ['binlog_row_metadata', 'MINIMAL', 'FULL'],
      ['gtid_mode', 'ON_PERMISSIVE', 'ON'],
    ] as const) {
      await server.query(`SET GLOBAL ${name} = ${wrong}`);
      const failure = await checkFailure(upstream(), { kind: 'now' });
      await server.query(`SET GLOBAL ${name} = ${right}`);
      assert.equal(failure.code, 'SOURCE_SETTING_WRONG');
      assert.ok(failure.message.includes(`set ${name}=${right}`));
    }
    await server.query("SET GLOBAL binlog_row_value_options = 'PARTIAL_JSON'");
    const { warnings } = await check(upstream(), { kind: 'now' });
    await server.query("SET GLOBAL binlog_row_value_options = ''");
    assert.match(warnings.join(), /PARTIAL_JSON/);
  });
});
