/** The upstream port over a {@link History}: random chunks, cut transactions, lost connections. */
import { failed, failure, ok } from '#src/base/failure.ts';
import { BlockWriter, type BlockInfo } from '#src/model/block.ts';
import type { DdlEvent, Position } from '#src/model/position.ts';
import type { UpstreamAnswer, UpstreamRequest } from '#src/ports/upstream.ts';
import type { History, Item } from './history.ts';
import type { SimPort } from './sim-thread.ts';
import type { World } from './world.ts';

interface Chunk {
  readonly blocks: { readonly info: BlockInfo; readonly bytes: Uint8Array<ArrayBuffer> }[];
  ddl: DdlEvent | null;
}

const encoder = new TextEncoder();

/** How far a stream has come. */
class Stream {
  /** The next item, and how many of its changes were handed over. */
  index = 0;
  changeIndex = 0;
  /** The DDL at `index` was handed over. */
  isPastDdl = false;
  resolvedTs = 0;
  readonly writers = new Map<string, BlockWriter>();

  writer(span: string): BlockWriter {
    let writer = this.writers.get(span);
    if (writer === undefined) {
      writer = new BlockWriter(span, 'mariadb');
      this.writers.set(span, writer);
    }
    return writer;
  }
}

/** A port whose calls fail with probability `world`-wide `failChance()`. */
export function simUpstream(world: World, history: History, failChance: () => number): SimPort {
  let stream = new Stream();
  const execute = (request: UpstreamRequest): UpstreamAnswer => {
    switch (request.kind) {
      case 'Check': {
        const { startAt } = request;
        const start = startAt.kind === 'position' ? startAt.position : positionAt(0);
        return {
          kind: 'Checked',
          flavor: 'workload',
          version: '1',
          serverId: 's',
          start,
          newest: positionAt(history.newestTs),
          timeline: [],
          warnings: [],
        };
      }
      case 'Open':
        stream = new Stream();
        stream.resolvedTs = request.position.ts;
        stream.index = history.items.filter((item) => item.ts <= request.position.ts).length;
        return { kind: 'Opened' };
      case 'Next':
        return next(world, history, stream);
      case 'Route':
        return { kind: 'Routed' };
      case 'Close':
        return { kind: 'Closed' };
    }
  };
  return (request, answered) => {
    const delay = world.random() * 5;
    const asked = stream;
    const lose = (): void =>
      answered(failed(failure('SOURCE_DISCONNECTED', 'lost', { retry: 'Reconnect' })));
    if (world.chance(failChance())) return void world.after(delay, lose);
    const { kind } = request as UpstreamRequest;
    const isIdle = kind === 'Next' && stream.index >= history.items.length;
    world.after(isIdle ? 200 : delay, () => {
      // A stream that was replaced meanwhile has nothing more to say.
      if (kind === 'Next' && stream !== asked) lose();
      else answered(ok(execute(request as UpstreamRequest)));
    });
  };
}

function positionAt(ts: number): Position {
  return { ts, gtid: `0-1-${ts / 10}` };
}

/** Some items, perhaps ending inside a transaction or before a DDL. */
function next(world: World, history: History, stream: Stream): UpstreamAnswer {
  const chunk: Chunk = { blocks: [], ddl: null };
  const itemCountMax = 1 + world.pick(5);
  let transactionCount = 0;
  for (let i = 0; i < itemCountMax; i++) {
    const item = history.items[stream.index];
    if (item === undefined) break;
    if (item.ddl !== null && !stream.isPastDdl) {
      chunk.ddl = item.ddl;
      stream.isPastDdl = true;
      break;
    }
    if (item.ddl === null && !write(world, stream, item, chunk)) break;
    stream.index++;
    stream.isPastDdl = false;
    stream.resolvedTs = item.ts;
    transactionCount++;
  }
  for (const writer of stream.writers.values()) flush(writer, chunk);
  return {
    kind: 'Chunk',
    blocks: chunk.blocks,
    resolved: positionAt(stream.resolvedTs),
    commitMs: stream.resolvedTs,
    ...(chunk.ddl === null ? {} : { ddl: chunk.ddl }),
    byteCount: 100,
    transactionCount,
  };
}

/** Writes the rest of `item`; false when the chunk ends inside of it. */
function write(world: World, stream: Stream, item: Item, chunk: Chunk): boolean {
  const isBig = item.changes.length >= 8;
  while (stream.changeIndex < item.changes.length) {
    if (isBig && world.chance(0.15)) return false;
    const at = stream.changeIndex++;
    const { span, key, from } = item.changes[at]!;
    const writer = stream.writer(span);
    if (!item.changes.slice(0, at).some((change) => change.span === span))
      writer.begin(item.ts, item.ts, `0-1-${item.ts / 10}`);
    writer.rows(span, encoder.encode('tablemap'), 30, encoder.encode(`${key} ${from}`));
    if (isBig && world.chance(0.2)) flush(writer, chunk);
  }
  for (const span of new Set(item.changes.map((change) => change.span)))
    stream.writer(span).commit();
  stream.changeIndex = 0;
  return true;
}

function flush(writer: BlockWriter, chunk: Chunk): void {
  // An open transaction stays behind when complete ones come before it: take both.
  for (let block = writer.take(); block !== undefined; block = writer.take())
    chunk.blocks.push(block);
}
