import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { RowEvent } from '#src/adapters/binlog/row-event.ts';
import type { RowImage } from '#src/adapters/binlog/row-image.ts';
import { type TableMap, readTableMap } from '#src/adapters/binlog/table-map.ts';
import { type Value, readValue } from '#src/adapters/binlog/value.ts';
import {
  RowEventWriter,
  type WriterRow,
  type WriterTable,
  rowsEventType,
  writeTableMap,
} from '#src/adapters/workload/row-event-writer.ts';

const table: WriterTable = {
  id: 77,
  schema: 'schéma',
  table: 'every_kind',
  columns: [
    { name: 'a', kind: 'integer', bytes: 1, unsigned: false, nullable: true },
    { name: 'b', kind: 'integer', bytes: 2, unsigned: true, nullable: true },
    { name: 'c', kind: 'integer', bytes: 3, unsigned: false, nullable: true },
    { name: 'd', kind: 'integer', bytes: 4, unsigned: true, nullable: true },
    { name: 'e', kind: 'integer', bytes: 8, unsigned: false, nullable: false },
    { name: 'f', kind: 'integer', bytes: 8, unsigned: true, nullable: true },
    { name: '__proto__', kind: 'varchar', length: 40, nullable: true },
    { name: 'h', kind: 'varchar', length: 100, nullable: true },
    { name: 'i', kind: 'text', nullable: true },
    { name: 'j', kind: 'varbinary', length: 16, nullable: true },
    { name: 'k', kind: 'decimal', precision: 14, scale: 4, nullable: true },
    { name: 'l', kind: 'decimal', precision: 65, scale: 30, nullable: true },
    { name: 'm', kind: 'datetime', nullable: true },
    { name: 'n', kind: 'double', nullable: true },
  ],
  key: [4, 0],
};

function rowOf(map: TableMap, image: RowImage): Value[] {
  return map.columns.map((column, i) =>
    image.state(i) === 1 ? null : readValue(column, image.bytes, image.start(i), image.end(i)),
  );
}

function integer(min: bigint, max: bigint): fc.Arbitrary<number | bigint> {
  return fc
    .bigInt({ min, max })
    .map((value) => (Number.isSafeInteger(Number(value)) ? Number(value) : value));
}

function decimal(whole: number, scale: number): fc.Arbitrary<string> {
  return fc
    .tuple(
      fc.boolean(),
      fc.bigInt({ min: 0n, max: 10n ** BigInt(whole) - 1n }),
      fc.bigInt({ min: 0n, max: 10n ** BigInt(scale) - 1n }),
    )
    .map(([isNegative, left, right]) => {
      const text = `${left}.${right.toString().padStart(scale, '0')}`;
      return isNegative && left + right > 0n ? `-${text}` : text;
    });
}

const datetime = fc
  .tuple(
    fc.date({
      min: new Date('1000-01-01T00:00:00Z'),
      max: new Date('9999-12-31T23:59:59Z'),
      noInvalidDate: true,
    }),
    fc.integer({ min: 0, max: 999 }),
  )
  .map(
    ([date, micros]) =>
      `${date.toISOString().slice(0, 23).replace('T', ' ')}${String(micros).padStart(3, '0')}`,
  );

const row = fc
  .tuple(
    fc.option(fc.integer({ min: -128, max: 127 })),
    fc.option(fc.integer({ min: 0, max: 65_535 })),
    fc.option(fc.integer({ min: -8_388_608, max: 8_388_607 })),
    fc.option(fc.integer({ min: 0, max: 0xffffffff })),
    integer(-(2n ** 63n), 2n ** 63n - 1n),
    fc.option(integer(0n, 2n ** 64n - 1n)),
    fc.option(fc.string({ unit: 'binary', maxLength: 40 })),
    fc.option(fc.string({ unit: 'grapheme', maxLength: 40 })),
    fc.option(fc.string({ maxLength: 2000 })),
    fc.option(fc.uint8Array({ maxLength: 16 })),
    fc.option(decimal(10, 4)),
    fc.option(decimal(35, 30)),
    fc.option(datetime),
    fc.option(fc.double({ noNaN: true, noDefaultInfinity: true })),
  )
  .map((cells): WriterRow => cells);

describe('the writer of row events', () => {
  test('writes a table map that the decoder reads back with names, key, signs and charsets', () => {
    const map = readTableMap(writeTableMap(table), 'mariadb');
    assert.equal(map.tableId, 77);
    assert.equal(map.schema, 'schéma');
    assert.equal(map.table, 'every_kind');
    assert.deepEqual(
      map.columns.map((column) => column.name),
      table.columns.map((column) => column.name),
    );
    assert.deepEqual(
      map.columns.map((column) => column.unsigned),
      table.columns.map((column) => column.kind === 'integer' && column.unsigned),
    );
    assert.deepEqual(
      map.columns.map((column) => column.nullable),
      table.columns.map((column) => column.nullable),
    );
    assert.deepEqual(
      [map.columns[4]!.primaryKeyOrdinal, map.columns[0]!.primaryKeyOrdinal],
      [0, 1],
    );
    assert.equal(map.columns[6]!.collation, 45);
    assert.equal(map.columns[9]!.collation, 63);
  });

  test('writes rows whose values the decoder reads back exactly', () => {
    const map = readTableMap(writeTableMap(table), 'mariadb');
    const writer = new RowEventWriter();
    const event = new RowEvent();
    fc.assert(
      fc.property(fc.array(fc.tuple(row, row), { minLength: 1, maxLength: 5 }), (pairs) => {
        writer.open(table, 2);
        for (const pair of pairs) for (const image of pair) writer.image(image);
        event.open(rowsEventType.update, writer.body(), map);
        for (const [before, after] of pairs) {
          assert.ok(event.next());
          assert.deepEqual(rowOf(map, event.before), before);
          assert.deepEqual(rowOf(map, event.after), after);
        }
        assert.ok(!event.next());
        writer.open(table, 1);
        writer.image(pairs[0]![0]);
        for (const type of [rowsEventType.insert, rowsEventType.delete]) {
          event.open(type, writer.body(), map);
          assert.ok(event.next());
          assert.deepEqual(rowOf(map, type === 23 ? event.after : event.before), pairs[0]![0]);
        }
      }),
      { numRuns: 300 },
    );
  });
});
