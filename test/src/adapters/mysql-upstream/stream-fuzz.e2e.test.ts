// Real logs of private servers, damaged at random and read as a dump: the outcome is a history or a failure with a code,
// never an exception of another kind, and every damaged log is done in bounded time. Checksums are taken off first, or
// nothing behind them would ever be reached. SLUICE_FUZZ_SEED repeats a run.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import type { LogFlavor } from '#src/model/block.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { mysqlMissing, startMysql } from '#test/servers/mysql.ts';
import type { SqlServer } from '#test/servers/sql-server.ts';
import { dumpPayload, packetBytes } from '../binlog/stream/event-bytes.ts';
import { logHead, replay, replayBytes } from './replay.ts';

const seed = Number(process.env['SLUICE_FUZZ_SEED'] ?? Date.now() % 1_000_000);
const missing = await mysqlMissing();
const servers: SqlServer[] = [];
const corpus: { readonly flavor: LogFlavor; readonly events: readonly Uint8Array[] }[] = [];

const statements = [
  'CREATE DATABASE a',
  'CREATE TABLE a.t (id INT PRIMARY KEY, v VARCHAR(200))',
  "INSERT INTO a.t VALUES (1, 'x'), (2, REPEAT('y', 190))",
  "UPDATE a.t SET v = 'z'",
  "XA START 'one'",
  'DELETE FROM a.t WHERE id = 1',
  "XA END 'one'",
  "XA PREPARE 'one'",
  "XA COMMIT 'one'",
  'CREATE TABLE a.u AS SELECT * FROM a.t',
  'ALTER TABLE a.t ADD c INT, RENAME TO a.w',
  'DROP TABLE a.u',
];
const packed = {
  mariadb: 'SET GLOBAL log_bin_compress = ON',
  mysql: 'SET SESSION binlog_transaction_compression = ON',
};

before(async () => {
  servers.push(await startMariadb());
  if (missing === false) servers.push(await startMysql());
  for (const server of servers) {
    const session = await server.connect();
    for (const statement of statements) await session.query(statement);
    await session.query(packed[server.flavor]);
    await session.query("INSERT INTO a.w VALUES (10, REPEAT('p', 200), 1), (11, 'q', 2)");
    await session.query(`CREATE TABLE a.x (id INT COMMENT '${'long '.repeat(100)}')`);
    await session.end();
    for (const file of server.binlogFiles()) {
      corpus.push({ flavor: server.flavor, events: eventsOf(readFileSync(file)) });
    }
  }
});

after(async () => {
  for (const server of servers) await server.stop();
});

/** The events of a log file behind its format description, without checksums. */
function eventsOf(file: Buffer): readonly Uint8Array[] {
  const events: Uint8Array[] = [];
  for (let at = 4; at + 19 <= file.length;) {
    const size = file.readUInt32LE(at + 9);
    const event = Buffer.from(file.subarray(at, at + size - 4));
    event.writeUInt32LE(size - 4, 9);
    if (event[4] !== 15) events.push(event);
    at += size;
  }
  return events;
}

function makeRandom(start: number): (below: number) => number {
  let state = start >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Damages one to three events, or their order; sizes in headers are put right half of the time. */
function damage(events: readonly Uint8Array[], random: (below: number) => number): Uint8Array[] {
  const damaged = events.slice();
  for (let i = 1 + random(3); i > 0; i--) {
    const at = random(damaged.length);
    let event = Buffer.from(damaged[at]!);
    const kind = random(6);
    if (kind === 0) event[random(event.length)] = random(256);
    else if (kind === 1)
      event[19 + random(Math.max(1, event.length - 19))] = [0, 255, 254, 128, 1][random(5)]!;
    else if (kind === 2) event = event.subarray(0, 19 + random(Math.max(1, event.length - 19)));
    else if (kind === 3)
      event = Buffer.concat([event, Buffer.from(damaged[random(damaged.length)]!)]);
    else if (kind === 4) event[4] = random(256);
    else {
      damaged.splice(at, random(2), damaged[random(damaged.length)]!);
      continue;
    }
    if (random(2) === 0 && event.length >= 19) event.writeUInt32LE(event.length, 9);
    damaged[at] = event;
  }
  return damaged;
}

test('an undamaged log reads to its end', () => {
  for (const { flavor, events } of corpus) {
    const { failure, ddls, blocks } = replay([...logHead(), ...events], { flavor });
    assert.equal(failure, undefined, failure?.message);
    assert.ok(ddls.length >= 5 && blocks.length >= 2);
  }
});

test(`damaged logs give a history or a failure (seed ${seed})`, () => {
  const random = makeRandom(seed);
  const codes = new Map<string, number>();
  for (let round = 0; round < 30_000; round++) {
    const { flavor, events } = corpus[round % corpus.length]!;
    const from = random(events.length);
    const part = events.slice(from, from + 1 + random(12));
    const { failure } = replay([...logHead(), ...damage(part, random)], {
      flavor,
      spillBytes: random(400),
    });
    codes.set(failure?.code ?? 'none', (codes.get(failure?.code ?? 'none') ?? 0) + 1);
  }
  for (const code of ['none', 'SOURCE_CORRUPT', 'SOURCE_UNSUPPORTED']) {
    assert.ok((codes.get(code) ?? 0) > 20, [...codes].join(' '));
  }
  assert.equal(codes.has('INTERNAL_FAULT'), false);
});

test(`damaged bytes of a connection give a history or a failure (seed ${seed})`, () => {
  const random = makeRandom(seed + 1);
  for (let round = 0; round < 10_000; round++) {
    const { flavor, events } = corpus[round % corpus.length]!;
    const from = random(events.length);
    const bytes = packetBytes([...logHead(), ...events.slice(from, from + 5)].map(dumpPayload));
    for (let i = 1 + random(4); i > 0; i--) bytes[random(bytes.length)] = random(256);
    const { failure } = replayBytes(bytes.subarray(0, random(bytes.length)), { flavor });
    assert.notEqual(failure?.code, 'INTERNAL_FAULT');
  }
});
