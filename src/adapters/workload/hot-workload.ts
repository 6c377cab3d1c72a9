import type { WriterRow, WriterTable } from './row-event-writer.ts';
import { type Workload, chance } from './workload.ts';
import type { WorkloadSettings } from './workload-uri.ts';

/** Rows filled in per transaction of the setup. */
const fillCount = 100;
/** Most rows a transaction changes. */
const changeCountMax = 4;

/** One table of few rows that every transaction changes: `hits` rises by one, `note` names the transaction. */
export function hotWorkload(settings: WorkloadSettings): Workload {
  const { seed, rows: rowCount } = settings;
  const setupCount = Math.ceil(rowCount / fillCount);
  const hits = new Float64Array(rowCount);
  const notes = new Float64Array(rowCount).fill(-1);
  let opened = 0;
  const row = (i: number): WriterRow => [
    i + 1,
    hits[i]!,
    notes[i]! < 0 ? null : `hit by ${notes[i]}`,
  ];
  return {
    schema: 'hot',
    tables: [counterTable],
    setupCount,
    *transaction(n) {
      if (n < setupCount) {
        const end = Math.min(rowCount, (n + 1) * fillCount);
        for (let i = n * fillCount; i < end; i++) {
          yield { table: counterTable, before: null, after: row(i) };
        }
        opened = end;
        return;
      }
      const count = Math.min(rowCount, 1 + (chance(seed, n, 0) % changeCountMax));
      const first = chance(seed, n, 1) % rowCount;
      for (let k = 0; k < count; k++) {
        const i = (first + k) % rowCount;
        const before = row(i);
        hits[i]! += 1;
        notes[i] = n;
        yield { table: counterTable, before, after: row(i) };
      }
    },
    *rows() {
      for (let i = 0; i < opened; i++) yield row(i);
    },
  };
}

const counterTable: WriterTable = {
  id: 100,
  schema: 'hot',
  table: 'counter',
  columns: [
    { name: 'id', kind: 'integer', bytes: 4, unsigned: false, nullable: false },
    { name: 'hits', kind: 'integer', bytes: 8, unsigned: false, nullable: false },
    { name: 'note', kind: 'varchar', length: 64, nullable: true },
  ],
  key: [0],
};
