import { absentCell } from './image-arena.ts';
import { noImage } from './row-fold.ts';

import type { RowFold } from './row-fold.ts';
import type { TableBinding } from './table-binding.ts';

/** What a fold does to a row. `move` = an update that changes a unique value, done as a deletion and an insertion. */
export const netChange = { none: 0, delete: 1, update: 2, insert: 3, move: 4 } as const;

/** The change of each entry; when idempotent, every key is brought to its final state whatever is there. */
export function netChanges(binding: TableBinding, fold: RowFold, idempotent: boolean): Uint8Array {
  const changes = new Uint8Array(fold.count);
  if (idempotent) {
    for (let entry = 0; entry < fold.count; entry++) {
      changes[entry] = fold.last[entry] === noImage ? netChange.delete : netChange.move;
    }
    return changes;
  }
  const isUnique = uniqueColumns(binding);
  for (let entry = 0; entry < fold.count; entry++) {
    const first = fold.first[entry]!;
    const last = fold.last[entry]!;
    if (first === noImage) changes[entry] = last === noImage ? netChange.none : netChange.insert;
    else if (last === noImage) changes[entry] = netChange.delete;
    else changes[entry] = updateKind(binding, fold, isUnique, entry);
  }
  return changes;
}

function updateKind(
  binding: TableBinding,
  fold: RowFold,
  isUnique: readonly boolean[],
  entry: number,
): number {
  const { arena } = fold;
  const first = fold.first[entry]!;
  const last = fold.last[entry]!;
  let change: number = netChange.none;
  const { columns } = binding;
  for (let i = 0; i < columns.length; i++) {
    const column = columns[i]!;
    // A generated column matters only through the unique keys it is in; when the log lacks it, it may have changed.
    if (column.definition.generated !== 'no' && !isUnique[i]) continue;
    const isKnown =
      arena.start(first, column.index) !== absentCell &&
      arena.start(last, column.index) !== absentCell;
    if (isKnown && arena.sameCell(first, last, column.index)) continue;
    if (isUnique[i]) return netChange.move;
    change = netChange.update;
  }
  return change;
}

/** Per column of the log: whether it is in a unique key other than the row key. An expression may use any column. */
function uniqueColumns(binding: TableBinding): readonly boolean[] {
  const { uniqueKeys, rowKey } = binding.definition;
  const unique = new Set<number>();
  let hasExpression = false;
  for (const key of uniqueKeys) {
    if (key === rowKey) continue;
    for (const part of key.parts) {
      if (part.column < 0) hasExpression = true;
      else unique.add(binding.logIndex[part.column]!);
    }
  }
  return binding.columns.map((_, i) => hasExpression || unique.has(i));
}
