/**
 * Writes the net changes of a fold: per lane first deletions, then updates that leave unique values alone, then
 * insertions.
 *
 * Why this reaches the right state with secondary unique keys: let B be the rows of the fold and let v be a unique value
 * that a row r of B has at the end. Upstream, at the end of the batch, r alone holds v. A row outside B is the same before
 * and after the batch, so it does not hold v downstream either. A row of B that held v before the batch no longer does:
 * it is deleted, or it changed v, which makes it a `move` and deletes it first. So when r is inserted nobody holds v, even
 * when two rows swapped their values in one transaction. Lanes keep this: rows that share a value share a lane
 * (lane-choice.ts).
 *
 * Idempotent batches (the downstream may be anywhere between the states before and after, per row): every key is deleted
 * and written by REPLACE. A row that REPLACE removes for a unique value of the batch's end is one whose own change comes
 * later in the same replay.
 */
import { netChange } from './net-change.ts';
import { noImage } from './row-fold.ts';
import {
  deleteHead,
  hasInvalidEnum,
  insertHead,
  upsertTail,
  writeAssignments,
  writeKey,
  writeKeyCondition,
  writeValues,
} from './row-text.ts';
import { ByteWriter } from '#src/base/byte-writer.ts';

import type { LaneWriter, StatementShape } from './lane-writer.ts';
import type { RowFold } from './row-fold.ts';
import type { BoundColumn, TableBinding } from './table-binding.ts';

/** Rows of one INSERT or REPLACE at most. */
export const insertRowCountMax = 512;
/** Values in one IN list at most: MariaDB turns lists of 1,000 into a temporary table. */
const deleteValueCountMax = 768;
/** So few updates are sent one by one; more go by rows of one statement. */
const singleUpdateCountMax = 3;

const parenthesis = new TextEncoder().encode(')');
const nothing = new Uint8Array(0);

/** What a fold is written into. */
export interface FoldTarget {
  readonly lanes: readonly LaneWriter[];
  /** Net change of each entry. */
  readonly changes: Uint8Array;
  /** Lane of each entry. */
  readonly laneOf: Uint8Array;
  readonly idempotent: boolean;
}

/** Writes all entries of `fold`, a fold of full images with a row key. */
export function writeFold(binding: TableBinding, fold: RowFold, target: FoldTarget): void {
  const writer = new FoldWriter(binding, fold, target);
  writer.write();
}

class FoldWriter {
  readonly #binding: TableBinding;
  readonly #key: readonly BoundColumn[];
  readonly #fold: RowFold;
  readonly #target: FoldTarget;
  readonly #changes: Uint8Array;
  readonly #deletes: StatementShape;
  readonly #inserts: StatementShape;
  readonly #statement = new ByteWriter(1024);

  constructor(binding: TableBinding, fold: RowFold, target: FoldTarget) {
    this.#binding = binding;
    this.#key = binding.key!;
    this.#fold = fold;
    this.#target = target;
    this.#changes = target.changes;
    this.#deletes = {
      head: deleteHead(binding, this.#key),
      tail: parenthesis,
      rowCountMax: Math.max(1, Math.floor(deleteValueCountMax / this.#key.length)),
      rowCountEach: target.idempotent ? 0 : 1,
    };
    this.#inserts = {
      head: insertHead(target.idempotent ? 'REPLACE' : 'INSERT', binding, binding.written),
      tail: nothing,
      rowCountMax: insertRowCountMax,
      rowCountEach: 0,
    };
  }

  write(): void {
    this.#each(netChange.delete, netChange.move, (lane, entry) => {
      lane.beginRow(this.#deletes);
      writeKey(lane.out, this.#fold.arena, this.#fold.keyImage(entry), this.#key);
      lane.endRow();
      // A move counts once, by its insertion.
      if (this.#changes[entry] === netChange.move) lane.countRows(-1);
    });
    for (let lane = 0; lane < this.#target.lanes.length; lane++) this.#writeUpdates(lane);
    this.#each(netChange.insert, netChange.move, (lane, entry) => {
      const image = this.#fold.last[entry]!;
      if (image === noImage) return;
      lane.beginRow(this.#inserts);
      writeValues(lane.out, this.#fold.arena, image, this.#binding.written);
      lane.isRelaxed = hasInvalidEnum(this.#binding, this.#fold.arena, image);
      lane.endRow();
    });
    for (const lane of this.#target.lanes) lane.flush();
  }

  #each(a: number, b: number, visit: (lane: LaneWriter, entry: number) => void): void {
    const { lanes, laneOf } = this.#target;
    for (let entry = 0; entry < this.#fold.count; entry++) {
      const change = this.#changes[entry];
      if (change === a || change === b) visit(lanes[laneOf[entry]!]!, entry);
    }
  }

  /** Updates of one lane: none of them changes a unique value. */
  #writeUpdates(laneIndex: number): void {
    const { laneOf, lanes } = this.#target;
    const entries: number[] = [];
    for (let entry = 0; entry < this.#fold.count; entry++) {
      if (this.#changes[entry] === netChange.update && laneOf[entry] === laneIndex)
        entries.push(entry);
    }
    if (entries.length === 0) return;
    const lane = lanes[laneIndex]!;
    const changed = this.#changedColumns(entries);
    // ROW_COUNT() of an upsert tells changed rows from added ones, but a JSON value may change without changing.
    const isExact = !changed.some((column) => column.kind === 'json');
    if (entries.length <= singleUpdateCountMax || !isExact) {
      for (const entry of entries) this.#writeUpdate(lane, entry);
      return;
    }
    const columns = this.#upsertColumns(changed);
    const shape: StatementShape = {
      head: insertHead('INSERT', this.#binding, columns),
      tail: upsertTail(this.#key, changed),
      rowCountMax: insertRowCountMax,
      // Two for a changed row. One would be an added row, or one that had the value already: the copies differ.
      rowCountEach: 2,
    };
    for (const entry of entries) {
      const image = this.#fold.last[entry]!;
      lane.beginRow(shape);
      writeValues(lane.out, this.#fold.arena, image, columns);
      lane.isRelaxed = hasInvalidEnum(this.#binding, this.#fold.arena, image);
      lane.endRow();
    }
  }

  #writeUpdate(lane: LaneWriter, entry: number): void {
    const out = this.#statement;
    const { arena } = this.#fold;
    const image = this.#fold.last[entry]!;
    out.ascii('UPDATE ');
    out.utf8(this.#binding.name);
    out.ascii(' SET ');
    writeAssignments(out, arena, image, this.#changedColumns([entry]));
    out.ascii(' WHERE ');
    writeKeyCondition(out, arena, image, this.#key);
    const isRelaxed = hasInvalidEnum(this.#binding, arena, image);
    lane.statement(out.take(), { rowCount: 1, isRelaxed });
    lane.countRows(1);
  }

  /** Written columns that differ before and after in any of `entries`, and those that would change by themselves. */
  #changedColumns(entries: readonly number[]): readonly BoundColumn[] {
    const { arena, first, last } = this.#fold;
    const rest = new Set(this.#binding.written);
    const changed = new Set<BoundColumn>();
    for (const entry of entries) {
      for (const column of rest) {
        if (arena.sameCell(first[entry]!, last[entry]!, column.index)) continue;
        changed.add(column);
        rest.delete(column);
      }
      if (rest.size === 0) break;
    }
    return this.#binding.written.filter(
      (column) => changed.has(column) || column.definition.updatesItself,
    );
  }

  /** What an upsert must name: the key, what changes, and what cannot be left out of an INSERT. */
  #upsertColumns(changed: readonly BoundColumn[]): readonly BoundColumn[] {
    const { definition, written, columns } = this.#binding;
    // A check or a generated column is computed from the row as inserted, before the server sees that it is there.
    if (definition.hasChecks || written.length !== columns.length) return written;
    return written.filter(
      (column) =>
        this.#key.includes(column) || changed.includes(column) || !column.definition.hasDefault,
    );
  }
}
