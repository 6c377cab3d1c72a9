/**
 * The event store on LMDB (port: src/ports/event-store.ts). One instance appends, collects and discards; instances of
 * other threads of the same process may read. Nothing is synced to disk: a new process starts with an empty store,
 * because the upstream's log is what counts.
 *
 * Writes are synchronous transactions: LMDB copies the bytes into its pages before the call returns, so the caller's
 * buffers are free at once, no copies wait in memory, and a full disk is an error of the very call that met it.
 */
import { assert } from '#src/base/assert.ts';
import { FailureError, type Outcome, failed, failure, ok } from '#src/base/failure.ts';
import { readBlockInfo } from '#src/model/block.ts';
import type {
  EventStoreAnswer,
  EventStorePort,
  EventStoreRequest,
  StoreCursor,
  StoredBlock,
} from '#src/ports/event-store.ts';
import type { Log } from '#src/ports/log.ts';
import { createHash } from 'node:crypto';
import { type Database, type RootDatabase, open } from 'lmdb';
import { keyAfter, keyBefore, partMax, readBlockKey, writeBlockKey } from './block-key.ts';
import { blockPrefix } from './block-prefix.ts';
import { openProcessDirectory } from './process-directory.ts';
import { translateStoreError } from './store-error.ts';

/** What the store needs to open. */
export interface LmdbEventStoreOptions {
  /** The data directory; the store makes a directory of its own in it. */
  readonly directory: string;
  readonly log: Log;
  /** Most bytes of blocks stored and not yet collected; an Append above it answers STORE_FULL. */
  readonly byteCountMax: number;
}

/** Most keys removed in one LMDB transaction: bounds its memory and how long the thread is held. */
const removalCountMax = 4096;
/** Address space reserved at first; LMDB grows it. */
const mapBytesMin = 256 << 20;

/** Opens the event store of this process. Throws FailureError STORE_FAILED when the directory can't be used. */
export function openLmdbEventStore(options: LmdbEventStoreOptions): EventStorePort {
  try {
    const store = new LmdbEventStore(options);
    return { call: (request) => store.call(request), close: () => store.close() };
  } catch (error) {
    throw new FailureError(translateStoreError(error, options.directory));
  }
}

class LmdbEventStore {
  readonly #log: Log;
  readonly #directory: string;
  readonly #byteCountMax: number;
  readonly #root: RootDatabase<Buffer, Buffer>;
  readonly #blocks: Database<Buffer, Buffer>;
  readonly #names: Database<number, string>;
  /** Span numbers that are committed; one entry per table ever seen. */
  readonly #spans = new Map<string, number>();
  /** Where each span's newest block stands, by span number. */
  readonly #ends = new Map<number, StoreCursor>();
  #byteCount = 0;
  #isClosed = false;

  constructor(options: LmdbEventStoreOptions) {
    this.#log = options.log;
    this.#directory = options.directory;
    this.#byteCountMax = options.byteCountMax;
    this.#root = open<Buffer, Buffer>({
      path: openProcessDirectory(options.directory),
      // Not a writable map: a full disk would then be a bus error, not an error code.
      useWritemap: false,
      noSync: true,
      overlappingSync: false,
      // Pages are cleared before they are used: what the process had in its memory, passwords among it, would be written out.
      noMemInit: false,
      cache: false,
      mapSize: Math.max(mapBytesMin, options.byteCountMax),
      maxDbs: 3,
      encoding: 'binary',
      keyEncoding: 'binary',
    });
    this.#blocks = this.#root.openDB<Buffer, Buffer>('blocks', {
      encoding: 'binary',
      keyEncoding: 'binary',
      cache: false,
    });
    this.#names = this.#root.openDB<number, string>('spans', {
      encoding: 'ordered-binary',
      cache: false,
    });
  }

  // oxlint-disable-next-line require-await -- the port answers with a promise; LMDB itself is synchronous here
  async call(request: EventStoreRequest): Promise<Outcome<EventStoreAnswer>> {
    if (this.#isClosed) return failed(failure('INTERNAL_STOPPED', 'the event store is closed'));
    try {
      return ok(this.#answer(request));
    } catch (error) {
      return failed(translateStoreError(error, this.#directory));
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#root.close();
  }

  #answer(request: EventStoreRequest): EventStoreAnswer {
    switch (request.kind) {
      case 'Append':
        return this.#append(request.blocks);
      case 'Read':
        return this.#read(request);
      case 'Collect':
        return { kind: 'Collected', byteCount: this.#collect(request.span, request.ts) };
      case 'DiscardAfter':
        for (const [name, span] of this.#spans) this.#discard(name, span, request.ts);
        return { kind: 'Discarded' };
    }
  }

  #append(blocks: readonly StoredBlock[]): EventStoreAnswer {
    let byteCount = 0;
    for (const block of blocks) byteCount += block.bytes.byteLength;
    if (this.#byteCount + byteCount > this.#byteCountMax) {
      throw new FailureError(
        failure('STORE_FULL', `the event store holds ${this.#byteCount} bytes of blocks`, {
          retry: 'Again',
          detail: { byteCount: this.#byteCount, byteCountMax: this.#byteCountMax },
        }),
      );
    }
    // Memory follows only what was committed: an append that fails leaves no trace.
    const ends = new Map<number, StoreCursor>();
    const spans = new Map<string, number>();
    this.#root.transactionSync(() => {
      for (const block of blocks) {
        const span = this.#spanNumber(block.info.span, spans);
        this.#put(span, block.info.lastTs, block.bytes, ends);
      }
    });
    for (const [name, span] of spans) this.#spans.set(name, span);
    for (const [span, end] of ends) this.#ends.set(span, end);
    this.#byteCount += byteCount;
    return { kind: 'Appended', byteCount };
  }

  #put(span: number, ts: number, bytes: Uint8Array, ends: Map<number, StoreCursor>): void {
    const end = ends.get(span) ?? this.#ends.get(span) ?? { ts: -1, part: 0 };
    assert(ts >= end.ts, 'blocks of a span must be appended in order');
    const part = ts === end.ts ? end.part + 1 : 0;
    ends.set(span, { ts, part });
    this.#blocks.putSync(
      writeBlockKey({ span, ts, part, byteCount: bytes.byteLength }),
      Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    );
  }

  /** The number of a span, allotted and written (for readers on other threads) at its first block. */
  #spanNumber(name: string, added: Map<string, number>): number {
    const known = this.#spans.get(name) ?? added.get(name);
    if (known !== undefined) return known;
    const number = this.#spans.size + added.size + 1;
    added.set(name, number);
    this.#names.putSync(nameKey(name), number);
    return number;
  }

  #read(request: Extract<EventStoreRequest, { kind: 'Read' }>): EventStoreAnswer {
    // Another thread may have written since this event turn's read transaction began.
    this.#root.resetReadTxn();
    const span = this.#spans.get(request.span) ?? this.#names.get(nameKey(request.span));
    const blocks: StoredBlock[] = [];
    let cursor = request.after;
    let more = false;
    if (span === undefined) return { kind: 'Blocks', blocks, cursor, more };
    let byteCount = 0;
    const range = this.#blocks.getKeys({
      start: keyAfter(span, cursor.ts, Math.min(cursor.part, partMax)),
      end: keyAfter(span, request.untilTs, partMax),
    });
    for (const keyBytes of range) {
      if (blocks.length > 0 && byteCount >= request.byteCountMax) {
        more = true;
        break;
      }
      const key = readBlockKey(keyBytes);
      const bytes = this.#copyOut(keyBytes, key.byteCount);
      byteCount += bytes.byteLength;
      blocks.push({ info: readBlockInfo(request.span, bytes), bytes });
      cursor = { ts: key.ts, part: key.part };
    }
    return { kind: 'Blocks', blocks, cursor, more };
  }

  /** A copy of a stored block: LMDB's own bytes change under the next read, and the caller moves what it gets. */
  #copyOut(key: Buffer, byteCount: number): Uint8Array<ArrayBuffer> {
    const found = this.#blocks.getBinaryFast(key);
    assert(found !== undefined, 'a key of the event store has no block');
    const bytes = new Uint8Array(byteCount);
    // The shared read buffer is longer than the value; only its first bytes are the block.
    bytes.set(found.subarray(0, byteCount));
    return bytes;
  }

  #collect(name: string, ts: number): number {
    const span = this.#spans.get(name);
    if (span === undefined) return 0;
    return this.#removeRange(keyBefore(span), keyAfter(span, ts, partMax));
  }

  #discard(name: string, span: number, ts: number): void {
    const end = this.#ends.get(span);
    if (end === undefined || end.ts <= ts) return;
    const start = keyAfter(span, ts, partMax);
    const stop = keyAfter(span, Number.MAX_SAFE_INTEGER, partMax);
    const [first] = this.#blocks.getKeys({ start, end: stop, limit: 1 });
    // Complete transactions may share a block with one that was cut off: they stay.
    const kept =
      first === undefined
        ? undefined
        : blockPrefix(this.#copyOut(first, readBlockKey(first).byteCount), ts);
    const byteCount = this.#removeRange(start, stop);
    const [last] = this.#blocks.getKeys({
      start: stop,
      end: keyBefore(span),
      reverse: true,
      limit: 1,
    });
    this.#ends.set(span, last === undefined ? { ts: -1, part: 0 } : readBlockKey(last));
    if (kept !== undefined) {
      this.#root.transactionSync(() => {
        this.#put(span, readBlockInfo(name, kept).lastTs, kept, this.#ends);
      });
      this.#byteCount += kept.byteLength;
    }
    this.#log('debug', 'event-store-discarded', { span: name, ts, byteCount });
  }

  /** Removes the keys between start and end, a bounded number per transaction; answers the bytes of their blocks. */
  #removeRange(start: Buffer, end: Buffer): number {
    let total = 0;
    for (;;) {
      const keys = Array.from(this.#blocks.getKeys({ start, end, limit: removalCountMax }));
      let byteCount = 0;
      this.#root.transactionSync(() => {
        for (const key of keys) {
          byteCount += readBlockKey(key).byteCount;
          this.#blocks.removeSync(key);
        }
      });
      this.#byteCount -= byteCount;
      total += byteCount;
      if (keys.length < removalCountMax) return total;
    }
  }
}

/** A span's key among the names; the name of a group of many tables may be longer than LMDB's keys. */
function nameKey(name: string): string {
  if (name.length <= 400) return name;
  return `#${createHash('sha256').update(name).digest('hex')}`;
}
