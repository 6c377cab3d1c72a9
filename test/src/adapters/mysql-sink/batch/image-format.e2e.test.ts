/** Logs with less than full row images: rows are changed column by column in source order. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startMariadb } from '#test/servers/mariadb.ts';
import { usePair } from './pair.ts';
import { replaySchema, tableContent } from './replay.ts';

const pair = usePair(startMariadb);

async function replicates(schema: string, settings: string): Promise<void> {
  for (const side of [pair.upstream, pair.server]) {
    await side.script(`CREATE DATABASE ${schema}; USE ${schema};
      CREATE TABLE t (id INT PRIMARY KEY, a INT NOT NULL DEFAULT 7, b TEXT, c VARCHAR(20) DEFAULT 'x', u INT UNIQUE);
      CREATE TABLE l (a INT, b TEXT);`);
  }
  await pair.upstream.script(`USE ${schema}; SET ${settings};
    INSERT INTO t (id, b) SELECT seq, REPEAT('b', 300) FROM seq_1_to_300; INSERT INTO t VALUES (1000, 1, 'full', 'row', 5);
    UPDATE t SET a = a + 1 WHERE id < 100; UPDATE t SET b = 'short' WHERE id < 20; UPDATE t SET id = id + 500 WHERE id > 280 AND id < 290;
    BEGIN; UPDATE t SET u = NULL WHERE id = 1000; UPDATE t SET u = 5 WHERE id = 1; UPDATE t SET u = 6 WHERE id = 1000; COMMIT;
    DELETE FROM t WHERE id BETWEEN 200 AND 220; INSERT INTO t (id) VALUES (2000);
    INSERT INTO l VALUES (1, 'x'), (1, 'x'), (2, NULL); UPDATE l SET b = 'y' LIMIT 1; DELETE FROM l WHERE a = 2;`);
  await replaySchema(pair.upstream, pair.downstream, schema, { laneCount: 4 });
  for (const table of ['t', 'l']) {
    const expected = await tableContent(pair.upstream, schema, table);
    assert.ok(expected.length > 0);
    assert.deepEqual(await tableContent(pair.server, schema, table), expected, table);
  }
}

describe('rows logged in other forms', () => {
  it('arrive with binlog_row_image=MINIMAL', () =>
    replicates('minimal', 'binlog_row_image=MINIMAL'));

  it('arrive with binlog_row_image=NOBLOB', () => replicates('noblob', 'binlog_row_image=NOBLOB'));

  it('arrive compressed, and without names', async () => {
    await pair.upstream.script('SET GLOBAL log_bin_compress=ON, log_bin_compress_min_len=10');
    await replicates('compressed', 'binlog_row_image=FULL');
    await pair.upstream.script(
      'SET GLOBAL log_bin_compress=OFF; SET GLOBAL binlog_row_metadata=NO_LOG',
    );
    await replicates('nameless', 'binlog_row_image=FULL');
    await pair.upstream.script('SET GLOBAL binlog_row_metadata=FULL');
  });
});
