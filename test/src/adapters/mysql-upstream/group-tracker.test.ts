// Logs made event by event, for what a well-behaved server seldom writes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateSync, zstdCompressSync } from 'node:zlib';
import { MysqlClock } from '#src/adapters/mysql-upstream/mysql-clock.ts';
import { eventBytes, packetBytes, dumpPayload, formatBody } from '../binlog/stream/event-bytes.ts';
import { logHead, replay, replayBytes, type Replayed } from './replay.ts';

let offset = 4;
const flag = { standalone: 1, ddl: 32, preparedXa: 64 };

function event(type: number, body: Uint8Array, flags = 0): Uint8Array {
  offset += 19 + body.byteLength;
  return eventBytes({ type, body, endOffset: offset, flags, timestamp: 1_700_000_000 }, false);
}

function gtid(sequence: number, flags = 0, domain = 0): Uint8Array {
  const body = Buffer.alloc(19);
  body.writeBigUInt64LE(BigInt(sequence), 0);
  body.writeUInt32LE(domain, 8);
  body.writeUInt8(flags, 12);
  return event(162, body);
}

function query(sql: string | Uint8Array, schema = 'd', type = 2): Uint8Array {
  const head = Buffer.alloc(13);
  head.writeUInt8(schema.length, 8);
  return event(type, Buffer.concat([head, Buffer.from(`${schema}\0`), Buffer.from(sql)]));
}

function tableMap(table = 't', id = 7): Uint8Array {
  const body = Buffer.concat([
    Buffer.from([id, 0, 0, 0, 0, 0, 1, 0, 1]),
    Buffer.from('d\0'),
    Buffer.from([table.length]),
    Buffer.from(`${table}\0`),
    Buffer.from([1, 3, 0, 0]),
  ]);
  return event(19, body);
}

function rows(id = 7): Uint8Array {
  return event(23, Buffer.from([id, 0, 0, 0, 0, 0, 1, 0, 1, 255, 254, 5, 0, 0, 0]));
}

const xid = (): Uint8Array => event(16, Buffer.alloc(8));
const group = (sequence: number): Uint8Array[] => [gtid(sequence), tableMap(), rows(), xid()];

function log(...events: readonly (Uint8Array | readonly Uint8Array[])[]): Replayed {
  return replay([...logHead(), ...(events.flat() as Uint8Array[])]);
}

test('a transaction is resolved with its XID and not before', () => {
  assert.equal(log(gtid(5), tableMap(), rows()).resolved.ts, 0);
  assert.equal(log(gtid(5), tableMap(), rows()).blocks.length, 0);
  const whole = log(group(5));
  assert.equal(whole.resolved.gtid, '0-1-5');
  assert.equal(whole.blocks[0]?.info.span, 'd.t');
  assert.equal(whole.resolved.file, 'binlog.000001');
});

test('reading ends behind the group that is asked for, in a gap before the next one, and at once when it was read before', () => {
  const events = [...logHead(), ...group(5), ...group(6), ...group(8), ...group(9)];
  const endOf = (until: string, start = { ts: 0, gtid: '' }): readonly unknown[] => {
    const { resolved, blocks } = replay(events, { until, start });
    return [resolved.gtid, blocks.at(-1)?.info.lastTs];
  };
  assert.deepEqual(endOf('0-1-6'), ['0-1-6', 6]);
  assert.deepEqual(endOf('0-1-7'), ['0-1-6', 6]);
  assert.deepEqual(endOf('0-1-9'), ['0-1-9', 9]);
  assert.deepEqual(endOf('0-1-99'), ['0-1-9', 9]);
  assert.deepEqual(endOf('0-1-4', { ts: 4, gtid: '0-1-4' }), ['0-1-4', undefined]);
});

test('a set of MySQL is read when everything of it is', () => {
  const uuid = '3e11fa47-71ca-11e1-9e33-c80aa9429562';
  const at = (gtid: string, until: string): boolean =>
    new MysqlClock({ ts: 1, gtid: `${uuid}:${gtid}` }, 0, `${uuid}:${until}`).isAtEnd;
  assert.deepEqual([at('1-5', '1-5'), at('1-5', '3'), at('1-5', '1-6')], [true, true, false]);
  assert.equal(new MysqlClock({ ts: 1, gtid: '' }, 0).isAtEnd, false);
});

test('a group left without an end by a dead server is dropped', () => {
  const format = event(15, formatBody(0, false));
  const result = log(gtid(5), tableMap(), rows(), format, group(6));
  assert.equal(result.failure, undefined);
  assert.equal(result.blocks[0]?.info.firstTs, 6);
  assert.deepEqual(result.logged, ['upstream.group-without-end']);
});

test('a streamed group left without an end asks for a new reading', () => {
  const events = [...logHead(), gtid(5), tableMap(), rows(), rows(), ...group(6)];
  const { failure } = replay(events, { spillBytes: 1 });
  assert.deepEqual([failure?.code, failure?.retry], ['SOURCE_DISCONNECTED', 'Reconnect']);
});

const stops: readonly (readonly [string, string, () => readonly Uint8Array[]])[] = [
  ['an incident', 'SOURCE_INCIDENT', () => [gtid(5), event(26, Buffer.from([1, 0, 0]))]],
  ['an unknown event', 'SOURCE_UNSUPPORTED', () => [event(99, Buffer.alloc(3))]],
  ['LOAD DATA as a statement', 'SOURCE_STATEMENT', () => [gtid(5), event(18, Buffer.alloc(30))]],
  [
    'a statement that changes rows',
    'SOURCE_STATEMENT',
    () => [gtid(5), query("UPDATE t SET a='x'")],
  ],
  ['an unknown statement', 'SOURCE_UNSUPPORTED', () => [gtid(5, flag.standalone), query('FROB x')]],
  [
    'a rolled back group with rows',
    'SOURCE_UNSUPPORTED',
    () => [gtid(5), tableMap(), rows(), query('ROLLBACK')],
  ],
  ['a sequence that goes back', 'SOURCE_DIVERGED', () => [...group(5), gtid(4)]],
  ['a second domain', 'SOURCE_SETTING_WRONG', () => [...group(5), gtid(6, 0, 3)]],
  ['rows without a table', 'SOURCE_CORRUPT', () => [gtid(5), rows(9)]],
  ['rows outside of a group', 'SOURCE_CORRUPT', () => [tableMap(), rows()]],
  ['a commit outside of a group', 'SOURCE_CORRUPT', () => [xid()]],
  ['rows of an old form', 'SOURCE_UNSUPPORTED', () => [gtid(5), event(20, Buffer.alloc(10))]],
  [
    'XA COMMIT of a transaction prepared before the start',
    'SOURCE_UNSUPPORTED',
    () => [gtid(5, flag.standalone), query("XA COMMIT 'lost'")],
  ],
];

for (const [what, code, events] of stops) {
  test(`${what} stops the stream with ${code}`, () => {
    assert.equal(log(events()).failure?.code, code);
  });
}

test('events flagged as ignorable, and those that carry nothing for us, are stepped over', () => {
  const nothing = [
    event(99, Buffer.alloc(3), 0x80),
    event(160, Buffer.from('INSERT')),
    event(3, Buffer.alloc(0)),
    event(164, Buffer.alloc(17)),
  ];
  const result = log(nothing, group(5), event(161, Buffer.alloc(8)));
  assert.equal(result.failure, undefined);
  assert.equal(result.resolved.ts, 5);
});

test('rolling back to a savepoint is fine when nothing came after it', () => {
  const good = log(
    gtid(5),
    tableMap(),
    rows(),
    query('SAVEPOINT s'),
    query('ROLLBACK TO s'),
    xid(),
  );
  assert.equal(good.blocks.length, 1);
  const bad = log(gtid(5), tableMap(), query('SAVEPOINT s'), rows(), query('ROLLBACK TO s'), xid());
  assert.equal(bad.failure?.code, 'SOURCE_UNSUPPORTED');
});

test('an empty group that was rolled back is only a position', () => {
  const result = log(gtid(5), query('ROLLBACK'));
  assert.deepEqual([result.resolved.ts, result.blocks.length], [5, 0]);
});

test('statements on tables outside the filter are stepped over', () => {
  const events = [
    gtid(5),
    query('UPDATE t SET a = 1'),
    query('COMMIT'),
    gtid(6, flag.standalone),
    query('DROP TABLE t'),
  ];
  const result = replay([...logHead(), ...events], { rules: ['other.*'] });
  assert.deepEqual([result.failure, result.resolved.ts, result.ddls.length], [undefined, 6, 0]);
});

test('a drop of tables inside and outside the filter is reduced to those inside', () => {
  const events = [gtid(6, flag.standalone | flag.ddl), query('DROP TABLE IF EXISTS a, `b``c`, c')];
  const { ddls } = replay([...logHead(), ...events], { rules: ['d.*', '!d.a'] });
  assert.deepEqual(
    ddls.map((ddl) => ddl.sql),
    ['DROP TABLE IF EXISTS `d`.`b``c`, `d`.`c`'],
  );
  const rename = [gtid(6, flag.standalone), query('RENAME TABLE a TO x, b TO c')];
  const renamed = replay([...logHead(), ...rename], { rules: ['d.*', '!d.a', '!d.x'] });
  assert.deepEqual(
    renamed.ddls.map((ddl) => ddl.sql),
    ['RENAME TABLE `d`.`b` TO `d`.`c`'],
  );
});

test('a compressed statement is unpacked, and a false size of it is refused', () => {
  const sql = `CREATE TABLE t (a INT COMMENT '${'x'.repeat(900)}')`;
  const size = Buffer.from([sql.length >> 8, sql.length & 255]);
  const packed = Buffer.concat([Buffer.from([0x82]), size, deflateSync(sql)]);
  const good = log(gtid(5, flag.standalone), query(packed, 'd', 165));
  assert.deepEqual(
    good.ddls.map((ddl) => ddl.sql),
    [sql],
  );
  for (const head of [
    [0x82, 0, 1],
    [0x84, 0xff, 0xff, 0xff, 0xff],
    [0x92, ...size],
  ]) {
    const bad = log(
      gtid(5, flag.standalone),
      query(Buffer.concat([Buffer.from(head), deflateSync(sql)]), 'd', 165),
    );
    assert.equal(bad.failure?.code, 'SOURCE_CORRUPT');
  }
});

test('a compressed transaction that says a false size is refused before or after unpacking', () => {
  const inner = Buffer.concat([tableMap(), rows()]);
  const payload = (size: number): Uint8Array => {
    const packed = zstdCompressSync(inner);
    const number = Buffer.alloc(9, 0xfe);
    number.writeBigUInt64LE(BigInt(size), 1);
    return event(
      40,
      Buffer.concat([
        Buffer.from([2, 1, 0, 3, 9]),
        number,
        Buffer.from([1, 1, packed.length, 0]),
        packed,
      ]),
    );
  };
  const head = [...logHead(), gtid(5)];
  assert.equal(replay([...head, payload(inner.length), xid()]).blocks.length, 1);
  for (const size of [inner.length - 1, inner.length + 1, 2 ** 40]) {
    assert.equal(replay([...head, payload(size), xid()]).failure?.code, 'SOURCE_CORRUPT');
  }
});

test('with checksums every changed bit of an event is noticed', () => {
  const format = eventBytes({ type: 15, body: formatBody(1, true) }, true);
  const rotate = eventBytes(
    {
      type: 4,
      body: Buffer.concat([Buffer.from([4, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('binlog.000001')]),
      flags: 0x20,
    },
    true,
  );
  const body = Buffer.alloc(19);
  body.writeUInt8(5, 0);
  const begin = eventBytes({ type: 162, body, endOffset: 300 }, true);
  const clean = packetBytes([rotate, format, begin].map(dumpPayload));
  assert.equal(replayBytes(clean).failure, undefined);
  const from = clean.length - begin.length;
  for (let at = from; at < clean.length; at++) {
    const damaged = Buffer.from(clean);
    damaged[at]! ^= 1 << (at % 8);
    const { failure } = replayBytes(damaged);
    assert.ok(
      failure?.code === 'SOURCE_CHECKSUM' || failure?.code === 'SOURCE_CORRUPT',
      `byte ${at - from}`,
    );
    assert.equal(failure.retry, 'Reconnect');
  }
});
