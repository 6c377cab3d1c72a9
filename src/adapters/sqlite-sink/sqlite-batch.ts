import { RowEvent } from '#src/adapters/binlog/row-event.ts';
import { type TableMap, readTableMap } from '#src/adapters/binlog/table-map.ts';
import { must } from '#src/base/assert.ts';
import { blockFlavor, visitBlock } from '#src/model/block.ts';
import type { SqliteConnection } from './sqlite-connection.ts';
import { SqliteTable } from './sqlite-table.ts';

/** What a batch did so far. */
export interface BatchCounts {
  /** commitTs of the last transaction applied; 0 when none was. */
  lastTs: number;
  rowCount: number;
  transactionCount: number;
  commitMs: number;
  byteCount: number;
}

/** Which transactions of the blocks are applied: afterTs < commitTs ≤ untilTs. */
export interface BatchRange {
  readonly afterTs: number;
  readonly untilTs: number;
  readonly isIdempotent: boolean;
}

/** Tables known by their table map; at most this many, then all are read anew. */
const tableCountMax = 2000;

/** Table definitions of one connection, remembered between batches until a DDL. */
export class TableCache {
  readonly #connection: SqliteConnection;
  readonly #tables = new Map<string, SqliteTable>();
  #schemaVersion = -1;

  constructor(connection: SqliteConnection) {
    this.#connection = connection;
  }

  /** Forgets all tables when `schemaVersion` is another than before. */
  at(schemaVersion: number): void {
    if (schemaVersion !== this.#schemaVersion) this.forget();
    this.#schemaVersion = schemaVersion;
  }

  /** Forgets all tables. */
  forget(): void {
    this.#tables.clear();
  }

  /** The writer of the table whose TABLE_MAP body is `body`; the table is made when missing. */
  table(body: Uint8Array, map: TableMap): SqliteTable {
    // All but the number of the table, which changes whenever the server reopens it.
    const key = `${map.flavor} ${Buffer.from(body.buffer, body.byteOffset + 6, body.byteLength - 6).toString('latin1')}`;
    const known = this.#tables.get(key);
    if (known !== undefined) return known;
    if (this.#tables.size >= tableCountMax) this.#tables.clear();
    const made = new SqliteTable(this.#connection, map);
    this.#tables.set(key, made);
    return made;
  }
}

/** Applies blocks, row by row in their order; several calls may make up one transaction. */
export class SqliteBatch {
  readonly #cache: TableCache;
  readonly #event = new RowEvent();
  #seenTs = 0;

  constructor(cache: TableCache) {
    this.#cache = cache;
  }

  /** Applies what of the blocks is in range and answers what this call did. */
  apply(blocks: readonly Uint8Array[], range: BatchRange): BatchCounts {
    const counts = { lastTs: 0, rowCount: 0, transactionCount: 0, commitMs: 0, byteCount: 0 };
    for (const block of blocks) this.#block(block, range, counts);
    return counts;
  }

  #block(bytes: Uint8Array, range: BatchRange, counts: BatchCounts): void {
    const flavor = blockFlavor(bytes);
    const maps: { readonly map: TableMap; readonly body: Uint8Array }[] = [];
    let isWanted = false;
    visitBlock(bytes, {
      transaction: (ts, commitMs) => {
        isWanted = ts > range.afterTs && ts <= range.untilTs;
        if (!isWanted) return;
        // A transaction of several blocks names itself in each.
        if (ts !== this.#seenTs) counts.transactionCount++;
        this.#seenTs = ts;
        counts.lastTs = ts;
        counts.commitMs = commitMs;
      },
      table: (index, body) => {
        maps[index] = { map: readTableMap(body, flavor), body };
      },
      rows: (index, eventType, body) => {
        if (!isWanted) return;
        const { map, body: mapBody } = must(maps[index], 'the table of a rows record');
        const table = this.#cache.table(mapBody, map);
        const event = this.#event;
        event.open(eventType, body, map);
        while (event.next()) {
          table.apply(event, range.isIdempotent);
          counts.rowCount++;
        }
        counts.byteCount += body.byteLength;
      },
    });
  }
}
