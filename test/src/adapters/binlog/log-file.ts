import { charsetOfCollation } from '#src/adapters/binlog/charset.ts';
import { isRowEventType, RowEvent } from '#src/adapters/binlog/row-event.ts';
import type { RowImage } from '#src/adapters/binlog/row-image.ts';
import { readTableMap, type TableMap } from '#src/adapters/binlog/table-map.ts';
import { readValue, type Value } from '#src/adapters/binlog/value.ts';
import type { LogFlavor } from '#src/model/block.ts';

/** A bare event of a log file. */
export interface FileEvent {
  readonly type: number;
  /** Without the 19-byte header and the checksum. */
  readonly body: Uint8Array;
}

/** The events of a whole log file with checksums; it trusts the file, as only tests may. */
export function readLogFile(file: Uint8Array): FileEvent[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const events: FileEvent[] = [];
  for (let at = 4; at < file.byteLength;) {
    const type = file[at + 4]!;
    const size = view.getUint32(at + 9, true);
    events.push({ type, body: file.subarray(at + 19, at + size - 4) });
    at += size;
  }
  return events;
}

/** One row change with all its cells; undefined marks an absent cell. */
export interface RowChange {
  readonly table: TableMap;
  readonly event: FileEvent;
  readonly operation: string;
  readonly before: (Value | undefined)[];
  readonly after: (Value | undefined)[];
}

/** Every row change of the events, in order. */
export function readChanges(events: readonly FileEvent[], flavor: LogFlavor): RowChange[] {
  const tables = new Map<number, TableMap>();
  const changes: RowChange[] = [];
  const cursor = new RowEvent();
  for (const event of events) {
    if (event.type === 19) {
      const table = readTableMap(event.body, flavor);
      tables.set(table.tableId, table);
    } else if (isRowEventType(event.type)) {
      const id = Number(new DataView(event.body.buffer, event.body.byteOffset).getUint32(0, true));
      const table = tables.get(id)!;
      cursor.open(event.type, event.body, table);
      while (cursor.next()) {
        changes.push({
          table,
          event,
          operation: cursor.operation,
          before: cursor.operation === 'insert' ? [] : imageValues(table, cursor.before),
          after: cursor.operation === 'delete' ? [] : imageValues(table, cursor.after),
        });
      }
    }
  }
  return changes;
}

/** The cells of an image; undefined marks an absent one. */
export function imageValues(table: TableMap, image: RowImage): (Value | undefined)[] {
  return table.columns.map((column, i) => {
    const state = image.state(i);
    if (state === 0) return undefined;
    return state === 1 ? null : readValue(column, image.bytes, image.start(i), image.end(i));
  });
}

/** Name of a column's character set. */
export function charsetOf(collation: number | null): string | null {
  return collation === null ? null : charsetOfCollation(collation);
}
