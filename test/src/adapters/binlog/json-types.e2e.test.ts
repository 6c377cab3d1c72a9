/** MySQL JSON made of columns of every type, rebuilt by the expressions of the decoder: the server must log the same bytes. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { readLogFile } from './log-file.ts';
import { writeJsonExpression } from '#src/adapters/binlog/json-expression.ts';
import { isRowEventType, RowEvent } from '#src/adapters/binlog/row-event.ts';
import { readTableMap, type TableMap } from '#src/adapters/binlog/table-map.ts';
import { ByteWriter } from '#src/base/byte-writer.ts';
import { mysqlMissing, startMysql } from '#test/servers/mysql.ts';
import { TestRandom } from '#test/fixtures/random.ts';
import type { SqlServer } from '#test/servers/sql-server.ts';

const exact = [
  ['BLOB', "x'00FF61'", "''"],
  ['MEDIUMBLOB', "x'00FF61'", "''"],
  ['LONGBLOB', "x'00FF61'", "''"],
  ['BINARY(3)', "x'00FF61'", "x'610000'"],
  ['VARBINARY(9)', "x'00FF61'", "''"],
  ['BIT(9)', "b'101'", "b'111111111'"],
  ['BIT(64)', '18446744073709551615', '0'],
  ['TIMESTAMP(6)', "'2024-03-31 02:30:00.5'", "'1999-12-31 23:59:59.999999'"],
  ['DATETIME(3)', "'2024-02-29 12:34:56.789'", "'1000-01-01 00:00:00'"],
  ['DATE', "'2024-02-29'", "'9999-12-31'"],
  ['TIME(6)', "'-838:59:59'", "'-00:00:00.000001'"],
  ['YEAR', '2024', '1901'],
  ['BIGINT UNSIGNED', '5', '18446744073709551615'],
  ['DOUBLE', '1.5', '-1e300'],
  ['FLOAT', '0.1', '3e38'],
  ["ENUM('x','é') CHARACTER SET utf8mb4", "'x'", "'é'"],
  ['VARCHAR(9) CHARACTER SET latin1', "'é'", "'\"'"],
  ['GEOMETRY', 'POINT(1, 2)', 'POINT(0, -0.5)'],
] as const;

test(
  'JSON of every column type is rebuilt byte for byte',
  { skip: await mysqlMissing() },
  async (t) => {
    const server: SqlServer = await startMysql();
    t.after(() => server.stop());
    await server.query('CREATE DATABASE d');
    const connection = await server.connect({ database: 'd', charset: 'utf8mb4' });
    await connection.query("SET time_zone = '+00:00', sql_mode = ''");
    const names = exact.map((_, i) => `c${i}`);
    await connection.query(
      `CREATE TABLE source (${exact.map(([type], i) => `c${i} ${type}`).join(', ')}, d DECIMAL(10,2), b TINYBLOB)`,
    );
    for (const row of [1, 2] as const) {
      await connection.query(
        `INSERT INTO source VALUES (${exact.map((each) => each[row]).join(', ')}, 1.5, 'x')`,
      );
    }
    await connection.query('CREATE TABLE j (id INT AUTO_INCREMENT PRIMARY KEY, j JSON)');
    for (const name of names)
      await connection.query(`INSERT INTO j (j) SELECT JSON_ARRAY(${name}) FROM source`);
    for (const name of names)
      await connection.query(
        `INSERT INTO j (j) SELECT JSON_EXTRACT(JSON_ARRAY(${name}), '$[0]') FROM source`,
      );
    const all = names
      .map((name) => `'${name}', ${name}, 'n', JSON_ARRAY(NULL, ${name})`)
      .join(', ');
    await connection.query(`INSERT INTO j (j) SELECT JSON_OBJECT(${all}) FROM source`);
    const documents = loggedJson(server, 'j');
    assert.equal(documents.length, names.length * 4 + 2);

    await connection.query('CREATE TABLE again LIKE j');
    for (const bytes of documents)
      await connection.query(`INSERT INTO again (j) VALUES (${expressionOf(bytes)})`);
    const again = loggedJson(server, 'again');
    again.forEach((bytes, i) =>
      assert.equal(hex(bytes), hex(documents[i]!), expressionOf(documents[i]!)),
    );
    assert.equal(again.length, documents.length);

    const doubles = randomDoubles(2000);
    await connection.query('CREATE TABLE number (d DOUBLE)');
    await connection.query(
      `INSERT INTO number VALUES ${doubles.map((value) => `(${value})`).join(', ')}`,
    );
    await connection.query('CREATE TABLE numbers LIKE j');
    await connection.query('INSERT INTO numbers (j) SELECT JSON_ARRAY(d) FROM number');
    const numbers = loggedJson(server, 'numbers');
    await connection.query('CREATE TABLE numbers_again LIKE j');
    const sql = numbers.map((bytes) => `(${expressionOf(bytes)})`).join(', ');
    await connection.query(`INSERT INTO numbers_again (j) VALUES ${sql}`);
    assert.deepEqual(loggedJson(server, 'numbers_again').map(hex), numbers.map(hex));

    // A padded decimal keeps value and type, a TINYBLOB its bytes.
    await connection.query('CREATE TABLE near LIKE j');
    await connection.query('INSERT INTO near (j) SELECT JSON_ARRAY(d, b) FROM source');
    const [near] = loggedJson(server, 'near');
    const [rows] = await connection.query(
      `SELECT CAST(j AS CHAR) AS text, JSON_TYPE(j->'$[0]') AS type FROM (SELECT ${expressionOf(near!)} AS j) AS t`,
    );
    assert.deepEqual(
      { ...(rows as object[])[0] },
      { text: '[1.50, "base64:type15:eA=="]', type: 'DECIMAL' },
    );
    await connection.end();
  },
);

/** Bit patterns of all exponents; the seed does not matter, the number of them does. */
function randomDoubles(count: number): number[] {
  const random = new TestRandom(count);
  const view = new DataView(new ArrayBuffer(8));
  const values: number[] = [];
  while (values.length < count) {
    view.setUint32(0, random.below(2 ** 32));
    view.setUint32(4, random.below(2 ** 32));
    const value = view.getFloat64(0);
    if (Number.isFinite(value)) values.push(value);
  }
  return values;
}

function loggedJson(server: SqlServer, table: string): Uint8Array[] {
  const maps = new Map<number, TableMap>();
  const cursor = new RowEvent();
  const documents: Uint8Array[] = [];
  for (const { type, body } of server
    .binlogFiles()
    .flatMap((file) => readLogFile(readFileSync(file)))) {
    if (type === 19) {
      const map = readTableMap(body, 'mysql');
      maps.set(map.tableId, map);
    }
    if (!isRowEventType(type)) continue;
    const map = maps.get(body[0]! | (body[1]! << 8) | (body[2]! << 16))!;
    if (map.table !== table) continue;
    cursor.open(type, body, map);
    while (cursor.next()) {
      const { after } = cursor;
      documents.push(new Uint8Array(after.bytes.subarray(after.start(1) + 4, after.end(1))));
    }
  }
  return documents;
}

function expressionOf(bytes: Uint8Array): string {
  const out = new ByteWriter();
  writeJsonExpression(out, bytes, 0, bytes.byteLength);
  return Buffer.from(out.bytes()).toString();
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
