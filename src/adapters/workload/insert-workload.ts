import type { WriterRow, WriterTable } from './row-event-writer.ts';
import { type Workload, chance, datetimeOf } from './workload.ts';
import type { WorkloadSettings } from './workload-uri.ts';

/** Append-only tables `event_0…`: transaction n adds `rows` rows with rising ids to table n mod `tables`. */
export function insertWorkload(settings: WorkloadSettings): Workload {
  const { seed, rows: rowCount, tables: tableCount } = settings;
  const tables = Array.from({ length: tableCount }, (_, i) => eventTable(i));
  let transactionCount = 0;
  return {
    schema: 'stream',
    tables,
    setupCount: 0,
    *transaction(n) {
      const table = tables[n % tableCount]!;
      transactionCount = n + 1;
      for (let i = 0; i < rowCount; i++) {
        yield { table, before: null, after: eventRow(seed, n * rowCount + i) };
      }
    },
    *rows(table) {
      for (let n = tables.indexOf(table); n < transactionCount; n += tableCount) {
        for (let i = 0; i < rowCount; i++) yield eventRow(seed, n * rowCount + i);
      }
    },
  };
}

function eventRow(seed: number, n: number): WriterRow {
  const dice = chance(seed, n, 0);
  const cents = String(dice % 10_000).padStart(4, '0');
  return [
    n + 1,
    (dice % 256) - 128,
    dice >>> 8,
    `event ${n + 1} of ${dice % 1000}`,
    `${dice % 3 === 0 && cents !== '0000' ? '-' : ''}${dice >>> 6}.${cents}`,
    datetimeOf(n),
    dice % 5 === 0 ? null : dice / 7,
    dice % 4 === 0 ? null : 'wörd '.repeat(dice % 20),
    dice % 6 === 0 ? null : new Uint8Array([dice & 255, 0, (dice >>> 8) & 255]),
  ];
}

function eventTable(index: number): WriterTable {
  return {
    id: 100 + index,
    schema: 'stream',
    table: `event_${index}`,
    columns: [
      { name: 'id', kind: 'integer', bytes: 8, unsigned: true, nullable: false },
      { name: 'kind', kind: 'integer', bytes: 1, unsigned: false, nullable: false },
      { name: 'points', kind: 'integer', bytes: 4, unsigned: false, nullable: false },
      { name: 'name', kind: 'varchar', length: 100, nullable: false },
      { name: 'amount', kind: 'decimal', precision: 14, scale: 4, nullable: false },
      { name: 'happened', kind: 'datetime', nullable: false },
      { name: 'score', kind: 'double', nullable: true },
      { name: 'body', kind: 'text', nullable: true },
      { name: 'mark', kind: 'varbinary', length: 16, nullable: true },
    ],
    key: [0],
  };
}
