/**
 * A block is a run of raw row events of one span, in commit order, as ready bytes: written once on the ingest thread,
 * stored, moved between threads, and decoded once by the sink (DESIGN §9). Blocks are self-contained: a rows record
 * refers only to table records earlier in the same block.
 *
 * Layout, little-endian:
 *
 *     header (32 bytes): u32 magic 'SLB1' · u32 flags · f64 firstTs · f64 lastTs · u32 transactionCount · u32 eventCount
 *     records: u32 bodyBytes · u8 kind · body
 *       1 transaction: f64 commitTs · f64 commitMs · u16 gtidBytes · gtid (utf-8)
 *       2 table:       u16 index · body of a TABLE_MAP event (no event header, no checksum)
 *       3 rows:        u16 tableIndex · u8 eventType · body of a rows event (no event header, no checksum)
 *
 * A transaction larger than one block spans several: every block but its last carries `unfinished`, every block but its
 * first carries `continues` and repeats the transaction record first. Bytes are moved with the block: the sender must
 * not touch them again.
 */
import { assert } from '../base/assert.ts';

/** The block begins inside a transaction whose first part is in the block before it. */
export const blockContinues = 1;
/** The last transaction of the block goes on in the next block. */
export const blockUnfinished = 2;

/** The rows were logged by MySQL, not MariaDB: the two differ in how a table map lists character columns. */
export const blockMysql = 4;

/** Which family of servers wrote the events. */
export type LogFlavor = 'mariadb' | 'mysql';

/** Bytes of the block header. */
export const blockHeaderBytes = 32;
const magic = 0x31424c53;
const recordHeaderBytes = 5;

/** The kinds of records in a block. */
export const recordKind = { transaction: 1, table: 2, rows: 3 } as const;

/** The facts of a block that travel beside its bytes. */
export interface BlockInfo {
  /** The span (table or table group) the rows belong to. */
  readonly span: string;
  /** commitTs of the first and of the last transaction; firstTs ≤ lastTs. */
  readonly firstTs: number;
  readonly lastTs: number;
  readonly continues: boolean;
  readonly unfinished: boolean;
  /** Transactions that have at least one record here. */
  readonly transactionCount: number;
  /** Rows events. */
  readonly eventCount: number;
  /** Bytes of the whole block, header included. */
  readonly byteCount: number;
}

/** Reads the header of `bytes`; a Fault when they are not a block. */
export function readBlockInfo(span: string, bytes: Uint8Array): BlockInfo {
  assert(bytes.byteLength >= blockHeaderBytes, 'block shorter than its header');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  assert(view.getUint32(0, true) === magic, 'not a block');
  const flags = view.getUint32(4, true);
  return {
    span,
    firstTs: view.getFloat64(8, true),
    lastTs: view.getFloat64(16, true),
    continues: (flags & blockContinues) !== 0,
    unfinished: (flags & blockUnfinished) !== 0,
    transactionCount: view.getUint32(24, true),
    eventCount: view.getUint32(28, true),
    byteCount: bytes.byteLength,
  };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * Builds one block after another for one span. Memory is one growing buffer, at most the largest block written;
 * `take` hands the bytes over and starts anew.
 */
export class BlockWriter {
  readonly span: string;
  readonly flavor: LogFlavor;
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #length = blockHeaderBytes;
  #firstTs = 0;
  #lastTs = 0;
  #commitMs = 0;
  #gtid = '';
  #transactionCount = 0;
  #eventCount = 0;
  #continues = false;
  #open = false;
  #written = false;
  #tableCount = 0;
  readonly #tables = new Map<string, { index: number; body: Uint8Array }>();

  constructor(span: string, flavor: LogFlavor, initialBytes = 4096) {
    this.span = span;
    this.flavor = flavor;
    this.#bytes = new Uint8Array(initialBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Bytes written so far, header included; equals the header size when empty. */
  get byteCount(): number {
    return this.#length;
  }

  /** True when no record has been written since the last `take`. */
  get isEmpty(): boolean {
    return this.#length === blockHeaderBytes;
  }

  /** Opens a transaction; its record is written with its first rows event, so an empty transaction leaves no trace. */
  begin(commitTs: number, commitMs: number, gtid: string): void {
    assert(!this.#open, 'begin inside a transaction');
    assert(commitTs > this.#lastTs, 'commitTs must rise within a span');
    this.#open = true;
    this.#written = false;
    this.#lastTs = commitTs;
    this.#commitMs = commitMs;
    this.#gtid = gtid;
  }

  /**
   * Adds one rows event of table `tableKey`, whose TABLE_MAP body is `tableMap` (compared by content: a changed map gets
   * a new index). Bodies exclude the 19-byte event header and the checksum; they are copied.
   */
  rows(tableKey: string, tableMap: Uint8Array, eventType: number, body: Uint8Array): void {
    assert(this.#open, 'rows outside a transaction');
    if (!this.#written) this.#writeTransaction();
    const index = this.#tableIndex(tableKey, tableMap);
    let at = this.#record(recordKind.rows, 3 + body.byteLength);
    this.#view.setUint16(at, index, true);
    this.#view.setUint8(at + 2, eventType);
    at += 3;
    this.#bytes.set(body, at);
    this.#eventCount++;
  }

  /** Closes the open transaction: it is complete. */
  commit(): void {
    assert(this.#open, 'commit outside a transaction');
    this.#open = false;
  }

  /**
   * Hands over a block, or undefined when nothing was written. Complete transactions are handed over first and an open
   * one stays behind for the next call, so a block with `unfinished` holds that one transaction only: a reconnect can
   * discard it without losing others. An open transaction continues in the next block.
   */
  take(): { readonly info: BlockInfo; readonly bytes: Uint8Array<ArrayBuffer> } | undefined {
    if (this.isEmpty) return undefined;
    if (this.#open && this.#written && this.#transactionCount > 1) return this.#takeComplete();
    const unfinished = this.#open && this.#written;
    const taken = this.#finishBlock(unfinished);
    this.#reset(unfinished);
    return taken;
  }

  /** As `take`, but an open transaction stays until it is complete. */
  takeComplete():
    | { readonly info: BlockInfo; readonly bytes: Uint8Array<ArrayBuffer> }
    | undefined {
    const isOnlyOpen = this.#open && this.#written && this.#transactionCount === 1;
    return isOnlyOpen ? undefined : this.take();
  }

  /** Hands over everything before the open transaction and writes that one anew at the start of the buffer. */
  #takeComplete(): { readonly info: BlockInfo; readonly bytes: Uint8Array<ArrayBuffer> } {
    const openBytes = this.#bytes.slice(this.#openAt, this.#length);
    const openEventCount = this.#eventCount - this.#openEvents;
    const tables = this.#tableRecords;
    const ts = this.#lastTs;
    this.#length = this.#openAt;
    this.#transactionCount--;
    this.#eventCount = this.#openEvents;
    this.#lastWrittenTs = this.#completeTs;
    const taken = this.#finishBlock(false);
    this.#reset(false);
    const view = new DataView(openBytes.buffer);
    const transactionEnd = recordHeaderBytes + view.getUint32(0, true);
    const older = tables.filter((table) => table.at < this.#openAt).map((table) => table.bytes);
    for (const part of [
      openBytes.subarray(0, transactionEnd),
      ...older,
      openBytes.subarray(transactionEnd),
    ]) {
      this.#append(part);
    }
    this.#openAt = blockHeaderBytes;
    this.#tableCount = tables.length;
    this.#firstTs = ts;
    this.#lastWrittenTs = ts;
    this.#transactionCount = 1;
    this.#eventCount = openEventCount;
    this.#openEvents = 0;
    this.#written = true;
    // Later events of the transaction write their table record again: cheaper than keeping both indexes in step.
    return taken;
  }

  #append(part: Uint8Array): void {
    this.#grow(this.#length + part.byteLength);
    this.#bytes.set(part, this.#length);
    this.#length += part.byteLength;
  }

  #finishBlock(unfinished: boolean): {
    readonly info: BlockInfo;
    readonly bytes: Uint8Array<ArrayBuffer>;
  } {
    this.#view.setUint32(0, magic, true);
    this.#view.setUint32(
      4,
      (this.#continues ? blockContinues : 0) |
        (unfinished ? blockUnfinished : 0) |
        (this.flavor === 'mysql' ? blockMysql : 0),
      true,
    );
    this.#view.setFloat64(8, this.#firstTs, true);
    this.#view.setFloat64(16, this.#lastWrittenTs, true);
    this.#view.setUint32(24, this.#transactionCount, true);
    this.#view.setUint32(28, this.#eventCount, true);
    const bytes = this.#bytes.slice(0, this.#length);
    return { info: readBlockInfo(this.span, bytes), bytes };
  }

  /** Forgets everything written and any open transaction (a reconnect discards incomplete groups). */
  discard(lastTs: number): void {
    this.#reset(false);
    this.#open = false;
    this.#lastTs = lastTs;
  }

  #lastWrittenTs = 0;
  /** commitTs of the last transaction written before the open one. */
  #completeTs = 0;
  /** Where the open transaction's record begins, and how many events came before it. */
  #openAt = blockHeaderBytes;
  #openEvents = 0;
  #tableRecords: { readonly at: number; readonly bytes: Uint8Array }[] = [];

  #reset(continues: boolean): void {
    // One huge event must not leave a huge buffer behind for ever.
    if (this.#bytes.byteLength > 1 << 20) {
      this.#bytes = new Uint8Array(4096);
      this.#view = new DataView(this.#bytes.buffer);
    }
    this.#length = blockHeaderBytes;
    this.#transactionCount = 0;
    this.#eventCount = 0;
    this.#tables.clear();
    this.#tableRecords = [];
    this.#tableCount = 0;
    this.#continues = continues;
    this.#written = false;
  }

  #writeTransaction(): void {
    this.#openAt = this.#length;
    this.#openEvents = this.#eventCount;
    this.#completeTs = this.#lastWrittenTs;
    const gtid = this.#gtid;
    const gtidBytes = utf8Bytes(gtid);
    const at = this.#record(recordKind.transaction, 18 + gtidBytes);
    this.#view.setFloat64(at, this.#lastTs, true);
    this.#view.setFloat64(at + 8, this.#commitMs, true);
    this.#view.setUint16(at + 16, gtidBytes, true);
    if (gtidBytes > gtid.length) encoder.encodeInto(gtid, this.#bytes.subarray(at + 18));
    else for (let i = 0; i < gtidBytes; i++) this.#bytes[at + 18 + i] = gtid.charCodeAt(i);
    if (this.#transactionCount === 0) this.#firstTs = this.#lastTs;
    // `continues` describes the first transaction of the block only.
    if (this.#transactionCount === 0 && this.#continues && this.#lastWrittenTs !== this.#lastTs) {
      this.#continues = false;
    }
    this.#lastWrittenTs = this.#lastTs;
    this.#transactionCount++;
    this.#written = true;
  }

  #tableIndex(key: string, body: Uint8Array): number {
    const known = this.#tables.get(key);
    if (known !== undefined && sameTableMap(known.body, body)) return known.index;
    const index = this.#tableCount++;
    this.#tables.set(key, { index, body: body.slice() });
    const at = this.#record(recordKind.table, 2 + body.byteLength);
    this.#view.setUint16(at, index, true);
    this.#bytes.set(body, at + 2);
    const recordAt = at - recordHeaderBytes;
    this.#tableRecords.push({ at: recordAt, bytes: this.#bytes.slice(recordAt, this.#length) });
    return index;
  }

  #grow(needed: number): void {
    if (needed <= this.#bytes.byteLength) return;
    const grown = new Uint8Array(Math.max(needed, Math.min(this.#bytes.byteLength * 2, 64 << 20)));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }

  #record(kind: number, bodyBytes: number): number {
    const needed = this.#length + recordHeaderBytes + bodyBytes;
    this.#grow(needed);
    this.#view.setUint32(this.#length, bodyBytes, true);
    this.#view.setUint8(this.#length + 4, kind);
    const at = this.#length + recordHeaderBytes;
    this.#length = needed;
    return at;
  }
}

/** Length of a GTID in utf-8. It is short and ASCII: a loop is much faster than the encoder, once per transaction. */
function utf8Bytes(gtid: string): number {
  for (let i = 0; i < gtid.length; i++)
    if (gtid.charCodeAt(i) > 0x7f) return encoder.encode(gtid).byteLength;
  return gtid.length;
}

/** Table maps are the same when all but the table id (first 6 bytes, changed by every reopen of the table) is equal. */
function sameTableMap(a: Uint8Array, b: Uint8Array): boolean {
  if (a.byteLength !== b.byteLength) return false;
  for (let i = 6; i < a.byteLength; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Which family of servers logged the rows of a block. */
export function blockFlavor(bytes: Uint8Array): LogFlavor {
  return (bytes[4]! & blockMysql) !== 0 ? 'mysql' : 'mariadb';
}

/** What a reader of a block is told, record by record, in order. Byte views point into the block: copy what you keep. */
export interface BlockVisitor {
  transaction(commitTs: number, commitMs: number, gtid: string): void;
  table(index: number, tableMap: Uint8Array): void;
  rows(tableIndex: number, eventType: number, body: Uint8Array): void;
}

/** Walks all records of a block in order; a Fault when the layout is broken. */
export function visitBlock(bytes: Uint8Array, visitor: BlockVisitor): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  assert(bytes.byteLength >= blockHeaderBytes && view.getUint32(0, true) === magic, 'not a block');
  let at = blockHeaderBytes;
  while (at < bytes.byteLength) {
    assert(at + recordHeaderBytes <= bytes.byteLength, 'block record cut short');
    const bodyBytes = view.getUint32(at, true);
    const kind = view.getUint8(at + 4);
    const body = at + recordHeaderBytes;
    const end = body + bodyBytes;
    assert(end <= bytes.byteLength, 'block record runs past the end');
    if (kind === recordKind.rows) {
      visitor.rows(
        view.getUint16(body, true),
        view.getUint8(body + 2),
        bytes.subarray(body + 3, end),
      );
    } else if (kind === recordKind.table) {
      visitor.table(view.getUint16(body, true), bytes.subarray(body + 2, end));
    } else {
      assert(kind === recordKind.transaction, 'unknown record kind');
      const gtidEnd = body + 18 + view.getUint16(body + 16, true);
      visitor.transaction(
        view.getFloat64(body, true),
        view.getFloat64(body + 8, true),
        decoder.decode(bytes.subarray(body + 18, gtidEnd)),
      );
    }
    at = end;
  }
}
