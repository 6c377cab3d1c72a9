import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { FailureError } from '#src/base/failure.ts';
import { diffDatabases } from '#src/adapters/diff/diff-databases.ts';
import { compareTables } from '#test/fixtures/compare.ts';
import { changeTypeTables, createTypeTables } from '#test/fixtures/types.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { mysqlMissing, startMysql } from '#test/servers/mysql.ts';

import type { DiffOptions, DiffResult } from '#src/adapters/diff/diff-result.ts';
import type { SqlServer } from '#test/servers/sql-server.ts';

let upstream: SqlServer;
let sink: SqlServer;

before(async () => {
  [upstream, sink] = await Promise.all([startMariadb(), startMariadb()]);
});
after(() => Promise.all([upstream.stop(), sink.stop()]));

function diff(rules: readonly string[], more: Partial<DiffOptions> = {}): Promise<DiffResult> {
  return diffDatabases({
    upstreamUri: upstream.uri(),
    sinkUri: sink.uri(),
    rules,
    chunkRows: 100,
    ...more,
  });
}

async function both(sql: string): Promise<void> {
  await Promise.all([upstream.script(sql), sink.script(sql)]);
}

function differingTables(result: DiffResult): string[] {
  return result.tables.filter(({ state }) => state !== 'equal').map(({ table }) => table);
}

test('tables of every type and key are equal after the same changes, and no row is left out', async () => {
  for (const server of [upstream, sink]) {
    await createTypeTables(server);
    await changeTypeTables(server, 1);
  }
  const result = await diff(['types.*']);
  assert.deepEqual(result.differences, []);
  assert.deepEqual(differingTables(result), []);
  assert.equal(result.equal, true);
  assert.deepEqual(
    result.tables.filter(({ notCompared }) => notCompared.length > 0),
    [],
  );
  const oracle = await compareTables(upstream, sink, { schemas: ['types'] });
  assert.equal(result.rowsCompared, oracle.rows);
  assert.equal(result.tables.length, oracle.tables);
});

test('tables of every type differ exactly where an independent comparison says so', async () => {
  for (const seed of [2, 3]) {
    await changeTypeTables(sink, seed);
    const [result, oracle] = await Promise.all([
      diff(['types.*']),
      compareTables(upstream, sink, { schemas: ['types'] }),
    ]);
    assert.deepEqual(
      differingTables(result).sort(),
      oracle.differences.map(({ table }) => table).sort(),
    );
  }
});

const KEYS: Readonly<Record<string, { type: string; value: string }>> = {
  k_int: { type: 'INT', value: 'CAST(seq AS SIGNED) - 1500' },
  k_big: { type: 'BIGINT UNSIGNED', value: '18446744073709551615 - seq * 3' },
  k_decimal: { type: 'DECIMAL(30,10)', value: '(CAST(seq AS SIGNED) - 1500) / 7' },
  k_double: { type: 'DOUBLE', value: '(CAST(seq AS SIGNED) - 1500) / 7' },
  k_float: { type: 'FLOAT', value: '(CAST(seq AS SIGNED) - 1500) / 16' },
  k_bit: { type: 'BIT(60)', value: 'seq * 300000000000000' },
  k_ci: {
    type: 'VARCHAR(30) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci',
    value: "CONCAT(CHAR(97 + seq % 26 USING utf8mb4), 'é''\\\\', seq)",
  },
  k_latin: {
    type: 'CHAR(30) CHARACTER SET latin1 COLLATE latin1_german2_ci',
    value: "CONCAT(CONVERT('äß€' USING latin1), seq * 7919 % 3001)",
  },
  k_gbk: { type: 'VARCHAR(30) CHARACTER SET gbk', value: "CONCAT(_gbk x'D55C', seq)" },
  k_ucs2: {
    type: 'VARCHAR(30) CHARACTER SET ucs2',
    value: "CONCAT(CONVERT('中' USING ucs2), seq)",
  },
  k_binary: { type: 'BINARY(6)', value: 'UNHEX(LPAD(HEX(seq * 7919), 8, 0))' },
  k_varbinary: { type: 'VARBINARY(20)', value: 'UNHEX(LPAD(HEX(seq * 7919), 8, 0))' },
  k_date: { type: 'DATE', value: "DATE_ADD('1999-01-01', INTERVAL seq DAY)" },
  k_datetime: {
    type: 'DATETIME(6)',
    value: "DATE_ADD('1999-01-01', INTERVAL seq * 100001 MICROSECOND)",
  },
  k_stamp: {
    type: "TIMESTAMP(3) DEFAULT '2000-01-01'",
    value: "DATE_ADD('1999-01-01', INTERVAL seq HOUR)",
  },
  k_time: { type: 'TIME(2)', value: 'SEC_TO_TIME((CAST(seq AS SIGNED) - 1500) * 60.5)' },
  k_inet6: { type: 'INET6', value: "CONCAT('2001:db8::', HEX(seq))" },
  k_uuid: {
    type: 'UUID',
    value: "CONCAT(LPAD(HEX(seq * 7919), 8, 0), '-baba-1026-9564-', LPAD(HEX(seq % 5), 12, 0))",
  },
};

test('every type of key is walked in ranges that leave no row out and name each changed row', async () => {
  await both('CREATE DATABASE ranges');
  for (const [name, { type, value }] of Object.entries(KEYS)) {
    await both(`SET SESSION time_zone = '+00:00';
      CREATE TABLE ranges.${name} (k ${type} NOT NULL, v INT, PRIMARY KEY (k));
      INSERT INTO ranges.${name} SELECT ${value}, seq FROM ranges.seq_1_to_3000`);
  }
  const same = await diff(['ranges.*']);
  assert.deepEqual(differingTables(same), []);
  assert.equal(same.rowsCompared, 3_000 * Object.keys(KEYS).length);
  for (const name of Object.keys(KEYS)) {
    await sink.script(`DELETE FROM ranges.${name} WHERE v = 1234;
      UPDATE ranges.${name} SET v = -1 WHERE v = 2345`);
    await upstream.script(`DELETE FROM ranges.${name} WHERE v = 77`);
  }
  for (const chunkRows of [100, 1_000_000]) {
    const result = await diff(['ranges.*'], { chunkRows });
    for (const { table, differenceCount, truncated } of result.tables) {
      assert.deepEqual([table, differenceCount, truncated], [table, 3, false]);
      const kinds = result.differences.filter((each) => each.table === table);
      assert.deepEqual(kinds.map(({ kind }) => kind).sort(), ['different', 'extra', 'missing']);
    }
  }
});

test('keys of several columns are walked in order and shown as values', async () => {
  await both(`CREATE DATABASE several;
    CREATE TABLE several.t (v INT, b VARCHAR(10) CHARACTER SET utf8mb4, a INT, c VARBINARY(4), PRIMARY KEY (a, b, c));
    INSERT INTO several.t SELECT seq, CONCAT('b', seq % 7), seq % 13, UNHEX(HEX(seq DIV 91)) FROM several.seq_1_to_4000`);
  assert.equal((await diff(['several.*'])).rowsCompared, 4_000);
  await sink.script('DELETE FROM several.t WHERE v = 3003');
  const { differences } = await diff(['several.*']);
  assert.deepEqual(differences, [
    {
      table: 'several.t',
      key: { a: '0', b: 'b0', c: '0x21' },
      kind: 'missing',
      count: 1,
    },
  ]);
});

test('two rows that swap values are seen', async () => {
  await both(`CREATE DATABASE swap; CREATE TABLE swap.t (id INT PRIMARY KEY, v CHAR(4));
    INSERT INTO swap.t VALUES (1, 'aaaa'), (2, 'bbbb'), (3, 'cccc')`);
  await sink.script("UPDATE swap.t SET v = IF(id = 1, 'bbbb', 'aaaa') WHERE id < 3");
  const { differences } = await diff(['swap.*']);
  assert.deepEqual(
    differences.map(({ key, kind }) => [key?.['id'], kind]),
    [
      ['1', 'different'],
      ['2', 'different'],
    ],
  );
});

test('values that look alike are told apart', async () => {
  await both(`CREATE DATABASE alike; CREATE TABLE alike.t (id INT PRIMARY KEY, s VARCHAR(20) CHARACTER SET utf8mb4,
    u VARCHAR(20), f FLOAT, d DOUBLE, e ENUM('','x'), b VARBINARY(8), x TEXT)`);
  const pairs: [column: string, first: string, second: string][] = [
    ['s', "''", 'NULL'],
    ['s', "'~'", 'NULL'],
    ['s', "'a'", "'a '"],
    ['s', "'a'", "'A'"],
    ['s', "'é'", "'e'"],
    ['f', '16777216', '16777218'],
    ['d', '0.1', '0.10000000000000002'],
    ['d', '2.2250738585072014e-308', '2.225073858507201e-308'],
    ['d', '1.7976931348623157e308', '1.7976931348623155e308'],
    ['e', "''", '0'],
    ['b', "x'00'", "x'0000'"],
    ['x', "''", 'NULL'],
    ['s', "'1,2'", "'1'"],
  ];
  for (const [index, [column, first, second]] of pairs.entries()) {
    const insert = `SET SESSION sql_mode = ''; INSERT INTO alike.t (id, ${column}) VALUES`;
    await upstream.script(`${insert} (${index}, ${first})`);
    await sink.script(`${insert} (${index}, ${second})`);
  }
  // Text that moves from one column into the next.
  await upstream.script("INSERT INTO alike.t (id, s, u) VALUES (100, 'a', 'bc')");
  await sink.script("INSERT INTO alike.t (id, s, u) VALUES (100, 'ab', 'c')");
  const { differences } = await diff(['alike.*']);
  assert.equal(differences.length, pairs.length + 1);
});

test('tables without a key are compared as multisets', async () => {
  await both(`CREATE DATABASE bags; CREATE TABLE bags.t (a INT, f FLOAT);
    INSERT INTO bags.t SELECT seq % 9000, 1.1 FROM bags.seq_1_to_20000`);
  assert.equal((await diff(['bags.*'])).equal, true);
  await sink.script('DELETE FROM bags.t WHERE a = 5 LIMIT 2; INSERT INTO bags.t VALUES (-1, 0)');
  const { differences, differenceCount, rowsCompared } = await diff(['bags.*']);
  assert.equal(rowsCompared, 20_000);
  assert.equal(differenceCount, 3);
  assert.deepEqual(differences.map(({ kind, count, key }) => [kind, count, key]).sort(), [
    ['extra', 1, null],
    ['missing', 2, null],
  ]);
});

test('a key that cannot bound ranges still names the rows', async () => {
  const create = (collation: string): string => `CREATE DATABASE named;
    CREATE TABLE named.prefix (k TEXT CHARACTER SET utf8mb4, v INT, PRIMARY KEY (k(5)));
    CREATE TABLE named.collated (k VARCHAR(10) CHARACTER SET utf8mb4 COLLATE ${collation} PRIMARY KEY, v INT);
    CREATE TABLE named.sets (k SET('a','b') PRIMARY KEY, v INT);
    INSERT INTO named.prefix VALUES ('one', 1), ('two', 2);
    INSERT INTO named.collated VALUES ('é', 1), ('z', 2);
    INSERT INTO named.sets VALUES ('a,b', 1), ('b', 2)`;
  await upstream.script(create('utf8mb4_general_ci'));
  await sink.script(create('utf8mb4_bin'));
  assert.equal((await diff(['named.*'])).differenceCount, 0);
  for (const table of ['prefix', 'collated', 'sets']) {
    await sink.script(`DELETE FROM named.${table} WHERE v = 1`);
  }
  const { differences } = await diff(['named.*']);
  assert.deepEqual(
    differences.map(({ table, key, kind }) => [table, key?.['k'], kind]),
    [
      ['named.collated', 'é', 'missing'],
      ['named.prefix', 'one', 'missing'],
      ['named.sets', 'a,b', 'missing'],
    ],
  );
});

test('missing and extra tables, columns, types and keys are reported', async () => {
  await both('CREATE DATABASE shapes');
  await upstream.script(`CREATE TABLE shapes.only_up (id INT PRIMARY KEY); CREATE TABLE shapes.same (id INT PRIMARY KEY);
    CREATE TABLE shapes.t (id INT PRIMARY KEY, a INT, b VARCHAR(10) CHARACTER SET latin1, gone INT, KEY (a));
    INSERT INTO shapes.t VALUES (1, 1, 'é', 1), (2, 2, 'x', 2)`);
  await sink.script(`CREATE TABLE shapes.only_down (id INT PRIMARY KEY); CREATE TABLE shapes.same (id INT PRIMARY KEY);
    CREATE TABLE shapes.t (id INT PRIMARY KEY, a BIGINT NOT NULL, b VARCHAR(10) CHARACTER SET utf8mb4);
    INSERT INTO shapes.t VALUES (1, 1, 'é'), (2, 2, 'x')`);
  const result = await diff(['shapes.*', '!shapes.none']);
  assert.deepEqual(
    result.tables.map(({ table, state }) => [table, state]),
    [
      ['shapes.only_up', 'missing'],
      ['shapes.same', 'equal'],
      ['shapes.t', 'different'],
      ['shapes.only_down', 'extra'],
    ],
  );
  const { definition, differenceCount } = result.tables.find(({ table }) => table === 'shapes.t')!;
  assert.equal(differenceCount, 0, 'the same text in two character sets is the same');
  assert.equal(definition.length, 4, definition.join('\n'));
  assert.match(definition.join('\n'), /column a is int in the upstream, bigint NOT NULL/);
  assert.match(definition.join('\n'), /column gone is missing/);
  assert.match(definition.join('\n'), /key \(a\) is missing/);
});

test('a long list is cut and says so, and an empty side costs no walk through every row', async () => {
  await both('CREATE DATABASE many; CREATE TABLE many.t (id INT PRIMARY KEY, v INT)');
  await upstream.script('INSERT INTO many.t SELECT seq, seq FROM many.seq_1_to_30000');
  const result = await diff(['many.*'], { listedRowsPerTable: 10 });
  assert.equal(result.differences.length, 10);
  assert.equal(result.truncated, true);
  assert.ok(result.differenceCount >= 10);
  assert.equal(result.tables[0]!.truncated, true);
  await upstream.script('TRUNCATE many.t');
  await sink.script('INSERT INTO many.t SELECT seq, seq FROM many.seq_1_to_30000');
  const extra = await diff(['many.*'], { listedRowsPerTable: 10 });
  assert.deepEqual(new Set(extra.differences.map(({ kind }) => kind)), new Set(['extra']));
});

test('filter rules choose the tables, and progress counts rows and tables', async () => {
  await both(`CREATE DATABASE chosen; CREATE TABLE chosen.a (id INT PRIMARY KEY); CREATE TABLE chosen.b (id INT PRIMARY KEY);
    INSERT INTO chosen.a SELECT seq FROM chosen.seq_1_to_500`);
  const seen: number[] = [];
  const result = await diff(['chosen.*', '!chosen.b'], {
    onProgress: ({ rowsCompared, tableCount }) => {
      seen.push(rowsCompared);
      assert.equal(tableCount, 1);
    },
  });
  assert.deepEqual(
    result.tables.map(({ table }) => table),
    ['chosen.a'],
  );
  assert.deepEqual(seen.at(-1), 500);
  assert.ok(seen.length > 4);
});

test('a stopped comparison, a wrong account and a server that is away are failures with codes', async () => {
  const stop = new AbortController();
  const cases: [Partial<DiffOptions>, string][] = [
    [{ signal: stop.signal, onProgress: () => stop.abort() }, 'INTERNAL_STOPPED'],
    [{ upstreamUri: upstream.uri().replace('root', 'nobody') }, 'SOURCE_ACCESS_DENIED'],
    [{ sinkUri: 'mysql://root@127.0.0.1:1/' }, 'SINK_UNREACHABLE'],
    [{ sinkUri: 'mysql:/' }, 'CONFIG_INVALID'],
    [{ chunkRows: 1 }, 'CONFIG_INVALID'],
  ];
  for (const [options, code] of cases) {
    await assert.rejects(diff(['*.*'], options), (error) => {
      assert.ok(error instanceof FailureError);
      assert.equal(error.failure.code, code);
      return true;
    });
  }
});

test(
  'MariaDB and MySQL hold equal rows of every type both know',
  { skip: await mysqlMissing() },
  async () => {
    const mysql = await startMysql();
    try {
      const create = `CREATE DATABASE cross_make; CREATE TABLE cross_make.t (id BIGINT UNSIGNED PRIMARY KEY, i INT, de DECIMAL(65,30), f FLOAT, d DOUBLE,
        da DATE, ti TIME(6), dt DATETIME(6), ts TIMESTAMP(6) NULL, y YEAR, s VARCHAR(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci,
        l VARCHAR(50) CHARACTER SET latin1 COLLATE latin1_swedish_ci, b VARBINARY(20), x TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, bl BLOB,
        e ENUM('a','b') CHARACTER SET latin1 COLLATE latin1_swedish_ci, st SET('x','y') CHARACTER SET latin1 COLLATE latin1_swedish_ci, bi BIT(40), g GEOMETRY, j JSON);
        INSERT INTO cross_make.t (id, f, d) VALUES (2, -1.17549435e-38, -2.2250738585072014e-308), (3, -0e0, -0e0), (4, -3.4028234e38, -1.7976931348623157e308), (5, 1e-45, 5e-324), (6, -16777217, 1e15), (7, 123456.789, 1e22);
        INSERT INTO cross_make.t VALUES (18446744073709551615, -5, 1.5, 1.1, 0.1, '2024-02-29', '-12:00:00.5', '2024-01-01 00:00:00.123456', '2024-01-01 00:00:00', 1999, 'é', 'é', x'00FF', 'text', x'00', 'b', 'x,y', b'101', ST_GeomFromText('POINT(1 2)'), '{"a": 1}'),
        (1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`;
      await upstream.script(create);
      await mysql.script(create);
      const rules = ['cross_make.*'];
      const result = await diff(rules, { sinkUri: mysql.uri() });
      assert.deepEqual(result.differences, []);
      assert.deepEqual(result.tables[0]!.notCompared, ['j']);
      const back = await diff(rules, { upstreamUri: mysql.uri(), sinkUri: upstream.uri() });
      assert.equal(back.differenceCount, 0);
      await createTypeTables(mysql);
      const self = await diff(['types.*'], { upstreamUri: mysql.uri(), sinkUri: mysql.uri() });
      assert.equal(self.equal, true);
      assert.ok(self.rowsCompared > 1_000);
    } finally {
      await mysql.stop();
    }
  },
);
