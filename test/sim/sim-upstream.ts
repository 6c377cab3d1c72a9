/** The upstream port over a {@link History}: random chunks, cut transactions, lost connections, heartbeats when idle. */
import { assert } from '#src/base/assert.ts';
import { failed, failure, ok, type Failure, type Outcome } from '#src/base/failure.ts';
import { BlockWriter, type BlockInfo } from '#src/model/block.ts';
import type { DdlEvent, Position } from '#src/model/position.ts';
import type { UpstreamAnswer, UpstreamChunk, UpstreamRequest } from '#src/ports/upstream.ts';
import { epochMs, gtidAt, tsOf, tsStep, type History, type Item } from './history.ts';
import { rowsEventOf } from './row-events.ts';
import type { LivingPort, PortWeather } from './sim-port.ts';
import { bigRowCount } from './workload.ts';
import type { World } from './world.ts';

interface Chunk {
  readonly blocks: { readonly info: BlockInfo; readonly bytes: Uint8Array<ArrayBuffer> }[];
  ddl: DdlEvent | null;
}

/** How far a stream has come. */
class Stream {
  /** The next item, and how many of its changes were handed over. */
  index: number;
  changeIndex = 0;
  /** The DDL at `index` was handed over. */
  isPastDdl = false;
  /** The server ended the connection. */
  isCut = false;
  resolvedTs: number;
  readonly writers = new Map<string, BlockWriter>();
  /** It ends behind this commitTs. */
  readonly untilTs: number;

  constructor(history: History, ts: number, until: string | null) {
    this.untilTs = until === null ? Infinity : tsOf(until);
    this.index = history.indexAfter(ts);
    this.resolvedTs = ts;
  }

  get isAtEnd(): boolean {
    return this.resolvedTs >= this.untilTs;
  }

  writer(span: string): BlockWriter {
    let writer = this.writers.get(span);
    if (writer === undefined) {
      writer = new BlockWriter(span, 'mariadb');
      this.writers.set(span, writer);
    }
    return writer;
  }
}

/** An idle server says so this often. */
const heartbeatMs = 400;

/** The server: its log and the streams that read it. */
export class SimUpstream {
  readonly history: History;
  readonly #world: World;
  readonly #weather: PortWeather;
  readonly #itemCountMax: number;
  readonly #streams = new Set<Stream>();

  /** `itemCountMax`: transactions of one chunk. */
  constructor(world: World, history: History, weather: PortWeather, itemCountMax: number) {
    this.#world = world;
    this.history = history;
    this.#weather = weather;
    this.#itemCountMax = itemCountMax;
  }

  /** A client: one connection with one stream at most. */
  port(): LivingPort {
    let stream: Stream | null = null;
    const leave = (): void => {
      if (stream !== null) this.#streams.delete(stream);
      stream = null;
    };
    const open = (position: Position, until: string | null): Outcome<UpstreamAnswer> => {
      const trouble = this.#troubleAt(position.ts);
      if (trouble !== null) return failed(trouble);
      this.#assertPlace(position);
      leave();
      stream = new Stream(this.history, position.ts, until);
      this.#streams.add(stream);
      return ok({ kind: 'Opened' });
    };
    const execute = (request: UpstreamRequest): Outcome<UpstreamAnswer> => {
      switch (request.kind) {
        case 'Check':
          return this.#check(request);
        case 'Open':
          return open(request.position, request.until ?? null);
        case 'Next':
          return stream === null || stream.isCut ? failed(lost) : ok(this.#next(stream));
        case 'Route':
          return stream === null || stream.isCut ? failed(lost) : ok({ kind: 'Routed' });
        case 'Close':
          leave();
          return ok({ kind: 'Closed' });
      }
    };
    return {
      call: (request, answered) => {
        const upstreamRequest = request as UpstreamRequest;
        const asked = stream;
        const isLost = this.#weather.draw() !== 'fine';
        const run = (): void => {
          // A stream that was replaced meanwhile has nothing more to say.
          const isReplaced = upstreamRequest.kind === 'Next' && stream !== asked;
          if (isLost) leave();
          answered(isLost || isReplaced ? failed(lost) : execute(upstreamRequest));
        };
        this.#world.after(this.#weather.delay(5), () => {
          if (upstreamRequest.kind === 'Next' && asked !== null && !isLost) this.#wait(asked, run);
          else run();
        });
      },
      close: leave,
    };
  }

  /** Ends every connection. */
  cut(): void {
    for (const stream of this.#streams) stream.isCut = true;
    this.#streams.clear();
  }

  /** The server dies while a big transaction is written: it never happened. True when somebody had seen a part of it. */
  crash(): boolean {
    const open = [...this.#streams].find((one) => one.changeIndex > 0);
    this.cut();
    // Somebody else may have read all of it: then it was committed.
    if (open === undefined || open.index * tsStep < this.history.readTs) return false;
    this.history.replaceFrom(open.index);
    return true;
  }

  /** Who asks for a place by its commitTs tells the file and offset that belong to it, if any: files begin again, time does not. */
  #assertPlace({ ts, file, offset }: Position): void {
    if (file === undefined || this.history.isTruncated) return;
    const known = this.history.positionAt(ts);
    const isKnown = file === known.file && offset === known.offset;
    // A crash begins another file behind the same transaction.
    const isBefore = this.history.isFileStart(ts);
    assert(isKnown || isBefore, `${ts} is not at ${file}:${offset} (DESIGN §8)`);
    if (this.history.fileAt(Math.floor(ts / tsStep)) > 0)
      this.#world.mark('stream in a later log file');
  }

  #check(request: Extract<UpstreamRequest, { kind: 'Check' }>): Outcome<UpstreamAnswer> {
    const { startAt } = request;
    const newest = this.history.positionAt(this.history.newestTs(this.#world.now));
    const oldest = this.history.positionAt(this.history.purgedTs);
    const start =
      startAt.kind === 'position' ? startAt.position : startAt.kind === 'now' ? newest : oldest;
    const trouble = this.#troubleAt(start.ts);
    if (trouble !== null) return failed(trouble);
    return ok({
      kind: 'Checked',
      flavor: 'workload',
      version: '1',
      serverId: 's',
      start,
      newest,
      timeline: [],
      warnings: [],
    });
  }

  #troubleAt(ts: number): Failure | null {
    if (this.#weather.isDown)
      return failure('SOURCE_UNREACHABLE', 'no answer', { retry: 'Reconnect' });
    if (ts < this.history.purgedTs)
      return failure('SOURCE_BINLOG_PURGED', `${ts} is no longer in the log`);
    if (ts > this.history.newestTs(this.#world.now))
      return failure('SOURCE_DIVERGED', `${ts} is not known to the server`);
    return null;
  }

  /** Runs `run` when there is something to say. */
  #wait(stream: Stream, run: () => void): void {
    if (stream.isAtEnd) return run();
    const item = this.history.items[stream.index];
    const dueMs = (item?.atMs ?? Infinity) - this.#world.now;
    if (dueMs <= 0) run();
    else this.#world.after(Math.min(dueMs, heartbeatMs), run);
  }

  /** Some items, perhaps ending inside a transaction or before a DDL; none when the server is idle. */
  #next(stream: Stream): UpstreamChunk {
    const { history } = this;
    const dice = this.#weather.dice;
    const chunk: Chunk = { blocks: [], ddl: null };
    const itemCountMax = 1 + dice.pick(this.#itemCountMax);
    const count = history.countAt(this.#world.now);
    const fileBefore = history.fileAt(stream.index);
    let transactionCount = 0;
    let rowsFollow = false;
    for (let i = 0; i < itemCountMax && stream.index < count && !stream.isAtEnd; i++) {
      const item = history.items[stream.index]!;
      if (item.ddl !== null && !stream.isPastDdl) {
        chunk.ddl = item.ddl;
        rowsFollow = item.changes.length > 0;
        stream.isPastDdl = true;
        break;
      }
      if (!this.#write(stream, item, chunk)) {
        this.#world.mark('chunk ends within a transaction');
        break;
      }
      stream.index++;
      stream.isPastDdl = false;
      stream.resolvedTs = item.ts;
      transactionCount++;
    }
    for (const writer of stream.writers.values()) flush(writer, chunk);
    if (transactionCount === 0 && chunk.blocks.length === 0 && chunk.ddl === null)
      this.#world.mark('upstream heartbeat');
    if (history.fileAt(stream.index) > fileBefore) this.#world.mark('log rotated');
    history.readTs = Math.max(history.readTs, stream.resolvedTs);
    return {
      kind: 'Chunk',
      blocks: chunk.blocks,
      resolved: history.positionAt(stream.resolvedTs),
      commitMs: epochMs + (history.items[stream.index - 1]?.atMs ?? 0),
      ...(chunk.ddl === null ? {} : { ddl: chunk.ddl }),
      ...(rowsFollow ? { rowsFollow } : {}),
      ...(stream.isAtEnd ? { isEnd: true } : {}),
      byteCount: 100,
      transactionCount,
    };
  }

  /** Writes the rest of `item`; false when the chunk ends inside of it. */
  #write(stream: Stream, item: Item, chunk: Chunk): boolean {
    const dice = this.#weather.dice;
    const isBig = item.changes.length >= bigRowCount;
    while (stream.changeIndex < item.changes.length) {
      if (isBig && dice.chance(0.15)) return false;
      const at = stream.changeIndex++;
      const change = item.changes[at]!;
      const writer = stream.writer(change.span);
      if (!item.changes.slice(0, at).some((other) => other.span === change.span))
        writer.begin(item.ts, epochMs + item.atMs, gtidAt(item.ts));
      const { map, type, body } = rowsEventOf(change);
      writer.rows(change.span, map, type, body);
      if (isBig && dice.chance(0.2)) flush(writer, chunk);
    }
    for (const span of new Set(item.changes.map((change) => change.span)))
      stream.writer(span).commit();
    stream.changeIndex = 0;
    return true;
  }
}

const lost: Failure = failure('SOURCE_DISCONNECTED', 'lost', { retry: 'Reconnect' });

function flush(writer: BlockWriter, chunk: Chunk): void {
  // An open transaction stays behind when complete ones come before it: take both.
  for (let block = writer.take(); block !== undefined; block = writer.take())
    chunk.blocks.push(block);
}
