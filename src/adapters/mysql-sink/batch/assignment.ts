import { readJsonDiffs, writeJsonDiffs } from '#src/adapters/binlog/json-diff.ts';
import { absentCell } from './image-arena.ts';
import { writeCell } from './row-text.ts';

import type { RowEvent } from '#src/adapters/binlog/row-event.ts';
import type { ByteWriter } from '#src/base/byte-writer.ts';

import type { ImageArena } from './image-arena.ts';
import type { BoundColumn, TableBinding } from './table-binding.ts';

/** An update of one row: its images and the event they come from. */
export interface RowUpdate {
  readonly binding: TableBinding;
  readonly arena: ImageArena;
  readonly before: number;
  readonly after: number;
  readonly event: RowEvent;
}

/**
 * Writes `a=1,b=2` for the written columns that the after image has and that changed; false when there are none. A partial
 * JSON value is rebuilt from the one downstream, which equals the before image.
 */
export function assignColumns(out: ByteWriter, update: RowUpdate): boolean {
  const { binding, arena, before, after, event } = update;
  let isFirst = true;
  const begin = (column: BoundColumn): void => {
    if (!isFirst) out.byte(0x2c);
    isFirst = false;
    out.utf8(column.name);
    out.byte(0x3d);
  };
  const kept: BoundColumn[] = [];
  for (const column of binding.written) {
    const { index } = column;
    const start = arena.start(after, index);
    const isPartial = event.after.isPartial(index);
    if (start === absentCell || (!isPartial && arena.sameCell(before, after, index))) {
      if (column.definition.updatesItself) kept.push(column);
      continue;
    }
    begin(column);
    if (isPartial) {
      const diffs = readJsonDiffs(column.log, arena.bytes(after), start, arena.end(after, index));
      writeJsonDiffs(out, diffs, Buffer.from(column.name, 'utf8'));
    } else {
      writeCell(out, arena, after, { index, write: column.value });
    }
  }
  if (isFirst) return false;
  // What would change by itself, but did not upstream, is assigned to itself.
  for (const column of kept) {
    begin(column);
    out.utf8(column.name);
  }
  return true;
}
