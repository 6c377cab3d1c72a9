/**
 * The optional fields of a table map list their columns by kind: one kind too many or too few and all that follow shift.
 * Tables with columns of every type in random orders are logged, and each column is compared with information_schema.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { readChanges, readLogFile } from './log-file.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { mysqlMissing, startMysql } from '#test/servers/mysql.ts';
import { TestRandom } from '#test/fixtures/random.ts';
import type { SqlServer } from '#test/servers/sql-server.ts';

const makes = [
  { name: 'MariaDB', start: startMariadb, skip: false as const },
  { name: 'MySQL', start: startMysql, skip: await mysqlMissing() },
];

const numbers = [
  'TINYINT',
  'SMALLINT',
  'MEDIUMINT',
  'INT',
  'BIGINT',
  'DECIMAL(9,3)',
  'FLOAT',
  'DOUBLE',
];
const texts = ['CHAR(9)', 'VARCHAR(80)', 'TINYTEXT', 'TEXT', "ENUM('a','b')", "SET('x','y')"];
const charsets = ['latin1', 'utf8mb4', 'ucs2', 'gbk', 'binary'];
const types = [
  numbers.flatMap((type) => [type, `${type} UNSIGNED`]),
  [
    'YEAR',
    'DATE',
    'TIME(3)',
    'DATETIME',
    'TIMESTAMP(6) NULL',
    'BIT(5)',
    'BIT(64)',
    'JSON',
    'BOOLEAN',
  ],
  charsets.flatMap((charset) => texts.map((type) => `${type} CHARACTER SET ${charset}`)),
  ['CHAR(9)', 'VARCHAR(300)', 'LONGTEXT', "ENUM('q')"].map((type) => `${type} COLLATE utf8mb4_bin`),
  ['BINARY(3)', 'VARBINARY(9)', 'TINYBLOB', 'BLOB', 'LONGBLOB'],
  ['GEOMETRY', 'POINT', 'LINESTRING', 'POLYGON', 'MULTIPOINT', 'GEOMETRYCOLLECTION'],
].flat();
const ownTypes = {
  mariadb: [
    'UUID',
    'INET4',
    'INET6',
    'VARCHAR(90) COMPRESSED',
    'TEXT COMPRESSED CHARACTER SET latin1',
    'BLOB COMPRESSED',
  ],
  mysql: [
    'VECTOR(3)',
    'VARCHAR(9) COLLATE utf8mb4_0900_as_cs',
    'INT INVISIBLE',
    'VARCHAR(5) CHARACTER SET latin1 INVISIBLE',
  ],
};

/** Parts that a primary key may have. */
const keyParts = ['id', 'k(3)', 'u'];

interface InformationColumn {
  readonly table: string;
  readonly name: string;
  readonly definition: string;
  readonly dataType: string;
  readonly collation: number | null;
}

for (const { name, start, skip } of makes) {
  test(
    `columns of ${name} in any order are described as information_schema has them`,
    { skip },
    async (t) => {
      const server: SqlServer = await start();
      t.after(() => server.stop());
      const seed = Date.now() % 1_000_000;
      t.diagnostic(`seed ${seed}`);
      const random = new TestRandom(seed);
      await server.query('CREATE DATABASE d');
      const tables = Array.from({ length: 40 }, (_, i) => `t${i}`);
      const keys = new Map<string, string[]>();
      for (const table of tables) {
        const columns = pickColumns(random, [...types, ...ownTypes[server.flavor]]);
        const key = shuffled(random, keyParts).slice(0, 1 + random.below(3));
        keys.set(table, key);
        const fixed = [
          'id INT NOT NULL',
          'k VARCHAR(20) CHARACTER SET gbk NOT NULL',
          'u BIGINT UNSIGNED NOT NULL',
        ];
        const all = shuffled(random, [...fixed, ...columns]);
        await server.query(
          `CREATE TABLE d.${table} (${all.join(', ')}, PRIMARY KEY (${key.join(', ')}))`,
        );
        await server.query(`INSERT INTO d.${table} (id, k, u) VALUES (1, 'k', 2)`);
      }
      const information = await server.query<InformationColumn>(
        `SELECT TABLE_NAME AS \`table\`, COLUMN_NAME AS name, COLUMN_TYPE AS definition, DATA_TYPE AS dataType,
         (SELECT MIN(l.ID) FROM information_schema.COLLATIONS l WHERE l.COLLATION_NAME = c.COLLATION_NAME) AS collation
       FROM information_schema.COLUMNS c WHERE TABLE_SCHEMA = 'd' ORDER BY TABLE_NAME, ORDINAL_POSITION`,
      );
      const changes = readChanges(
        server.binlogFiles().flatMap((file) => readLogFile(readFileSync(file))),
        server.flavor,
      );
      assert.equal(changes.length, tables.length);
      for (const { table } of changes) {
        const expected = information.filter((column) => column.table === table.table);
        const key = keys.get(table.table)!;
        const described = table.columns.map((column) => ({
          name: column.name,
          unsigned: column.unsigned,
          collation: column.collation,
          labels: column.labels,
          isGeometry: column.geometryType !== null,
          ordinal: column.primaryKeyOrdinal,
          prefix: column.primaryKeyPrefix,
        }));
        assert.deepEqual(
          described,
          expected.map((column) => describe(server, column, key)),
          table.table,
        );
        assert.deepEqual(
          table.columns.filter(({ visible }) => !visible).map((column) => column.name),
          expected.map((column) => column.name).filter((each) => each.startsWith('hidden')),
        );
      }
    },
  );
}

function describe(server: SqlServer, column: InformationColumn, key: readonly string[]): object {
  const { dataType, definition, name } = column;
  const labels = /^(enum|set)\(/.test(definition)
    ? [...definition.matchAll(/'(.)'/g)].map((match) => match[1])
    : null;
  const isGeometry = /^(geom|point|linestring|polygon|multi)/.test(dataType);
  const isBinary = /blob|binary|uuid|inet/.test(dataType);
  // The collation of what is no text: binary where the server lists the column, nothing where it does not.
  const listed =
    isBinary ||
    labels !== null ||
    (isGeometry && server.flavor === 'mariadb') ||
    dataType === 'vector';
  const ordinal = key.findIndex((part) => part.replace(/\(.*/, '') === name);
  return {
    name,
    unsigned: definition.includes('unsigned') || dataType === 'year',
    collation: column.collation ?? (listed ? 63 : null),
    labels,
    isGeometry,
    ordinal,
    prefix: ordinal >= 0 && key[ordinal] === 'k(3)' ? 3 : 0,
  };
}

function pickColumns(random: TestRandom, all: readonly string[]): string[] {
  const chosen = shuffled(random, all).slice(0, 3 + random.below(60));
  return chosen.map((type, i) => `${type.includes('INVISIBLE') ? 'hidden' : 'c'}${i} ${type}`);
}

function shuffled<T>(random: TestRandom, values: readonly T[]): T[] {
  const copy = [...values];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [copy[i], copy[j]] = [copy[j]!, copy[i]!];
  }
  return copy;
}
