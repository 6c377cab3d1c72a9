/** Sending to subscribers: each within its credit, all together within the delivery budget. */
import type { Effect } from '#src/kernel/effect.ts';
import type { StoredBlock } from '#src/ports/event-store.ts';
import type { DispatcherMessage } from '#src/protocol/source.ts';
import { budgetBytes, type EventServiceState } from './state.ts';
import type { SpanStream } from './stream.ts';

type S = EventServiceState;

/** Whether the delivery budget has room; when not, the span waits for it. */
export function hasRoom(state: S, stream: SpanStream): boolean {
  if (state.deliveredBytes < budgetBytes(state)) return true;
  state.waiting.add(stream.span);
  return false;
}

/** Counts a block that is sent against credit and budget. */
export function deliver(state: S, stream: SpanStream, block: StoredBlock): void {
  stream.creditBytes -= block.info.byteCount;
  stream.deliveredBytes += block.info.byteCount;
  state.deliveredBytes += block.info.byteCount;
}

/** One message with the blocks; none when there are none. */
export function sendBlocks(
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

/** A message to the subscriber of a span, when there is one. */
export function toSubscriber(
  stream: SpanStream,
  message: DispatcherMessage,
  effects: Effect[],
): void {
  if (stream.subscriber !== null) effects.push({ kind: 'Send', to: stream.subscriber, message });
}
