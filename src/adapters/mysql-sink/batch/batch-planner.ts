import { RowEvent, rowEventFlag, rowEventType } from '#src/adapters/binlog/row-event.ts';
import { cellState } from '#src/adapters/binlog/row-image.ts';
import { readTableMap } from '#src/adapters/binlog/table-map.ts';
import { fail } from '#src/base/failure.ts';
import { isGroup } from '#src/model/span.ts';
import { readEvents } from './block-reader.ts';
import { conflictKeys } from './conflict-key.ts';
import { insertRowCountMax, writeFold } from './fold-writer.ts';
import { ImageArena, absentCell } from './image-arena.ts';
import { KeyScope } from './key-scope.ts';
import { chooseLanes, laneRowCountMin, lanesWorth } from './lane-choice.ts';
import { LaneWriter } from './lane-writer.ts';
import { netChange, netChanges } from './net-change.ts';
import { OrderedWriter } from './ordered-writer.ts';
import { RowFold } from './row-fold.ts';
import { hasInvalidEnum, insertHead, writeValues } from './row-text.ts';
import { bindTable } from './table-binding.ts';
import { isCascading } from './table-definition.ts';

import type { ScopeOf } from './key-scope.ts';
import type { BatchInput, BatchOptions, BatchPlan } from './batch.ts';
import type { LoggedEvent, LoggedTable } from './block-reader.ts';
import type { ConflictKey } from './conflict-key.ts';
import type { TableBinding } from './table-binding.ts';
import type { TableCatalog } from './table-catalog.ts';
import type { TableDefinition } from './table-definition.ts';

/** A table of the log that has been joined with the downstream's. */
interface KnownTable {
  readonly definition: TableDefinition;
  readonly binding: TableBinding;
  conflicts: Promise<readonly ConflictKey[] | null> | null;
}

/** The events of one table in a batch, and which of their rows are meant; null: all. */
interface TableWork {
  readonly table: KnownTable;
  readonly scope: KeyScope | null;
  readonly events: LoggedEvent[];
}

/** Most joined table maps kept; above it all are joined anew. */
const knownCountMax = 10_000;

const insertTypes = new Set<number>([
  rowEventType.insertV1,
  rowEventType.insert,
  rowEventType.compressedInsertV1,
  rowEventType.compressedInsert,
]);

/**
 * Turns blocks of row events into the statements that bring the downstream from the state before them to the state after
 * them. It decodes each row once, straight into SQL bytes. One plan at a time.
 */
export class BatchPlanner {
  readonly #catalog: TableCatalog;
  readonly #options: BatchOptions;
  readonly #known = new Map<string, KnownTable>();
  readonly #event = new RowEvent();

  constructor(catalog: TableCatalog, options: BatchOptions) {
    this.#catalog = catalog;
    this.#options = options;
  }

  /**
   * The statements for a batch. SINK_TABLE_MISSING, SINK_SCHEMA_MISMATCH and SINK_UNSUPPORTED when the downstream does not
   * fit; SINK_ROW_TOO_LARGE when a row does not fit into a packet; SOURCE_CORRUPT when an event cannot be decoded.
   */
  async plan(input: BatchInput): Promise<BatchPlan> {
    const { events, ...facts } = readEvents(input);
    const works = await this.#workOf(events, input);
    const laneCount = input.wholeTransactions ? 1 : this.#options.laneCount;
    const lanes = Array.from(
      { length: laneCount },
      () => new LaneWriter(this.#options.packetBytesMax),
    );
    const isOfSeveral = isGroup(input.span);
    const cascades = isOfSeveral && !events.every(cascadesLogged);
    if (!isOfSeveral) for (const work of works.values()) checkAlone(work);
    let rowCount = 0;
    if (cascades || sharesTables(works)) {
      rowCount = this.#writeOrdered(events, works, lanes[0]!, {
        idempotent: input.idempotent,
        cascades,
      });
    } else {
      for (const work of works.values())
        rowCount += await this.#writeTable(work, lanes, input.idempotent);
    }
    return {
      lanes: lanes.map((lane) => ({
        statements: lane.take(),
        writtenRowCount: lane.writtenRowCount,
      })),
      rowCount,
      ...facts,
    };
  }

  async #workOf(events: readonly LoggedEvent[], of: ScopeOf): Promise<Map<LoggedTable, TableWork>> {
    const works = new Map<LoggedTable, TableWork>();
    let last: LoggedTable | null = null;
    let lastWork: TableWork | null = null;
    for (const event of events) {
      if (event.table !== last || lastWork === null) {
        last = event.table;
        lastWork = works.get(last) ?? null;
        if (lastWork === null) {
          const table = await this.#knownTable(last);
          const scope = await KeyScope.of(table.binding, this.#catalog, of);
          lastWork = { table, scope, events: [] };
          works.set(last, lastWork);
        }
      }
      lastWork.events.push(event);
    }
    return works;
  }

  async #knownTable(logged: LoggedTable): Promise<KnownTable> {
    const known = this.#known.get(logged.id);
    const map = known?.binding.map ?? readTableMap(logged.body.slice(), logged.flavor);
    const definition = await this.#catalog.table(map.schema, map.table);
    if (known !== undefined && known.definition === definition) return known;
    if (this.#known.size >= knownCountMax) this.#known.clear();
    const table: KnownTable = { definition, binding: bindTable(map, definition), conflicts: null };
    this.#known.set(logged.id, table);
    return table;
  }

  async #writeTable(
    work: TableWork,
    lanes: readonly LaneWriter[],
    idempotent: boolean,
  ): Promise<number> {
    const { binding } = work.table;
    const isPartialType = work.events.some(
      (event) => event.eventType === rowEventType.partialUpdate,
    );
    if (binding.key !== null && !isPartialType) {
      const isInsertOnly = work.events.every((event) => insertTypes.has(event.eventType));
      const mark = lanes.map((lane) => lane.mark());
      const rowCount = isInsertOnly
        ? this.#writeInserts(work, lanes, idempotent)
        : await this.#writeFold(work, lanes, idempotent);
      if (rowCount !== null) return rowCount;
      lanes.forEach((lane, i) => lane.rewind(mark[i]!));
    }
    const single = new Map([[work.events[0]!.table, work]]);
    return this.#writeOrdered(work.events, single, lanes[0]!, { idempotent, cascades: false });
  }

  #writeOrdered(
    events: readonly LoggedEvent[],
    works: ReadonlyMap<LoggedTable, TableWork>,
    lane: LaneWriter,
    options: { readonly idempotent: boolean; readonly cascades: boolean },
  ): number {
    const writer = new OrderedWriter(lane, options);
    let rowCount = 0;
    for (const logged of events) {
      const { table, scope } = works.get(logged.table)!;
      this.#event.open(logged.eventType, logged.body, table.binding.map);
      const { commitTs } = logged;
      const rows = scope === null ? null : (event: RowEvent) => scope.operationOf(event, commitTs);
      rowCount += writer.write(table.binding, this.#event, rows);
    }
    writer.end();
    return rowCount;
  }

  /**
   * Rows that are only added need no folding and cannot meet: all are there at the end, so no two share a unique value.
   * Statements are dealt out over the lanes. Null when an image lacks a column.
   */
  #writeInserts(work: TableWork, lanes: readonly LaneWriter[], idempotent: boolean): number | null {
    const { scope } = work;
    const { binding } = work.table;
    const { written } = binding;
    const event = this.#event;
    const arena = new ImageArena(binding.map.columns.length, 1);
    const shape = {
      head: insertHead(idempotent ? 'REPLACE' : 'INSERT', binding, written),
      tail: new Uint8Array(0),
      rowCountMax: insertRowCountMax,
      rowCountEach: 0,
    };
    let rowCount = 0;
    for (const logged of work.events) {
      event.open(logged.eventType, logged.body, binding.map);
      const lane = lanes[Math.floor(rowCount / laneRowCountMin) % lanes.length]!;
      let isFirst = true;
      while (event.next()) {
        if (scope !== null && scope.operationOf(event, logged.commitTs) === null) continue;
        rowCount++;
        arena.reset();
        const image = arena.keep(event.after);
        if (isFirst && lacksColumn(binding, arena, image)) return null;
        isFirst = false;
        lane.beginRow(shape);
        writeValues(lane.out, arena, image, written);
        if (binding.enums.length > 0) lane.isRelaxed = hasInvalidEnum(binding, arena, image);
        lane.endRow();
      }
    }
    for (const lane of lanes) lane.flush();
    return rowCount;
  }

  /** Folds all events of a table and writes the net changes; null when an image lacks a column. */
  async #writeFold(
    work: TableWork,
    lanes: readonly LaneWriter[],
    idempotent: boolean,
  ): Promise<number | null> {
    const { scope } = work;
    const { binding } = work.table;
    const event = this.#event;
    const key = binding.key!.map((column) => column.index);
    const fold = new RowFold(binding.map.columns.length, key, Math.max(16, work.events.length));
    let rowCount = 0;
    for (const logged of work.events) {
      event.open(logged.eventType, logged.body, binding.map);
      for (let isFirst = true; event.next(); isFirst = false) {
        if (isFirst && eventLacksColumn(binding, event)) return null;
        const operation =
          scope === null ? event.operation : scope.operationOf(event, logged.commitTs);
        if (operation === null) continue;
        rowCount++;
        if (!fold.add(event, operation)) return null;
      }
    }
    const changes = netChanges(binding, fold, idempotent);
    // To insert a unique value that was just deleted locks its neighbours too: lanes would run into deadlocks.
    const staysTogether =
      binding.definition.uniqueKeys.length > 1 && changes.includes(netChange.move);
    const laneCount = staysTogether ? 1 : lanesWorth(fold.count, lanes.length);
    let conflicts: readonly ConflictKey[] | null = null;
    if (laneCount > 1) {
      work.table.conflicts ??= conflictKeys(binding, this.#catalog);
      conflicts = await work.table.conflicts;
    }
    const laneOf = chooseLanes(fold, laneCount, conflicts);
    writeFold(binding, fold, { lanes, changes, laneOf, idempotent });
    return rowCount;
  }
}

/** Whether an event's flags say that the rows its cascades change are logged too (they follow the 6-byte table id). */
function cascadesLogged(event: LoggedEvent): boolean {
  return event.body.byteLength > 8 && (event.body[6]! & rowEventFlag.cascadesLogged) !== 0;
}

/** A table whose rows a cascade changes must share a span with their parents: alone it would miss what is not logged. */
function checkAlone(work: TableWork): void {
  const { schema, table, foreignKeys } = work.table.definition;
  const key = foreignKeys.find(isCascading);
  if (key === undefined || work.events.every(cascadesLogged)) return;
  fail(
    'SINK_UNSUPPORTED',
    `${schema}.${table} has a cascading foreign key on ${key.parentSchema}.${key.parentTable} but is replicated apart from it`,
    { scope: 'Table', detail: { schema, table } },
  );
}

/** Two different maps of one table: its images have different forms and cannot be folded together. */
function sharesTables(works: ReadonlyMap<LoggedTable, TableWork>): boolean {
  const names = new Set<string>();
  for (const { table } of works.values()) names.add(table.binding.name);
  return names.size < works.size;
}

/** All rows of an event have the same columns: the first one tells. */
function eventLacksColumn(binding: TableBinding, event: RowEvent): boolean {
  for (const column of binding.written) {
    if (event.operation !== 'insert' && event.before.state(column.index) === cellState.absent)
      return true;
    if (event.operation !== 'delete' && event.after.state(column.index) === cellState.absent)
      return true;
  }
  return false;
}

function lacksColumn(binding: TableBinding, arena: ImageArena, image: number): boolean {
  return binding.written.some((column) => arena.start(image, column.index) === absentCell);
}
