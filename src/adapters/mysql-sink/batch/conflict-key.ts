import { cellContent } from '#src/adapters/binlog/text.ts';
import { emptyHash, wildHash } from './collation-fold.ts';
import { absentCell, nullCell } from './image-arena.ts';

import type { CollationFold } from './collation-fold.ts';
import type { ImageArena } from './image-arena.ts';
import type { BoundColumn, TableBinding } from './table-binding.ts';
import type { TableCatalog } from './table-catalog.ts';
import type { UniqueKey } from './table-definition.ts';

/** The key does not apply to the row: a part is NULL, and NULLs never collide. */
export const noConflict = -2;

/** Hashes one unique key of an image: equal index entries, equal hash ≥ 0; or `wildHash`, or {@link noConflict}. */
export type ConflictKey = (arena: ImageArena, place: number) => number;

type PartHash = (arena: ImageArena, place: number) => number;

/**
 * The keys by which two different entries of a fold may touch the same index entry. The row key is among them only when
 * two spellings of it can be equal; null = something about the table's keys cannot be hashed, it must stay in one lane.
 */
export async function conflictKeys(
  binding: TableBinding,
  catalog: TableCatalog,
): Promise<readonly ConflictKey[] | null> {
  const keys: ConflictKey[] = [];
  for (const key of binding.definition.uniqueKeys) {
    const columns = keyColumns(binding, key);
    if (columns === null) return null;
    if (key === binding.definition.rowKey && columns.every(isSpelledOneWay)) continue;
    keys.push(joinParts(await partHashes(columns, key, catalog), keys.length + 1));
  }
  return keys;
}

/** The hash of one unique key; null when something of it is not in the log. */
export async function keyHash(
  binding: TableBinding,
  key: UniqueKey,
  catalog: TableCatalog,
): Promise<ConflictKey | null> {
  const columns = keyColumns(binding, key);
  return columns === null ? null : joinParts(await partHashes(columns, key, catalog), 1);
}

async function partHashes(
  columns: readonly BoundColumn[],
  key: UniqueKey,
  catalog: TableCatalog,
): Promise<readonly PartHash[]> {
  const parts: PartHash[] = [];
  for (const [i, column] of columns.entries()) {
    parts.push(await partHash(column, key.parts[i]!.prefixLength, catalog));
  }
  return parts;
}

function keyColumns(binding: TableBinding, key: UniqueKey): readonly BoundColumn[] | null {
  const columns: BoundColumn[] = [];
  for (const part of key.parts) {
    const column = part.column < 0 ? undefined : binding.columns[binding.logIndex[part.column]!];
    if (column === undefined) return null;
    columns.push(column);
  }
  return columns;
}

/** Equal values have equal bytes: all but characters with their collations and floats with their two zeros. */
function isSpelledOneWay(column: BoundColumn): boolean {
  if (column.definition.collation !== null && column.kind === 'binary') return false;
  return column.kind !== 'character' && column.kind !== 'float' && column.kind !== 'double';
}

function joinParts(parts: readonly PartHash[], seed: number): ConflictKey {
  return (arena, place) => {
    let hash = Math.imul(seed, 0x9e3779b1);
    let isWild = false;
    for (const part of parts) {
      const value = part(arena, place);
      if (value === noConflict) return noConflict;
      if (value === wildHash) isWild = true;
      hash = Math.imul(hash ^ value, 0x85ebca6b);
      hash ^= hash >>> 13;
    }
    return isWild ? wildHash : hash >>> 1;
  };
}

async function partHash(
  column: BoundColumn,
  prefixLength: number,
  catalog: TableCatalog,
): Promise<PartHash> {
  const { charset, collation } = column.definition;
  if (
    charset !== null &&
    collation !== null &&
    (column.kind === 'character' || column.kind === 'binary')
  ) {
    return cellHash(column, await catalog.fold(charset, collation), prefixLength);
  }
  if (column.kind === 'binary' || column.kind === 'character') {
    return cellHash(column, foldExactly, prefixLength);
  }
  const isFloat = column.kind === 'float' || column.kind === 'double';
  return (arena, place) => {
    const start = arena.start(place, column.index);
    if (start < 0) return start === nullCell ? noConflict : wildHash;
    const bytes = arena.bytes(place);
    const end = arena.end(place, column.index);
    // 0.0 and -0.0 differ in the sign bit alone and are equal.
    if (isFloat && isZero(bytes, start, end)) return emptyHash;
    return foldExactly(bytes, start, end, 0);
  };
}

function cellHash(column: BoundColumn, fold: CollationFold, prefixLength: number): PartHash {
  return (arena, place) => {
    const start = arena.start(place, column.index);
    if (start === nullCell) return noConflict;
    if (start === absentCell) return wildHash;
    const end = arena.end(place, column.index);
    const content = cellContent(column.log, arena.bytes(place), start, end);
    return fold(content, 0, content.byteLength, prefixLength);
  };
}

const foldExactly: CollationFold = (bytes, start, end, charMax) => {
  const last = charMax > 0 ? Math.min(end, start + charMax) : end;
  let hash = emptyHash;
  for (let i = start; i < last; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return hash >>> 1;
};

function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  let any = bytes[end - 1]! & 0x7f;
  for (let i = start; i < end - 1; i++) any |= bytes[i]!;
  return any === 0;
}
