/**
 * A real upstream logs changes, its log files become blocks, the planner's statements run on a real downstream, and both
 * tables are compared byte by byte.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startMariadb } from '#test/servers/mariadb.ts';
import { usePair } from './pair.ts';
import { loggedBlocks } from './logged-blocks.ts';
import { replaySchema, tableContent } from './replay.ts';

const pair = usePair(startMariadb);

/** Makes `tables` on both sides in a schema of its own, runs `changes` upstream, replays, and compares every table. */
async function replicates(
  schema: string,
  tables: string,
  changes: string,
  options: Parameters<typeof replaySchema>[3] = {},
): Promise<void> {
  const quoted = `\`${schema.replaceAll('`', '``')}\``;
  for (const side of [pair.upstream, pair.server]) {
    await side.script(`CREATE DATABASE ${quoted} CHARACTER SET utf8mb4; USE ${quoted}; ${tables}`);
  }
  await pair.upstream.script(
    `USE ${quoted}; SET NAMES utf8mb4, time_zone='+00:00', sql_mode='ALLOW_INVALID_DATES'; ${changes}`,
  );
  await replaySchema(pair.upstream, pair.downstream, schema, options);
  await same(schema);
}

async function same(schema: string): Promise<void> {
  const names = await pair.upstream.query<{ name: string }>(
    'SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA=?',
    [schema],
  );
  assert.ok(names.length > 0);
  for (const { name } of names) {
    const expected = await tableContent(pair.upstream, schema, name);
    const found = await tableContent(pair.server, schema, name);
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

  it('carries every type exactly', () =>
    replicates('types', typeTable('t', 'id INT PRIMARY KEY,'), typeChanges));

  it('carries every type exactly in a table without a key', () =>
    replicates('bare', typeTable('t', 'id INT,'), typeChanges));

  it('finds rows by keys of every type', () => replicates('keyed', keyTables(), keyChanges()));

  it('carries characters of every charset as they are', () =>
    replicates('charsets', charsetTables('PRIMARY KEY'), charsetChanges()));

  it('carries characters of every charset without a key', () =>
    replicates('loosecharsets', charsetTables(''), charsetChanges()));

  it('lets rows swap their unique values in one transaction', () =>
    replicates(
      'swap',
      `CREATE TABLE t (id INT PRIMARY KEY, u INT UNIQUE, v VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci UNIQUE);`,
      `INSERT INTO t SELECT seq, seq, CONCAT('name', seq) FROM seq_1_to_500;
       BEGIN; UPDATE t SET u=NULL WHERE id=1; UPDATE t SET u=1 WHERE id=2; UPDATE t SET u=2 WHERE id=1; COMMIT;
       BEGIN; UPDATE t SET v='tmp' WHERE id=3; UPDATE t SET v='NAME3' WHERE id=4; UPDATE t SET v='name4' WHERE id=3; COMMIT;
       BEGIN; DELETE FROM t WHERE id=5; INSERT INTO t VALUES (1005, 5, 'name5'); COMMIT;
       BEGIN; UPDATE t SET id=-1 WHERE id=6; UPDATE t SET id=6 WHERE id=7; UPDATE t SET id=7 WHERE id=-1; COMMIT;
       UPDATE t SET u = u + 100000 ORDER BY u DESC; UPDATE t SET u = u - 99999 ORDER BY u;`,
      { laneCount: 4 },
    ));

  it('leaves generated columns to the server and names invisible ones', () =>
    replicates(
      'generatedcolumns',
      `CREATE TABLE t (id INT PRIMARY KEY, a INT, v INT AS (a * 2) VIRTUAL UNIQUE, s VARCHAR(20) AS (CONCAT('s', a)) STORED,
         hidden INT INVISIBLE DEFAULT 5, c INT CHECK (c > 0), n INT NOT NULL, KEY(s));`,
      `INSERT INTO t (id, a, hidden, c, n) SELECT seq, seq, seq, seq, seq FROM seq_1_to_300;
       UPDATE t SET a = a + 1000; UPDATE t SET c = c + 1 WHERE id < 100; UPDATE t SET hidden = NULL WHERE id < 50;
       DELETE FROM t WHERE id > 250;`,
    ));

  it('keeps the times of columns that update themselves', () =>
    replicates(
      'selfupdate',
      `CREATE TABLE t (id INT PRIMARY KEY, v INT, at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, d DATETIME(3) ON UPDATE CURRENT_TIMESTAMP(3));
       CREATE TABLE bare (v INT, at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP);
       CREATE TABLE single (id INT PRIMARY KEY, v INT, at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP);`,
      `SET timestamp = 1600000000.123;
       INSERT INTO t SELECT seq, 0, '2020-01-01', NULL FROM seq_1_to_20; INSERT INTO bare SELECT 0, '2020-01-01' FROM seq_1_to_3; INSERT INTO single VALUES (1, 1, '2020-01-01');
       FLUSH BINARY LOGS; UPDATE t SET v = 1, at = at WHERE id < 10; UPDATE t SET v = 2, d = NULL WHERE id > 10;
       UPDATE bare SET v = 1, at = at LIMIT 1; UPDATE bare SET v = 2 LIMIT 1; UPDATE single SET v = 2, at = at; UPDATE t SET id = id + 100, at = at WHERE id = 3;`,
      { batchCount: 1, blockBytes: 100 },
    ));

  it('keeps the sign of a zero, which only the log shows', async () => {
    await replicates(
      'zero',
      'CREATE TABLE t (id INT PRIMARY KEY, f FLOAT); CREATE TABLE bare (f FLOAT, n INT);',
      `INSERT INTO t VALUES (1, -1e-60), (2, 0); UPDATE t SET f = 0 WHERE id = 1; UPDATE t SET f = -1e-60 WHERE id = 1;
       INSERT INTO bare VALUES (-1e-60, 1), (-1e-60, 2); UPDATE bare SET n = 3 WHERE n = 2; DELETE FROM bare WHERE n = 3;`,
    );
    await pair.server.query('FLUSH BINARY LOGS');
    const blocks = loggedBlocks(pair.server.dataDirectory, 'zero').get('zero.t')!;
    assert.ok(
      blocks.some(({ bytes }) => Buffer.from(bytes).includes('\x01\0\0\0\0\0\0\x80', 0, 'latin1')),
    );
  });

  it('runs with any name', () =>
    replicates(
      "od`d '名前",
      "CREATE TABLE `ta``ble '表\"` (`id``'` INT PRIMARY KEY, `__proto__` INT, `列 %s ?` VARCHAR(20) UNIQUE); CREATE TABLE `no.key;--` (`a b` INT, `ü` TEXT);",
      "INSERT INTO `ta``ble '表\"` VALUES (1, 2, 'a'), (2, 3, 'b''c'); UPDATE `ta``ble '表\"` SET `列 %s ?` = 'z' WHERE `__proto__` = 3; INSERT INTO `no.key;--` VALUES (1, '?'), (1, '?'), (2, ':a'); DELETE FROM `no.key;--` WHERE `a b` = 2; UPDATE `no.key;--` SET `ü` = 'x' LIMIT 1;",
    ));

  it('carries values of megabytes', () =>
    replicates(
      'huge',
      'CREATE TABLE t (id INT PRIMARY KEY, b LONGBLOB, x LONGTEXT); CREATE TABLE l (b LONGBLOB);',
      `INSERT INTO t SELECT seq, REPEAT(CHAR(seq, 39, 92, 0), 400000), REPEAT('ä''', 300000) FROM seq_1_to_6;
       UPDATE t SET b = CONCAT(b, '!') WHERE id < 5; INSERT INTO l SELECT b FROM t; DELETE FROM l LIMIT 2;`,
    ));

  it('keeps an exact multiset of rows that are equal or nearly so', () =>
    replicates(
      'multi',
      `CREATE TABLE t (f FLOAT, d DOUBLE, v VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, j JSON, KEY(v));`,
      `INSERT INTO t VALUES (1.1, 1.1, 'a', '{"a": 1.10}'), (1.1, 1.1, 'A', '{"a": 1.10}'), (1.1, 1.1, 'a ', '{"a": 1.10}'),
         (1.1, 1.1, 'a', '{"a": 1.10}'), (1.1, 1.1, 'á', '{"a":1.10}'), (NULL, NULL, NULL, NULL), (NULL, NULL, NULL, NULL), (3.4e38, 1e308, '', '[]');
       DELETE FROM t WHERE BINARY v = 'A'; UPDATE t SET f = 2.2 WHERE BINARY v = 'a ' ; UPDATE t SET d = 0.1 + 0.2 WHERE v IS NULL LIMIT 1;
       DELETE FROM t WHERE BINARY v = 'a' LIMIT 1; UPDATE t SET v = 'é', j = '{"a":2}' WHERE BINARY v = 'á';`,
    ));

  it('spreads large batches over lanes', () =>
    replicates(
      'lanes',
      `CREATE TABLE t (id BIGINT PRIMARY KEY, email VARCHAR(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci UNIQUE, n INT);
       CREATE TABLE p (id BIGINT PRIMARY KEY, n INT);`,
      `INSERT INTO t SELECT seq, CONCAT('user', seq, '@EXAMPLE.org'), 0 FROM seq_1_to_5000;
       INSERT INTO p SELECT seq, 0 FROM seq_1_to_5000;
       UPDATE t SET n = n + 1 WHERE id < 2000; UPDATE t SET n = n + 1; UPDATE p SET n = n + 1 WHERE id > 2500;
       UPDATE t SET email = UPPER(email) WHERE id < 2000; DELETE FROM p WHERE id < 1000;
       UPDATE t SET email = CONCAT('é', id) WHERE id < 50;`,
      { laneCount: 4, batchCount: 2, blockBytes: 60_000 },
    ));

  it('applies a batch again when it is idempotent', async () => {
    const schema = 'again';
    await replicates(
      schema,
      'CREATE TABLE t (id INT PRIMARY KEY, u INT UNIQUE, v VARCHAR(20));',
      `INSERT INTO t SELECT seq, seq, 'a' FROM seq_1_to_1000; UPDATE t SET v = 'b' WHERE id < 500;
       UPDATE t SET u = u + 5000; DELETE FROM t WHERE id % 5 = 0; UPDATE t SET id = id + 9000 WHERE id < 20;`,
      { laneCount: 4 },
    );
    await replaySchema(pair.upstream, pair.downstream, schema, { laneCount: 4, idempotent: true });
    await same(schema);
    await pair.server.query(`DELETE FROM ${schema}.t WHERE id % 3 = 0`);
    await pair.server.query(`UPDATE ${schema}.t SET u = -u WHERE id % 2 = 0`);
    await replaySchema(pair.upstream, pair.downstream, schema, { laneCount: 4, idempotent: true });
    await same(schema);
  });
});

const typeColumns = `t1 TINYINT, t2 TINYINT UNSIGNED, s1 SMALLINT, s2 SMALLINT UNSIGNED, m1 MEDIUMINT, m2 MEDIUMINT UNSIGNED,
  i1 INT, i2 INT UNSIGNED, b1 BIGINT, b2 BIGINT UNSIGNED, d1 DECIMAL(65,30), d2 DECIMAL(10,0) UNSIGNED,
  f1 FLOAT, f2 DOUBLE, bt1 BIT(1), bt2 BIT(64), bt3 BIT(11), y YEAR, dt DATE, tm TIME, tm6 TIME(6),
  dtm DATETIME, dtm6 DATETIME(6), ts TIMESTAMP NULL, ts6 TIMESTAMP(6) NULL, c CHAR(10), cl CHAR(255), vc VARCHAR(300),
  bn BINARY(8), vb VARBINARY(300), tb TINYBLOB, bl BLOB, mb MEDIUMBLOB, lb LONGBLOB, tt TINYTEXT, tx TEXT, mt MEDIUMTEXT,
  lt LONGTEXT, e ENUM('a','it''s','c,d','e\\\\f'), st SET('x','y','z','w'), js JSON, g GEOMETRY, p POINT, u UUID, i6 INET6, i4 INET4,
  vcc VARCHAR(500) COMPRESSED, blc BLOB COMPRESSED`;

function typeTable(name: string, key: string): string {
  return `CREATE TABLE ${name} (${key} ${typeColumns});`;
}

const typeChanges = `
  INSERT INTO t VALUES (1, -128, 255, -32768, 65535, -8388608, 16777215, -2147483648, 4294967295, -9223372036854775808, 18446744073709551615,
    -99999999999999999999999999999999999.999999999999999999999999999999, 9999999999, -3.4028234e38, 1.7976931348623157e308, b'1',
    0xFFFFFFFFFFFFFFFF, b'10000000001', 1901, '9999-12-31', '-838:59:59', '-838:59:59.999999', '9999-12-31 23:59:59', '1000-01-01 00:00:00.000001',
    '2038-01-19 03:14:07', '1970-01-01 00:00:01.000001', 'a''b\\\\c', REPEAT('ß', 255), 'q''uo"te\\\\', 'ab', 'x\\0y\\0\\0', '', 'b\\'l', REPEAT('m', 70000),
    CHAR(0, 39, 92, 10, 13, 26, 255), 'tt', 'text''', REPEAT('🙂''', 1000), 'long', 'it''s', 'x,y', '{"a": [1, 2.50, "q''"], "b": null}',
    ST_GeomFromText('LINESTRING(1 2,3 4)', 4326), POINT(-1.5, 1e300), UUID(), '2001:db8::ff00', '10.0.0.255', REPEAT('com''pressed', 40), REPEAT('z\\'', 100));
  INSERT INTO t (id) VALUES (2);
  INSERT INTO t (id, f1, f2, y, dt, tm6, dtm, ts, c, vc, bn, e, st, d1, u, i6, i4) VALUES
    (3, 1.1, 0.1, 0, '0000-00-00', '00:00:00.000001', '0000-00-00 00:00:00', '0000-00-00 00:00:00', '', '', '', 'e\\\\f', '', 0, '00000000-0000-0000-0000-000000000000', '::', '0.0.0.0'),
    (4, 16777216, 4.9e-324, 2155, '2023-02-31', '838:59:59.999999', '2023-00-00 00:00:00', '2026-03-29 01:30:00', ' lead', 'trail ', 'z\\0', 'c,d', 'x,y,z,w', 1e-30, 'ffffffff-ffff-ffff-ffff-ffffffffff00', 'ffff::', '255.255.255.0'),
    (5, 0.3, -0.0000001, 2000, '1000-01-01', '-00:00:00.5', '2020-02-29 12:00:00', '2026-10-25 01:30:00', 'é', 'É', '', 'a', 'w', -0.5, '123e4567-e89b-12d3-a456-426614174000', '::1', '1.2.3.4');
  INSERT IGNORE INTO t (id, e) VALUES (6, 'nosuch'), (7, 'a'), (8, 'nosuch');
  INSERT INTO t (id, f1, f2) SELECT 9, -f1, -f2 FROM (SELECT 0e0 AS f1, 0e0 AS f2) z;
  UPDATE t SET c = 'new', e = 'c,d' WHERE id = 6;
  UPDATE IGNORE t SET e = 'nosuch' WHERE id = 7;
  UPDATE t SET u = 'a0000000-0000-1000-8000-000000000001', i6 = NULL, g = POINT(3, 4), js = '[]', bt3 = 5, st = 3 WHERE id = 1;
  UPDATE t SET vcc = CONCAT(vcc, 'x'), blc = NULL, lb = '', tm6 = '00:00:01' WHERE id = 1;
  UPDATE t SET vc = 'TRAIL' WHERE id = 4; UPDATE t SET f1 = 0, f2 = 0 WHERE id = 9; INSERT INTO t (id, f1) VALUES (10, 1.1);
  DELETE FROM t WHERE id IN (5, 8);`;

const keyTypes: readonly (readonly [string, string])[] = [
  ['BIGINT UNSIGNED', '18446744073709551615 - seq'],
  ['DECIMAL(30,10)', 'seq / 3'],
  ['FLOAT', 'seq * 1.1'],
  ['DOUBLE', 'seq * 0.1'],
  ['DATE', `'2020-01-01' + INTERVAL seq DAY`],
  ['TIME(3)', 'SEC_TO_TIME(seq - 40.5)'],
  ['DATETIME(6)', `'2020-01-01' + INTERVAL seq * 1.000001 SECOND`],
  ['TIMESTAMP(6)', `'2020-01-01' + INTERVAL seq * 1.000001 SECOND`],
  ['YEAR', '1950 + seq'],
  ['BIT(20)', 'seq'],
  ['BINARY(6)', `CONCAT('k', seq)`],
  ['VARBINARY(20)', `CONCAT('k\\0', seq, '''')`],
  ['UUID', `CONCAT('00000000-0000-1000-8000-', LPAD(seq, 12, '0'))`],
  ['INET6', `CONCAT('::', seq)`],
  ['INET4', `CONCAT('10.0.0.', seq)`],
  ['CHAR(20) CHARACTER SET latin1', `CONCAT('kä', seq)`],
  ['VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci', `CONCAT('ключ''', seq)`],
  ['VARCHAR(20) CHARACTER SET gbk', `CONCAT('键', seq)`],
  ['VARCHAR(20) CHARACTER SET sjis', `CONCAT('表', seq)`],
  ['VARCHAR(20) CHARACTER SET ucs2', `CONCAT('✓', seq)`],
  ['VARCHAR(20) CHARACTER SET utf16', `CONCAT('🙂', seq)`],
  ['VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin', `CONCAT('k', seq)`],
  ['VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_uca1400_ai_ci', `CONCAT('ß', seq)`],
];

function keyTables(): string {
  const tables = keyTypes.map(
    ([type], i) =>
      `CREATE TABLE k${i} (k ${type} PRIMARY KEY, n INT);
       CREATE TABLE c${i} (a INT, k ${type} NOT NULL, n INT, UNIQUE u (k, a), PRIMARY KEY (a, k));`,
  );
  return `${tables.join('')} CREATE TABLE e (k ENUM('a','b','c') NOT NULL, s SET('x','y'), n INT, PRIMARY KEY (k, s));
    CREATE TABLE p (k TEXT CHARACTER SET utf8mb4, n INT, PRIMARY KEY (k(5))); CREATE TABLE w (a INT NOT NULL, b INT, UNIQUE (a));`;
}

function keyChanges(): string {
  const changes = keyTypes.map(
    ([, value], i) =>
      `INSERT INTO k${i} SELECT ${value}, seq FROM seq_1_to_50; INSERT INTO c${i} SELECT seq % 3, ${value}, seq FROM seq_1_to_50;
       UPDATE k${i} SET n = n + 100 WHERE n < 40; UPDATE c${i} SET n = n + 100, a = a + 1 WHERE n < 10;
       UPDATE c${i} SET n = -n WHERE n BETWEEN 20 AND 30; DELETE FROM k${i} WHERE n BETWEEN 120 AND 130;
       DELETE FROM c${i} WHERE n > 45; UPDATE k${i} SET n = 1 ORDER BY n LIMIT 1;`,
  );
  return `${changes.join('')} INSERT INTO e VALUES ('a', 'x', 1), ('b', '', 2), ('c', 'x,y', 3); UPDATE e SET n = 5 WHERE k = 'b'; DELETE FROM e WHERE k = 'c';
    INSERT INTO p SELECT CONCAT(seq, 'prefix'), seq FROM seq_10000_to_10040; UPDATE p SET n = 0 WHERE n < 10010; DELETE FROM p WHERE n > 10030;
    INSERT INTO w SELECT seq, seq FROM seq_1_to_20; UPDATE w SET b = 0 WHERE a < 10; UPDATE w SET a = a + 100 WHERE a > 15; DELETE FROM w WHERE a = 4;`;
}

const charsets: readonly (readonly [string, string])[] = [
  ['utf8mb4', '🙂é表'],
  ['utf8mb3', 'é表'],
  ['latin1', 'é€'],
  ['latin2', 'ł'],
  ['cp1251', 'ж'],
  ['koi8r', 'ж'],
  ['greek', 'π'],
  ['hebrew', 'א'],
  ['gbk', '键表'],
  ['gb2312', '表'],
  ['big5', '功表'],
  ['sjis', '表ソ'],
  ['cp932', '表ソ'],
  ['ujis', '表'],
  ['eucjpms', '表'],
  ['euckr', '한'],
  ['ucs2', '✓'],
  ['utf16', '🙂'],
  ['utf16le', '🙂'],
  ['utf32', '🙂'],
  ['ascii', 'x'],
  ['tis620', 'ก'],
  ['binary', '\\\\'],
];

function charsetTables(key: string): string {
  const tables = charsets.map(
    ([charset]) =>
      `CREATE TABLE cs_${charset} (k VARCHAR(30) CHARACTER SET ${charset} ${key}, c CHAR(10) CHARACTER SET ${charset}, x TEXT CHARACTER SET ${charset});`,
  );
  return tables.join('');
}

function charsetChanges(): string {
  const changes = charsets.map(
    ([charset, sample]) =>
      `INSERT INTO cs_${charset} SELECT CONCAT('k', seq, '''${sample}'), '${sample}', REPEAT(CONCAT('''\\\\', '${sample}'), seq) FROM seq_1_to_20;
       UPDATE cs_${charset} SET c = 'Y' WHERE k LIKE 'k1%'; DELETE FROM cs_${charset} WHERE k LIKE 'k2%';
       UPDATE cs_${charset} SET x = UPPER(k) WHERE k LIKE 'k3%'; UPDATE cs_${charset} SET k = CONCAT(k, 'z') WHERE k LIKE 'k5%';`,
  );
  return changes.join('');
}
