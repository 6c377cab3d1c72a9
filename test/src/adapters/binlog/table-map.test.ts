/** Table maps are built byte by byte: what each optional field says must reach the right column. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeTableMap } from './encode.ts';
import { columnClass } from '#src/adapters/binlog/column.ts';
import { readTableMap, withTemporalDigits } from '#src/adapters/binlog/table-map.ts';
import { TableMaps } from '#src/adapters/binlog/table-maps.ts';

const text = (value: string): number[] => [...Buffer.from(value)];
const sized = (value: string): number[] => [Buffer.byteLength(value), ...text(value)];
const corrupt = /SOURCE_CORRUPT/;

const int = { type: 3 };
const varchar = { type: 15, meta: [200, 0] };
const geometry = { type: 255, meta: [4] };
const vector = { type: 242, meta: [4] };
const enumeration = { type: 254, meta: [247, 1] };
const set = { type: 254, meta: [248, 1] };

test('names, signs and keys belong to their columns, whatever they are called', () => {
  const map = readTableMap(
    encodeTableMap(
      [int, varchar, int, { type: 13 }, { type: 246, meta: [10, 2] }],
      [
        [1, [0b0111_0000]],
        [
          4,
          [...sized('__proto__'), ...sized('1'), ...sized('日本'), ...sized(''), ...sized('a`b')],
        ],
        [9, [2, 0, 1, 10]],
      ],
    ),
    'mariadb',
  );
  assert.deepEqual(
    map.columns.map(({ name }) => name),
    ['__proto__', '1', '日本', '', 'a`b'],
  );
  // A year has a sign bit too; a string has none: the bits are of columns 0, 2, 3 and 4.
  assert.deepEqual(
    map.columns.map(({ unsigned }) => unsigned),
    [false, false, true, true, true],
  );
  assert.deepEqual(
    map.columns.map((column) => [column.primaryKeyOrdinal, column.primaryKeyPrefix]),
    [
      [-1, 0],
      [1, 10],
      [0, 0],
      [-1, 0],
      [-1, 0],
    ],
  );
  assert.equal(map.schema, 's');
  assert.equal(map.table, 't');
  assert.equal(map.hasNames, true);
});

test('MariaDB counts geometries among the character columns, MySQL counts vectors', () => {
  const bytes = encodeTableMap([geometry, varchar, vector, varchar], [[3, [63, 8, 63, 33]]]);
  const mariadb = readTableMap(bytes, 'mariadb').columns.map(({ collation }) => collation);
  assert.deepEqual(mariadb, [63, 8, null, 63]);
  const mysql = readTableMap(bytes, 'mysql').columns.map(({ collation }) => collation);
  assert.deepEqual(mysql, [null, 63, 8, 63]);
});

test('a default charset holds for all character columns but the listed ones', () => {
  const bytes = encodeTableMap([varchar, int, varchar, varchar], [[2, [45, 1, 8]]]);
  const map = readTableMap(bytes, 'mysql');
  assert.deepEqual(
    map.columns.map(({ collation }) => collation),
    [45, null, 8, 45],
  );
  assert.deepEqual(map.columns.map(columnClass), [
    'character',
    'integer',
    'character',
    'character',
  ]);
});

test('labels are decoded from the charset of their column, wherever its field stands', () => {
  const bytes = encodeTableMap(
    [enumeration, set],
    [
      [6, [2, 1, 0xe9, ...sized("a,'b")]],
      [5, [1, ...sized('é')]],
      [11, [8, 45]],
    ],
  );
  const map = readTableMap(bytes, 'mysql');
  assert.deepEqual(
    map.columns.map(({ labels }) => labels),
    [['é', "a,'b"], ['é']],
  );
  assert.deepEqual(map.columns[0]!.labelBytes![0], Uint8Array.of(0xe9));
});

test('labels of a charset without a decoder keep their bytes alone', () => {
  const bytes = encodeTableMap(
    [enumeration],
    [
      [6, [1, 2, 0x83, 0x5c]],
      [10, [13]],
    ],
  );
  const [column] = readTableMap(bytes, 'mysql').columns;
  assert.equal(column!.labels, null);
  assert.deepEqual(column!.labelBytes, [Uint8Array.of(0x83, 0x5c)]);
});

test('CHAR columns longer than 255 bytes hide part of their length in the type', () => {
  const map = readTableMap(encodeTableMap([{ type: 254, meta: [0xce, 0xfc] }]), 'mysql');
  assert.equal(map.columns[0]!.type, 254);
  assert.equal(map.columns[0]!.meta, 1020);
  assert.equal(map.layout.widths[0], -2);
});

test('unknown fields are skipped, geometry types and visibility are read', () => {
  const bytes = encodeTableMap(
    [geometry, int],
    [
      [200, [1, 2, 3]],
      [7, [6]],
      [12, [0b1000_0000]],
      [13, [9]],
    ],
  );
  const map = readTableMap(bytes, 'mysql');
  assert.equal(map.columns[0]!.geometryType, 6);
  assert.deepEqual(
    map.columns.map(({ visible }) => visible),
    [true, false],
  );
  assert.equal(map.hasNames, false);
});

test('temporals of before MySQL 5.6 get their digits from outside', () => {
  const map = readTableMap(encodeTableMap([{ type: 7 }, { type: 12 }, int]), 'mariadb');
  assert.equal(map.layout.hasOldTemporals, true);
  assert.deepEqual([...map.layout.widths], [4, 8, 4]);
  const known = withTemporalDigits(map, [6, 3, 5]);
  assert.deepEqual([...known.layout.widths], [7, 7, 4]);
  assert.deepEqual(
    known.columns.map(({ meta }) => meta),
    [6, 3, 0],
  );
});

test('every malformed table map is refused', () => {
  const good = encodeTableMap([int, varchar], [[4, [...sized('a'), ...sized('b')]]]);
  for (let length = 0; length < good.byteLength; length++) {
    const cut = good.subarray(0, length);
    // Cut exactly before the optional part it is a whole map without one.
    if (length === good.byteLength - 6) continue;
    assert.throws(() => readTableMap(cut, 'mysql'), corrupt, `cut at ${length}`);
  }
  const bad: Record<string, Uint8Array> = {
    'too few names': encodeTableMap([int, int], [[4, sized('a')]]),
    'the same field twice': encodeTableMap(
      [varchar],
      [
        [2, [8]],
        [2, [8]],
      ],
    ),
    'a charset for a missing column': encodeTableMap([varchar], [[2, [8, 1, 8]]]),
    'a key over a missing column': encodeTableMap([int], [[8, [1]]]),
    'more than 64 set labels': encodeTableMap([set], [[5, [65, ...Array<number>(65).fill(0)]]]),
    'a name that is not utf-8': encodeTableMap([int], [[4, [1, 0xff]]]),
    'a decimal of 66 digits': encodeTableMap([{ type: 246, meta: [66, 2] }]),
    'a bit column of 65 bits': encodeTableMap([{ type: 16, meta: [1, 8] }]),
    'seven digits after the second': encodeTableMap([{ type: 18, meta: [7] }]),
    'a blob of five length bytes': encodeTableMap([{ type: 252, meta: [5] }]),
    'a string of no string type': encodeTableMap([{ type: 254, meta: [1, 1] }]),
  };
  for (const [name, bytes] of Object.entries(bad)) {
    assert.throws(() => readTableMap(bytes, 'mysql'), corrupt, name);
  }
  assert.throws(() => readTableMap(encodeTableMap([{ type: 20 }]), 'mysql'), /SOURCE_UNSUPPORTED/);
});

test('a remembered table map is read once and read again when a byte differs', () => {
  const maps = new TableMaps('mysql');
  const bytes = encodeTableMap([int]);
  const first = maps.read(bytes);
  assert.equal(maps.read(new Uint8Array(bytes)), first);
  const other = encodeTableMap([varchar]);
  assert.equal(maps.read(other).columns[0]!.type, 15);
  bytes.fill(0);
  assert.equal(first.table, 't');
});
