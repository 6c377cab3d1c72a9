/** Which tables may be split, and how evenly keys fall into buckets. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { splitRefusal } from '#src/adapters/mysql-sink/batch/key-scope.ts';
import { BatchPlanner } from '#src/adapters/mysql-sink/batch/batch-planner.ts';
import { evenParts } from '#src/model/span.ts';
import { encodeBlocks, integerCatalog } from './integer-table.ts';

import type {
  ColumnDefinition,
  ForeignKey,
  TableDefinition,
} from '#src/adapters/mysql-sink/batch/table-definition.ts';

const column = (more: Partial<ColumnDefinition> = {}): ColumnDefinition => ({
  name: 'id',
  dataType: 'int',
  columnType: 'int(11)',
  charset: null,
  collation: null,
  isNullable: false,
  hasDefault: false,
  generated: 'no',
  isInvisible: false,
  isAutoIncrement: false,
  updatesItself: false,
  byteCountMax: null,
  secondDigits: null,
  leadsIndex: true,
  labels: null,
  ...more,
});
const primary = { name: 'PRIMARY', parts: [{ column: 0, prefixLength: 0 }] };
const foreign: ForeignKey = {
  childSchema: 's',
  childTable: 'child',
  parentSchema: 's',
  parentTable: 'parent',
  onUpdate: 'RESTRICT',
  onDelete: 'RESTRICT',
};
const table = (more: Partial<TableDefinition> = {}): TableDefinition => ({
  schema: 's',
  table: 't',
  columns: [column()],
  uniqueKeys: [primary],
  rowKey: primary,
  foreignKeys: [],
  referencedBy: [],
  hasChecks: false,
  ...more,
});
const keyed = (more: Partial<ColumnDefinition>): TableDefinition =>
  table({ columns: [column(more)] });
const text = { dataType: 'varchar', charset: 'utf8mb4' };

const rows: readonly (readonly [string, TableDefinition, RegExp | null])[] = [
  ['a primary key of integers alone', table(), null],
  ['no key', table({ uniqueKeys: [], rowKey: null }), /no primary key/],
  [
    'a unique key in place of a primary key',
    table({ uniqueKeys: [{ ...primary, name: 'u' }], rowKey: { ...primary, name: 'u' } }),
    /no primary key/,
  ],
  [
    'a second unique key',
    table({ uniqueKeys: [primary, { ...primary, name: 'u' }] }),
    /unique key u could tie rows of different parts/,
  ],
  ['a foreign key on another table', table({ foreignKeys: [foreign] }), /foreign key on s\.parent/],
  ['a table that refers to it', table({ referencedBy: [foreign] }), /s\.child has a foreign key/],
  [
    'a key of an expression',
    table({
      rowKey: { ...primary, parts: [{ column: -1, prefixLength: 0 }] },
      uniqueKeys: [],
    }),
    /has an expression|unique key/,
  ],
  [
    'a key of the beginning of a column',
    table({
      rowKey: { ...primary, parts: [{ column: 0, prefixLength: 9 }] },
      uniqueKeys: [],
    }),
    /only the beginning of column id/,
  ],
  ['a generated key', keyed({ generated: 'stored' }), /id of its primary key is generated/],
  ['a key of text by its bytes', keyed({ ...text, collation: 'utf8mb4_bin' }), null],
  ['a key of bytes', keyed({ dataType: 'varbinary' }), null],
  [
    'a key of text without regard to case',
    keyed({ ...text, collation: 'utf8mb4_general_ci' }),
    /text under utf8mb4_general_ci, where different spellings are equal/,
  ],
];

for (const [name, definition, why] of rows) {
  test(`${name}: ${why === null ? 'may be split' : 'must stay together'}`, () => {
    const refusal = splitRefusal(definition);
    if (why === null) assert.equal(refusal, null);
    else assert.match(refusal ?? '', why);
  });
}

test('consecutive keys fall evenly into the parts of a table, each into one', async () => {
  const planner = new BatchPlanner(integerCatalog(['id'], []), {
    laneCount: 1,
    packetBytesMax: 1 << 20,
  });
  const changes = Array.from({ length: 8_000 }, (_, id) => ({ before: null, after: [id] }));
  const blocks = encodeBlocks(1, [changes]);
  const counts: number[] = [];
  for (const span of evenParts('s.t', 8)) {
    const batch = { blocks, span, afterTs: 0, untilTs: 9, parts: [] };
    const planned = await planner.plan({ ...batch, idempotent: false, wholeTransactions: false });
    counts.push(planned.rowCount);
  }
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    8_000,
  );
  for (const count of counts) assert.ok(count > 700 && count < 1_300, counts.join());
});

test('a part of a table that may not be split any more is refused with the reason', async () => {
  const planner = new BatchPlanner(integerCatalog(['id', 'u'], ['u']), {
    laneCount: 1,
    packetBytesMax: 1 << 20,
  });
  const blocks = encodeBlocks(2, [[{ before: null, after: [1, 2] }]]);
  const batch = { blocks, span: evenParts('s.t', 2)[0]!, afterTs: 0, untilTs: 9, parts: [] };
  await assert.rejects(
    planner.plan({ ...batch, idempotent: false, wholeTransactions: false }),
    /SINK_UNSUPPORTED: s\.t is split, but its unique key u_u could tie/,
  );
});
