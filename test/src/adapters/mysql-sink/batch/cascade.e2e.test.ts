/** Cascading foreign keys on real servers: MariaDB does not log what they change, so they must run again downstream. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { groupSpan } from '#src/model/span.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { usePair } from './pair.ts';
import { loggedBlocks } from './logged-blocks.ts';
import { tableContent } from './replay.ts';

const pair = usePair(startMariadb);

const tables = `
  CREATE TABLE parent (id INT PRIMARY KEY, name VARCHAR(20));
  CREATE TABLE child (id INT PRIMARY KEY, p INT, v INT, FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE);
  CREATE TABLE grandchild (id INT PRIMARY KEY, c INT, FOREIGN KEY (c) REFERENCES child (id) ON DELETE SET NULL);
  CREATE TABLE tree (id INT PRIMARY KEY, up INT, FOREIGN KEY (up) REFERENCES tree (id) ON DELETE CASCADE);
  CREATE TABLE plain (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id));
  CREATE TABLE alone (id INT PRIMARY KEY);`;

const group = groupSpan(
  ['parent', 'child', 'grandchild'].map((table) => ({ schema: 'shop', table })),
);
const tree = groupSpan([{ schema: 'shop', table: 'tree' }]);

describe('tables tied by cascading foreign keys', () => {
  it('form one span, and tables with restricting ones do not', async () => {
    for (const side of [pair.upstream, pair.server])
      await side.script(`CREATE DATABASE shop; USE shop; ${tables}`);
    assert.deepEqual(await pair.downstream.catalog.groups(['shop.*']), {
      'shop.parent': group,
      'shop.child': group,
      'shop.grandchild': group,
      'shop.tree': tree,
    });
    assert.deepEqual(await pair.downstream.catalog.groups(['shop.alone', 'shop.plain']), {});
  });

  it('are refused when the rules leave the parent out', async () => {
    await assert.rejects(
      pair.downstream.catalog.groups(['shop.*', '!shop.parent']),
      /SINK_UNSUPPORTED: shop\.child .* shop\.parent/,
    );
  });

  it('are refused when they come apart', async () => {
    await pair.upstream.script('USE shop; INSERT INTO tree VALUES (-1, NULL)');
    await pair.upstream.query('FLUSH BINARY LOGS');
    const blocks = loggedBlocks(pair.upstream.dataDirectory, 'shop').get('shop.tree')!;
    await assert.rejects(
      pair.downstream.replay('shop.tree', blocks),
      /SINK_UNSUPPORTED: shop\.tree/,
    );
  });

  it('change as upstream, cascades included', async () => {
    await pair.upstream.script(`USE shop;
      INSERT INTO parent SELECT seq, CONCAT('p', seq) FROM seq_1_to_50;
      INSERT INTO child SELECT seq, 1 + seq % 50, 0 FROM seq_1_to_500;
      INSERT INTO grandchild SELECT seq, 1 + seq % 500 FROM seq_1_to_1000;
      INSERT INTO tree SELECT seq, IF(seq = 1, NULL, seq DIV 2) FROM seq_1_to_100;
      INSERT INTO plain SELECT seq, seq FROM seq_30_to_50;
      DELETE FROM parent WHERE id < 10;
      UPDATE parent SET id = id + 1000 WHERE id BETWEEN 10 AND 20;
      DELETE FROM child WHERE id % 17 = 0;
      UPDATE child SET v = v + 1, p = 21 WHERE p > 1000;
      BEGIN; DELETE FROM parent WHERE id = 21; INSERT INTO parent VALUES (21, 'again'); INSERT INTO child VALUES (9999, 21, 9); COMMIT;
      DELETE FROM tree WHERE id = 5;
      SET foreign_key_checks = 0; DELETE FROM parent WHERE id = 22; INSERT INTO child VALUES (8888, 77777, 1); SET foreign_key_checks = 1;
      UPDATE child SET v = 5 WHERE id = 8888;`);
    await pair.upstream.query('FLUSH BINARY LOGS');
    const groups = await pair.downstream.catalog.groups(['*.*']);
    const spanOf = (table: string): string => groups[`shop.${table}`] ?? `shop.${table}`;
    for (const [span, blocks] of loggedBlocks(pair.upstream.dataDirectory, 'shop', spanOf)) {
      await pair.downstream.replay(span, blocks, { laneCount: 4 });
    }
    for (const table of ['parent', 'child', 'grandchild', 'tree', 'plain']) {
      const expected = await tableContent(pair.upstream, 'shop', table);
      assert.ok(expected.length > 0);
      assert.deepEqual(await tableContent(pair.server, 'shop', table), expected, table);
    }
  });
});
