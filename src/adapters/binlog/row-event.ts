import { ByteCursor } from './byte-cursor.ts';
import { corrupt, unsupported } from './corrupt.ts';
import { inflateRows } from './inflate.ts';
import { RowImage, type Presence } from './row-image.ts';
import type { TableMap } from './table-map.ts';

/** Event types of rows events. */
export const rowEventType = {
  insertV1: 23,
  updateV1: 24,
  deleteV1: 25,
  insert: 30,
  update: 31,
  delete: 32,
  partialUpdate: 39,
  compressedInsertV1: 166,
  compressedUpdateV1: 167,
  compressedDeleteV1: 168,
  compressedInsert: 169,
  compressedUpdate: 170,
  compressedDelete: 171,
} as const;

/** Bits of `RowEvent.flags`. */
export const rowEventFlag = {
  /** Last event of its statement. */
  statementEnd: 1,
  /** The session had foreign_key_checks=0. */
  noForeignKeyChecks: 2,
  /** The session had unique_checks=0. */
  relaxedUniqueChecks: 4,
  /** MySQL 9.6 and later: rows changed by cascades are in the log themselves. */
  cascadesLogged: 16,
} as const;

/** What a rows event does to its rows. */
export type RowOperation = 'insert' | 'update' | 'delete';

interface EventKind {
  readonly operation: RowOperation;
  readonly hasExtra: boolean;
  readonly compressed: boolean;
  readonly partial: boolean;
}

const kinds = new Map<number, EventKind>();
for (const [base, hasExtra, compressed] of [
  [rowEventType.insertV1, false, false],
  [rowEventType.insert, true, false],
  [rowEventType.compressedInsertV1, false, true],
  [rowEventType.compressedInsert, true, true],
] as const) {
  kinds.set(base, { operation: 'insert', hasExtra, compressed, partial: false });
  kinds.set(base + 1, { operation: 'update', hasExtra, compressed, partial: false });
  kinds.set(base + 2, { operation: 'delete', hasExtra, compressed, partial: false });
}
kinds.set(rowEventType.partialUpdate, {
  operation: 'update',
  hasExtra: true,
  compressed: false,
  partial: true,
});

/** True for the event types that {@link RowEvent} reads. */
export function isRowEventType(eventType: number): boolean {
  return kinds.has(eventType);
}

/** Bit of a partial image's options: JSON cells may be lists of changes. */
const optionPartialJson = 1;

/**
 * A cursor over the rows of one rows event after another; it allocates nothing per row. `open` an event, then `next`
 * until false; `before` (update, delete) and `after` (insert, update) are the images of the current row. Any malformed
 * input is SOURCE_CORRUPT, thrown by `open` or `next`; after a throw the cursor may only be opened anew.
 */
export class RowEvent {
  /** The row before the change; meaningful for updates and deletes. */
  readonly before = new RowImage();
  /** The row after the change; meaningful for inserts and updates. */
  readonly after = new RowImage();
  /** What the event does. */
  operation: RowOperation = 'insert';
  /** Bits of {@link rowEventFlag}. */
  flags = 0;
  /** Number of the table as the event has it. */
  tableId = 0;
  #table: TableMap | null = null;
  #at = 0;
  #limit = 0;
  #hasPartial = false;
  #partial: Uint8Array | null = null;
  readonly #beforeColumns = new PresenceSet();
  readonly #afterColumns = new PresenceSet();

  /** True when the rows were written with foreign_key_checks=0. */
  get noForeignKeyChecks(): boolean {
    return (this.flags & rowEventFlag.noForeignKeyChecks) !== 0;
  }

  /** True when the log itself has the rows that cascading foreign keys change (MySQL 9.6 and later). */
  get cascadesLogged(): boolean {
    return (this.flags & rowEventFlag.cascadesLogged) !== 0;
  }

  /** Starts on an event: `body` without event header and checksum, `table` the map its table id stands for. */
  open(eventType: number, body: Uint8Array, table: TableMap): void {
    const kind = kinds.get(eventType);
    if (kind === undefined) return corrupt(`event type ${eventType} has no rows`);
    this.#table = null;
    const cursor = new ByteCursor(body, 'a rows event');
    this.tableId = cursor.uint(6);
    this.flags = cursor.uint16();
    if (kind.hasExtra) {
      const extraBytes = cursor.uint16();
      if (extraBytes < 2) corrupt('a rows event has a bad extra part');
      cursor.skip(extraBytes - 2);
    }
    const columnCount = cursor.lenenc();
    if (columnCount !== table.columns.length) {
      corrupt('a rows event has more or fewer columns than its table map');
    }
    this.operation = kind.operation;
    const images = kind.operation === 'update' ? 2 : 1;
    const first = kind.operation === 'insert' ? this.#afterColumns : this.#beforeColumns;
    first.read(cursor, columnCount, table.layout.order);
    if (images === 2) this.#afterColumns.read(cursor, columnCount, table.layout.order);
    if (first.count === 0 && cursor.left === 0) {
      unsupported('a rows event without columns: set binlog_row_image=FULL');
    }
    this.#openRows(kind, cursor, table);
  }

  /** Goes to the next row; false when there is none. */
  next(): boolean {
    const table = this.#table;
    const at = this.#at;
    if (table === null || at >= this.#limit) return false;
    const { layout } = table;
    let next: number;
    if (this.operation === 'insert') {
      next = this.after.scan(at, this.#limit, layout, this.#afterColumns);
    } else {
      next = this.before.scan(at, this.#limit, layout, this.#beforeColumns);
      if (this.operation === 'update') {
        if (this.#hasPartial) next = this.#readPartial(next, table);
        next = this.after.scan(next, this.#limit, layout, this.#afterColumns);
      }
    }
    // Without progress the same bytes would be read for ever.
    if (next === at) corrupt('a rows event has rows without content');
    this.#at = next;
    return true;
  }

  #openRows(kind: EventKind, cursor: ByteCursor, table: TableMap): void {
    let bytes = cursor.bytes;
    let at = cursor.at;
    let limit = cursor.end;
    if (kind.compressed) {
      bytes = inflateRows(bytes, at, limit);
      at = 0;
      limit = bytes.byteLength;
    }
    if (kind.operation !== 'insert') this.before.open(bytes, table.columns.length);
    if (kind.operation !== 'delete') this.after.open(bytes, table.columns.length);
    this.#hasPartial = kind.partial;
    this.#at = at;
    this.#limit = limit;
    this.#table = table;
  }

  /** Options of a partial after image: one bit per JSON column of the table, also of those that the image lacks. */
  #readPartial(at: number, table: TableMap): number {
    const cursor = new ByteCursor(this.after.bytes, 'a partial row', at, this.#limit);
    const options = cursor.lenenc();
    if (options > optionPartialJson) unsupported('a partial update of an unknown kind');
    if (options === 0) {
      this.after.setPartial(null);
      return cursor.at;
    }
    const { json, jsonCount } = table.layout;
    const bits = cursor.view((jsonCount + 7) >> 3);
    if (this.#partial === null || this.#partial.length !== json.length) {
      this.#partial = new Uint8Array(json.length);
    }
    let bit = 0;
    for (let i = 0; i < json.length; i++) {
      if (json[i] !== 1) continue;
      this.#partial[i] = (bits[bit >> 3]! >> (bit & 7)) & 1;
      bit++;
    }
    this.after.setPartial(this.#partial);
    return cursor.at;
  }
}

/** The columns an image has; when it has all, the table's own order is used and nothing is copied. */
class PresenceSet implements Presence {
  columns: Int32Array = new Int32Array(0);
  count = 0;
  #own = new Int32Array(0);

  read(cursor: ByteCursor, columnCount: number, order: Int32Array): void {
    const at = cursor.skip((columnCount + 7) >> 3);
    const { bytes } = cursor;
    if (hasAll(bytes, at, columnCount)) {
      this.columns = order;
      this.count = columnCount;
      return;
    }
    if (this.#own.length < columnCount) this.#own = new Int32Array(columnCount);
    let count = 0;
    for (let i = 0; i < columnCount; i++) {
      if ((bytes[at + (i >> 3)]! & (1 << (i & 7))) !== 0) this.#own[count++] = i;
    }
    this.columns = this.#own;
    this.count = count;
  }
}

function hasAll(bytes: Uint8Array, at: number, columnCount: number): boolean {
  const whole = columnCount >> 3;
  for (let i = 0; i < whole; i++) if (bytes[at + i] !== 255) return false;
  const rest = columnCount & 7;
  if (rest === 0) return true;
  const mask = (1 << rest) - 1;
  return (bytes[at + whole]! & mask) === mask;
}
