/** What must hold whatever the make of the servers. Each story starts its own pair. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { changeTypeTables, createTypeTables } from '#test/fixtures/types.ts';
import {
  bank,
  createManyTables,
  mixed,
  runBigTransaction,
  runDdlRound,
} from '#test/fixtures/workload.ts';
import { makeOddities, oddSchemas } from './oddities.ts';
import { ServerPair, type StartServer } from './server-pair.ts';

import type { TestContext } from 'node:test';
import type { SqlServer } from '#test/servers/sql-server.ts';

async function pairFor(t: TestContext, start: StartServer): Promise<ServerPair> {
  const pair = await ServerPair.start(start);
  t.after(() => pair.stop());
  return pair;
}

/** More threads and lanes than a small machine gets by default. */
function wideArgs(t: TestContext): string[] {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-wide-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'changefeed.toml');
  writeFileSync(file, '[sink]\nlane-count = 6\n');
  return ['--workers', '3', '--config', file];
}

/** Tables of every type: made, changed and changed again, copied by two runs of which the second goes on. */
export async function copyEveryType(t: TestContext, start: StartServer): Promise<void> {
  const pair = await pairFor(t, start);
  const names = await createTypeTables(pair.upstream);
  await changeTypeTables(pair.upstream, 1);
  const first = await pair.catchUp();
  assert.equal((await pair.assertEqual(['types'])).tables, names.length);
  await changeTypeTables(pair.upstream, 2);
  const second = await pair.catchUp();
  assert.ok(second.checkpoint.ts > first.checkpoint.ts);
  assert.ok(second.rows > 0 && second.rows < first.rows);
  // The workload's own CREATE DATABASE IF NOT EXISTS; no table is made a second time.
  assert.equal(second.ddl, 1);
  await pair.assertEqual(['types']);
}

/** 200 tables, transactions over all of them, and transactions of 1 to 1,000,000 rows. */
export async function copyVolumes(t: TestContext, start: StartServer): Promise<void> {
  const pair = await pairFor(t, start);
  const { upstream } = pair;
  const tables = 200;
  await createManyTables(upstream, { count: tables });
  for (let round = 0; round < 5; round += 1) {
    const changes = Array.from(
      { length: tables },
      (_, table) =>
        `UPDATE many.t${table} SET v = v + ${1 + table + round} WHERE id = ${round % 2}; ` +
        `INSERT INTO many.t${table} VALUES (${10 + round}, ${table}, 'round ${round}')`,
    );
    await upstream.script(`BEGIN; ${changes.join('; ')}; COMMIT`);
  }
  for (const rows of [1, 2, 10, 100, 1_000, 10_000, 1_000_000]) {
    await runBigTransaction(upstream, { kind: 'insert', rows });
  }
  await runBigTransaction(upstream, { kind: 'update', rows: 50_000 });
  await runBigTransaction(upstream, { kind: 'delete', rows: 100_000 });
  await runBigTransaction(upstream, { kind: 'update', rows: 1 });
  // Generous: a machine that does other things as well needs minutes for this.
  const copied = await pair.catchUp([], 480_000);
  assert.equal(copied.rows, 1_161_114 + tables * (2 + 5 * 2));
  const compared = await pair.assertEqual(['many', 'big']);
  assert.deepEqual(compared, { tables: tables + 1, rows: 911_113 + tables * 7 });
}

/** DDL of every kind while writers run and a replication follows; it is stopped, and another one goes on to the end. */
export async function copyDdl(t: TestContext, start: StartServer): Promise<void> {
  const pair = await pairFor(t, start);
  const { upstream } = pair;
  const accounts = bank(upstream, { tables: 3, accounts: 30 });
  await accounts.setup();
  const items = mixed(upstream, { seed: 11 });
  await items.setup();
  const wide = wideArgs(t);
  const following = pair.begin(['--start', 'oldest', ...wide]);
  t.after(() => following.signal('SIGKILL'));
  await following.line((line) => line['state'] === 'normal');
  await Promise.all([
    accounts.transfer(1_500, { connections: 3, perTransaction: 2 }),
    items.run(400),
    (async () => {
      for (let round = 1; round <= 3; round += 1) {
        await runDdlRound(upstream, round);
        await runTableDdl(upstream, round);
      }
    })(),
  ]);
  following.signal('SIGINT');
  const stopped = await following.end;
  assert.equal(stopped.status, 0, `${JSON.stringify(stopped.result)}\n${stopped.errors}`);
  assert.equal(stopped.result['state'], 'stopped');
  await pair.catchUp(['--workers', '1']);
  await pair.assertEqual(['bank', 'mixed', 'ddl', 'made']);
  assert.equal(await accounts.sum(pair.downstream), accounts.total);
}

/** Changes of tables that are being written at this moment, and tables made from queries. */
async function runTableDdl(server: SqlServer, round: number): Promise<void> {
  const statements = [
    'CREATE DATABASE IF NOT EXISTS made',
    `ALTER TABLE bank.account_1 ADD COLUMN note${round} VARCHAR(20) DEFAULT 'n${round}' AFTER owner`,
    `CREATE TABLE made.from_bank${round} AS SELECT id, owner, balance FROM bank.account_0`,
    `CREATE TABLE made.keyed${round} (id INT PRIMARY KEY, total DECIMAL(20,2)) SELECT id, balance / 3 AS total FROM bank.account_2`,
    `CREATE TABLE made.empty${round} SELECT id FROM bank.account_0 WHERE FALSE`,
    `INSERT INTO made.keyed${round} VALUES (100000, ${round})`,
    `DELETE FROM made.from_bank${round} WHERE id % 2 = 0`,
    `ALTER TABLE bank.account_2 MODIFY COLUMN owner VARCHAR(${50 + round}) CHARACTER SET utf8mb4`,
    ...(round > 1 ? [`ALTER TABLE bank.account_1 DROP COLUMN note${round - 1}`] : []),
    `ALTER TABLE mixed.item_0 ADD INDEX by_at${round} (at)`,
  ];
  for (const sql of statements) await server.query(sql);
}

/** Families tied by cascading keys on several levels; keys that cascade come and go by DDL. */
export async function copyFamilies(t: TestContext, start: StartServer): Promise<void> {
  const pair = await pairFor(t, start);
  const { upstream } = pair;
  await upstream.script(`CREATE DATABASE kin; USE kin;
    CREATE TABLE a (id INT PRIMARY KEY, v INT);
    CREATE TABLE b (id INT PRIMARY KEY, a INT, v INT, FOREIGN KEY (a) REFERENCES a (id) ON DELETE CASCADE ON UPDATE CASCADE);
    CREATE TABLE c (id INT PRIMARY KEY, b INT, v INT, FOREIGN KEY (b) REFERENCES b (id) ON DELETE CASCADE ON UPDATE SET NULL);
    CREATE TABLE d (id INT PRIMARY KEY, c INT, CONSTRAINT d_c FOREIGN KEY (c) REFERENCES c (id) ON DELETE SET NULL);
    CREATE TABLE tree (id INT PRIMARY KEY, up INT, FOREIGN KEY (up) REFERENCES tree (id) ON DELETE CASCADE);
    CREATE TABLE later (id INT PRIMARY KEY, a INT, v INT, KEY by_a (a));
    CREATE TABLE apart (id INT PRIMARY KEY, b INT, KEY by_b (b))`);
  await fillFamilies(upstream, 0);
  await pair.catchUp();
  await pair.assertEqual(['kin']);
  await upstream.script(`USE kin;
    UPDATE later SET v = v + 1;
    DELETE FROM later WHERE a NOT IN (SELECT id FROM a);
    ALTER TABLE later ADD CONSTRAINT later_a FOREIGN KEY (a) REFERENCES a (id) ON DELETE CASCADE ON UPDATE CASCADE;
    DELETE FROM a WHERE id % 10 = 3;
    UPDATE a SET id = id + 500 WHERE id % 10 = 4;
    DELETE FROM c WHERE id % 7 = 0;
    UPDATE later SET v = v * 2`);
  await fillFamilies(upstream, 1_000);
  await upstream.script(`USE kin;
    ALTER TABLE later DROP FOREIGN KEY later_a;
    ALTER TABLE d DROP FOREIGN KEY d_c;
    DELETE FROM a WHERE id % 10 = 5;
    DELETE FROM c WHERE id % 7 = 1;
    UPDATE later SET v = v + 7 WHERE a % 10 = 5;
    DELETE FROM apart WHERE b NOT IN (SELECT id FROM b);
    ALTER TABLE apart ADD CONSTRAINT apart_b FOREIGN KEY (b) REFERENCES b (id) ON DELETE CASCADE;
    DELETE FROM b WHERE id % 11 = 0;
    CREATE TABLE born (id INT PRIMARY KEY, b INT, FOREIGN KEY (b) REFERENCES b (id) ON DELETE CASCADE);
    INSERT INTO born SELECT id, id FROM b;
    DELETE FROM b WHERE id % 11 = 1;
    DELETE FROM later WHERE a NOT IN (SELECT id FROM a);
    ALTER TABLE later ADD CONSTRAINT later_again FOREIGN KEY (a) REFERENCES a (id) ON DELETE CASCADE;
    DELETE FROM a WHERE id % 10 = 6;
    UPDATE later SET v = v + 1`);
  await pair.catchUp(wideArgs(t));
  await pair.assertEqual(['kin']);
}

/** The subtrees that go are small: MySQL takes few steps of a cascade within one table. */
async function fillFamilies(server: SqlServer, from: number): Promise<void> {
  const rows = (count: number, row: (id: number) => string): string =>
    Array.from({ length: count }, (_, index) => `(${row(from + index + 1)})`).join(',');
  const near = (id: number): number => from + 1 + (id % 60);
  await server.script(`USE kin;
    INSERT INTO a VALUES ${rows(60, (id) => `${id}, 0`)};
    INSERT INTO b VALUES ${rows(120, (id) => `${id}, ${near(id)}, 0`)};
    INSERT INTO c VALUES ${rows(240, (id) => `${id}, ${near(id)}, 0`)};
    INSERT INTO d VALUES ${rows(240, (id) => `${id}, ${near(id)}`)};
    INSERT INTO tree VALUES ${rows(100, (id) => `${id}, ${id === from + 1 ? 'NULL' : from + Math.floor((id - from) / 2)}`)};
    INSERT INTO later VALUES ${rows(120, (id) => `${id}, ${near(id)}, 0`)};
    INSERT INTO apart VALUES ${rows(120, (id) => `${id}, ${near(id)}`)};
    DELETE FROM tree WHERE id = ${from + 26}; DELETE FROM tree WHERE id = ${from + 45};
    UPDATE b SET v = v + 1, a = ${from + 2} WHERE id % 6 = 0;
    BEGIN; UPDATE c SET v = v + 1 WHERE id % 3 = 0; DELETE FROM b WHERE id = ${from + 9};
      INSERT INTO b VALUES (${from + 9}, ${from + 1}, 9); INSERT INTO c VALUES (${from + 900}, ${from + 9}, 1); COMMIT;
    DELETE FROM a WHERE id = ${from + 7};
    UPDATE b SET id = id + 300 WHERE id = ${from + 8}`);
}

/** Values of unique keys that change hands, and rows that nothing identifies. */
export async function copyHardRows(t: TestContext, start: StartServer): Promise<void> {
  const pair = await pairFor(t, start);
  const { upstream } = pair;
  const ids = Array.from({ length: 200 }, (_, index) => index + 1);
  await upstream.script(`CREATE DATABASE hard; USE hard;
    CREATE TABLE seat (id INT PRIMARY KEY, u INT UNIQUE, w VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci UNIQUE);
    CREATE TABLE loose (f FLOAT, d DOUBLE, n DECIMAL(10,3), s VARCHAR(20) CHARACTER SET utf8mb4, x TEXT, j JSON);
    CREATE TABLE f1 (f FLOAT);
    CREATE TABLE nullable (u INT UNIQUE, f FLOAT);
    INSERT INTO seat VALUES ${ids.map((id) => `(${id}, ${id}, 'w${id}')`).join(',')};
    INSERT INTO loose VALUES ${ids.map((id) => `(${id} / 7, ${id} / 7, ${id} / 7, 's${id % 5}', NULL, '{"a": ${id % 3}}')`).join(',')};
    INSERT INTO loose SELECT * FROM loose;
    INSERT INTO f1 VALUES ${ids.map((id) => `(${id % 4} / 3)`).join(',')}, (NULL), (NULL), (-0.0), (0), (1e38), (1.17e-38), (16777217);
    INSERT INTO nullable VALUES ${ids.map((id) => `(${id % 2 === 0 ? id : 'NULL'}, ${id % 3} / 3)`).join(',')}`);
  for (let round = 1; round <= 20; round += 1) {
    const [from, to] = [1 + (round % 90), 101 + (round % 90)];
    await upstream
      .script(`USE hard; BEGIN;
      UPDATE seat SET u = -u WHERE id BETWEEN ${from} AND ${to};
      UPDATE seat SET u = -u + 1000 WHERE u < 0;
      UPDATE seat SET u = u - 999 WHERE u > 1000 AND id < ${to} ORDER BY u DESC;
      UPDATE seat SET u = u - 1000 WHERE u > 1000;
      COMMIT`)
      .catch(ignoreDuplicate);
    await upstream.script(`USE hard; ROLLBACK; BEGIN;
      UPDATE seat SET w = NULL WHERE id = ${from};
      UPDATE seat SET w = 'W${from}' WHERE id = ${to};
      UPDATE seat SET w = 'w${to}' WHERE id = ${from};
      UPDATE seat SET w = NULL WHERE id = ${to};
      UPDATE seat SET w = 'w${to}é' WHERE id = ${to};
      UPDATE seat SET w = CONCAT('back', id) WHERE id IN (${from}, ${to});
      UPDATE seat SET w = CONCAT('w', id) WHERE id IN (${from}, ${to});
      DELETE FROM seat WHERE id = ${from + 1};
      INSERT INTO seat VALUES (${from + 1}, ${2_000 + round}, 'w${from + 1}');
      COMMIT; BEGIN;
      UPDATE loose SET f = f * 1.1, d = d / 3 WHERE s = 's${round % 5}' LIMIT 37;
      UPDATE loose SET n = n + 0.001, x = REPEAT('x', ${round * 50}) LIMIT 11;
      DELETE FROM loose WHERE f > ${20 - round} LIMIT 3;
      UPDATE f1 SET f = f + 0.1 WHERE f BETWEEN 0.3 AND 0.7 LIMIT 20;
      DELETE FROM f1 WHERE f IS NULL LIMIT 1;
      INSERT INTO f1 VALUES (NULL), (0.1), (${round} / 3);
      UPDATE nullable SET f = f / 3 LIMIT 60;
      UPDATE nullable SET u = NULL WHERE u = ${round * 2};
      DELETE FROM nullable WHERE u IS NULL LIMIT 2;
      COMMIT`);
  }
  await pair.catchUp(wideArgs(t));
  await pair.assertEqual(['hard']);
}

/** A permutation that the server itself refuses halfway is rolled back there; it leaves nothing to copy. */
function ignoreDuplicate(error: unknown): void {
  assert.equal((error as { errno?: number }).errno, 1062);
}

/** Odd names, statements and sessions, into a downstream whose own settings read SQL and times in other ways. */
export async function copyOddities(t: TestContext, start: StartServer): Promise<void> {
  const pair = await ServerPair.start(start, {
    sql_mode: 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,STRICT_ALL_TABLES,NO_ZERO_DATE',
    default_time_zone: '-05:00',
    max_allowed_packet: '1M',
    group_concat_max_len: '4',
  });
  t.after(() => pair.stop());
  await makeOddities(pair.upstream);
  await pair.catchUp(['--workers', '3']);
  await pair.assertEqual(oddSchemas);
  // Two tables that are one name when written without quotes: each has its own rows.
  const rows = await pair.downstream.query('SELECT id, v FROM `a.b`.c ORDER BY id');
  assert.deepEqual(rows, [
    { id: 1, v: 2 },
    { id: 2, v: 3 },
  ]);
}
