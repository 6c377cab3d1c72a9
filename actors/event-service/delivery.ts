/** Who gets what: subscriptions, their credit, and the blocks and Resolved that go out to them. */
import type { Effect } from '#src/kernel/effect.ts';
import type { Ref } from '#src/kernel/ref.ts';
import { isPart } from '#src/model/span.ts';
import type { StoredBlock } from '#src/ports/event-store.ts';
import type { GrantCredit, Subscribe } from '#src/protocol/source.ts';
import { deliver, hasRoom, sendBlocks, toSubscriber } from './sending.ts';
import { budgetBytes, tell, type EventServiceState } from './state.ts';
import { readOn } from './store-reading.ts';
import { evict, isPartial, newStream, type SpanStream } from './stream.ts';

type S = EventServiceState;

/** The span goes to this subscriber from now on, behind its own position; an earlier one gets no more. */
export function subscribe(state: S, message: Subscribe, effects: Effect[]): void {
  const { span } = message;
  unsubscribe(state, span);
  let stream = state.streams.get(span);
  if (stream === undefined) {
    stream = isPart(span) ? newPart(state, span, effects) : newStream(span);
    state.streams.set(span, stream);
  }
  stream.subscriber = message.subscriber;
  // It may die without a word.
  effects.push({ kind: 'Watch', target: message.subscriber });
  stream.subscription = ++state.subscriptionCount;
  stream.reading = false;
  stream.creditBytes = message.creditBytes;
  stream.seq = 0;
  stream.toldTs = 0;
  stream.appliedTs = Math.max(stream.appliedTs, message.afterTs);
  const fresh = stream.cursor.ts === 0 && !stream.behind && !isPart(span);
  if (!fresh && (stream.behind || stream.newest.ts > message.afterTs)) {
    // A later subscriber begins again behind its own position: from the store, for simplicity.
    state.windowBytes -= stream.windowBytes;
    evict(stream);
    stream.behind = true;
    stream.cursor = { ts: message.afterTs, part: Number.MAX_SAFE_INTEGER };
  }
  pump(state, stream, effects);
}

/** A way through the events of a table, which are all in the store or still to come. */
function newPart(state: S, span: string, effects: Effect[]): SpanStream {
  const part = newStream(span);
  let table = state.streams.get(part.source);
  if (table === undefined) {
    table = newStream(part.source);
    state.streams.set(table.span, table);
    // Its first events will not be its first sight any more.
    tell(state, { kind: 'SpansSeen', spans: [table.span] }, effects);
  }
  part.newest = table.newest;
  part.complete = table.complete;
  if (state.open.has(table.span)) state.open.add(span);
  state.parts.set(table.span, (state.parts.get(table.span) ?? new Set()).add(part));
  return part;
}

/** Ends the subscription of `from`; one that is not current any more changes nothing. */
export function unsubscribed(state: S, span: string, from: Ref, effects: Effect[]): void {
  if (!isSame(state.streams.get(span)?.subscriber ?? null, from)) return;
  unsubscribe(state, span);
  pumpWaiting(state, effects);
}

/** A subscriber has ended, in order or not. */
export function subscriberGone(state: S, subscriber: Ref, effects: Effect[]): void {
  for (const { span } of [...state.streams.values()].filter((one) =>
    isSame(one.subscriber, subscriber),
  ))
    unsubscribe(state, span);
  pumpWaiting(state, effects);
}

function unsubscribe(state: S, span: string): void {
  const stream = state.streams.get(span);
  if (stream === undefined) return;
  state.deliveredBytes -= stream.deliveredBytes;
  stream.deliveredBytes = 0;
  stream.subscriber = null;
  state.waiting.delete(span);
  if (!isPartial(stream)) return;
  // The table's own stream goes on without it.
  state.windowBytes -= stream.windowBytes;
  state.streams.delete(span);
  state.open.delete(span);
  const parts = state.parts.get(stream.source);
  parts?.delete(stream);
  if (parts?.size === 0) state.parts.delete(stream.source);
}

/** The subscriber has committed so much: it may be sent more, and others that waited too. */
export function granted(state: S, message: GrantCredit, from: Ref, effects: Effect[]): void {
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
    if (state.deliveredBytes >= budgetBytes(state)) break;
    state.waiting.delete(span);
    pump(state, state.streams.get(span)!, effects);
  }
}

function isSame(a: Ref | null, b: Ref): boolean {
  return a !== null && a.path === b.path && a.incarnation === b.incarnation;
}

/** Sends what the subscriber may have: complete transactions, within its credit and the common budget. */
export function pump(state: S, stream: SpanStream, effects: Effect[]): void {
  if (state.isBroken || stream.subscriber === null || stream.creditBytes <= 0) return;
  if (stream.behind) return readOn(state, stream, effects);
  const blocks: StoredBlock[] = [];
  for (;;) {
    const block = stream.window.peek();
    if (block === undefined || block.info.lastTs > state.resolved.ts || stream.creditBytes <= 0)
      break;
    if (!hasRoom(state, stream)) break;
    stream.window.shift();
    stream.windowBytes -= block.info.byteCount;
    state.windowBytes -= block.info.byteCount;
    stream.cursor = block.cursor;
    deliver(state, stream, block);
    // Bytes that are sent are gone: others may still have to send them.
    blocks.push(isShared(state, stream) ? { ...block, bytes: block.bytes.slice() } : block);
  }
  sendBlocks(state, stream, blocks, effects);
}

function isShared(state: S, stream: SpanStream): boolean {
  return isPartial(stream) || state.parts.has(stream.span);
}

/** Resolved follows the last block of a span that has everything; a lagging span is told how far it has been given. */
export function tellResolved(state: S, effects: Effect[]): void {
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
