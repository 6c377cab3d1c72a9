/** What a downstream that does not fit answers, and that a diverged one never commits. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isRowCheckError } from '#src/adapters/mysql-sink/batch/row-check.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { usePair } from './pair.ts';
import { replaySchema, tableContent } from './replay.ts';

const pair = usePair(startMariadb);

async function prepare(
  schema: string,
  upstreamTable: string,
  downstreamTable: string,
): Promise<void> {
  for (const [side, table] of [
    [pair.upstream, upstreamTable],
    [pair.server, downstreamTable],
  ] as const) {
    await side.script(`CREATE DATABASE ${schema}; USE ${schema}; ${table}`);
  }
}

describe('a downstream that does not fit', () => {
  const cases: readonly (readonly [string, string, string, string, RegExp])[] = [
    [
      'missing',
      'CREATE TABLE t (a INT PRIMARY KEY)',
      'SELECT 1',
      'SINK_TABLE_MISSING',
      /missing\.t/,
    ],
    [
      'fewer',
      'CREATE TABLE t (a INT PRIMARY KEY)',
      'CREATE TABLE t (b INT)',
      'SINK_SCHEMA_MISMATCH',
      /column a is missing.*column b is not in the log/,
    ],
    [
      'othertype',
      'CREATE TABLE t (a INT PRIMARY KEY)',
      'CREATE TABLE t (a VARCHAR(9))',
      'SINK_SCHEMA_MISMATCH',
      /a is varchar\(9\)/,
    ],
    [
      'othercharset',
      'CREATE TABLE t (a CHAR(9) CHARACTER SET latin1)',
      'CREATE TABLE t (a CHAR(9) CHARACTER SET utf8mb4)',
      'SINK_SCHEMA_MISMATCH',
      /charset utf8mb4/,
    ],
    [
      'otherlabels',
      "CREATE TABLE t (a ENUM('x','y'))",
      "CREATE TABLE t (a ENUM('y','x'))",
      'SINK_SCHEMA_MISMATCH',
      /labels/,
    ],
    [
      'engine',
      'CREATE TABLE t (a INT PRIMARY KEY)',
      'CREATE TABLE t (a INT PRIMARY KEY) ENGINE=MyISAM',
      'SINK_UNSUPPORTED',
      /MyISAM/,
    ],
    [
      'triggered',
      'CREATE TABLE t (a INT PRIMARY KEY)',
      'CREATE TABLE t (a INT PRIMARY KEY); CREATE TRIGGER fires BEFORE INSERT ON t FOR EACH ROW SET @x = 1',
      'SINK_UNSUPPORTED',
      /fires/,
    ],
    [
      'viewed',
      'CREATE TABLE t (a INT PRIMARY KEY)',
      'CREATE TABLE u (a INT); CREATE VIEW t AS SELECT * FROM u',
      'SINK_UNSUPPORTED',
      /VIEW/,
    ],
  ];
  for (const [schema, above, below, code, message] of cases) {
    it(`is refused by name: ${schema}`, async () => {
      await prepare(schema, above, below);
      await pair.upstream.query(`INSERT INTO ${schema}.t VALUES (1)`);
      await assert.rejects(
        replaySchema(pair.upstream, pair.downstream, schema),
        (error: unknown) => {
          const { failure } = error as { failure: { code: string; message: string } };
          assert.equal(failure.code, code);
          assert.match(failure.message, message);
          return true;
        },
      );
    });
  }
});

describe('a downstream that has diverged', () => {
  const changes: readonly (readonly [string, string, string])[] = [
    ['gonedelete', 'DELETE FROM t WHERE id < 10', 'DELETE FROM t WHERE id = 5'],
    ['goneupdate', 'UPDATE t SET v = v + 1 WHERE id = 5', 'DELETE FROM t WHERE id = 5'],
    ['goneupdates', 'UPDATE t SET v = v + 1', 'DELETE FROM t WHERE id = 5'],
    ['ahead', 'UPDATE t SET v = v + 1', 'UPDATE t SET v = v + 1 WHERE id = 5'],
    ['gonemove', 'UPDATE t SET u = u + 1000', 'DELETE FROM t WHERE id = 5'],
    ['gonebare', 'DELETE FROM bare WHERE id < 10', 'UPDATE bare SET v = 77 WHERE id = 5'],
  ];
  for (const [schema, change, damage] of changes) {
    it(`aborts the transaction: ${schema}`, async () => {
      const tables = `CREATE TABLE t (id INT PRIMARY KEY, v INT NOT NULL, u INT UNIQUE); CREATE TABLE bare (id INT, v INT);`;
      await prepare(schema, tables, tables);
      const filling = `USE ${schema}; INSERT INTO t SELECT seq, 0, seq FROM seq_1_to_50; INSERT INTO bare SELECT seq, 0 FROM seq_1_to_50;`;
      await pair.upstream.script(`${filling}`);
      await replaySchema(pair.upstream, pair.downstream, schema);
      await pair.server.script(`USE ${schema}; ${damage}`);
      const before = await tableContent(pair.server, schema, 't');
      await pair.upstream.script(`USE ${schema}; ${change}`);
      await pair.upstream.query('FLUSH BINARY LOGS');
      await assert.rejects(
        replaySchema(pair.upstream, pair.downstream, schema, { onward: true }),
        (error: unknown) => {
          const cause = (error as Error).cause as { errno: number; message: string };
          assert.ok(isRowCheckError(cause.errno, cause.message), cause.message);
          return true;
        },
      );
      assert.deepEqual(await tableContent(pair.server, schema, 't'), before);
    });
  }
});
