/** Reading on in the event store for a span whose live window was dropped: one read at a time, never past what is stored. */
import { assert } from '#src/base/assert.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { EventStoreRequest } from '#src/ports/event-store.ts';
import type { EventServiceOwn } from './own-messages.ts';
import { deliver, hasRoom, sendBlocks, toSubscriber } from './sending.ts';
import { callStore, fail, type EventServiceState } from './state.ts';
import { isDrained, type SpanStream } from './stream.ts';

type S = EventServiceState;

/** Bytes of one read from the store. */
const readBytesMax = 2 << 20;

/** Asks the store for what comes after the last block sent, unless it is asked already. */
export function readOn(state: S, stream: SpanStream, effects: Effect[]): void {
  if (stream.reading || !hasRoom(state, stream)) return;
  stream.reading = true;
  stream.readTs = storedTs(state);
  const read: EventStoreRequest = {
    kind: 'Read',
    span: stream.source,
    after: stream.cursor,
    // A read never passes an append that may still fail: it would skip what is missing.
    untilTs: stream.readTs,
    byteCountMax: Math.min(stream.creditBytes, readBytesMax),
  };
  const tag = `${state.generation} ${stream.subscription} ${stream.span}`;
  effects.push(callStore(state, read, 'ReadAnswered', tag));
}

/** Everything with commitTs ≤ this can be read from the store. */
function storedTs(state: S): number {
  for (const beforeTs of state.appends.values()) return Math.min(beforeTs, state.resolved.ts);
  return state.resolved.ts;
}

/** Sends what a read brought; answers the span when there is more to read for it. */
export function readBack(
  state: S,
  message: Extract<EventServiceOwn, { kind: 'ReadAnswered' }>,
  effects: Effect[],
): SpanStream | null {
  const [generation, subscription, ...span] = message.tag.split(' ');
  const stream = state.streams.get(span.join(' '));
  if (Number(generation) !== state.generation || stream === undefined) return null;
  if (Number(subscription) !== stream.subscription || state.isBroken) return null;
  stream.reading = false;
  if (!message.outcome.ok) {
    fail(state, message.outcome, effects);
    return null;
  }
  const answer = message.outcome.value;
  assert(answer.kind === 'Blocks', 'answer to Read');
  if (stream.subscriber === null) return null;
  for (const block of answer.blocks) deliver(state, stream, block);
  if (answer.blocks.length > 0) stream.cursor = answer.cursor;
  sendBlocks(state, stream, answer.blocks, effects);
  if (isDrained(stream)) stream.behind = false;
  else if (answer.more) return stream;
  else if (stream.readTs > stream.toldTs) {
    // What is left belongs to a transaction that is not complete, perhaps for long: it holds nobody up.
    stream.toldTs = stream.readTs;
    toSubscriber(stream, { kind: 'Resolved', ts: stream.readTs }, effects);
  }
  return null;
}
