import { BlockWriter, type BlockInfo, type LogFlavor } from '../../model/block.ts';
import { must } from '../../base/assert.ts';

/** A finished block. */
export interface BuiltBlock {
  readonly info: BlockInfo;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** A block is closed once it has this many bytes; one rows event more may fit in before. */
export const blockBytesTarget = 256 * 1024;

/** What all rows of a transaction have in common. */
export interface TransactionFacts {
  readonly ts: number;
  readonly commitMs: number;
  readonly gtid: string;
}

/** One rows event with its table. */
export interface RowsRecord {
  readonly span: string;
  readonly tableKey: string;
  readonly tableMap: Uint8Array;
  readonly eventType: number;
  readonly body: Uint8Array;
}

/**
 * Collects rows into blocks, one open block per span. Holds what was written since the last `take`; the caller asks
 * `byteCount` and takes in time.
 */
export class ChunkBuilder {
  readonly #flavor: LogFlavor;
  readonly #writers = new Map<string, BlockWriter>();
  /** Spans of the open transaction. */
  readonly #open = new Map<string, BlockWriter>();
  #facts: TransactionFacts | undefined;
  #ready: BuiltBlock[] = [];
  #readyBytes = 0;
  /** Bytes in open blocks without their headers: zero when nothing is left to hand over. */
  #writerBytes = 0;

  constructor(flavor: LogFlavor) {
    this.#flavor = flavor;
  }

  /** Bytes of blocks, finished and open. */
  get byteCount(): number {
    return this.#readyBytes + this.#writerBytes;
  }

  /** True when a block is finished. */
  get hasFullBlock(): boolean {
    return this.#ready.length > 0;
  }

  /** Opens a transaction. */
  begin(facts: TransactionFacts): void {
    this.#facts = facts;
  }

  /** Opens a transaction too large to wait for its end: it gets blocks of its own, which a reconnect can discard. */
  beginLarge(facts: TransactionFacts): void {
    for (const writer of this.#writers.values()) this.#finish(writer);
    this.#facts = facts;
  }

  /** Adds rows to the open transaction; the bytes are copied. */
  rows(record: RowsRecord): void {
    const open = this.#open.get(record.span);
    let writer = open;
    if (writer === undefined) {
      writer = this.#writerOf(record.span);
      if (writer.byteCount >= blockBytesTarget) this.#finish(writer);
      const { ts, commitMs, gtid } = must(this.#facts, 'open transaction');
      writer.begin(ts, commitMs, gtid);
      this.#open.set(record.span, writer);
    } else if (writer.byteCount >= blockBytesTarget) {
      this.#finish(writer);
    }
    const before = writer.byteCount;
    writer.rows(record.tableKey, record.tableMap, record.eventType, record.body);
    this.#writerBytes += writer.byteCount - before;
  }

  /** Closes the open transaction: it is complete. */
  commit(): void {
    for (const writer of this.#open.values()) writer.commit();
    this.#open.clear();
    this.#facts = undefined;
  }

  /** All blocks since the last time. Spans of an open transaction go on in the next ones. */
  take(): readonly BuiltBlock[] {
    for (const [span, writer] of this.#writers) {
      this.#finish(writer);
      // A writer keeps its buffer: only those in use may stay.
      if (!this.#open.has(span)) this.#writers.delete(span);
    }
    const blocks = this.#ready;
    this.#ready = [];
    this.#readyBytes = 0;
    return blocks;
  }

  #writerOf(span: string): BlockWriter {
    let writer = this.#writers.get(span);
    if (writer === undefined) {
      writer = new BlockWriter(span, this.#flavor);
      this.#writers.set(span, writer);
    }
    return writer;
  }

  #finish(writer: BlockWriter): void {
    const before = writer.byteCount;
    const block = writer.take();
    if (block === undefined) return;
    this.#ready.push(block);
    this.#readyBytes += block.bytes.byteLength;
    this.#writerBytes += writer.byteCount - before;
  }
}
