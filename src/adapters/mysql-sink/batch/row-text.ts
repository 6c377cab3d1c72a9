/** Pieces of SQL made from a kept row image: tuples, assignments, conditions. */
import { absentCell, nullCell } from './image-arena.ts';

import type { ByteWriter } from '#src/base/byte-writer.ts';
import type { ImageArena } from './image-arena.ts';
import type { CellWriter } from './literal.ts';
import type { BoundColumn, TableBinding } from './table-binding.ts';

const encoder = new TextEncoder();
const comma = 0x2c;
const open = 0x28;
const close = 0x29;

/** Writes one cell; NULL and absent cells as the words that mean them in a VALUES list or an assignment. */
export function writeCell(
  out: ByteWriter,
  arena: ImageArena,
  place: number,
  cell: { readonly index: number; readonly write: CellWriter },
): void {
  const start = arena.start(place, cell.index);
  if (start >= 0) cell.write(out, arena.bytes(place), start, arena.end(place, cell.index));
  else out.ascii(start === nullCell ? 'NULL' : 'DEFAULT');
}

/** Writes `(a,b,…)`: the values of `columns` to be stored. */
export function writeValues(
  out: ByteWriter,
  arena: ImageArena,
  place: number,
  columns: readonly BoundColumn[],
): void {
  out.byte(open);
  const bytes = arena.bytes(place);
  const { cells } = arena;
  for (let i = 0; i < columns.length; i++) {
    if (i > 0) out.byte(comma);
    const column = columns[i]!;
    const at = place + 1 + 2 * column.index;
    const start = cells[at]!;
    if (start >= 0) column.value(out, bytes, start, cells[at + 1]!);
    else out.ascii(start === nullCell ? 'NULL' : 'DEFAULT');
  }
  out.byte(close);
}

/** Writes a row's key for an IN list: `a`, or `(a,b)` when it has several columns. */
export function writeKey(
  out: ByteWriter,
  arena: ImageArena,
  place: number,
  key: readonly BoundColumn[],
): void {
  if (key.length > 1) out.byte(open);
  for (let i = 0; i < key.length; i++) {
    if (i > 0) out.byte(comma);
    const column = key[i]!;
    writeCell(out, arena, place, { index: column.index, write: column.match });
  }
  if (key.length > 1) out.byte(close);
}

/** Writes `a=1,b=2`: assignments of `columns`. */
export function writeAssignments(
  out: ByteWriter,
  arena: ImageArena,
  place: number,
  columns: readonly BoundColumn[],
): void {
  for (let i = 0; i < columns.length; i++) {
    if (i > 0) out.byte(comma);
    const column = columns[i]!;
    out.utf8(column.name);
    out.byte(0x3d);
    writeCell(out, arena, place, { index: column.index, write: column.value });
  }
}

/** Writes `a=1 AND b=2`: the row with the key of an image. */
export function writeKeyCondition(
  out: ByteWriter,
  arena: ImageArena,
  place: number,
  key: readonly BoundColumn[],
): void {
  for (let i = 0; i < key.length; i++) {
    if (i > 0) out.ascii(' AND ');
    const column = key[i]!;
    out.utf8(column.name);
    out.byte(0x3d);
    writeCell(out, arena, place, { index: column.index, write: column.match });
  }
}

/** Writes the condition that a row equals an image in all of `columns` that the image has; false when it has none. */
export function writeExactCondition(
  out: ByteWriter,
  arena: ImageArena,
  place: number,
  columns: readonly BoundColumn[],
): boolean {
  let isFirst = true;
  for (const column of columns) {
    const start = arena.start(place, column.index);
    if (start === absentCell) continue;
    if (!isFirst) out.ascii(' AND ');
    isFirst = false;
    if (start === nullCell) {
      out.utf8(column.name);
      out.ascii(' IS NULL');
    } else {
      column.exact(out, arena.bytes(place), start, arena.end(place, column.index));
    }
  }
  return !isFirst;
}

/** Whether an image has an ENUM of index 0 (an invalid value), which strict mode refuses. */
export function hasInvalidEnum(binding: TableBinding, arena: ImageArena, place: number): boolean {
  for (const column of binding.enums) {
    const start = arena.start(place, column.index);
    if (start < 0) continue;
    const bytes = arena.bytes(place);
    const end = arena.end(place, column.index);
    let any = 0;
    for (let i = start; i < end; i++) any |= bytes[i]!;
    if (any === 0) return true;
  }
  return false;
}

/** `INSERT INTO t (a,b) VALUES `, or the same with REPLACE. */
export function insertHead(
  verb: 'INSERT' | 'REPLACE',
  binding: TableBinding,
  columns: readonly BoundColumn[],
): Uint8Array {
  const names = columns.map((column) => column.name).join(',');
  return encoder.encode(`${verb} INTO ${binding.name} (${names}) VALUES `);
}

/** `DELETE FROM t WHERE k IN (`, to be closed by a parenthesis. */
export function deleteHead(binding: TableBinding, key: readonly BoundColumn[]): Uint8Array {
  const names = key.map((column) => column.name).join(',');
  const left = key.length > 1 ? `(${names})` : names;
  return encoder.encode(`DELETE FROM ${binding.name} WHERE ${left} IN (`);
}

/**
 * ` ON DUPLICATE KEY UPDATE a=VALUES(a)`: only these columns change of the row that is there. The key is assigned first: NULL,
 * which it refuses, when the row found is not the one meant but another that holds a unique value of it.
 */
export function upsertTail(
  key: readonly BoundColumn[],
  columns: readonly BoundColumn[],
): Uint8Array {
  const guard = key.find((column) => column.definition.generated === 'no');
  const isMeant = key.map(({ name }) => `${name}=VALUES(${name})`).join(' AND ');
  const assignments = columns.map(({ name }) => `${name}=VALUES(${name})`);
  if (guard !== undefined) {
    assignments.unshift(`${guard.name}=IF(${isMeant},${guard.name},NULL)`);
  }
  return encoder.encode(` ON DUPLICATE KEY UPDATE ${assignments.join(',')}`);
}
