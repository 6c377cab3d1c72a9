/**
 * A real upstream logs changes, its log files become blocks, the planner's statements run on a real downstream, and both
 * tables are compared byte by byte.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startMariadb } from '#test/servers/mariadb.ts';
import { Downstream, replaySchema, tableContent } from './replay.ts';

import type { MariadbServer } from '#test/servers/mariadb.ts';

let upstream: MariadbServer;
let server: MariadbServer;
let downstream: Downstream;

before(async () => {
  upstream = await startMariadb();
  server = await startMariadb();
  downstream = await Downstream.open(server);
});

after(async () => {
  await downstream.close();
  await Promise.all([upstream.stop(), server.stop()]);
});

/** Makes `tables` on both sides in a schema of its own, runs `changes` upstream, replays, and compares every table. */
async function replicates(
  schema: string,
  tables: string,
  changes: string,
  options: Parameters<typeof replaySchema>[3] = {},
): Promise<void> {
  const quoted = `\`${schema.replaceAll('`', '``')}\``;
  for (const side of [upstream, server]) {
    await side.script(`CREATE DATABASE ${quoted} CHARACTER SET utf8mb4; USE ${quoted}; ${tables}`);
  }
  await upstream.script(
    `SET NAMES utf8mb4, time_zone='+00:00', sql_mode='ALLOW_INVALID_DATES'; ${changes}`,
  );
  await replaySchema(upstream, downstream, schema, options);
  await same(schema);
}

async function same(schema: string): Promise<void> {
  const names = await upstream.query<{ name: string }>(
    'SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA=?',
    [schema],
  );
  assert.ok(names.length > 0);
  for (const { name } of names) {
    const expected = await tableContent(upstream, schema, name);
    const found = await tableContent(server, schema, name);
    assert.deepEqual(found, expected, `table ${name}`);
    assert.ok(expected.length > 0, `table ${name} has rows to compare`);
  }
}

describe('a batch applied to a real server', () => {
  it('carries inserts, updates and deletes of a keyed table', () =>
    replicates(
      'plain',
      'CREATE TABLE t (id INT PRIMARY KEY, k INT NOT NULL DEFAULT 0, c CHAR(20), v VARCHAR(50), KEY(k));',
      `INSERT INTO t SELECT seq, seq, CONCAT('c', seq), CONCAT("it's ", seq) FROM seq_1_to_2000;
       UPDATE t SET k = k + 1 WHERE id % 3 = 0;
       DELETE FROM t WHERE id % 7 = 0;
       UPDATE t SET id = id + 10000 WHERE id % 11 = 0;
       INSERT INTO t VALUES (7, 1, NULL, NULL);
       UPDATE t SET v = 'x\\\\y' WHERE id = 8;`,
    ));
});
