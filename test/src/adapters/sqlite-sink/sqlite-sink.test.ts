import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, describe, test } from 'node:test';
import { openSqliteSink } from '#src/adapters/sqlite-sink/sqlite-sink.ts';
import type { WriterTable } from '#src/adapters/workload/row-event-writer.ts';
import { workloadModel } from '#src/adapters/workload/workload-history.ts';
import { openWorkloadUpstream } from '#src/adapters/workload/workload-upstream.ts';
import type { SinkPort, SinkRequest } from '#src/ports/sink.ts';
import {
  type SinkUnderTest,
  askSink,
  blockOf,
  refusedBySink,
  testSinkConformance,
} from '../sink-conformance.ts';

const directory = mkdtempSync(join(tmpdir(), 'sluice-sqlite-'));
after(() => rmSync(directory, { recursive: true, force: true }));
let fileCount = 0;

function newFile(): string {
  return join(directory, `${fileCount++}.db`);
}

function open(path: string, gate?: { mayWrite(): boolean }): SinkPort {
  return openSqliteSink({
    uri: `sqlite://${path}`,
    log: () => undefined,
    ...(gate === undefined ? {} : { gate }),
  });
}

/** Reads with a connection of its own. */
function query(path: string, sql: string): unknown[][] {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    const statement = database.prepare(sql);
    statement.setReadBigInts(true);
    return statement.all().map((row) => Object.values(row));
  } finally {
    database.close();
  }
}

testSinkConformance('SQLite', (): Promise<SinkUnderTest> => {
  const path = newFile();
  return Promise.resolve({
    open: () => open(path),
    readRows: () => {
      const rows = query(path, 'SELECT id, name FROM "conformance.item" ORDER BY id');
      return Promise.resolve(rows.map(([id, name]) => [Number(id), name as string | null]));
    },
    stop: () => Promise.resolve(),
  });
});

const feed = { changefeed: 'f', token: 1 } as const;

function apply(span: string, blocks: readonly Uint8Array[], more: object = {}): SinkRequest {
  const request = {
    kind: 'Apply',
    ...feed,
    span,
    blocks,
    stage: 'whole',
    idempotent: false,
  } as const;
  return { ...request, afterTs: 0, untilTs: 2 ** 50, schemaVersion: 0, ...more };
}

async function raised(path: string, ...spans: string[]): Promise<SinkPort> {
  const sink = open(path);
  await askSink(sink, { kind: 'RaiseFeed', ...feed }, 'FeedRaised');
  for (const span of spans) {
    await askSink(sink, { kind: 'RaiseSpan', ...feed, span, ts: 0 }, 'SpanRaised');
  }
  return sink;
}

async function runDdl(sink: SinkPort, ts: number, sql: string, schema = 's'): Promise<void> {
  const ddl = { ts, gtid: '', commitMs: 0, schema, sql };
  await askSink(sink, { kind: 'RunDdl', ...feed, ddl }, 'DdlDone');
}

const every: WriterTable = {
  id: 5,
  schema: 's"x',
  table: 'every',
  columns: [
    { name: 'id', kind: 'integer', bytes: 8, unsigned: true, nullable: false },
    { name: 'big', kind: 'integer', bytes: 8, unsigned: false, nullable: true },
    { name: 'name "q"', kind: 'varchar', length: 40, nullable: true },
    { name: 'bytes', kind: 'varbinary', length: 16, nullable: true },
    { name: 'amount', kind: 'decimal', precision: 30, scale: 4, nullable: true },
    { name: 'at', kind: 'datetime', nullable: true },
    { name: 'real', kind: 'double', nullable: true },
  ],
  key: [0],
};

describe('the SQLite sink', () => {
  test('makes a missing table from the log and stores every value exactly', async () => {
    const path = newFile();
    const span = 's"x.every';
    const sink = await raised(path, span);
    const low = [
      1,
      -(2n ** 63n),
      '12.50',
      new Uint8Array([0, 255]),
      '-123456789012345678901234.0001',
      '2026-01-02 03:04:05.000006',
      0.1,
    ];
    const high = [2n ** 64n - 1n, 2n ** 53n + 1n, null, null, null, null, null];
    const middle = [2n ** 63n - 1n, null, '', new Uint8Array(0), '0.0000', null, 1e300];
    const insert = blockOf(every, [
      [
        1,
        [
          [null, low],
          [null, high],
          [null, middle],
        ],
      ],
    ]);
    await askSink(sink, apply(span, [insert]), 'Applied');
    const changed = [2n ** 64n - 1n, 5, 'x', null, null, null, null];
    const update = blockOf(every, [
      [
        2,
        [
          [high, changed],
          [low, null],
        ],
      ],
    ]);
    await askSink(sink, apply(span, [update]), 'Applied');
    assert.deepEqual(query(path, 'SELECT * FROM "s""x.every" ORDER BY length(id)'), [
      [2n ** 63n - 1n, null, '', new Uint8Array(0), '0.0000', null, 1e300],
      ['18446744073709551615', 5n, 'x', null, null, null, null],
    ]);
    await sink.close();
  });

  test('finds one row by all its columns in a table without a key', async () => {
    const table: WriterTable = { ...every, schema: 's', table: 'keyless', key: [] };
    const path = newFile();
    const sink = await raised(path, 's.keyless');
    const row = [1, null, 'twice', null, null, null, 0.5];
    const inserts = blockOf(table, [
      [
        1,
        [
          [null, row],
          [null, row],
          [null, [2, 7, 'once', null, null, null, null]],
        ],
      ],
    ]);
    const removal = blockOf(table, [[2, [[row, null]]]]);
    await askSink(sink, apply('s.keyless', [inserts, removal]), 'Applied');
    assert.deepEqual(query(path, 'SELECT "name ""q""" FROM "s.keyless" ORDER BY 1'), [
      ['once'],
      ['twice'],
    ]);
    const more = blockOf(table, [
      [
        3,
        [
          [row, null],
          [row, null],
        ],
      ],
    ]);
    const failure = await refusedBySink(sink, apply('s.keyless', [more]));
    assert.equal(failure.code, 'SINK_ROW_MISSING');
    assert.equal(query(path, 'SELECT * FROM "s.keyless"').length, 2);
    await sink.close();
  });

  test('refuses rows that show that the copies differ, and takes nothing of their transaction', async () => {
    const path = newFile();
    const sink = await raised(path, 's"x.every');
    const row = (id: number): (number | null)[] => [id, null, null, null, null, null, null];
    await askSink(sink, apply('s"x.every', [blockOf(every, [[1, [[null, row(1)]]]])]), 'Applied');
    for (const [change, code] of [
      [[null, row(1)], 'SINK_ROW_DUPLICATE'],
      [[row(7), row(8)], 'SINK_ROW_MISSING'],
      [[row(7), null], 'SINK_ROW_MISSING'],
    ] as const) {
      const block = blockOf(every, [[2, [[null, row(2)], change]]]);
      assert.equal((await refusedBySink(sink, apply('s"x.every', [block]))).code, code);
    }
    assert.equal(query(path, 'SELECT * FROM "s""x.every"').length, 1);
    assert.deepEqual(query(path, "SELECT seq, ts FROM sluice_meta_slot WHERE span='s\"x.every'"), [
      [1n, 1n],
    ]);
    await sink.close();
  });

  test('notices another writer with its own token and writes on after it raised again', async () => {
    const path = newFile();
    const span = 's"x.every';
    const row = (id: number): (number | null)[] => [id, null, null, null, null, null, null];
    const first = await raised(path, span);
    const second = open(path);
    await askSink(second, { kind: 'RaiseSpan', ...feed, span, ts: 0 }, 'SpanRaised');
    await askSink(first, apply(span, [blockOf(every, [[1, [[null, row(1)]]]])]), 'Applied');
    const next = apply(span, [blockOf(every, [[2, [[null, row(2)]]]])], { afterTs: 1 });
    const failure = await refusedBySink(second, next);
    assert.equal(failure.code, 'SINK_FENCED');
    assert.equal(failure.retry, 'Resync');
    await askSink(second, { kind: 'RaiseSpan', ...feed, span, ts: 0 }, 'SpanRaised');
    await askSink(second, next, 'Applied');
    assert.equal(query(path, 'SELECT * FROM "s""x.every"').length, 2);
    await first.close();
    await second.close();
  });

  test('submits nothing once its gate is shut', async () => {
    const path = newFile();
    let isOpen = true;
    const sink = open(path, { mayWrite: () => isOpen });
    await askSink(sink, { kind: 'RaiseFeed', ...feed }, 'FeedRaised');
    await askSink(sink, { kind: 'RaiseSpan', ...feed, span: 's"x.every', ts: 0 }, 'SpanRaised');
    isOpen = false;
    const block = blockOf(every, [[1, [[null, [1, null, null, null, null, null, null]]]]]);
    const failure = await refusedBySink(sink, apply('s"x.every', [block]));
    assert.equal(failure.code, 'SINK_FENCED');
    assert.deepEqual(query(path, "SELECT name FROM sqlite_master WHERE name LIKE 's\"%'"), []);
    await sink.close();
  });

  test('lets several instances write their spans at the same time', async () => {
    const path = newFile();
    const names = ['a', 'b', 'c'];
    const writers = names.map(async (name) => {
      const sink = open(path);
      const table = { ...every, schema: 's', table: name };
      const span = `s.${name}`;
      await askSink(sink, { kind: 'Open', changefeed: 'f' }, 'Opened');
      await askSink(sink, { kind: 'RaiseSpan', ...feed, span, ts: 0 }, 'SpanRaised');
      for (let ts = 1; ts <= 40; ts++) {
        const block = blockOf(table, [[ts, [[null, [ts, null, null, null, null, null, null]]]]]);
        await askSink(
          sink,
          apply(span, [block], { stage: ts % 10 === 0 ? 'begin' : 'whole' }),
          'Applied',
        );
        if (ts % 10 === 0) await askSink(sink, apply(span, [], { stage: 'end' }), 'Applied');
      }
      await sink.close();
    });
    await Promise.all(writers);
    for (const name of names) {
      assert.deepEqual(query(path, `SELECT count(*), sum(id) FROM "s.${name}"`), [[40n, 820n]]);
    }
    const slots = query(
      path,
      "SELECT span, seq, ts FROM sluice_meta_slot WHERE cf='f' ORDER BY span",
    );
    assert.deepEqual(
      slots,
      names.map((name) => [`s.${name}`, 40n, 40n]),
    );
  });

  test('runs the simple DDL of MySQL', async () => {
    const path = newFile();
    const sink = await raised(path);
    const create = `CREATE TABLE t (
      id int unsigned NOT NULL AUTO_INCREMENT COMMENT 'a, b) c', Name varchar(40) CHARACTER SET latin1 DEFAULT 'x''y',
      price decimal(10,2) NOT NULL DEFAULT 0.00, kind enum('a,b','c)') , big bigint(20) unsigned, at timestamp(6) NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
      sum double GENERATED ALWAYS AS (price * 2) STORED, /*!50100 extra int, */ blb longblob,
      PRIMARY KEY (ID) USING BTREE, UNIQUE KEY n (Name(10)), KEY k (price,kind), CONSTRAINT c CHECK (price >= 0), FOREIGN KEY (id) REFERENCES o (id) ON DELETE CASCADE
      ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='select' PARTITION BY HASH (id) PARTITIONS 4`;
    await runDdl(sink, 1, 'CREATE DATABASE s');
    await runDdl(sink, 2, create);
    assert.deepEqual(query(path, "SELECT name, type, pk FROM pragma_table_info('s.t')"), [
      ['id', 'INTEGER', 1n],
      ['Name', 'TEXT', 0n],
      ['price', 'TEXT', 0n],
      ['kind', 'TEXT', 0n],
      ['big', '', 0n],
      ['at', 'TEXT', 0n],
      ['sum', 'REAL', 0n],
      ['extra', 'INTEGER', 0n],
      ['blb', 'BLOB', 0n],
    ]);
    const table: WriterTable = {
      ...every,
      schema: 's',
      table: 't',
      columns: [{ name: 'id', kind: 'integer', bytes: 4, unsigned: true, nullable: false }],
    };
    await askSink(sink, { kind: 'RaiseSpan', ...feed, span: 's.t', ts: 0 }, 'SpanRaised');
    await askSink(sink, apply('s.t', [blockOf(table, [[3, [[null, [1]]]]])]), 'Applied');
    await runDdl(
      sink,
      4,
      "ALTER TABLE s.t ADD COLUMN c1 decimal(8,3) NOT NULL DEFAULT '-1.5' AFTER id, ADD c2 varchar(9) NOT NULL FIRST, ADD (c3 int DEFAULT -4, c4 double), ADD INDEX i (c1), DROP KEY n, DROP COLUMN extra, RENAME COLUMN big TO bigger, ENGINE=InnoDB",
    );
    assert.deepEqual(query(path, 'SELECT c1, c2, c3, c4, bigger FROM "s.t"'), [
      ['-1.500', '', -4n, null, null],
    ]);
    await runDdl(sink, 5, 'RENAME TABLE t TO u, u TO `v w`');
    await runDdl(sink, 6, 'CREATE INDEX i ON `v w` (id)');
    assert.deepEqual(query(path, 'SELECT count(*) FROM "s.v w"'), [[1n]]);
    await runDdl(sink, 7, 'TRUNCATE `v w`');
    assert.deepEqual(query(path, 'SELECT count(*) FROM "s.v w"'), [[0n]]);
    await runDdl(
      sink,
      8,
      'CREATE TABLE IF NOT EXISTS pair (a int, b varchar(9), PRIMARY KEY (b, a))',
    );
    await runDdl(sink, 9, 'CREATE TABLE IF NOT EXISTS pair (c int)');
    assert.deepEqual(query(path, "SELECT name, pk FROM pragma_table_info('s.pair')"), [
      ['a', 2n],
      ['b', 1n],
    ]);
    await runDdl(sink, 10, 'DROP TABLE IF EXISTS none, `v w`');
    await runDdl(sink, 11, 'DROP DATABASE s');
    assert.deepEqual(
      query(path, "SELECT name FROM sqlite_master WHERE type='table' AND name LIKE 's.%'"),
      [],
    );
    await sink.close();
  });

  test('names the statement that it can not run, and runs none of it', async () => {
    const path = newFile();
    const sink = await raised(path);
    await runDdl(sink, 1, 'CREATE TABLE t (id int PRIMARY KEY, secret varchar(9))');
    const statements = [
      ['ALTER TABLE t ADD x int, MODIFY secret text', /ALTER TABLE … MODIFY on s\.t/],
      ['CREATE TABLE u LIKE t', /CREATE TABLE LIKE/],
      ["CREATE TABLE u (id int) SELECT 'hidden' AS id", /CREATE TABLE with SELECT on s\.u/],
      ['CREATE VIEW v AS SELECT 1', /CREATE VIEW/],
      ["ALTER TABLE t ADD d datetime DEFAULT (now() + 'hidden')", /ADD COLUMN with such a default/],
      ['GRANT ALL ON *.* TO x', /GRANT/],
      ['', /without a verb/],
    ] as const;
    for (const [sql, message] of statements) {
      const ddl = { ts: 2, gtid: '', commitMs: 0, schema: 's', sql };
      const failure = await refusedBySink(sink, { kind: 'RunDdl', ...feed, ddl });
      assert.equal(failure.code, 'SINK_UNSUPPORTED', sql);
      assert.match(failure.message, message);
      assert.ok(!JSON.stringify(failure).includes('hidden'));
    }
    assert.deepEqual(query(path, "SELECT name FROM pragma_table_info('s.t')"), [
      ['id'],
      ['secret'],
    ]);
    assert.deepEqual(query(path, 'SELECT count(*) FROM sluice_meta_ddl'), [[1n]]);
    await sink.close();
  });

  for (const uri of [
    'workload://bank?seed=5&accounts=120&transactions=600',
    'workload://insert?rows=7&transactions=100',
    'workload://hot?transactions=200',
  ]) {
    test(`holds exactly the contents of a workload's model: ${uri}`, async () => {
      const path = newFile();
      const sink = await raised(path);
      const upstream = openWorkloadUpstream({ uri, log: () => undefined });
      const checked = await upstream.call({ kind: 'Check', startAt: { kind: 'oldest' } });
      assert.ok(checked.ok && checked.value.kind === 'Checked');
      const { start: position, newest } = checked.value;
      const routing = { rules: ['*.*'], groups: {} };
      assert.ok((await upstream.call({ kind: 'Open', position, timeline: [], routing })).ok);
      const spans = new Set<string>();
      for (let ts = -1; ts < newest.ts;) {
        const chunk = await upstream.call({ kind: 'Next', byteCountMax: 10_000 });
        assert.ok(chunk.ok && chunk.value.kind === 'Chunk');
        for (const { info, bytes } of chunk.value.blocks) {
          if (!spans.has(info.span)) {
            await askSink(
              sink,
              { kind: 'RaiseSpan', ...feed, span: info.span, ts: 0 },
              'SpanRaised',
            );
          }
          spans.add(info.span);
          await askSink(sink, apply(info.span, [bytes]), 'Applied');
        }
        if (chunk.value.ddl !== undefined)
          await runDdl(sink, chunk.value.ddl.ts, chunk.value.ddl.sql);
        ts = chunk.value.resolved.ts;
      }
      await upstream.close();
      for (const { schema, table, columns, rows, rowCount, sums } of workloadModel(
        uri,
        newest.ts,
      )) {
        const name = `"${schema}.${table}"`;
        const expected = [...rows].map((row) =>
          row.map((value, i) =>
            typeof value === 'number' && sums[columns[i]!] !== undefined ? BigInt(value) : value,
          ),
        );
        assert.deepEqual(query(path, `SELECT * FROM ${name} ORDER BY id`), expected);
        for (const [column, sum] of Object.entries(sums)) {
          const found = query(path, `SELECT count(*), coalesce(sum("${column}"), 0) FROM ${name}`);
          assert.deepEqual(found, [[BigInt(rowCount), sum]]);
        }
      }
      await sink.close();
    });
  }

  test('refuses a URI without a file and tells when the file can not be opened', async () => {
    for (const uri of ['sqlite://', 'sqlite:///', 'sqlite://:memory:', 'mysql://x']) {
      assert.throws(() => openSqliteSink({ uri, log: () => undefined }), /CONFIG_INVALID/);
    }
    const sink = open(join(directory, 'no', 'such', 'file.db'));
    const failure = await refusedBySink(sink, { kind: 'Open', changefeed: 'f' });
    assert.equal(failure.code, 'SINK_UNREACHABLE');
    await sink.close();
    assert.equal(
      (await refusedBySink(sink, { kind: 'Release', span: 'd.t' })).code,
      'INTERNAL_STOPPED',
    );
  });
});
