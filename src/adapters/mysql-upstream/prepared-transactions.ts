import { fail } from '../../base/failure.ts';
import type { RowsRecord } from './chunk-builder.ts';

/** Bytes of rows that all prepared XA transactions together may hold in memory. */
export const preparedBytesMax = 64 * 1024 * 1024;

/**
 * Rows of XA transactions between their PREPARE and their COMMIT, which the log has apart and in any order. They wait in
 * memory, up to {@link preparedBytesMax}; a restart reads them again, because the position to restart from stays
 * before them.
 */
export class PreparedTransactions {
  readonly #byXid = new Map<string, readonly RowsRecord[]>();
  #byteCount = 0;

  /** How many wait. */
  get count(): number {
    return this.#byXid.size;
  }

  /** Keeps the rows of a prepared transaction; SOURCE_UNSUPPORTED when they do not fit. */
  add(xid: string, rows: readonly RowsRecord[]): void {
    this.#byXid.set(xid, rows);
    this.#byteCount += byteCountOf(rows);
    if (this.#byteCount > preparedBytesMax) {
      fail(
        'SOURCE_UNSUPPORTED',
        `prepared XA transactions hold ${this.#byteCount} bytes of rows, more than ${preparedBytesMax}`,
      );
    }
  }

  /** Takes the rows out again; undefined when the transaction is not known. */
  take(xid: string): readonly RowsRecord[] | undefined {
    const rows = this.#byXid.get(xid);
    if (rows !== undefined) this.#byteCount -= byteCountOf(rows);
    this.#byXid.delete(xid);
    return rows;
  }
}

function byteCountOf(rows: readonly RowsRecord[]): number {
  return rows.reduce((sum, row) => sum + row.body.byteLength + row.tableMap.byteLength, 0);
}
