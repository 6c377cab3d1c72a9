/** What newer MariaDB logs otherwise: generated columns left out, images without duplicates, vectors. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startUnstableMariadb, unstableMariadbMissing } from '#test/servers/mariadb-unstable.ts';
import { usePair } from './pair.ts';
import { replaySchema, tableContent } from './replay.ts';

describe('a batch from a newer MariaDB', { skip: await unstableMariadbMissing() }, () => {
  const pair = usePair(startUnstableMariadb);

  for (const form of ['FULL', 'FULL_NODUP', 'MINIMAL']) {
    it(`ends in the upstream's state with binlog_row_image=${form}`, async () => {
      const schema = `as_${form.toLowerCase()}`;
      for (const side of [pair.upstream, pair.server]) {
        await side.script(`CREATE DATABASE ${schema}; USE ${schema};
          CREATE TABLE t (id INT PRIMARY KEY, a INT, v INT AS (a * 2) VIRTUAL UNIQUE, s VARCHAR(20) AS (CONCAT('s', a)) STORED UNIQUE, e VECTOR(3));
          CREATE TABLE bare (e VECTOR(2), f FLOAT);`);
      }
      await pair.upstream.script(`USE ${schema}; SET binlog_row_image=${form};
        INSERT INTO t (id, a, e) SELECT seq, seq, VEC_FromText(CONCAT('[', seq, ',0.1,-2]')) FROM seq_1_to_800;
        UPDATE t SET a = a + 1 ORDER BY a DESC; UPDATE t SET e = VEC_FromText('[0,0,0]') WHERE id < 300; DELETE FROM t WHERE id % 5 = 0;
        BEGIN; UPDATE t SET a = -1 WHERE id = 1; UPDATE t SET a = 2 WHERE id = 2; UPDATE t SET a = 3 WHERE id = 1; COMMIT;
        INSERT INTO bare VALUES (VEC_FromText('[1,2]'), 1.1), (VEC_FromText('[1,2]'), 1.1), (VEC_FromText('[1,3]'), 1.1);
        UPDATE bare SET f = 2.2 LIMIT 1; DELETE FROM bare WHERE f = 2.2 OR VEC_ToText(e) = '[1,3]';`);
      await replaySchema(pair.upstream, pair.downstream, schema, { laneCount: 4 });
      for (const table of ['t', 'bare']) {
        const expected = await tableContent(pair.upstream, schema, table);
        assert.ok(expected.length > 0);
        assert.deepEqual(await tableContent(pair.server, schema, table), expected, table);
      }
    });
  }
});
