/** What comes in: chunks of the log into live window and event store, and the pace at which the log puller may go on. */
import { assert } from '#src/base/assert.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Routing } from '#src/model/start-at.ts';
import type { StoredBlock } from '#src/ports/event-store.ts';
import type { Chunk, ChunkTaken } from '#src/protocol/source.ts';
import { pump, tellResolved } from './delivery.ts';
import type { EventServiceOwn } from './own-messages.ts';
import { budgetBytes, callStore, fail, tell, type EventServiceState } from './state.ts';
import { cursorAfter, evict, isPartial, newStream, type SpanStream } from './stream.ts';

type S = EventServiceState;

/** Appends the store has not answered yet. */
const appendingBytesMax = 32 << 20;

/** Takes in one chunk: window, store, what is complete now, and the word to manager and subscribers. */
export function takeChunk(state: S, chunk: Chunk, effects: Effect[]): void {
  if (state.isBroken) return;
  const blocks: StoredBlock[] = chunk.infos.map((info, i) => ({ info, bytes: chunk.moved[i]! }));
  const seen: string[] = [];
  for (const block of blocks) {
    let stream = state.streams.get(block.info.span);
    if (stream === undefined) {
      stream = newStream(block.info.span);
      state.streams.set(block.info.span, stream);
      seen.push(block.info.span);
    }
    appendBlock(state, stream, block, chunk.resolved.ts);
    for (const part of state.parts.get(stream.span) ?? [])
      appendBlock(state, part, block, chunk.resolved.ts);
  }
  if (blocks.length > 0) {
    const byteCount = blocks.reduce((sum, block) => sum + block.info.byteCount, 0);
    state.appendingBytes += byteCount;
    state.storedBytes += byteCount;
    state.appends.set(++state.appendCount, state.resolved.ts);
    effects.push(callStore(state, { kind: 'Append', blocks }, 'AppendAnswered', state.appendCount));
  }
  state.resolved = chunk.resolved;
  for (const { info } of blocks) {
    state.open.add(info.span);
    for (const { span } of state.parts.get(info.span) ?? []) state.open.add(span);
  }
  const sendable = new Set(state.open);
  for (const span of state.open) {
    const stream = state.streams.get(span)!;
    if (stream.newest.ts > chunk.resolved.ts) continue;
    stream.complete = stream.newest;
    stream.openBytes = 0;
    state.open.delete(span);
  }
  state.commitMs = chunk.commitMs;
  state.chunkHeld = true;
  state.ddlHeld = chunk.ddl !== null;
  // Also the spans whose last part came in an earlier chunk: their transaction may be complete only now.
  for (const span of sendable) pump(state, state.streams.get(span)!, effects);
  if (seen.length > 0) tell(state, { kind: 'SpansSeen', spans: seen }, effects);
  const { byteCount, transactionCount, resolved, commitMs } = chunk;
  tell(
    state,
    { kind: 'ResolvedAdvanced', position: resolved, commitMs, byteCount, transactionCount },
    effects,
  );
  if (chunk.ddl !== null) {
    // The barrier waits for every span: tell them now how far they are.
    tellResolved(state, effects);
    tell(state, { kind: 'StreamHeld', ddl: chunk.ddl, resolved }, effects);
  }
  releaseChunk(state, effects);
}

function appendBlock(state: S, stream: SpanStream, block: StoredBlock, resolvedTs: number): void {
  const cursor = cursorAfter(stream.newest, block.info);
  // The chunk may hold complete blocks of a span before the first part of what is not complete.
  if (stream.newest.ts <= resolvedTs) {
    stream.complete = stream.newest;
    stream.openBytes = 0;
  }
  stream.newest = cursor;
  if (cursor.ts <= resolvedTs) {
    stream.complete = cursor;
    stream.openBytes = 0;
  } else if (!isPartial(stream)) stream.openBytes += block.info.byteCount;
  if (stream.behind) return;
  stream.window.push({ ...block, cursor });
  stream.windowBytes += block.info.byteCount;
  state.windowBytes += block.info.byteCount;
  while (state.windowBytes > budgetBytes(state)) {
    const largest = largestWindow(state);
    state.windowBytes -= largest.windowBytes;
    evict(largest);
  }
}

function largestWindow(state: S): SpanStream {
  let largest: SpanStream | undefined;
  for (const stream of state.streams.values()) {
    if (largest === undefined || stream.windowBytes > largest.windowBytes) largest = stream;
  }
  assert(largest !== undefined && largest.windowBytes > 0, 'window bytes without a window');
  return largest;
}

/** A DDL is done: the log puller goes on with the new routing. */
export function resumed(state: S, routing: Routing | null, effects: Effect[]): void {
  state.schemaVersion++;
  state.ddlHeld = false;
  state.chunkHeld = false;
  effects.push(toLogPuller(state, routing));
}

/** ChunkTaken, once there is room for the next chunk and no DDL holds the stream. */
function releaseChunk(state: S, effects: Effect[]): void {
  if (!state.chunkHeld || state.ddlHeld) return;
  if (state.appendingBytes > appendingBytesMax) return;
  if (state.storedBytes > state.props.storeBytesMax) return;
  state.chunkHeld = false;
  effects.push(toLogPuller(state, null));
}

function toLogPuller(state: S, routing: Routing | null): Effect {
  const message: ChunkTaken = { kind: 'ChunkTaken', routing };
  return { kind: 'Send', to: state.props.logPuller, message };
}

/** The store has the blocks of one chunk: spans that read from it may go on. */
export function appended(
  state: S,
  message: Extract<EventServiceOwn, { kind: 'AppendAnswered' }>,
  effects: Effect[],
): void {
  if (!state.appends.delete(message.tag)) return;
  if (!message.outcome.ok) return fail(state, message.outcome, effects);
  const answer = message.outcome.value;
  assert(answer.kind === 'Appended', 'answer to Append');
  state.appendingBytes -= answer.byteCount;
  for (const stream of state.streams.values()) if (stream.behind) pump(state, stream, effects);
  releaseChunk(state, effects);
}

/** The log puller lost its connection: what is not resolved comes again. */
export function discard(state: S, effects: Effect[]): void {
  const { ts } = state.resolved;
  for (const span of state.open) {
    const stream = state.streams.get(span)!;
    const kept = [...stream.window].filter((block) => block.info.lastTs <= ts);
    state.windowBytes -= stream.windowBytes;
    stream.window.clear();
    stream.windowBytes = 0;
    for (const block of kept) {
      stream.window.push(block);
      stream.windowBytes += block.info.byteCount;
    }
    state.windowBytes += stream.windowBytes;
    stream.newest = stream.complete;
    state.storedBytes -= stream.openBytes;
    stream.openBytes = 0;
  }
  state.open.clear();
  effects.push(discardAfter(state, ts));
}

/** Everything stored after `ts` goes. */
export function discardAfter(state: EventServiceState, ts: number): Effect {
  return callStore(state, { kind: 'DiscardAfter', ts }, 'DiscardAnswered', '');
}

/** Drops from the store what is committed downstream. */
export function collect(state: S, effects: Effect[]): void {
  for (const stream of state.streams.values()) {
    // Of a table that is split, the feed's checkpoint says what no part will ask for again.
    if (isPartial(stream) || stream.appliedTs <= stream.collectedTs) continue;
    stream.collectedTs = stream.appliedTs;
    const request = { kind: 'Collect', span: stream.span, ts: stream.appliedTs } as const;
    effects.push(callStore(state, request, 'CollectAnswered', state.generation));
  }
}

/** The store has dropped so much: there may be room for the next chunk. */
export function collected(
  state: S,
  message: Extract<EventServiceOwn, { kind: 'CollectAnswered' }>,
  effects: Effect[],
): void {
  if (message.tag !== state.generation) return;
  if (!message.outcome.ok || message.outcome.value.kind !== 'Collected') return;
  state.storedBytes = Math.max(0, state.storedBytes - message.outcome.value.byteCount);
  releaseChunk(state, effects);
}

/**
 * What no node will ask for again is let go of where nobody subscribes: a span may be served by another node, and its
 * events are kept here from the checkpoint on, so that it can move here at once.
 */
export function retain(state: EventServiceState, ts: number): void {
  for (const stream of state.streams.values()) {
    if (stream.subscriber !== null) continue;
    stream.appliedTs = Math.max(stream.appliedTs, ts);
    for (;;) {
      const block = stream.window.peek();
      if (block === undefined || block.info.lastTs > ts) break;
      stream.window.shift();
      stream.windowBytes -= block.info.byteCount;
      state.windowBytes -= block.info.byteCount;
    }
  }
}
