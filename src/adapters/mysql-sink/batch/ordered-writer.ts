/**
 * Writes row changes one by one in source order, all into one lane. For rows that cannot be folded: tables without a row
 * key, images that lack columns, groups of tables whose cascades must run again between the changes.
 *
 * Tables without a row key are kept as exact multisets: an update or deletion takes one row that equals the before image
 * in every column, byte for byte.
 */
import { cellState } from '#src/adapters/binlog/row-image.ts';
import { ByteWriter } from '#src/base/byte-writer.ts';
import { fail } from '#src/base/failure.ts';
import { ImageArena, absentCell } from './image-arena.ts';
import {
  hasInvalidEnum,
  insertHead,
  writeExactCondition,
  writeKeyCondition,
  writeValues,
} from './row-text.ts';
import { insertRowCountMax } from './fold-writer.ts';
import { assignColumns } from './assignment.ts';

import type { RowEvent, RowOperation } from '#src/adapters/binlog/row-event.ts';
import type { LaneWriter, StatementShape } from './lane-writer.ts';
import type { BoundColumn, TableBinding } from './table-binding.ts';

const encoder = new TextEncoder();
const nothing = new Uint8Array(0);
/** Shapes of INSERT kept per table: one for each set of columns that images have. Above this they are made anew. */
const shapeCountMax = 64;

/** What is left to be done of an event's current row; null: nothing. */
export type RowScope = (event: RowEvent) => RowOperation | null;

/** How rows are written. */
export interface OrderedOptions {
  readonly idempotent: boolean;
  /** Foreign keys are checked, and cascade, unless an event says otherwise. */
  readonly cascades: boolean;
}

/** Writes events in the order given. */
export class OrderedWriter {
  readonly #lane: LaneWriter;
  readonly #options: OrderedOptions;
  readonly #statement = new ByteWriter(1024);
  readonly #tables = new Map<TableBinding, OrderedTable>();
  #checksForeignKeys = false;

  constructor(lane: LaneWriter, options: OrderedOptions) {
    this.#lane = lane;
    this.#options = options;
  }

  /** Writes the rows of an opened event that are in `scope` and answers how many there were. */
  write(binding: TableBinding, event: RowEvent, scope: RowScope | null): number {
    const { cascades } = this.#options;
    this.#checkForeignKeys(cascades && !event.noForeignKeyChecks && !event.cascadesLogged);
    let table = this.#tables.get(binding);
    if (table === undefined) {
      table = new OrderedTable(binding);
      this.#tables.set(binding, table);
    }
    let rowCount = 0;
    while (event.next()) {
      const operation = scope === null ? event.operation : scope(event);
      if (operation === null) continue;
      rowCount++;
      table.arena.reset();
      switch (operation) {
        case 'insert':
          if (event.operation === 'update') table.checkEntering(event);
          this.#insert(table, event);
          break;
        case 'update':
          this.#update(table, event);
          break;
        case 'delete':
          this.#delete(table, event);
          break;
      }
    }
    return rowCount;
  }

  /** Ends the lane: the session checks foreign keys no longer, as before. */
  end(): void {
    this.#checkForeignKeys(false);
    this.#lane.flush();
  }

  #checkForeignKeys(wanted: boolean): void {
    if (wanted === this.#checksForeignKeys) return;
    this.#checksForeignKeys = wanted;
    this.#lane.statement(encoder.encode(`SET foreign_key_checks=${wanted ? 1 : 0}`));
  }

  #insert(table: OrderedTable, event: RowEvent): void {
    const image = table.arena.keep(event.after);
    const { columns, shape } = table.insertShape(image, this.#options.idempotent);
    this.#lane.beginRow(shape);
    writeValues(this.#lane.out, table.arena, image, columns);
    this.#lane.isRelaxed = hasInvalidEnum(table.binding, table.arena, image);
    this.#lane.endRow();
  }

  #update(table: OrderedTable, event: RowEvent): void {
    const { arena, binding } = table;
    const before = arena.keep(event.before);
    const after = arena.keep(event.after);
    const out = this.#statement;
    out.truncate(0);
    out.ascii('UPDATE ');
    out.utf8(binding.name);
    out.ascii(' SET ');
    const hasChanges = assignColumns(out, { binding, arena, before, after, event });
    if (!hasChanges) return;
    this.#where(table, before);
    this.#run(hasInvalidEnum(binding, arena, after));
  }

  #delete(table: OrderedTable, event: RowEvent): void {
    const before = table.arena.keep(event.before);
    const out = this.#statement;
    out.truncate(0);
    out.ascii('DELETE FROM ');
    out.utf8(table.binding.name);
    this.#where(table, before);
    this.#run(false);
  }

  #where(table: OrderedTable, before: number): void {
    const { binding, arena } = table;
    const out = this.#statement;
    out.ascii(' WHERE ');
    if (table.hasKey(before)) {
      writeKeyCondition(out, arena, before, binding.key!);
      return;
    }
    table.checkComplete(before);
    writeExactCondition(out, arena, before, binding.columns);
    out.ascii(' LIMIT 1');
  }

  #run(isRelaxed: boolean): void {
    const rowCount = this.#options.idempotent ? 0 : 1;
    this.#lane.statement(this.#statement.take(), { rowCount, isRelaxed });
    this.#lane.countRows(1);
  }
}

interface InsertShape {
  readonly columns: readonly BoundColumn[];
  readonly shape: StatementShape;
}

/** What is kept per table while events are written. */
class OrderedTable {
  readonly binding: TableBinding;
  /** Images of the current row. */
  readonly arena: ImageArena;
  readonly #shapes = new Map<string, InsertShape>();

  constructor(binding: TableBinding) {
    this.binding = binding;
    this.arena = new ImageArena(binding.map.columns.length, 2);
  }

  /** The INSERT for the columns an image has; what it lacks gets its default, as upstream. */
  insertShape(image: number, idempotent: boolean): InsertShape {
    const columns = this.binding.written.filter(
      (column) => this.arena.start(image, column.index) !== absentCell,
    );
    const id =
      columns.length === this.binding.written.length ? '' : columns.map((c) => c.index).join();
    const known = this.#shapes.get(id);
    if (known !== undefined) return known;
    if (this.#shapes.size >= shapeCountMax) this.#shapes.clear();
    // Without a row key a REPLACE adds, as an INSERT does.
    const shape: StatementShape = {
      head: insertHead(idempotent ? 'REPLACE' : 'INSERT', this.binding, columns),
      tail: nothing,
      rowCountMax: insertRowCountMax,
      rowCountEach: 0,
    };
    const made = { columns, shape };
    this.#shapes.set(id, made);
    return made;
  }

  hasKey(image: number): boolean {
    const { key } = this.binding;
    if (key === null) return false;
    return key.every((column) => this.arena.start(image, column.index) !== absentCell);
  }

  /** A row that comes from another part of its table is not there: all of it must be in the log. */
  checkEntering(event: RowEvent): void {
    const isWhole = this.binding.written.every(
      ({ index }) => event.after.state(index) !== cellState.absent && !event.after.isPartial(index),
    );
    if (isWhole) return;
    const { schema, table } = this.binding.definition;
    fail(
      'SINK_UNSUPPORTED',
      `a row of ${schema}.${table}, which is split, changed its key and was not logged whole: set binlog_row_image=FULL and binlog_row_value_options to nothing`,
      { scope: 'Table', detail: { schema, table } },
    );
  }

  /** Without a key, a row is known by all its columns only. */
  checkComplete(image: number): void {
    for (const column of this.binding.written) {
      if (this.arena.start(image, column.index) !== absentCell) continue;
      const { schema, table } = this.binding.definition;
      fail(
        'SINK_UNSUPPORTED',
        `a row of ${schema}.${table} was logged without column ${column.definition.name}: without a primary key, set binlog_row_image=FULL`,
        { scope: 'Table', detail: { schema, table } },
      );
    }
  }
}
