import { readJsonDiffs, writeJsonDiffs } from '#src/adapters/binlog/json-diff.ts';
import { absentCell } from './image-arena.ts';
import { writeCell } from './row-text.ts';

import type { RowEvent } from '#src/adapters/binlog/row-event.ts';
import type { ByteWriter } from '#src/base/byte-writer.ts';

import type { ImageArena } from './image-arena.ts';
import type { TableBinding } from './table-binding.ts';

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
  for (const column of binding.written) {
    if (arena.start(after, column.index) === absentCell) continue;
    const isPartial = event.after.isPartial(column.index);
    if (!isPartial && arena.sameCell(before, after, column.index)) continue;
    if (!isFirst) out.byte(0x2c);
    isFirst = false;
    out.utf8(column.name);
    out.byte(0x3d);
    if (isPartial) {
      const start = arena.start(after, column.index);
      const end = arena.end(after, column.index);
      const diffs = readJsonDiffs(column.log, arena.bytes(after), start, end);
      writeJsonDiffs(out, diffs, Buffer.from(column.name, 'utf8'));
    } else writeCell(out, arena, after, { index: column.index, write: column.value });
  }
  return !isFirst;
}
