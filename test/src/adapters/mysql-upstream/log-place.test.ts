// Places in logs above 4 GiB, where event headers hold only the lower 32 bits of an offset.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LogEvent } from '#src/adapters/binlog/stream/log-event.ts';
import { LogPlace } from '#src/adapters/mysql-upstream/log-place.ts';
import { MysqlClock, mysqlTs } from '#src/adapters/mysql-upstream/mysql-clock.ts';

const range = 2 ** 32;

function eventOf(endOffset: number, size: number): LogEvent {
  const event = new LogEvent();
  event.endOffset = endOffset % range;
  event.size = size;
  event.flags = 0;
  return event;
}

test('offsets of one file go on beyond 32 bits, wherever events end', () => {
  const place = new LogPlace();
  place.rotate('binlog.000007', 4);
  const sizes = [range - 200, 196, 100, 3 * 2 ** 29, 2 ** 30, 2 ** 30, 2 ** 30, 50];
  let at = 4;
  for (const size of sizes) {
    // One of them ends exactly at 2^32: an offset of zero says nothing, and the next event puts it right.
    const began = place.advance(eventOf(at + size, size), 0, false);
    if ((at + size) % range !== 0) assert.deepEqual([began, place.offset], [at, at + size]);
    at += size;
  }
  assert.ok(place.offset > range);
});

test('a wide heartbeat tells the whole offset, a short one the nearest that is not behind', () => {
  const place = new LogPlace();
  place.rotate('binlog.000007', 4);
  place.stand('binlog.000007', 5 * 2 ** 30, true);
  assert.equal(place.offset, 5 * 2 ** 30);
  place.stand('binlog.000007', (5 * 2 ** 30 + 90) % range, false);
  assert.equal(place.offset, 5 * 2 ** 30 + 90);
  place.stand('binlog.000008', 300, false);
  assert.deepEqual([place.file, place.offset], ['binlog.000008', 300]);
});

test('a file that ends above 4 GiB stays below the next one in commitTs', () => {
  const clock = new MysqlClock({ ts: mysqlTs(0, 'binlog.000007', 4) - 1, gtid: '' }, 0);
  clock.idle('binlog.000007', range - 1);
  const inside = clock.position().ts;
  clock.idle('binlog.000007', 3 * range);
  assert.equal(clock.position().ts, inside, 'no group begins up there');
  assert.equal(clock.position().offset, 3 * range, 'the offset is told as it is');
  clock.idle('binlog.000008', 4);
  assert.ok(clock.position().ts > inside);
  assert.ok(clock.position().ts < mysqlTs(0, 'binlog.000008', 4));
  assert.throws(() => mysqlTs(0, 'binlog.000007', range), /SOURCE_UNSUPPORTED.*above 4 GiB/);
});
