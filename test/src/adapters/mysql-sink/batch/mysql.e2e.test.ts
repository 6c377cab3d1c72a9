/** From a real MySQL to a real MySQL: JSON by value, partial updates, and cascades that are in the log already. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { groupSpan } from '#src/model/span.ts';
import { mysqlMissing, startMysql } from '#test/servers/mysql.ts';
import { usePair } from './pair.ts';
import { loggedBlocks } from './logged-blocks.ts';
import { replaySchema, tableContent } from './replay.ts';

const missing = await mysqlMissing();

describe('a batch from MySQL to MySQL', { skip: missing }, () => {
  const pair = usePair(startMysql);

  async function prepare(schema: string, tables: string, changes: string): Promise<void> {
    for (const side of [pair.upstream, pair.server])
      await side.script(`CREATE DATABASE ${schema}; USE ${schema}; ${tables}`);
    await pair.upstream.script(
      `USE ${schema}; SET time_zone='+00:00', sql_mode='ALLOW_INVALID_DATES'; ${changes}`,
    );
  }

  async function same(schema: string, tables: readonly string[]): Promise<void> {
    for (const table of tables) {
      const expected = await tableContent(pair.upstream, schema, table);
      assert.ok(expected.length > 0);
      assert.deepEqual(await tableContent(pair.server, schema, table), expected, table);
    }
  }

  const jsonTables = `CREATE TABLE t (id INT PRIMARY KEY, j JSON, k VARCHAR(40) AS (j->>'$.k') VIRTUAL, UNIQUE (k)); CREATE TABLE bare (j JSON, v INT);
    CREATE TABLE kinds (id INT PRIMARY KEY, kind TEXT, j JSON);`;
  const jsonChanges = `
    INSERT INTO t (id, j) VALUES (1, '{"k": "a''b", "n": [1, 2.5, null, true, "é🙂", -9223372036854775808, 18446744073709551615, 1e100]}'), (2, NULL), (3, '[]'), (4, 'null'), (5, '"s"');
    UPDATE t SET j = JSON_SET(j, '$.n[0]', 99, '$.new', 'x''y') WHERE id = 1; UPDATE t SET j = JSON_REMOVE(j, '$.n[2]') WHERE id = 1; UPDATE t SET id = id + 100 WHERE id > 4;
    UPDATE t SET j = JSON_REPLACE(j, '$.k', 'longer than before and more') WHERE id = 1;
    INSERT INTO bare VALUES ('{"a": 1}', 1), ('{"a": 1.0}', 1), ('{"a": 1}', 1), (NULL, 1); UPDATE bare SET v = 2 WHERE j->'$.a' = 1 LIMIT 1; DELETE FROM bare WHERE j IS NULL;`;

  it('keeps JSON values and their types', async () => {
    await prepare('json', jsonTables, jsonChanges);
    await pair.upstream.script('INSERT INTO json.kinds SELECT id, JSON_TYPE(j), j FROM json.t');
    await replaySchema(pair.upstream, pair.downstream, 'json');
    await same('json', ['t', 'bare', 'kinds']);
    const types = await pair.server.query('SELECT id FROM json.kinds WHERE kind <> JSON_TYPE(j)');
    assert.deepEqual(types, []);
  });

  it('applies partial updates of JSON', async () => {
    await prepare(
      'partialjson',
      jsonTables,
      `SET binlog_row_value_options='PARTIAL_JSON'; ${jsonChanges}`,
    );
    await replaySchema(pair.upstream, pair.downstream, 'partialjson');
    await same('partialjson', ['t', 'bare']);
  });

  it('changes many rows with unique keys, in lanes', async () => {
    await prepare(
      'many',
      'CREATE TABLE t (id INT PRIMARY KEY, u INT UNIQUE, v VARCHAR(20) COLLATE utf8mb4_0900_ai_ci UNIQUE, n INT NOT NULL, g GEOMETRY, y YEAR, b BIT(9), e ENUM("a","b"));',
      `SET cte_max_recursion_depth = 10000;
       INSERT INTO t SELECT i, i, CONCAT('é', i), 0, POINT(i, i), 2000, i % 512, 'a' FROM (WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 3000) SELECT i FROM s) x;
       UPDATE t SET n = n + 1; UPDATE t SET u = u + 10000 WHERE id < 300; DELETE FROM t WHERE id % 9 = 0; UPDATE t SET v = UPPER(v), e = 'b' WHERE id < 50;`,
    );
    await replaySchema(pair.upstream, pair.downstream, 'many', {
      laneCount: 4,
      batchCount: 1,
      blockBytes: 30_000,
    });
    await same('many', ['t']);
  });

  it('does not run a cascade that is in the log', async () => {
    await prepare(
      'logged',
      `CREATE TABLE parent (id INT PRIMARY KEY); CREATE TABLE child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE ON UPDATE SET NULL);`,
      `INSERT INTO parent VALUES (1), (2), (3), (4); INSERT INTO child VALUES (1, 1), (2, 1), (3, 2), (4, 3), (5, 4);
       DELETE FROM parent WHERE id = 1; UPDATE parent SET id = 20 WHERE id = 2; INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 1);`,
    );
    const group = groupSpan([
      { schema: 'logged', table: 'child' },
      { schema: 'logged', table: 'parent' },
    ]);
    assert.deepEqual(await pair.downstream.catalog.groups(['logged.*']), {
      'logged.child': group,
      'logged.parent': group,
    });
    await pair.upstream.query('FLUSH BINARY LOGS');
    for (const [span, blocks] of loggedBlocks(pair.upstream.dataDirectory, 'logged', () => group)) {
      await pair.downstream.replay(span, blocks);
    }
    await same('logged', ['parent', 'child']);
  });
});
