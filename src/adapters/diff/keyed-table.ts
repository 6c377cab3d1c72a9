import { fail } from '#src/base/failure.ts';
import { columnText, keyShownText } from './column-text.ts';
import { keyBound, rangeCondition } from './key-range.ts';
import { hashNumber, rowHash } from './row-hash.ts';
import { quoteName, quoteTable } from './table-shape.ts';

import type { ComparedTable, DiffCollector, DiffServers } from './comparison.ts';
import type { DiffServer } from './diff-server.ts';
import type { KeyBound, KeyRange } from './key-range.ts';
import type { ColumnShape } from './table-shape.ts';

/** Below this many rows on either side a range that differs is compared row by row. */
const rowsAtOnce = 1_000;
/** A range is halved at most so often; more means that the rows change faster than they can be read. */
const depthMax = 80;

/** One server's view of the table. */
interface Side {
  readonly server: DiffServer;
  readonly key: readonly ColumnShape[];
  readonly from: string;
  readonly order: string;
  readonly hash: string;
  /** Key columns as {@link columnText}. */
  readonly keyTexts: readonly string[];
  /** Key columns as a person reads them. */
  readonly shownTexts: readonly string[];
}

interface Summary {
  readonly count: number;
  /** XOR of the hashes of all rows. */
  readonly sum: string;
}

interface Row {
  readonly hash: string;
  readonly shown: readonly (string | null)[];
}

/**
 * Compares a table by ranges of its key: each range by one checksum that the servers compute, and only ranges that
 * differ are halved down to rows. Memory is bounded by {@link rowsAtOnce} rows of key and hash.
 */
export class KeyedTable {
  readonly #table: ComparedTable;
  readonly #upstream: Side;
  readonly #sink: Side;
  readonly #collector: DiffCollector;

  constructor(table: ComparedTable, servers: DiffServers, collector: DiffCollector) {
    this.#table = table;
    this.#upstream = makeSide(table, servers.upstream, 'upstream');
    this.#sink = makeSide(table, servers.sink, 'sink');
    this.#collector = collector;
  }

  /** Compares the whole table; `chunkRows` rows of the upstream make one range. */
  async compare(chunkRows: number): Promise<void> {
    let after: KeyBound | null = null;
    for (;;) {
      const upTo: KeyBound | null = await keyAt(
        this.#upstream,
        { after, upTo: null },
        chunkRows - 1,
      );
      await this.#compareRange({ after, upTo }, 0);
      if (upTo === null) return;
      after = upTo;
    }
  }

  async #compareRange(range: KeyRange, depth: number): Promise<void> {
    const [ours, theirs] = await Promise.all([
      summary(this.#upstream, range),
      summary(this.#sink, range),
    ]);
    if (ours.count === theirs.count && ours.sum === theirs.sum) {
      this.#collector.step(ours.count);
      return;
    }
    if (this.#collector.isFull) {
      this.#collector.skip();
      this.#collector.step(ours.count);
      return;
    }
    if (depth > depthMax) {
      fail('DIFF_FAILED', `table ${this.#label} changes too fast to be compared`);
    }
    const more = Math.max(ours.count, theirs.count);
    if (more <= rowsAtOnce && (await this.#compareRows(range))) return;
    const larger = ours.count >= theirs.count ? this.#upstream : this.#sink;
    const middle = await keyAt(larger, range, Math.max(0, Math.floor(more / 2) - 1));
    if (middle === null) return this.#compareRange(range, depth + 1);
    await this.#compareRange({ after: range.after, upTo: middle }, depth + 1);
    await this.#compareRange({ after: middle, upTo: range.upTo }, depth + 1);
  }

  /** False when there are more rows by now than may be read at once. */
  async #compareRows(range: KeyRange): Promise<boolean> {
    const [ours, theirs] = await Promise.all([
      this.#readRows(this.#upstream, range),
      this.#readRows(this.#sink, range),
    ]);
    if (ours === null || theirs === null) return false;
    for (const [key, row] of ours) {
      const other = theirs.get(key);
      if (other === undefined) this.#add('missing', row);
      else if (other.hash !== row.hash) this.#add('different', row);
    }
    for (const [key, row] of theirs) if (!ours.has(key)) this.#add('extra', row);
    this.#collector.step(ours.size);
    return true;
  }

  async #readRows(side: Side, range: KeyRange): Promise<Map<string, Row> | null> {
    const { key, keyTexts, shownTexts } = side;
    const rows = await side.server.rows(
      `SELECT ${[side.hash, ...keyTexts, ...shownTexts].join(', ')} FROM ${side.from}
       WHERE ${rangeCondition(key, range)} ORDER BY ${side.order} LIMIT ${rowsAtOnce + 1}`,
    );
    if (rows.length > rowsAtOnce) return null;
    return new Map(
      rows.map(([hash, ...cells]) => {
        if (hash === null || hash === undefined) return this.#refuseLongRow(side);
        const shown = cells.slice(key.length);
        return [cells.slice(0, key.length).join(','), { hash, shown }];
      }),
    );
  }

  #refuseLongRow(side: Side): never {
    return fail(
      'DIFF_FAILED',
      `a row of table ${this.#label} is longer than max_allowed_packet of the ${side.server.side} lets it be compared`,
    );
  }

  #add(kind: 'missing' | 'extra' | 'different', row: Row): void {
    const key = Object.fromEntries(
      this.#upstream.key.map(({ name }, index) => [name, row.shown[index] ?? null]),
    );
    this.#collector.add({ table: this.#label, key, kind, count: 1 });
  }

  get #label(): string {
    return `${this.#table.name.schema}.${this.#table.name.table}`;
  }
}

function makeSide(table: ComparedTable, server: DiffServer, which: 'upstream' | 'sink'): Side {
  const key = table.key.map((column) => column[which]);
  return {
    server,
    key,
    from: quoteTable(table.name),
    order: key.map(({ name }) => quoteName(name)).join(', '),
    hash: rowHash(
      table.columns.map((column) => column[which]),
      table.columns.map(({ form }) => form),
    ),
    keyTexts: table.key.map((column) => columnText(column[which], column.form)),
    shownTexts: key.map(keyShownText),
  };
}

async function summary(side: Side, range: KeyRange): Promise<Summary> {
  const [row] = await side.server.rows(
    `SELECT COUNT(*), CAST(BIT_XOR(${hashNumber(side.hash)}) AS CHAR) FROM ${side.from}
     WHERE ${rangeCondition(side.key, range)}`,
  );
  return { count: Number(row![0]), sum: row![1]! };
}

/** The key of the row at `offset` of a range, null when the range is shorter. */
async function keyAt(side: Side, range: KeyRange, offset: number): Promise<KeyBound | null> {
  const [row] = await side.server.rows(
    `SELECT ${side.keyTexts.join(', ')} FROM ${side.from}
     WHERE ${rangeCondition(side.key, range)} ORDER BY ${side.order} LIMIT 1 OFFSET ${offset}`,
  );
  if (row === undefined) return null;
  return keyBound(
    side.key,
    row.map((text) => text ?? ''),
  );
}
