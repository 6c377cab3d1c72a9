/** What a dispatcher knows, and whom it talks to. */
import type { Outcome } from '#src/base/failure.ts';
import { Queue } from '#src/base/queue.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Ref } from '#src/kernel/ref.ts';
import type { BlockInfo } from '#src/model/block.ts';
import { portOf } from '#src/ports/port.ts';
import type { SinkAnswer, SinkRequest } from '#src/ports/sink.ts';
import type { DispatcherMessage, EventServiceMessage } from '#src/protocol/source.ts';

/** What a dispatcher is started with. */
export interface DispatcherProps {
  readonly changefeed: string;
  readonly span: string;
  readonly token: number;
  /** Where slots begin that do not exist yet. */
  readonly startTs: number;
  readonly manager: Ref;
  readonly eventService: Ref;
  /** Bytes of events of one batch. */
  readonly batchBytes: number;
  /** Bytes of events it may hold. */
  readonly creditBytes: number;
}

/** Private messages: answers of the sink port. */
export type DispatcherOwn =
  | { readonly kind: 'RaiseAnswered'; readonly outcome: Outcome<SinkAnswer> }
  | { readonly kind: 'ApplyAnswered'; readonly outcome: Outcome<SinkAnswer> };

/** Everything a dispatcher receives. */
export type DispatcherInbox = DispatcherMessage | DispatcherOwn;

/** Events that wait to be applied. */
export interface Held {
  readonly info: BlockInfo;
  readonly bytes: Uint8Array;
  readonly schemaVersion: number;
}

/** The batch that is being applied. */
export interface InFlight {
  readonly byteCount: number;
  readonly stage: 'whole' | 'begin' | 'more' | 'end';
  readonly lastTs: number;
  /** What the sink must answer at least; 0 when it may find nothing to do. */
  readonly expectTs: number;
}

/** The state; the queue is mutated in place. */
export interface DispatcherState {
  readonly phase: 'raising' | 'recovering' | 'streaming';
  readonly props: DispatcherProps;
  readonly queue: Queue<Held>;
  readonly queuedBytes: number;
  readonly inFlight: InFlight | null;
  /** commitTs of the big transaction whose stages are under way; 0 when none. */
  readonly openTs: number;
  /** Committed downstream. */
  readonly appliedTs: number;
  /** While recovering: some lanes are at this position already. */
  readonly recoverTs: number;
  /** Everything ≤ this has been received. */
  readonly resolvedTs: number;
  readonly reportedTs: number;
  readonly seq: number;
}

/** A dispatcher that has just been started. */
export function newState(props: DispatcherProps): DispatcherState {
  return {
    phase: 'raising',
    props,
    queue: new Queue(),
    queuedBytes: 0,
    inFlight: null,
    openTs: 0,
    appliedTs: 0,
    recoverTs: 0,
    resolvedTs: 0,
    reportedTs: 0,
    seq: 0,
  };
}

/** Tells the event service of its node. */
export function toService(state: DispatcherState, message: EventServiceMessage): Effect {
  return { kind: 'Send', to: state.props.eventService, message };
}

/** Wants no more events. */
export function unsubscribe(state: DispatcherState): Effect {
  return toService(state, { kind: 'Unsubscribe', span: state.props.span });
}

/** Its span ends here: the sink forgets it. */
export function release(state: DispatcherState): Effect {
  const request: SinkRequest = { kind: 'Release', span: state.props.span };
  return callSink(state.props.changefeed, request, 'ApplyAnswered');
}

/** Asks the sink port of this thread. */
export function callSink(
  changefeed: string,
  request: SinkRequest,
  answer: DispatcherOwn['kind'],
): Effect {
  return { kind: 'CallPort', port: portOf('sink', changefeed), request, answer };
}
