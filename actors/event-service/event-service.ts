/**
 * The event service of one upstream keeps what the log puller read until it is committed downstream, and gives each
 * dispatcher the events of its span: from the live window while the dispatcher keeps up, from the event store when
 * it does not.
 *
 * Promises: blocks of a span reach its subscriber in commit order, once per subscription, complete transactions only;
 * `Resolved` comes after the blocks it covers; nothing a subscriber may still ask for is collected. Memory: the live
 * window and what is delivered but not granted back stay within an eighth of the quota each, because what becomes of them
 * (statements, packets, garbage not yet collected) takes about as much again; the store within its limit,
 * beyond which the log puller gets no ChunkTaken, and so the socket is paused.
 * Assumes: one subscriber per span; the store keeps the order of appends.
 */
import { assert, unreachable } from '#src/base/assert.ts';
import { failure, type Outcome } from '#src/base/failure.ts';
import type { Behaviour, Env, Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Ref } from '#src/kernel/ref.ts';
import type { Position } from '#src/model/position.ts';
import type { EventStoreAnswer, EventStoreRequest, StoredBlock } from '#src/ports/event-store.ts';
import type { Routing } from '#src/model/start-at.ts';
import type { MaintainerMessage } from '#src/protocol/maintainer.ts';
import type {
  Chunk,
  ChunkTaken,
  DispatcherMessage,
  EventServiceMessage,
  GrantCredit,
  OpenStream,
  Subscribe,
} from '#src/protocol/source.ts';
import { cursorAfter, evict, isDrained, newStream, type SpanStream } from './stream.ts';

/** What an event service is started with. */
export interface EventServiceProps {
  readonly logPuller: Ref;
  /** Bytes the event store may hold before reading stops. */
  readonly storeBytesMax: number;
}

/** Private messages: answers of the event store and the tick. */
export type EventServiceOwn =
  | {
      readonly kind: 'AppendAnswered';
      readonly tag: number;
      readonly outcome: Outcome<EventStoreAnswer>;
    }
  | {
      readonly kind: 'ReadAnswered';
      readonly tag: string;
      readonly outcome: Outcome<EventStoreAnswer>;
    }
  | {
      readonly kind: 'CollectAnswered';
      readonly tag: number;
      readonly outcome: Outcome<EventStoreAnswer>;
    }
  | {
      readonly kind: 'DiscardAnswered';
      readonly tag: string;
      readonly outcome: Outcome<EventStoreAnswer>;
    }
  | { readonly kind: 'TickDue' };

/** Everything an event service receives. */
export type EventServiceInbox = EventServiceMessage | EventServiceOwn;

/** The state; mutated in place. */
export interface EventServiceState {
  readonly props: EventServiceProps;
  maintainer: Ref | null;
  quota: number;
  readonly streams: Map<string, SpanStream>;
  resolved: Position;
  commitMs: number;
  schemaVersion: number;
  windowBytes: number;
  deliveredBytes: number;
  storedBytes: number;
  /** Bytes of appends not yet answered. */
  appendingBytes: number;
  /** Appends not yet answered: number → everything with commitTs ≤ this was appended before. */
  readonly appends: Map<number, number>;
  appendCount: number;
  /** The store lost something: nothing more is served until the next OpenStream. */
  isBroken: boolean;
  /** The log puller waits for ChunkTaken. */
  chunkHeld: boolean;
  /** The stream stands before a DDL. */
  ddlHeld: boolean;
  /** Numbers the ownership: store answers for an earlier one are dropped. */
  generation: number;
  /** Spans that wait for room in the delivery budget, oldest first. */
  readonly waiting: Set<string>;
  /** Spans whose newest block is part of a transaction that is not complete yet. */
  readonly open: Set<string>;
  tickCount: number;
}

type S = EventServiceState;

/** Share of the quota that the live window may hold, and deliveries that are not granted back. */
const budgetShare = 1 / 8;
/** Resolved timestamps go out once per tick; garbage is collected every so many ticks. */
const tickMs = 20;
const collectTickCount = 25;
/** Appends the store has not answered yet. */
const appendingBytesMax = 32 << 20;
/** Bytes of one read from the store. */
const readBytesMax = 2 << 20;

function init(props: EventServiceProps): Step<S> {
  const state: S = {
    props,
    maintainer: null,
    quota: 256 << 20,
    streams: new Map(),
    resolved: { ts: 0, gtid: '' },
    commitMs: 0,
    schemaVersion: 1,
    windowBytes: 0,
    deliveredBytes: 0,
    storedBytes: 0,
    appendingBytes: 0,
    appends: new Map(),
    appendCount: 0,
    isBroken: false,
    chunkHeld: false,
    ddlHeld: false,
    generation: 0,
    waiting: new Set(),
    open: new Set(),
    tickCount: 0,
  };
  return [state, [tick]];
}

const tick: Effect = {
  kind: 'SetTimer',
  key: 'tick',
  afterMs: tickMs,
  message: { kind: 'TickDue' },
};

function receive(state: S, message: EventServiceInbox, env: Env): Step<S> {
  const effects: Effect[] = [];
  switch (message.kind) {
    case 'OpenStream':
      openStream(state, message, env.from, effects);
      break;
    case 'Chunk':
      takeChunk(state, message, effects);
      break;
    case 'DiscardIncomplete':
      discard(state, effects);
      break;
    case 'ResumeSource':
      state.schemaVersion++;
      state.ddlHeld = false;
      state.chunkHeld = false;
      effects.push(toLogPuller(state, message.routing));
      break;
    case 'Subscribe':
      subscribe(state, message, effects);
      break;
    case 'GrantCredit':
      granted(state, message, env.from, effects);
      break;
    case 'Unsubscribe':
      if (isSame(state.streams.get(message.span)?.subscriber ?? null, env.from)) {
        unsubscribe(state, message.span);
        pumpWaiting(state, effects);
      }
      break;
    case 'AppendAnswered':
      appended(state, message, effects);
      break;
    case 'ReadAnswered':
      readBack(state, message, effects);
      break;
    case 'CollectAnswered':
      if (message.tag !== state.generation) break;
      if (message.outcome.ok && message.outcome.value.kind === 'Collected') {
        state.storedBytes = Math.max(0, state.storedBytes - message.outcome.value.byteCount);
        releaseChunk(state, effects);
      }
      break;
    case 'DiscardAnswered':
      if (!message.outcome.ok) fail(state, message.outcome, effects);
      break;
    case 'TickDue':
      tellResolved(state, effects);
      if (++state.tickCount % collectTickCount === 0) collect(state, effects);
      effects.push(tick);
      break;
    default:
      return unreachable(message);
  }
  return [state, effects];
}

function openStream(state: S, message: OpenStream, from: Ref, effects: Effect[]): void {
  state.maintainer = from;
  state.quota = message.memoryQuota;
  state.generation++;
  state.streams.clear();
  state.waiting.clear();
  state.open.clear();
  state.resolved = message.position;
  state.windowBytes = 0;
  state.deliveredBytes = 0;
  state.storedBytes = 0;
  state.appendingBytes = 0;
  state.appends.clear();
  state.isBroken = false;
  state.chunkHeld = false;
  state.ddlHeld = false;
  state.schemaVersion++;
  // Whatever an earlier owner stored is read again from the log.
  effects.push(discardAfter(0));
}

function discardAfter(ts: number): Effect {
  return callStore({ kind: 'DiscardAfter', ts }, 'DiscardAnswered', '');
}

function callStore(
  request: EventStoreRequest,
  answer: EventServiceOwn['kind'],
  tag: string | number,
): Effect {
  return { kind: 'CallPort', port: 'event-store', request, answer, tag };
}

function toLogPuller(state: S, routing: Routing | null): Effect {
  const message: ChunkTaken = { kind: 'ChunkTaken', routing };
  return { kind: 'Send', to: state.props.logPuller, message };
}

function takeChunk(state: S, chunk: Chunk, effects: Effect[]): void {
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
  }
  if (blocks.length > 0) {
    const byteCount = blocks.reduce((sum, block) => sum + block.info.byteCount, 0);
    state.appendingBytes += byteCount;
    state.storedBytes += byteCount;
    state.appends.set(++state.appendCount, state.resolved.ts);
    effects.push(callStore({ kind: 'Append', blocks }, 'AppendAnswered', state.appendCount));
  }
  state.resolved = chunk.resolved;
  for (const { info } of blocks) state.open.add(info.span);
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
    tell(state, { kind: 'DdlReached', ddl: chunk.ddl, resolved }, effects);
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
  } else stream.openBytes += block.info.byteCount;
  if (stream.behind) return;
  stream.window.push({ ...block, cursor });
  stream.windowBytes += block.info.byteCount;
  state.windowBytes += block.info.byteCount;
  while (state.windowBytes > state.quota * budgetShare) {
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

/** ChunkTaken, once there is room for the next chunk and no DDL holds the stream. */
function releaseChunk(state: S, effects: Effect[]): void {
  if (!state.chunkHeld || state.ddlHeld) return;
  if (state.appendingBytes > appendingBytesMax) return;
  if (state.storedBytes > state.props.storeBytesMax) return;
  state.chunkHeld = false;
  effects.push(toLogPuller(state, null));
}

function appended(
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

function discard(state: S, effects: Effect[]): void {
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
  effects.push(discardAfter(ts));
}

function subscribe(state: S, message: Subscribe, effects: Effect[]): void {
  let stream = state.streams.get(message.span);
  if (stream === undefined) {
    stream = newStream(message.span);
    state.streams.set(message.span, stream);
  }
  unsubscribe(state, message.span);
  stream.subscriber = message.subscriber;
  stream.subscription++;
  stream.reading = false;
  stream.creditBytes = message.creditBytes;
  stream.seq = 0;
  stream.toldTs = 0;
  stream.appliedTs = Math.max(stream.appliedTs, message.afterTs);
  const fresh = stream.cursor.ts === 0 && !stream.behind;
  if (!fresh && (stream.behind || stream.newest.ts > message.afterTs)) {
    // A later subscriber begins again behind its own position: from the store, for simplicity.
    state.windowBytes -= stream.windowBytes;
    evict(stream);
    stream.behind = true;
    stream.cursor = { ts: message.afterTs, part: Number.MAX_SAFE_INTEGER };
  }
  pump(state, stream, effects);
}

function unsubscribe(state: S, span: string): void {
  const stream = state.streams.get(span);
  if (stream === undefined) return;
  state.deliveredBytes -= stream.deliveredBytes;
  stream.deliveredBytes = 0;
  stream.subscriber = null;
  state.waiting.delete(span);
}

function granted(state: S, message: GrantCredit, from: Ref, effects: Effect[]): void {
  const stream = state.streams.get(message.span);
  // A grant of an earlier subscriber would let the present one be sent too much.
  if (stream === undefined || !isSame(stream.subscriber, from)) return;
  const byteCount = Math.min(message.byteCount, stream.deliveredBytes);
  stream.deliveredBytes -= byteCount;
  state.deliveredBytes -= byteCount;
  stream.creditBytes += byteCount;
  stream.appliedTs = Math.max(stream.appliedTs, message.appliedTs);
  pump(state, stream, effects);
  pumpWaiting(state, effects);
}

/** Spans that waited for the common budget go first come first served. */
function pumpWaiting(state: S, effects: Effect[]): void {
  const spans = Array.from(state.waiting);
  for (const span of spans) {
    if (state.deliveredBytes >= state.quota * budgetShare) break;
    state.waiting.delete(span);
    pump(state, state.streams.get(span)!, effects);
  }
}

function isSame(a: Ref | null, b: Ref): boolean {
  return a !== null && a.path === b.path && a.incarnation === b.incarnation;
}

/** Sends what the subscriber may have: complete transactions, within its credit and the common budget. */
function pump(state: S, stream: SpanStream, effects: Effect[]): void {
  if (state.isBroken || stream.subscriber === null || stream.creditBytes <= 0) return;
  if (stream.behind) return readOn(state, stream, effects);
  const blocks: StoredBlock[] = [];
  for (;;) {
    const block = stream.window.peek();
    if (block === undefined || block.info.lastTs > state.resolved.ts || stream.creditBytes <= 0)
      break;
    if (state.deliveredBytes >= state.quota * budgetShare) {
      state.waiting.add(stream.span);
      break;
    }
    stream.window.shift();
    stream.windowBytes -= block.info.byteCount;
    state.windowBytes -= block.info.byteCount;
    stream.cursor = block.cursor;
    deliver(state, stream, block);
    blocks.push(block);
  }
  sendBlocks(state, stream, blocks, effects);
}

function deliver(state: S, stream: SpanStream, block: StoredBlock): void {
  stream.creditBytes -= block.info.byteCount;
  stream.deliveredBytes += block.info.byteCount;
  state.deliveredBytes += block.info.byteCount;
}

function sendBlocks(
  state: S,
  stream: SpanStream,
  blocks: readonly StoredBlock[],
  effects: Effect[],
): void {
  if (blocks.length === 0) return;
  toSubscriber(
    stream,
    {
      kind: 'Events',
      seq: ++stream.seq,
      infos: blocks.map((block) => block.info),
      moved: blocks.map((block) => block.bytes),
      schemaVersion: state.schemaVersion,
    },
    effects,
  );
}

function readOn(state: S, stream: SpanStream, effects: Effect[]): void {
  if (stream.reading) return;
  if (state.deliveredBytes >= state.quota * budgetShare) {
    state.waiting.add(stream.span);
    return;
  }
  stream.reading = true;
  stream.readTs = storedTs(state);
  const read: EventStoreRequest = {
    kind: 'Read',
    span: stream.span,
    after: stream.cursor,
    // A read never passes an append that may still fail: it would skip what is missing.
    untilTs: stream.readTs,
    byteCountMax: Math.min(stream.creditBytes, readBytesMax),
  };
  const tag = `${state.generation} ${stream.subscription} ${stream.span}`;
  effects.push(callStore(read, 'ReadAnswered', tag));
}

/** Everything with commitTs ≤ this can be read from the store. */
function storedTs(state: S): number {
  for (const beforeTs of state.appends.values()) return Math.min(beforeTs, state.resolved.ts);
  return state.resolved.ts;
}

function readBack(
  state: S,
  message: Extract<EventServiceOwn, { kind: 'ReadAnswered' }>,
  effects: Effect[],
): void {
  const [generation, subscription, ...span] = message.tag.split(' ');
  const stream = state.streams.get(span.join(' '));
  if (Number(generation) !== state.generation || stream === undefined) return;
  if (Number(subscription) !== stream.subscription || state.isBroken) return;
  stream.reading = false;
  if (!message.outcome.ok) return fail(state, message.outcome, effects);
  const answer = message.outcome.value;
  assert(answer.kind === 'Blocks', 'answer to Read');
  if (stream.subscriber === null) return;
  for (const block of answer.blocks) deliver(state, stream, block);
  if (answer.blocks.length > 0) stream.cursor = answer.cursor;
  sendBlocks(state, stream, answer.blocks, effects);
  if (isDrained(stream)) stream.behind = false;
  else if (answer.more) pump(state, stream, effects);
  else if (stream.readTs > stream.toldTs) {
    // What is left belongs to a transaction that is not complete, perhaps for long: it holds nobody up.
    stream.toldTs = stream.readTs;
    toSubscriber(stream, { kind: 'Resolved', ts: stream.readTs }, effects);
  }
}

/** Resolved follows the last block of a span that has everything; a lagging span is told how far it has been given. */
function tellResolved(state: S, effects: Effect[]): void {
  if (state.isBroken) return;
  for (const stream of state.streams.values()) {
    if (stream.subscriber === null) continue;
    if (stream.behind) {
      // Appended or resolved since the last read.
      pump(state, stream, effects);
      continue;
    }
    const unsent = stream.window.peek();
    const ts =
      unsent === undefined
        ? state.resolved.ts
        : Math.min(state.resolved.ts, unsent.info.firstTs - 1);
    if (ts <= stream.toldTs) continue;
    stream.toldTs = ts;
    toSubscriber(stream, { kind: 'Resolved', ts }, effects);
  }
}

function collect(state: S, effects: Effect[]): void {
  for (const stream of state.streams.values()) {
    if (stream.appliedTs <= stream.collectedTs) continue;
    stream.collectedTs = stream.appliedTs;
    const request = { kind: 'Collect', span: stream.span, ts: stream.appliedTs } as const;
    effects.push(callStore(request, 'CollectAnswered', state.generation));
  }
}

function toSubscriber(stream: SpanStream, message: DispatcherMessage, effects: Effect[]): void {
  if (stream.subscriber !== null) effects.push({ kind: 'Send', to: stream.subscriber, message });
}

function tell(state: S, message: MaintainerMessage, effects: Effect[]): void {
  if (state.maintainer !== null) effects.push({ kind: 'Send', to: state.maintainer, message });
}

function fail(state: S, outcome: Outcome<unknown>, effects: Effect[]): void {
  state.isBroken = true;
  const why = outcome.ok
    ? failure('STORE_FAILED', 'the event store gave no answer')
    : outcome.failure;
  tell(state, { kind: 'SourceFailed', failure: { ...why, retry: 'Again' } }, effects);
}

/** See the top of this file. */
export const eventService: Behaviour<EventServiceState, EventServiceInbox, EventServiceProps> = {
  init,
  receive,
  overview: (state) => ({
    resolvedTs: state.resolved.ts,
    spans: state.streams.size,
    windowBytes: state.windowBytes,
    deliveredBytes: state.deliveredBytes,
    storedBytes: state.storedBytes,
    behind: [...state.streams.values()]
      .filter((stream) => stream.behind)
      .map((stream) => stream.span),
    ddlHeld: state.ddlHeld,
    chunkHeld: state.chunkHeld,
  }),
};
