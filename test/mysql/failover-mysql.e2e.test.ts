// An upstream of two MySQL servers behind one address: the first dies while Sluice reads from it, its replica takes over with
// binary logs of its own numbering, and later the address goes back to the first. Nothing may be lost or repeated.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SluiceCommand, sluice } from '#test/e2e/sluice-command.ts';
import { compareTables, describeDifferences } from '#test/fixtures/compare.ts';
import { Proxy } from '#test/net/proxy.ts';
import { mysqlMissing, startMysql, type MysqlServer } from '#test/servers/mysql.ts';

import type { Checkpoint } from '#src/model/position.ts';

const limitMs = 30_000;

describe('a failover between two MySQL', { skip: await mysqlMissing() }, () => {
  let first: MysqlServer;
  let second: MysqlServer;
  let downstream: MysqlServer;
  let proxy: Proxy;

  before(async () => {
    const config = { gtid_mode: 'ON', log_replica_updates: 'ON' };
    [first, second, downstream] = await Promise.all([
      startMysql({ config }),
      startMysql({ config }),
      startMysql(),
    ]);
    proxy = await Proxy.start(first.port);
    // Logs of the two are numbered far apart, either way.
    for (let i = 0; i < 5; i++) await first.query('FLUSH BINARY LOGS');
    await follow(second, first);
    await first.script(
      'CREATE DATABASE app; CREATE TABLE app.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(40), n INT)',
    );
  });
  after(async () => {
    await proxy.stop();
    await Promise.all([first.stop(), second.stop(), downstream.stop()]);
  });

  const uris = (): string[] => [
    '--upstream',
    `mysql://root@127.0.0.1:${proxy.port}/?heartbeat-ms=200&timeout-ms=2000`,
    '--sink-uri',
    downstream.uri(),
  ];

  test('a running copy goes over to the replica and back, on new segments of the timeline', async () => {
    const running = new SluiceCommand(['replicate', ...uris(), '--json', '--start', 'oldest']);
    await write(first, 'first');
    await arrives('first');
    await inStep(second, first);

    await first.kill();
    await second.script('STOP REPLICA; RESET REPLICA ALL');
    proxy.target = second.port;
    proxy.reset();
    await write(second, 'second');
    await arrives('second');
    const { ts } = (await checkpoint()).position;
    assert.deepEqual(await servers(), [await uuid(second, 'first'), await uuid(second)]);

    await first.restart();
    await follow(first, second);
    await inStep(first, second);
    await first.script('STOP REPLICA; RESET REPLICA ALL');
    for (let i = 0; i < 9; i++) await first.query('FLUSH BINARY LOGS');
    await second.kill();
    proxy.target = first.port;
    proxy.reset();
    await write(first, 'first again');
    await arrives('first again');
    running.signal('SIGTERM');
    const end = await running.end;
    assert.equal(end.status, 0, end.errors.slice(-3_000));

    await write(first, 'at rest');
    const last = await sluice(['replicate', ...uris(), '--json', '--until-caught-up']);
    assert.equal(last.status, 0, last.errors.slice(-3_000));
    const { timeline, position } = await checkpoint();
    assert.equal(timeline.length, 3);
    assert.equal(timeline[0]!.server, timeline[2]!.server);
    assert.ok(position.ts > ts, 'commitTs rises over both');
    assert.equal(new Set(position.gtid.match(/[\da-f-]{36}/g)).size, 2);
    const compared = await compareTables(first, downstream, { schemas: ['app'] });
    assert.equal(describeDifferences(compared), '');
    assert.equal(compared.rows, 4 * rowCount);
  });

  const rowCount = 300;

  /** Transactions of several rows and updates of all, so that a lost or repeated one shows in `n`. */
  async function write(server: MysqlServer, what: string): Promise<void> {
    for (let i = 0; i < 10; i++) {
      const rows = Array.from({ length: rowCount / 10 }, (_, at) => `('${what}', ${at})`);
      await server.query(`INSERT INTO app.t (v, n) VALUES ${rows.join(',')}`);
      await server.query('UPDATE app.t SET n = n + 1');
      if (i === 5) await server.query('FLUSH BINARY LOGS');
    }
  }

  async function arrives(what: string): Promise<void> {
    const sql = `SELECT COUNT(*) AS n FROM app.t WHERE v = '${what}'`;
    await until(`rows of ${what} downstream`, async () => {
      const [row] = await downstream.query<{ n: number }>(sql).catch(() => []);
      return Number(row?.n) === rowCount;
    });
  }

  async function checkpoint(): Promise<Checkpoint> {
    const [row] = await downstream.query<{ pos: Buffer }>(
      "SELECT pos FROM sluice_meta.slot WHERE span = '' AND slot = 0 AND cf <> ''",
    );
    return JSON.parse(String(row?.pos)) as Checkpoint;
  }

  async function servers(): Promise<readonly string[]> {
    let found: readonly string[] = [];
    await until('a second segment', async () => {
      found = (await checkpoint()).timeline.map((segment) => segment.server);
      return found.length > 1;
    });
    return found;
  }

  async function uuid(server: MysqlServer, of?: 'first'): Promise<string> {
    const [row] = await server.query<{ own: string; executed: string }>(
      'SELECT @@server_uuid AS own, @@GLOBAL.gtid_executed AS executed',
    );
    const known = row!.executed.match(/[\da-f-]{36}/g) ?? [];
    return of === undefined ? row!.own : known.find((each) => each !== row!.own)!;
  }

  async function follow(replica: MysqlServer, source: MysqlServer): Promise<void> {
    await replica.script(
      `CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=${source.port}, SOURCE_USER='root', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1; START REPLICA`,
    );
  }

  async function inStep(replica: MysqlServer, source: MysqlServer): Promise<void> {
    const [row] = await source.query<{ executed: string }>(
      'SELECT @@GLOBAL.gtid_executed AS executed',
    );
    await until('the replica in step', async () => {
      const [in_] = await replica.query<{ has: number }>(
        `SELECT GTID_SUBSET('${row!.executed}', @@GLOBAL.gtid_executed) AS has`,
      );
      return Number(in_!.has) === 1;
    });
  }

  async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + limitMs;
    while (!(await isSo())) {
      if (performance.now() > deadline) assert.fail(`waited too long for ${what}`);
      await sleep(50);
    }
  }
});
