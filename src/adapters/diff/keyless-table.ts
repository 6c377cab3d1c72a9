import { fail } from '#src/base/failure.ts';
import { keyShownText } from './column-text.ts';
import { hashNumber, rowHash } from './row-hash.ts';
import { quoteTable, quoteText } from './table-shape.ts';

import type { ComparedTable, DiffCollector, DiffServers } from './comparison.ts';
import type { DiffServer, TextRow } from './diff-server.ts';

/** Rows that share a bucket on average, at most, as long as {@link bucketDigitsMax} allows. */
const rowsPerBucket = 4_096;
/** Hex digits of the row hash that name a bucket: 65,536 buckets at most. */
const bucketDigitsMax = 4;
/** Bound of the distinct rows of one bucket that are held in memory. */
const bucketRowsMax = 500_000;

interface Side {
  readonly server: DiffServer;
  readonly from: string;
  readonly hash: string;
  /** The columns of the shown key, as a person reads them. */
  readonly shownTexts: readonly string[];
}

/** How often a row occurs, and its key as a person reads it (empty without one). */
interface Copies {
  readonly count: number;
  readonly shown: TextRow;
}

interface Bucket {
  readonly count: number;
  readonly sum: string;
}

/**
 * Compares a table that has no key in common as a multiset of rows: rows are spread over buckets by their hash, each
 * bucket is compared by the number and the sum of its hashes, and in buckets that differ the copies of each row are
 * counted. A sum, not an XOR: two copies of a row must not cancel out.
 */
export async function compareKeylessTable(
  table: ComparedTable,
  servers: DiffServers,
  collector: DiffCollector,
): Promise<void> {
  const sides = [
    makeSide(table, servers.upstream, 'upstream'),
    makeSide(table, servers.sink, 'sink'),
  ] as const;
  const counts = await Promise.all(sides.map(countRows));
  const digits = bucketDigits(Math.max(...counts));
  const [ours, theirs] = await Promise.all(
    sides.map((side) => readBuckets(side, digits)) as [Promise<Buckets>, Promise<Buckets>],
  );
  const names = new Set([...ours.keys(), ...theirs.keys()]);
  for (const name of names) {
    const [a, b] = [ours.get(name), theirs.get(name)];
    if (a?.count === b?.count && a?.sum === b?.sum) continue;
    if (collector.isFull) collector.skip();
    else await compareBucket(table, sides, { name, digits, collector });
    collector.step(0);
  }
  collector.step([...ours.values()].reduce((total, { count }) => total + count, 0));
}

type Buckets = ReadonlyMap<string, Bucket>;

function makeSide(table: ComparedTable, server: DiffServer, which: 'upstream' | 'sink'): Side {
  const columns = table.columns.map((column) => column[which]);
  const forms = table.columns.map(({ form }) => form);
  const shownTexts = table.shownKey.map((column) => keyShownText(column[which]));
  return { server, from: quoteTable(table.name), hash: rowHash(columns, forms), shownTexts };
}

async function countRows(side: Side): Promise<number> {
  const [row] = await side.server.rows(`SELECT COUNT(*) FROM ${side.from}`);
  return Number(row![0]);
}

function bucketDigits(rows: number): number {
  let digits = 0;
  while (digits < bucketDigitsMax && 16 ** digits * rowsPerBucket < rows) digits += 1;
  return digits;
}

async function readBuckets(side: Side, digits: number): Promise<Buckets> {
  const rows = await side.server.rows(
    `SELECT IFNULL(LEFT(${side.hash}, ${digits}), '-') AS bucket, COUNT(*), CAST(SUM(${hashNumber(side.hash)}) AS CHAR)
     FROM ${side.from} GROUP BY bucket`,
  );
  return new Map(rows.map(([name, count, sum]) => [name!, { count: Number(count), sum: sum! }]));
}

async function compareBucket(
  table: ComparedTable,
  sides: readonly [Side, Side],
  { name, digits, collector }: { name: string; digits: number; collector: DiffCollector },
): Promise<void> {
  const label = `${table.name.schema}.${table.name.table}`;
  const [ours, theirs] = await Promise.all(
    sides.map((side) => readCopies(side, { name, digits, label })) as [
      Promise<Map<string, Copies>>,
      Promise<Map<string, Copies>>,
    ],
  );
  for (const digest of new Set([...ours.keys(), ...theirs.keys()])) {
    const [a, b] = [ours.get(digest), theirs.get(digest)];
    const copies = (a?.count ?? 0) - (b?.count ?? 0);
    if (copies === 0) continue;
    const shown = (a ?? b)!.shown;
    collector.add({
      table: label,
      key: shown.length === 0 ? null : shownKey(table, shown),
      kind: copies > 0 ? 'missing' : 'extra',
      count: Math.abs(copies),
      digest,
    });
  }
}

function shownKey(table: ComparedTable, shown: TextRow): Record<string, string | null> {
  return Object.fromEntries(
    table.shownKey.map(({ upstream }, index) => [upstream.name, shown[index] ?? null]),
  );
}

async function readCopies(
  side: Side,
  { name, digits, label }: { name: string; digits: number; label: string },
): Promise<Map<string, Copies>> {
  // Rows of one digest have one key: MIN only says so to the server.
  const shown = side.shownTexts.map((text) => `, MIN(${text})`).join('');
  const rows = await side.server.rows(
    `SELECT ${side.hash} AS digest, COUNT(*)${shown} FROM ${side.from}
     WHERE IFNULL(LEFT(${side.hash}, ${digits}), '-') = ${quoteText(name)} GROUP BY digest LIMIT ${bucketRowsMax + 1}`,
  );
  if (rows.length > bucketRowsMax) {
    fail('DIFF_FAILED', `table ${label} has no key and too many rows that differ to be listed`);
  }
  const copies = new Map<string, Copies>();
  for (const [digest, count, ...cells] of rows) {
    if (digest === null || digest === undefined) {
      fail(
        'DIFF_FAILED',
        `a row of table ${label} is longer than max_allowed_packet of the ${side.server.side} lets it be compared`,
      );
    }
    copies.set(digest.slice(0, 32), { count: Number(count), shown: cells });
  }
  return copies;
}
