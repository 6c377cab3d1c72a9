/**
 * Exactly once under trouble: streams of batches while connections are killed, servers crash or refuse, judged by the
 * downstream's own binary log. Each batch increments a counter, so a lost or doubled one shows.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { resumeOf } from '#src/model/lane-resume.ts';
import { checkHistory, describeViolations } from '#test/history/check-history.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import {
  apply,
  changefeed,
  openAndRaise,
  openHandMadeSink,
  want,
  wantFailure,
} from './hand-made-sink.ts';

import type { MysqlSink } from '#src/adapters/mysql-sink/sink.ts';
import type { MariadbServer } from '#test/servers/mariadb.ts';

const laneRows = [1, 2, 3];

describe('exactly once', () => {
  let server: MariadbServer;
  const sinks: MysqlSink[] = [];
  const open = (options: Parameters<typeof openHandMadeSink>[1] = {}): MysqlSink => {
    const sink = openHandMadeSink(server, options);
    sinks.push(sink);
    return sink;
  };

  before(async () => {
    server = await startMariadb();
  });
  after(async () => {
    await server.stop();
  });
  beforeEach(async () => {
    await server.script(
      'DROP DATABASE IF EXISTS sluice_meta; DROP DATABASE IF EXISTS d; CREATE DATABASE d; CREATE TABLE d.t(id INT PRIMARY KEY, v INT); INSERT INTO d.t VALUES (1,0),(2,0),(3,0); RESET MASTER',
    );
  });
  afterEach(async () => {
    await server.query('SET GLOBAL max_allowed_packet=1073741824');
    await Promise.all(sinks.splice(0).map((sink) => sink.close()));
  });
  const counts = async (): Promise<number[]> =>
    (await server.query<{ v: number }>('SELECT v FROM d.t ORDER BY id')).map(({ v }) => v);
  const history = () =>
    checkHistory(server, { isReplicated: (table: string) => table.startsWith('d.') });

  /**
   * Applies batches 1…`batchCount`, each setting v=batch on every lane's row (so that a batch may be repeated) and adding one to
   * a counter on lane 0 (so that it may not), raising the span again whenever the sink asks for it.
   */
  const stream = async (
    sink: MysqlSink,
    run: { readonly batchCount: number; readonly laneCount: number; token: number },
  ): Promise<number> => {
    let raises = 0;
    let ts = 0;
    let redoTs = 0;
    const raiseAgain = async (): Promise<void> => {
      for (;;) {
        const token = ++run.token;
        const raised = await sink.call({
          kind: 'RaiseSpan',
          changefeed,
          span: 'd.t',
          token,
          ts: 0,
        });
        if (raised.ok) {
          assert.ok(raised.value.kind === 'SpanRaised');
          const resume = resumeOf(raised.value.lanes, 0);
          ({ startTs: ts, redoTs } = resume);
          return;
        }
        assert.notEqual(raised.failure.retry, 'Never', raised.failure.message);
        await sleep(20);
      }
    };
    await raiseAgain();
    while (ts < run.batchCount) {
      const next = ts + 1;
      const redo = ts < redoTs;
      const statements = Array.from({ length: run.laneCount }, (_, lane) => [
        run.laneCount === 1
          ? 'UPDATE `d`.`t` SET v=v+1 WHERE id=1'
          : `UPDATE \`d\`.\`t\` SET v=${next} WHERE id=${laneRows[lane]}`,
      ]);
      const lanes = redo ? [statements.flat()] : statements;
      const outcome = await sink.call(
        apply({ token: run.token, afterTs: ts, untilTs: next, idempotent: redo, lanes }),
      );
      if (outcome.ok) {
        ts = next;
        continue;
      }
      assert.notEqual(outcome.failure.retry, 'Never', outcome.failure.message);
      if (outcome.failure.retry === 'Resync') {
        raises++;
        await raiseAgain();
      }
    }
    return raises;
  };

  const killing = async (until: { done: boolean }): Promise<number> => {
    let killCount = 0;
    const connection = await server.connect();
    while (!until.done) {
      await sleep(3 + (killCount % 5) * 4);
      const [rows] = await connection.query(
        "SELECT ID AS id FROM information_schema.PROCESSLIST WHERE USER='sinker' ORDER BY RAND() LIMIT 1",
      );
      const [row] = rows as { id: number }[];
      if (row === undefined) continue;
      await connection.query(`KILL CONNECTION ${row.id}`).then(
        () => killCount++,
        () => {},
      );
    }
    await connection.end();
    return killCount;
  };

  for (const laneCount of [1, 3]) {
    it(`holds with ${laneCount} lane(s) while connections are killed at random`, async () => {
      await server.script(
        "CREATE OR REPLACE USER sinker@'127.0.0.1'; GRANT ALL ON *.* TO sinker@'127.0.0.1'",
      );
      const uri = `mysql://sinker@127.0.0.1:${server.port}/`;
      const sink = open({ uri, laneCount, connectionCount: 3 });
      await want('Opened', sink.call({ kind: 'Open', changefeed }));
      const run = { batchCount: 150, laneCount, token: 0 };
      const until = { done: false };
      const kills = killing(until);
      await stream(sink, run);
      until.done = true;
      assert.ok((await kills) > 5);
      await sleep(100);
      assert.deepEqual(await counts(), laneCount === 1 ? [150, 0, 0] : [150, 150, 150]);
      const report = await history();
      assert.equal(describeViolations(report), '');
      assert.ok(report.slotCommits >= 150);
      assert.ok(report.dataTransactions > 120);
    });
  }

  it('holds when the server is killed and comes back', async () => {
    const sink = open();
    await want('Opened', sink.call({ kind: 'Open', changefeed }));
    const run = { batchCount: 600, laneCount: 1, token: 0 };
    const streaming = stream(sink, run);
    await sleep(150);
    await server.kill('SIGKILL');
    await server.restart();
    await streaming;
    assert.deepEqual(await counts(), [600, 0, 0]);
    assert.equal(describeViolations(await history()), '');
  });

  it('waits for a read-only server to become writable', async () => {
    await server.script(
      "CREATE OR REPLACE USER writer@'127.0.0.1'; GRANT SELECT,INSERT,UPDATE,DELETE ON d.* TO writer@'127.0.0.1'; GRANT SELECT,INSERT,UPDATE,CREATE ON sluice_meta.* TO writer@'127.0.0.1'",
    );
    const sink = open({ uri: `mysql://writer@127.0.0.1:${server.port}/` });
    await openAndRaise(sink);
    await server.query('SET GLOBAL read_only=1');
    const applying = sink.call(apply({ lanes: [['UPDATE `d`.`t` SET v=v+1 WHERE id=1']] }));
    await sleep(400);
    await server.query('SET GLOBAL read_only=0');
    await want('Applied', applying);
    assert.deepEqual(await counts(), [1, 0, 0]);
  });

  it('commits a transaction of many stages whole, and nothing of one that is given up', async () => {
    const sink = open();
    await openAndRaise(sink);
    const bump = 'UPDATE `d`.`t` SET v=v+1 WHERE id=1';
    const stages = (ts: number) => ({ afterTs: ts - 1, untilTs: ts, lanes: [[bump, bump]] });
    await want('Applied', sink.call(apply({ stage: 'begin', ...stages(1) })));
    await want('Applied', sink.call(apply({ stage: 'more', ...stages(1) })));
    assert.deepEqual(await counts(), [0, 0, 0]);
    const ended = await want('Applied', sink.call(apply({ stage: 'end', ...stages(1) })));
    assert.equal(ended.ts, 1);
    assert.deepEqual(await counts(), [6, 0, 0]);
    await want('Applied', sink.call(apply({ stage: 'begin', ...stages(2) })));
    await want('Done', sink.call({ kind: 'Release', span: 'd.t' }));
    const raised = await want(
      'SpanRaised',
      sink.call({ kind: 'RaiseSpan', changefeed, span: 'd.t', token: 6, ts: 0 }),
    );
    assert.equal(raised.lanes[0]?.seq, 1);
    assert.deepEqual(await counts(), [6, 0, 0]);
    assert.equal(describeViolations(await history()), '');
  });

  it('ends a staged transaction in the middle of a block and applies what follows it as the next step', async () => {
    const sink = open();
    await openAndRaise(sink);
    const bump = 'UPDATE `d`.`t` SET v=v+1 WHERE id=1';
    await want('Applied', sink.call(apply({ stage: 'begin', untilTs: 3, lanes: [[bump]] })));
    const ended = await want(
      'Applied',
      sink.call(apply({ stage: 'end', untilTs: 5, lanes: [[bump]] })),
    );
    assert.equal(ended.ts, 5);
    const raised = await want(
      'SpanRaised',
      sink.call({ kind: 'RaiseSpan', changefeed, span: 'd.t', token: 6, ts: 0 }),
    );
    assert.deepEqual(
      raised.lanes.slice(0, 1).map(({ seq, ts, base }) => ({ seq, ts, base })),
      [{ seq: 2, ts: 5, base: 3 }],
    );
  });

  it('cuts a transaction into packets that the server takes, and commits it whole', async () => {
    await server.script(
      'CREATE TABLE d.big(id INT PRIMARY KEY, b LONGBLOB); SET GLOBAL max_allowed_packet=1048576',
    );
    const sink = open();
    await openAndRaise(sink);
    const insert = (id: number, bytes: number): string =>
      `INSERT INTO \`d\`.\`big\` VALUES (${id},'${'x'.repeat(bytes)}')`;
    const five = [1, 2, 3, 4, 5].map((id) => insert(id, 600_000));
    await want('Applied', sink.call(apply({ lanes: [five] })));
    const [row] = await server.query('SELECT COUNT(*) AS n, SUM(LENGTH(b)) AS bytes FROM d.big');
    assert.deepEqual(
      { n: Number(row?.['n']), bytes: Number(row?.['bytes']) },
      { n: 5, bytes: 3_000_000 },
    );
    const tooLarge = sink.call(
      apply({
        afterTs: 1,
        untilTs: 2,
        lanes: [['DELETE FROM `d`.`big` WHERE id=1', insert(9, 1_100_000)]],
      }),
    );
    assert.equal(await wantFailure(tooLarge), 'SINK_ROW_TOO_LARGE');
    assert.equal((await server.query('SELECT 1 FROM d.big')).length, 5);
    await want(
      'Applied',
      sink.call(apply({ afterTs: 1, untilTs: 2, lanes: [['DELETE FROM `d`.`big` WHERE id=1']] })),
    );
  });

  it('sends a command larger than one packet of the protocol', async () => {
    await server.query('CREATE TABLE d.big(id INT PRIMARY KEY, b LONGBLOB)');
    const sink = open();
    await openAndRaise(sink);
    // 16 MB − 1 is where a packet ends: the lengths around it and above twice it.
    let ts = 0;
    for (const bytes of [16_776_900, 16_777_215, 34_000_000]) {
      const statement = `INSERT INTO \`d\`.\`big\` VALUES (${++ts},'${'y'.repeat(bytes)}')`;
      await want(
        'Applied',
        sink.call(apply({ afterTs: ts - 1, untilTs: ts, lanes: [[statement]] })),
      );
    }
    const [row] = await server.query('SELECT SUM(LENGTH(b)) AS bytes FROM d.big');
    assert.equal(Number(row?.['bytes']), 16_776_900 + 16_777_215 + 34_000_000);
  });

  it('names table and error number of a refused change, keeps the slot as it was, and never shows a value', async () => {
    const sink = open();
    await openAndRaise(sink);
    const outcome = await sink.call(
      apply({
        lanes: [['UPDATE `d`.`t` SET v=v+1 WHERE id=2', 'INSERT INTO `d`.`t` VALUES (1,4711)']],
      }),
    );
    assert.ok(!outcome.ok);
    assert.equal(outcome.failure.code, 'SINK_ROW_DUPLICATE');
    assert.match(outcome.failure.message, /INSERT `d`\.`t`.*1062/);
    assert.doesNotMatch(JSON.stringify(outcome.failure), /4711|Duplicate entry/);
    assert.deepEqual(await counts(), [0, 0, 0]);
    const missing = sink.call(apply({ lanes: [['INSERT INTO `d`.`nowhere` VALUES (1)']] }));
    assert.equal(await wantFailure(missing), 'SINK_TABLE_MISSING');
    await want('Applied', sink.call(apply({ lanes: [['UPDATE `d`.`t` SET v=9 WHERE id=1']] })));
  });
});
