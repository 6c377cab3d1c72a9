/**
 * DDL exactly once on real servers: the journal's cases are made by putting the tables and the journal into the state that a
 * dead runner leaves, then running the statement again.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { changefeed, makes, openHandMadeSink, want, wantFailure } from './hand-made-sink.ts';

import type { MysqlSink } from '#src/adapters/mysql-sink/sink.ts';
import type { DdlEvent } from '#src/model/position.ts';
import type { SqlServer } from '#test/servers/sql-server.ts';

for (const { make, start, skip } of makes) {
  describe(`DDL on ${make}`, { skip }, () => {
    let server: SqlServer;
    let sink: MysqlSink;
    const sinks: MysqlSink[] = [];
    const open = async (token: number, owner = 'node-a', uri?: string): Promise<MysqlSink> => {
      const opened = openHandMadeSink(server, { owner, ...(uri === undefined ? {} : { uri }) });
      sinks.push(opened);
      await want('Opened', opened.call({ kind: 'Open', changefeed }));
      await want('FeedRaised', opened.call({ kind: 'RaiseFeed', changefeed, token }));
      return opened;
    };
    const event = (ts: number, sql: string, more: Partial<DdlEvent> = {}): DdlEvent => ({
      ts,
      gtid: `0-1-${ts}`,
      commitMs: 1_700_000_000_123,
      schema: 'd',
      sql,
      ...more,
    });
    const run = (ddl: DdlEvent, token = 1, by = sink) =>
      by.call({ kind: 'RunDdl', changefeed, token, ddl });
    const ran = async (ddl: DdlEvent, token = 1, by = sink): Promise<boolean> =>
      (await want('DdlDone', run(ddl, token, by))).ran;
    const state = async (ts: number): Promise<string> =>
      String(
        (await server.query('SELECT state FROM sluice_meta.ddl WHERE ts=?', [ts]))[0]?.['state'],
      );
    const forgetEnd = (ts: number) =>
      server.query("UPDATE sluice_meta.ddl SET state='intent' WHERE ts=?", [ts]);
    const columns = async (table: string): Promise<string> =>
      (
        await server.query<{ name: string }>(
          "SELECT COLUMN_NAME name FROM information_schema.COLUMNS WHERE TABLE_SCHEMA='d' AND TABLE_NAME=? ORDER BY ORDINAL_POSITION",
          [table],
        )
      )
        .map(({ name }) => name)
        .join(',');
    const ids = async (table: string): Promise<string> =>
      (await server.query<{ id: number }>(`SELECT id FROM ${table} ORDER BY id`))
        .map(({ id }) => id)
        .join(',');

    before(async () => {
      server = await start();
    });
    after(async () => {
      await server.stop();
    });
    beforeEach(async () => {
      await server.script(
        'DROP DATABASE IF EXISTS sluice_meta; DROP DATABASE IF EXISTS d; CREATE DATABASE d; CREATE TABLE d.t(id INT PRIMARY KEY)',
      );
      sink = await open(1);
    });
    afterEach(async () => {
      await Promise.all(sinks.splice(0).map((opened) => opened.close()));
    });

    it('runs a statement once, however often it is asked for', async () => {
      const ddl = event(10, 'ALTER TABLE t ADD COLUMN a INT');
      assert.equal(await ran(ddl), true);
      assert.equal(await ran(ddl), false);
      assert.equal(await columns('t'), 'id,a');
      assert.equal(await state(10), 'done');
      await sink.close();
      assert.equal(await ran(ddl, 2, await open(2, 'node-b')), false);
    });

    it('keeps a recorded statement apart from another one at its place', async () => {
      await ran(event(10, 'CREATE TABLE a(id INT PRIMARY KEY)'));
      assert.equal(await wantFailure(run(event(10, 'CREATE TABLE b(id INT)'))), 'SINK_REFUSED');
    });

    it('runs in the context of the upstream session', async () => {
      await ran(
        event(
          11,
          "CREATE TABLE \"q\" (id INT PRIMARY KEY, at TIMESTAMP DEFAULT '2020-01-01 12:00:00', s VARCHAR(9) DEFAULT 'a\\\\b')",
          {
            sqlMode: 4,
            timeZone: '+02:00',
            charset: { client: 33, connection: 33, server: 8 },
          },
        ),
      );
      await server.query('INSERT INTO d.q(id) VALUES (1)');
      const [row] = await server.query('SELECT s FROM d.q');
      assert.equal(row?.['s'], String.raw`a\b`);
      const [stamp] = await server.query('SELECT UNIX_TIMESTAMP(at) AS at FROM d.q');
      assert.equal(Number(stamp?.['at']), Date.UTC(2020, 0, 1, 10) / 1000);
      await ran(
        event(12, 'CREATE DATABASE e', { charset: { client: 33, connection: 33, server: 8 } }),
      );
      const [database] = await server.query(
        "SELECT DEFAULT_COLLATION_NAME c FROM information_schema.SCHEMATA WHERE SCHEMA_NAME='e'",
      );
      assert.equal(database?.['c'], 'latin1_swedish_ci');
      await ran(event(13, 'DROP DATABASE e', { schema: 'e' }));
    });

    it('never lets an unqualified name fall into the database of an earlier statement', async () => {
      await ran(event(10, 'CREATE TABLE a(id INT PRIMARY KEY)'));
      const outside = event(11, 'CREATE TABLE stray(id INT PRIMARY KEY)', { schema: 'not_here' });
      assert.equal(await wantFailure(run(outside)), 'SINK_REFUSED');
      const found = await server.query(
        "SELECT 1 FROM information_schema.TABLES WHERE TABLE_NAME='stray'",
      );
      assert.deepEqual(found, []);
      await ran(event(12, 'CREATE TABLE d.b(id INT PRIMARY KEY)', { schema: 'not_here' }));
    });

    it('runs one statement only, whatever the text holds', async () => {
      const two = event(10, 'CREATE TABLE a(id INT PRIMARY KEY); DROP TABLE t');
      assert.equal(await wantFailure(run(two)), 'SINK_REFUSED');
      assert.equal(await columns('t'), 'id');
    });

    it('names the error number of a refused statement, and runs it again once the cause is gone', async () => {
      const ddl = event(10, 'CREATE TABLE t(id INT PRIMARY KEY, more INT)');
      const outcome = await run(ddl);
      assert.ok(!outcome.ok && outcome.failure.detail?.['errno'] === 1050);
      assert.equal(outcome.failure.code, 'SINK_REFUSED');
      assert.equal(await state(10), 'refused');
      await server.query('DROP TABLE d.t');
      assert.equal(await ran(ddl), true);
      assert.equal(await columns('t'), 'id,more');
    });

    it('refuses what is not a statement on tables', async () => {
      assert.equal(await wantFailure(run(event(10, 'UPDATE t SET id=1'))), 'SINK_UNSUPPORTED');
    });

    describe('with an intent whose end nobody saw', () => {
      it('skips an ALTER that changed its table', async () => {
        const ddl = event(10, 'ALTER TABLE t ADD COLUMN a INT');
        await ran(ddl);
        await forgetEnd(10);
        assert.equal(await ran(ddl), false);
        assert.equal(await columns('t'), 'id,a');
      });

      it('runs an ALTER that did not', async () => {
        const ddl = event(10, 'ALTER TABLE t ADD COLUMN a INT');
        await ran(ddl);
        await server.query('ALTER TABLE d.t DROP COLUMN a');
        await forgetEnd(10);
        assert.equal(await ran(ddl), true);
        assert.equal(await columns('t'), 'id,a');
      });

      it('does not run a swap of two equal tables twice', async () => {
        await server.script(
          'CREATE TABLE d.a(id INT PRIMARY KEY); CREATE TABLE d.b(id INT PRIMARY KEY); INSERT INTO d.a VALUES (1); INSERT INTO d.b VALUES (2)',
        );
        const ddl = event(10, 'RENAME TABLE a TO x, b TO a, x TO b');
        await ran(ddl);
        await forgetEnd(10);
        assert.equal(await ran(ddl), false);
        assert.deepEqual([await ids('d.a'), await ids('d.b')], ['2', '1']);
        await server.query('RENAME TABLE d.a TO d.x, d.b TO d.a, d.x TO d.b');
        await forgetEnd(10);
        assert.equal(await ran(ddl), true);
        assert.deepEqual([await ids('d.a'), await ids('d.b')], ['2', '1']);
      });

      it('says so when an account without PROCESS cannot tell a swap of two equal tables', async () => {
        await server.script(
          "DROP USER IF EXISTS limited@'127.0.0.1'; CREATE USER limited@'127.0.0.1'; GRANT ALL ON d.* TO limited@'127.0.0.1'; GRANT ALL ON sluice_meta.* TO limited@'127.0.0.1'; CREATE TABLE d.a(id INT PRIMARY KEY); CREATE TABLE d.b(id INT PRIMARY KEY)",
        );
        const limited = await open(2, 'node-b', `mysql://limited@127.0.0.1:${server.port}/`);
        const ddl = event(10, 'RENAME TABLE a TO x, b TO a, x TO b');
        assert.equal(await ran(ddl, 2, limited), true);
        await forgetEnd(10);
        assert.equal(await wantFailure(run(ddl, 2, limited)), 'SINK_DDL_UNCERTAIN');
      });

      it('skips a plain rename that happened and runs one that did not', async () => {
        const ddl = event(10, 'RENAME TABLE t TO u');
        await ran(ddl);
        await forgetEnd(10);
        assert.equal(await ran(ddl), false);
        await server.query('RENAME TABLE d.u TO d.t');
        await forgetEnd(10);
        assert.equal(await ran(ddl), true);
        assert.equal(await columns('u'), 'id');
      });

      it('does not exchange a partition twice', async () => {
        await server.script(
          'CREATE TABLE d.p(id INT PRIMARY KEY) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (100)); CREATE TABLE d.q(id INT PRIMARY KEY); INSERT INTO d.q VALUES (7)',
        );
        const ddl = event(10, 'ALTER TABLE p EXCHANGE PARTITION p0 WITH TABLE q');
        await ran(ddl);
        await forgetEnd(10);
        assert.equal(await ran(ddl), false);
        assert.deepEqual([await ids('d.p'), await ids('d.q')], ['7', '']);
      });

      it('finishes a DROP that got half of its tables', async () => {
        await server.script(
          'CREATE TABLE d.a(id INT PRIMARY KEY); CREATE TABLE d.b(id INT PRIMARY KEY)',
        );
        const ddl = event(10, 'DROP TABLE a, b');
        await ran(ddl);
        await server.query('CREATE TABLE d.b(id INT PRIMARY KEY)');
        await forgetEnd(10);
        assert.equal(await ran(ddl), true);
        assert.equal(await columns('b'), '');
        assert.equal(await state(10), 'done');
        await forgetEnd(10);
        assert.equal(await ran(ddl), false);
      });

      it('skips a CREATE that happened, and empties a table as often as asked', async () => {
        const create = event(10, 'CREATE TABLE a(id INT PRIMARY KEY)');
        await ran(create);
        await forgetEnd(10);
        assert.equal(await ran(create), false);
        const truncate = event(11, 'TRUNCATE TABLE t');
        await ran(truncate);
        await forgetEnd(11);
        assert.equal(await ran(truncate), true);
      });
    });

    it('ddl-in-flight-at-takeover: the successor ends the running ALTER and runs it itself, once', async () => {
      await fill();
      const ddl = event(10, 'ALTER TABLE t ADD COLUMN a INT, ALGORITHM=COPY');
      const lost = run(ddl);
      for (let i = 0; i < 500 && (await running('ALTER TABLE')) === 0; i++) await sleep(5);
      const next = await open(2, 'node-b');
      assert.equal(await ran(ddl, 2, next), true);
      const outcome = await lost;
      assert.ok(!outcome.ok && outcome.failure.code === 'SINK_FENCED');
      assert.equal(await columns('t'), 'id,pad,a');
      assert.equal(await running('ALTER TABLE'), 0);
    });

    it('ddl-killed-half: a killed ALTER leaves nothing and is run again by itself', async () => {
      await fill();
      const ddl = event(10, 'ALTER TABLE t ADD COLUMN a INT, ALGORITHM=COPY');
      const running1 = run(ddl);
      let killed = 0;
      for (let i = 0; i < 500 && killed < 1; i++) {
        const [row] = await server.query<{ id: number }>(
          "SELECT ID AS id FROM information_schema.PROCESSLIST WHERE INFO LIKE 'ALTER TABLE%'",
        );
        if (row === undefined) await sleep(5);
        else {
          await server.query(`KILL CONNECTION ${row.id}`);
          killed++;
        }
      }
      assert.equal(killed, 1);
      await want('DdlDone', running1);
      assert.equal(await columns('t'), 'id,pad,a');
    });

    it('a stale owner runs no DDL', async () => {
      await open(2, 'node-b');
      assert.equal(await wantFailure(run(event(10, 'DROP TABLE t'))), 'SINK_FENCED');
      assert.equal(await columns('t'), 'id');
    });

    /** Enough rows that a copying ALTER takes a while. */
    const fill = (): Promise<void> => {
      const doublings = Array.from(
        { length: 17 },
        (_, at) => `INSERT INTO d.t SELECT id+${2 ** at},pad FROM d.t`,
      );
      return server.script(
        `ALTER TABLE d.t ADD COLUMN pad CHAR(200); INSERT INTO d.t VALUES (1,'x');${doublings.join(';')}`,
      );
    };
    const running = async (text: string): Promise<number> =>
      (
        await server.query(
          'SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE ? AND ID<>CONNECTION_ID()',
          [`${text}%`],
        )
      ).length;
  });
}
