import type { WriterRow, WriterTable } from './row-event-writer.ts';
import { type RowChange, type Workload, chance, datetimeOf } from './workload.ts';
import type { WorkloadSettings } from './workload-uri.ts';

/** What every account holds at first; the sum over all tables never changes after the setup. */
export const openingBalance = 1000;

/** Accounts filled in per transaction of the setup. */
const fillCount = 100;
/** Every so many transfers leave an audit row. */
const auditEvery = 10;
/** Every so many transfers remove the audit row that is `auditKept` transfers old. */
const auditRemovalEvery = 20;
const auditKept = 400;

/** The bank: transfers within and between the tables `account_0…`, with constant sum, and a table of audit rows. */
export function bankWorkload(settings: WorkloadSettings): Workload {
  const { seed, accounts, tables: tableCount } = settings;
  const tables = Array.from({ length: tableCount }, (_, i) => accountTable(i));
  const audit = auditTable(tableCount);
  const setupCount = Math.ceil(accounts / fillCount);
  // Account i is row i + 1 of table i mod tableCount.
  const balances = new Float64Array(accounts);
  let opened = 0;
  const audits = new Map<number, WriterRow>();

  const accountRow = (i: number): WriterRow => [i + 1, ownerOf(i), balances[i]!];

  function* fill(n: number): Iterable<RowChange> {
    const end = Math.min(accounts, (n + 1) * fillCount);
    // Table by table, so that the rows of one table share an event.
    for (const [index, table] of tables.entries()) {
      for (let i = n * fillCount; i < end; i++) {
        if (i % tableCount !== index) continue;
        balances[i] = openingBalance;
        yield { table, before: null, after: accountRow(i) };
      }
    }
    opened = end;
  }

  function change(i: number, amount: number): RowChange {
    const before = accountRow(i);
    balances[i]! += amount;
    return { table: tables[i % tableCount]!, before, after: accountRow(i) };
  }

  function* transfer(n: number): Iterable<RowChange> {
    const source = chance(seed, n, 0) % accounts;
    const target = (source + 1 + (chance(seed, n, 1) % (accounts - 1))) % accounts;
    const amount = 1 + (chance(seed, n, 2) % 100);
    yield change(source, -amount);
    yield change(target, amount);
    if (n % auditEvery === 0) {
      const note = n % 3 === 0 ? null : `transfer №${n}`;
      const row = [n, source + 1, target + 1, amount, note, datetimeOf(n)];
      audits.set(n, row);
      yield { table: audit, before: null, after: row };
    }
    if (n % auditRemovalEvery === 0) {
      const row = audits.get(n - auditKept);
      if (row !== undefined) {
        audits.delete(n - auditKept);
        yield { table: audit, before: row, after: null };
      }
    }
  }

  return {
    schema: 'bank',
    tables: [...tables, audit],
    setupCount,
    transaction: (n) => (n < setupCount ? fill(n) : transfer(n)),
    *rows(table) {
      if (table === audit) {
        yield* audits.values();
        return;
      }
      for (let i = tables.indexOf(table); i < accounts; i += tableCount) {
        if (i < opened) yield accountRow(i);
      }
    },
  };
}

function ownerOf(i: number): string {
  return i % 7 === 0 ? `Ösü „${i + 1}“` : `owner ${i + 1}`;
}

function accountTable(index: number): WriterTable {
  return {
    id: 100 + index,
    schema: 'bank',
    table: `account_${index}`,
    columns: [
      { name: 'id', kind: 'integer', bytes: 4, unsigned: false, nullable: false },
      { name: 'owner', kind: 'varchar', length: 40, nullable: false },
      { name: 'balance', kind: 'integer', bytes: 8, unsigned: false, nullable: false },
    ],
    key: [0],
  };
}

function auditTable(index: number): WriterTable {
  return {
    id: 100 + index,
    schema: 'bank',
    table: 'audit',
    columns: [
      { name: 'id', kind: 'integer', bytes: 8, unsigned: true, nullable: false },
      { name: 'source', kind: 'integer', bytes: 4, unsigned: false, nullable: false },
      { name: 'target', kind: 'integer', bytes: 4, unsigned: false, nullable: false },
      { name: 'amount', kind: 'integer', bytes: 8, unsigned: false, nullable: false },
      { name: 'note', kind: 'varchar', length: 80, nullable: true },
      { name: 'made', kind: 'datetime', nullable: false },
    ],
    key: [0],
  };
}
