/**
 * Which rows of a table a span applies (DESIGN §10): those whose primary key falls into its buckets, less those that were
 * applied before its parts were joined. Keys that the downstream holds equal always fall into one bucket.
 */
import { fail } from '#src/base/failure.ts';
import { bucketCount, isPart, spanRange } from '#src/model/span.ts';
import { foldKindOf, wildHash } from './collation-fold.ts';
import { keyHash } from './conflict-key.ts';
import { ImageArena } from './image-arena.ts';

import type { RowEvent, RowOperation } from '#src/adapters/binlog/row-event.ts';
import type { RowImage } from '#src/adapters/binlog/row-image.ts';
import type { BucketRange } from '#src/model/span.ts';
import type { PartProgress } from '#src/ports/sink.ts';
import type { ConflictKey } from './conflict-key.ts';
import type { TableBinding } from './table-binding.ts';
import type { TableCatalog } from './table-catalog.ts';
import type { ColumnDefinition, TableDefinition } from './table-definition.ts';

/** What a scope is made for. */
export interface ScopeOf {
  readonly span: string;
  /** Keys in these buckets are applied so far. */
  readonly parts: readonly PartProgress[];
}

/** Chooses rows by their keys; holds one row at a time. */
export class KeyScope {
  readonly #hash: ConflictKey;
  readonly #range: BucketRange;
  readonly #parts: readonly PartProgress[];
  readonly #arena: ImageArena;

  private constructor(binding: TableBinding, hash: ConflictKey, of: ScopeOf) {
    this.#hash = hash;
    this.#range = spanRange(of.span);
    this.#parts = of.parts;
    this.#arena = new ImageArena(binding.map.columns.length, 1);
  }

  /** The scope of a span in one of its tables; null when all rows are in it. SINK_UNSUPPORTED when it may not be split. */
  static async of(
    binding: TableBinding,
    catalog: TableCatalog,
    of: ScopeOf,
  ): Promise<KeyScope | null> {
    if (!isPart(of.span) && of.parts.length === 0) return null;
    const { definition } = binding;
    const refusal = splitRefusal(definition);
    const hash = refusal === null ? await keyHash(binding, definition.rowKey!, catalog) : null;
    if (hash === null) {
      const { schema, table } = definition;
      const why = refusal ?? 'its primary key is not in the log';
      return fail('SINK_UNSUPPORTED', `${schema}.${table} is split, but ${why}`, {
        scope: 'Table',
        detail: { schema, table },
      });
    }
    return new KeyScope(binding, hash, of);
  }

  /**
   * What is left to be done of the event's current row, logged at `commitTs`: an update that changes the key may leave the
   * scope (a deletion) or enter it (an insertion); null when nothing is.
   */
  operationOf(event: RowEvent, commitTs: number): RowOperation | null {
    const { operation } = event;
    if (operation === 'insert') return this.#wants(event.after, commitTs, 0) ? operation : null;
    const before = this.#bucketOf(event.before, 0);
    const wantsBefore = this.#isOurs(before, commitTs);
    if (operation === 'delete') return wantsBefore ? operation : null;
    // An image without its key has the key of the other.
    const wantsAfter = this.#wants(event.after, commitTs, before);
    if (wantsBefore === wantsAfter) return wantsBefore ? operation : null;
    return wantsBefore ? 'delete' : 'insert';
  }

  #wants(image: RowImage, commitTs: number, otherwise: number): boolean {
    return this.#isOurs(this.#bucketOf(image, otherwise), commitTs);
  }

  #isOurs(bucket: number, commitTs: number): boolean {
    if (bucket < this.#range.from || bucket > this.#range.to) return false;
    for (const { from, to, ts } of this.#parts)
      if (bucket >= from && bucket <= to && commitTs <= ts) return false;
    return true;
  }

  #bucketOf(image: RowImage, otherwise: number): number {
    this.#arena.reset();
    const hash = this.#hash(this.#arena, this.#arena.keep(image));
    // The slots downstream remember buckets: this must never change.
    return hash === wildHash ? otherwise : (hash ^ (hash >>> 15)) & (bucketCount - 1);
  }
}

/** Why the rows of a table must stay together, in words; null when they may be split by their key. */
export function splitRefusal(definition: TableDefinition): string | null {
  const { columns, rowKey, uniqueKeys, foreignKeys, referencedBy } = definition;
  if (rowKey === null || rowKey.name !== 'PRIMARY') return 'it has no primary key';
  const other = uniqueKeys.find((key) => key !== rowKey);
  if (other !== undefined)
    return `its unique key ${other.name} could tie rows of different parts together`;
  const [parent] = foreignKeys;
  if (parent !== undefined)
    return `it has a foreign key on ${parent.parentSchema}.${parent.parentTable}`;
  const [child] = referencedBy;
  if (child !== undefined)
    return `${child.childSchema}.${child.childTable} has a foreign key on it`;
  for (const part of rowKey.parts) {
    const column = columns[part.column];
    if (column === undefined) return 'its primary key has an expression';
    const why = columnRefusal(column, part.prefixLength);
    if (why !== null) return why;
  }
  return null;
}

function columnRefusal(column: ColumnDefinition, prefixLength: number): string | null {
  const { name, charset, collation, generated } = column;
  if (prefixLength > 0) return `its primary key has only the beginning of column ${name}`;
  if (generated !== 'no') return `column ${name} of its primary key is generated`;
  if (charset === null || collation === null || collation === 'binary') return null;
  // Other collations have values that may equal any other, as far as can be told from here.
  if (foldKindOf(charset, collation) === 'binary') return null;
  return `column ${name} of its primary key is text under ${collation}, where different spellings are equal; a _bin collation can be split`;
}
