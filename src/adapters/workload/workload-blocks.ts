import { assert } from '#src/base/assert.ts';
import { type BlockInfo, BlockWriter } from '#src/model/block.ts';
import { tableSpan } from '#src/model/span.ts';
import { type TableFilter, compileTableFilter } from '#src/model/table-filter.ts';
import type { Routing } from '#src/model/start-at.ts';
import {
  RowEventWriter,
  type WriterTable,
  rowsEventType,
  writeTableMap,
} from './row-event-writer.ts';
import type { RowChange } from './workload.ts';

/** Most bytes and rows of one rows event, near what servers write. */
const eventBytesMax = 8192;
const eventRowsMax = 200;
/** A span's block is cut when it is this large. */
const blockBytesMax = 256 << 10;

interface Target {
  readonly key: string;
  readonly tableMap: Uint8Array;
  /** Undefined: the table is not replicated. */
  readonly writer: BlockWriter | undefined;
}

type Block = { readonly info: BlockInfo; readonly bytes: Uint8Array<ArrayBuffer> };

/** Writes the transactions of a workload into blocks, one transaction at a time, event by event. */
export class WorkloadBlocks {
  readonly #filter: TableFilter;
  readonly #groups: ReadonlyMap<string, string>;
  readonly #targets = new Map<WriterTable, Target>();
  readonly #writers = new Map<string, BlockWriter>();
  /** Writers that have a part of the open transaction. */
  readonly #touched = new Set<BlockWriter>();
  readonly #event = new RowEventWriter();
  readonly #finished: Block[] = [];
  #finishedBytes = 0;
  #changes: Iterator<RowChange> | null = null;
  #ahead: RowChange | undefined;
  #transaction: readonly [ts: number, commitMs: number, gtid: string] = [0, 0, ''];

  constructor(routing: Routing) {
    this.#filter = compileTableFilter(routing.rules);
    this.#groups = new Map(Object.entries(routing.groups));
  }

  /** True while a transaction is being written. */
  get isOpen(): boolean {
    return this.#changes !== null;
  }

  /** Bytes of all blocks not yet taken. */
  get byteCount(): number {
    let total = this.#finishedBytes;
    for (const writer of this.#writers.values()) if (!writer.isEmpty) total += writer.byteCount;
    return total;
  }

  /** True when a statement on the table, or on the schema alone, is replicated. */
  isWanted(schema: string, table: string | undefined): boolean {
    return table === undefined
      ? this.#filter.matchesSchema(schema)
      : this.#filter.matchesTable(schema, table);
  }

  /** Opens a transaction whose changes `writeEvent` takes. */
  begin(ts: number, commitMs: number, gtid: string, changes: Iterable<RowChange>): void {
    assert(!this.isOpen, 'one transaction at a time');
    this.#transaction = [ts, commitMs, gtid];
    this.#changes = changes[Symbol.iterator]();
    this.#advance();
  }

  /** Writes one rows event: a run of changes of one table and kind. Answers its rows; closes the transaction at its end. */
  writeEvent(): number {
    const first = this.#ahead;
    if (first === undefined) return this.#commit();
    const { table } = first;
    const type = eventTypeOf(first);
    const target = this.#target(table);
    this.#event.open(table, type === rowsEventType.update ? 2 : 1);
    let rowCount = 0;
    let change: RowChange | undefined = first;
    while (change !== undefined && change.table === table && eventTypeOf(change) === type) {
      if (rowCount >= eventRowsMax || this.#event.byteCount >= eventBytesMax) break;
      if (change.before !== null) this.#event.image(change.before);
      if (change.after !== null) this.#event.image(change.after);
      rowCount++;
      change = this.#advance();
    }
    const { writer } = target;
    if (writer !== undefined) {
      if (!this.#touched.has(writer)) {
        this.#touched.add(writer);
        writer.begin(...this.#transaction);
      }
      writer.rows(target.key, target.tableMap, type, this.#event.body());
      if (writer.byteCount >= blockBytesMax) this.#takeFrom(writer);
    }
    if (this.#ahead === undefined) this.#commit();
    return rowCount;
  }

  /** Hands over all blocks; an open transaction goes on in later ones. */
  take(): readonly Block[] {
    // A small open transaction waits for its end: one in parts costs the sink a transaction in stages.
    for (const writer of this.#writers.values()) {
      const block = writer.takeComplete();
      if (block !== undefined) this.#finish(block);
    }
    // Nothing but the open transaction: it is larger than a chunk may be.
    if (this.#finished.length === 0) {
      for (const writer of this.#writers.values()) this.#takeFrom(writer);
    }
    this.#finishedBytes = 0;
    return this.#finished.splice(0);
  }

  #commit(): number {
    for (const writer of this.#touched) writer.commit();
    this.#touched.clear();
    this.#changes = null;
    return 0;
  }

  #advance(): RowChange | undefined {
    const step = this.#changes?.next();
    this.#ahead = step === undefined || step.done === true ? undefined : step.value;
    return this.#ahead;
  }

  /** A writer hands over complete transactions first and the open one after them, so it may give two blocks. */
  #takeFrom(writer: BlockWriter): void {
    for (let block = writer.take(); block !== undefined; block = writer.take()) this.#finish(block);
  }

  #finish(block: Block): void {
    this.#finished.push(block);
    this.#finishedBytes += block.bytes.byteLength;
  }

  #target(table: WriterTable): Target {
    const known = this.#targets.get(table);
    if (known !== undefined) return known;
    const alone = tableSpan(table);
    const span = this.#groups.get(alone) ?? alone;
    let writer: BlockWriter | undefined;
    if (this.#filter.matchesTable(table.schema, table.table)) {
      writer = this.#writers.get(span) ?? new BlockWriter(span, 'mariadb');
      this.#writers.set(span, writer);
    }
    const target = { key: alone, tableMap: writeTableMap(table), writer };
    this.#targets.set(table, target);
    return target;
  }
}

function eventTypeOf(change: RowChange): number {
  if (change.before === null) return rowsEventType.insert;
  return change.after === null ? rowsEventType.delete : rowsEventType.update;
}
