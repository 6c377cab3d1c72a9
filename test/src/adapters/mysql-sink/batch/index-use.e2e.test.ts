/** Statements that look for rows find them by an index, whatever the key's charset: the server's EXPLAIN says so. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createConnection } from 'mysql2/promise';
import { startMariadb } from '#test/servers/mariadb.ts';
import { usePair } from './pair.ts';
import { replaySchema } from './replay.ts';

const keys: readonly (readonly [string, string])[] = [
  ['BIGINT', 'seq'],
  ['DECIMAL(20,3)', 'seq / 7'],
  ['DATETIME(6)', `'2020-01-01' + INTERVAL seq SECOND`],
  ['VARBINARY(20)', `CONCAT('k', seq)`],
  ['UUID', `CONCAT('00000000-0000-1000-8000-', LPAD(seq, 12, '0'))`],
  ['INET6', `CONCAT('::', HEX(seq))`],
  ...['utf8mb4', 'utf8mb3', 'latin1', 'gbk', 'sjis', 'ucs2', 'utf16', 'ascii', 'cp1251'].map(
    (charset) => [`VARCHAR(20) CHARACTER SET ${charset}`, `CONCAT('k', seq)`] as const,
  ),
  ['VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_uca1400_as_cs', `CONCAT('k', seq)`],
];

const pair = usePair(startMariadb);

describe('the index', () => {
  keys.forEach(([keyType, value], i) => {
    it(`is used for ${keyType}`, async () => {
      const schema = `idx${i}`;
      for (const side of [pair.upstream, pair.server]) {
        await side.script(`CREATE DATABASE ${schema}; USE ${schema}; CREATE TABLE one (k ${keyType} PRIMARY KEY, n INT NOT NULL);
          CREATE TABLE two (a INT, k ${keyType}, n INT NOT NULL, PRIMARY KEY (a, k)); CREATE TABLE bare (k ${keyType}, n INT, KEY (k));`);
      }
      await pair.upstream.script(
        `USE ${schema}; INSERT INTO one SELECT ${value}, seq FROM seq_1_to_3000; INSERT INTO two SELECT seq, ${value}, seq FROM seq_1_to_3000; INSERT INTO bare SELECT ${value}, seq FROM seq_1_to_3000;`,
      );
      await replaySchema(pair.upstream, pair.downstream, schema);
      await pair.server.script(`USE ${schema}; ANALYZE TABLE one, two, bare`);
      await pair.upstream
        .script(`USE ${schema}; UPDATE one SET n = -1 WHERE n = 7; DELETE FROM one WHERE n BETWEEN 10 AND 15;
        UPDATE two SET n = -1 WHERE n = 7; DELETE FROM two WHERE n BETWEEN 10 AND 15; UPDATE bare SET n = -1 WHERE n = 7; DELETE FROM bare WHERE n = 9;`);
      const plans = await replaySchema(pair.upstream, pair.downstream, schema, { onward: true });
      const statements = plans.flatMap((plan) => plan.lanes.flatMap((lane) => lane.statements));
      const searching = statements.filter((sql) =>
        /^(DELETE|UPDATE)/.test(Buffer.from(sql).toString('latin1')),
      );
      assert.equal(searching.length, 6);
      const connection = await createConnection({
        host: '127.0.0.1',
        port: pair.server.port,
        user: 'root',
        charset: 'LATIN1_SWEDISH_CI',
      });
      await connection.query(
        "SET NAMES binary, time_zone='+00:00', sql_mode='NO_BACKSLASH_ESCAPES'",
      );
      for (const sql of searching) {
        const text = Buffer.from(sql).toString('latin1');
        const [rows] = await connection.query(`EXPLAIN ${text}`);
        const [{ type }] = rows as [{ type: unknown }];
        const access = type === null ? null : String(type);
        assert.ok(access === 'range' || access === null, `${access}: ${text.slice(0, 120)}`);
      }
      await connection.end();
    });
  });
});
