/** The simulated upstream's log as positions tell of it: files begin again, time does not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { History, tsStep } from './history.ts';

const items = Array.from({ length: 7 }, (_, i) => ({
  atMs: i,
  ddl: false,
  rows: [[0, i % 2] as const],
}));

function placesOf(history: History): string[] {
  return Array.from({ length: 8 }, (_, count) => {
    const { ts, file, offset } = history.positionAt(count * tsStep);
    return `${ts} ${file}:${offset}`;
  });
}

test('a full log file is followed by another, whose offsets begin again', () => {
  assert.deepEqual(placesOf(new History(items, 3)), [
    '0 log.000001:4',
    '10 log.000001:104',
    '20 log.000001:204',
    '30 log.000002:4',
    '40 log.000002:104',
    '50 log.000002:204',
    '60 log.000003:4',
    '70 log.000003:104',
  ]);
});

test('a server that crashed goes on in a new file behind what it had committed', () => {
  const history = new History(items, 3);
  history.replaceFrom(4);
  assert.deepEqual(placesOf(history).slice(3), [
    '30 log.000002:4',
    '40 log.000003:4',
    '50 log.000003:104',
    '60 log.000003:204',
    '70 log.000004:4',
  ]);
  assert(history.isFileStart(40) && !history.isFileStart(50));
});

test('a log that lost its tail lost the files behind it', () => {
  const history = new History(items, 3);
  history.truncate(4);
  assert.equal(history.fileAt(7), 1);
});
