/** What the servers leave out: columns of an image, names of a table. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { readChanges, readLogFile, type RowChange } from './log-file.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { mysqlMissing, startMysql } from '#test/servers/mysql.ts';
import type { SqlServer } from '#test/servers/sql-server.ts';

const makes = [
  { name: 'MariaDB', start: startMariadb, skip: false as const, least: 'NO_LOG' },
  { name: 'MySQL', start: startMysql, skip: await mysqlMissing(), least: 'MINIMAL' },
];

for (const { name, start, skip, least } of makes) {
  test(`${name} leaves out columns and names as it is told`, { skip }, async (t) => {
    const server: SqlServer = await start();
    t.after(() => server.stop());
    await server.script(`CREATE DATABASE d; USE d;
      CREATE TABLE t (id INT PRIMARY KEY, a INT UNSIGNED, b TEXT CHARACTER SET latin1, c ENUM('x','y'), g BIGINT AS (a + 1) VIRTUAL);
      CREATE TABLE s (a INT, y YEAR, u INT UNSIGNED, b BIT(3), d DECIMAL(5,2) UNSIGNED, f FLOAT, t TIME, e TINYINT UNSIGNED);
      CREATE TABLE n (a INT, b VARCHAR(9) CHARACTER SET utf8mb4)`);

    const changes = async (settings: string, sql: string): Promise<RowChange[]> => {
      const connection = await server.connect({ database: 'd', multipleStatements: true });
      await server.query('FLUSH BINARY LOGS');
      await connection.query(`${settings}; ${sql}`);
      await connection.end();
      return readChanges(readLogFile(readFileSync(server.binlogFiles().at(-1)!)), server.flavor);
    };

    await t.test('a full image has every column, generated ones too', async () => {
      const [insert, update, remove] = await changes(
        "SET binlog_row_image = 'FULL'",
        "INSERT INTO t (id, a, b, c) VALUES (1, 4294967295, 'é', 'y'); UPDATE t SET a = 7; DELETE FROM t",
      );
      assert.deepEqual(insert!.after.slice(0, 4), [1, 4294967295, 'é', 'y']);
      assert.deepEqual(update!.before.slice(0, 4), [1, 4294967295, 'é', 'y']);
      assert.deepEqual(update!.after, [1, 7, 'é', 'y', 8]);
      assert.deepEqual(remove!.before, [1, 7, 'é', 'y', 8]);
      assert.deepEqual(
        insert!.table.columns.map((column) => column.name),
        ['id', 'a', 'b', 'c', 'g'],
      );
      assert.equal(insert!.table.columns[0]!.primaryKeyOrdinal, 0);
    });

    await t.test('signs are logged for numbers and years, not for bits and times', async () => {
      const [insert] = await changes(
        "SET binlog_row_image = 'FULL'",
        "INSERT INTO s VALUES (-1, 2024, 4294967295, b'101', 1.5, 2.5, '01:02:03', 255)",
      );
      assert.deepEqual(
        insert!.table.columns.map(({ unsigned }) => unsigned),
        [false, true, true, false, true, false, false, true],
      );
      assert.deepEqual(insert!.after, [
        -1,
        2024,
        4294967295,
        Uint8Array.of(5),
        '1.50',
        2.5,
        '01:02:03',
        255,
      ]);
    });

    await t.test('a minimal image has the key before and the changes after', async () => {
      const [insert, update, setNull, remove] = await changes(
        "SET binlog_row_image = 'MINIMAL'",
        "INSERT INTO t (id, b) VALUES (2, 'x'); UPDATE t SET a = 7; UPDATE t SET b = NULL; DELETE FROM t",
      );
      assert.equal(insert!.after[0], 2);
      assert.equal(insert!.after[2], 'x');
      assert.deepEqual(update!.before.slice(0, 4), [2, undefined, undefined, undefined]);
      assert.deepEqual(update!.after.slice(0, 4), [undefined, 7, undefined, undefined]);
      assert.deepEqual(setNull!.after.slice(0, 4), [undefined, undefined, null, undefined]);
      assert.deepEqual(remove!.before.slice(0, 4), [2, undefined, undefined, undefined]);
    });

    await t.test('without blobs an unchanged blob is absent', async () => {
      const [, update] = await changes(
        "SET binlog_row_image = 'NOBLOB'",
        "INSERT INTO t (id, a, b) VALUES (3, 1, 'blob'); UPDATE t SET a = 2; DELETE FROM t",
      );
      assert.deepEqual(update!.before.slice(0, 4), [3, 1, undefined, null]);
      assert.deepEqual(update!.after.slice(0, 4), [3, 2, undefined, null]);
    });

    await t.test('a table without a key has its whole row before, whatever the image', async () => {
      const [, update] = await changes(
        "SET binlog_row_image = 'MINIMAL'",
        "INSERT INTO n VALUES (1, 'é'); UPDATE n SET a = 2",
      );
      assert.deepEqual(update!.before, [1, 'é']);
      assert.equal(update!.after[0], 2);
    });

    await t.test('the least metadata leaves out names, labels and keys', async () => {
      const [insert] = await changes(
        `SET GLOBAL binlog_row_metadata = '${least}'`,
        "INSERT INTO t (id, a, b, c) VALUES (4, 1, 'z', 'y')",
      );
      const { table, after } = insert!;
      assert.equal(table.hasNames, false);
      assert.deepEqual(
        table.columns.map((column) => column.name),
        [null, null, null, null, null],
      );
      // Without labels an enum is its number.
      assert.equal(after[3], 2);
      const latin1 = least === 'MINIMAL';
      assert.deepEqual(after[2], latin1 ? 'z' : Uint8Array.of(0x7a));
      assert.equal(table.columns[1]!.unsigned, latin1);
    });
  });
}
