/** Rows events are built byte by byte: headers, NULL bits, absent columns, compression and partial updates. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compressRows, encodeRows, encodeTableMap } from './encode.ts';
import { imageValues } from './log-file.ts';
import { isRowEventType, RowEvent } from '#src/adapters/binlog/row-event.ts';
import { readTableMap } from '#src/adapters/binlog/table-map.ts';
import { readJsonDiffs } from '#src/adapters/binlog/json-diff.ts';

const corrupt = /SOURCE_CORRUPT/;
const unsupported = /SOURCE_UNSUPPORTED/;
const table = readTableMap(
  encodeTableMap([{ type: 1 }, { type: 15, meta: [10, 0] }, { type: 2 }]),
  'mysql',
);
const header = [7, 0, 0, 0, 0, 0, 2, 0];
const first = [0, 1, 1, 0x61, 2, 0];
const second = [0b010, 255, 3, 0];

function rowsOf(type: number, body: Uint8Array): unknown[] {
  const cursor = new RowEvent();
  cursor.open(type, body, table);
  const rows: unknown[] = [];
  while (cursor.next()) {
    if (cursor.operation === 'insert') rows.push(imageValues(table, cursor.after));
    else if (cursor.operation === 'delete') rows.push(imageValues(table, cursor.before));
    else rows.push([imageValues(table, cursor.before), imageValues(table, cursor.after)]);
  }
  return rows;
}

const a = [1, Uint8Array.of(0x61), 2];
const b = [-1, null, 3];

test('every kind of rows event gives its rows', () => {
  for (const type of [23, 30, 166, 169, 25, 32, 168, 171]) {
    assert.deepEqual(rowsOf(type, encodeRows(type, 3, [first, second])), [a, b], String(type));
  }
  for (const type of [24, 31, 167, 170]) {
    assert.deepEqual(rowsOf(type, encodeRows(type, 3, [first, second])), [[a, b]], String(type));
  }
  assert.equal(isRowEventType(33), false);
  assert.throws(() => rowsOf(33, encodeRows(30, 3, [first])), corrupt);
});

test('an event may have no rows, and extra data before them', () => {
  assert.deepEqual(rowsOf(30, encodeRows(30, 3, [])), []);
  assert.deepEqual(rowsOf(30, Uint8Array.from([...header, 5, 0, 9, 9, 9, 3, 7, ...first])), [a]);
  assert.throws(() => rowsOf(30, Uint8Array.from([...header, 1, 0, 3, 7, ...first])), corrupt);
});

test('flags tell whether foreign keys were checked and cascades logged', () => {
  const cursor = new RowEvent();
  cursor.open(23, encodeRows(23, 3, [first]), table);
  assert.equal(cursor.noForeignKeyChecks, false);
  cursor.open(23, Uint8Array.from([...header, 3, 7]), table);
  assert.equal(cursor.noForeignKeyChecks, true);
  assert.equal(cursor.cascadesLogged, false);
  assert.equal(cursor.tableId, 7);
});

test('columns that an image lacks are absent, not NULL', () => {
  // The before image has column 0, the after image columns 1 and 2.
  const body = Uint8Array.from([...header, 2, 0, 3, 0b001, 0b110, 0, 5, 0b01, 9, 0]);
  assert.deepEqual(rowsOf(31, body), [
    [
      [5, undefined, undefined],
      [undefined, null, 9],
    ],
  ]);
});

test('a cursor forgets the cells of the event before', () => {
  const cursor = new RowEvent();
  cursor.open(30, encodeRows(30, 3, [first]), table);
  cursor.next();
  cursor.open(30, Uint8Array.from([...header, 2, 0, 3, 0b001, 0, 5]), table);
  assert.equal(cursor.next(), true);
  assert.deepEqual(imageValues(table, cursor.after), [5, undefined, undefined]);
});

test('rows that are cut short, too wide or without columns are refused', () => {
  const whole = encodeRows(30, 3, [first]);
  for (let length = 0; length < whole.byteLength; length++) {
    if (length === whole.byteLength - first.length) continue;
    assert.throws(() => rowsOf(30, whole.subarray(0, length)), corrupt, `cut at ${length}`);
  }
  assert.throws(() => rowsOf(30, encodeRows(30, 4, [first])), corrupt);
  assert.throws(() => rowsOf(30, Uint8Array.from([...header, 2, 0, 3, 0])), unsupported);
  assert.throws(() => rowsOf(30, Uint8Array.from([...header, 2, 0, 3, 0, 1, 2])), corrupt);
});

test('compressed rows must inflate to the size they claim', () => {
  const good = compressRows(Uint8Array.from(first));
  const event = (part: readonly number[]): Uint8Array =>
    Uint8Array.from([...header, 3, 7, ...part]);
  assert.deepEqual(rowsOf(166, event([...good])), [a]);
  const bad: Record<string, number[]> = {
    nothing: [],
    'no mark': [0x04, ...good.subarray(1)],
    'another method': [0x94, ...good.subarray(1)],
    'a smaller size': [0x84, 0, 0, 0, 5, ...good.subarray(5)],
    'a larger size': [0x84, 0, 0, 0, 7, ...good.subarray(5)],
    'an impossible size': [0x84, 0x7f, 0xff, 0xff, 0xff, ...good.subarray(5)],
    'no zlib data': [0x81, 6, 1, 2, 3],
  };
  for (const [name, part] of Object.entries(bad)) {
    assert.throws(() => rowsOf(166, event(part)), corrupt, name);
  }
});

test('a partial update marks the JSON columns whose cells are lists of changes', () => {
  const json = { type: 245, meta: [4] };
  const jsonTable = readTableMap(encodeTableMap([{ type: 1 }, json, json]), 'mysql');
  const document = [2, 0, 0, 0, 4, 1];
  const diffs = [0, 3, ...Buffer.from('$.a'), 2, 4, 2, 2, 4, ...Buffer.from('$[1]')];
  const body = encodeRows(39, 3, [
    [0, 1, ...document, ...document],
    [1, 0b10, 0, 2, ...document, diffs.length, 0, 0, 0, ...diffs],
    [0, 3, ...document, ...document],
    [0, 0, 4, ...document, ...document],
  ]);
  const cursor = new RowEvent();
  cursor.open(39, body, jsonTable);
  assert.equal(cursor.next(), true);
  const { after } = cursor;
  assert.deepEqual(
    [0, 1, 2].map((i) => after.isPartial(i)),
    [false, false, true],
  );
  assert.deepEqual(
    readJsonDiffs(jsonTable.columns[2]!, after.bytes, after.start(2), after.end(2)),
    [
      { operation: 'replace', path: '$.a', value: Uint8Array.of(4, 2) },
      { operation: 'remove', path: '$[1]', value: null },
    ],
  );
  assert.equal(cursor.next(), true);
  assert.deepEqual(
    [0, 1, 2].map((i) => after.isPartial(i)),
    [false, false, false],
  );
  assert.deepEqual(imageValues(jsonTable, after), [4, 'true', 'true']);
  assert.equal(cursor.next(), false);
});
