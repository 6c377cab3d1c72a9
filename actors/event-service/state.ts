/** What the event service of one changefeed knows. Mutated in place by its own functions alone (hot counters, STYLE §7). */
import { failure, type Outcome } from '#src/base/failure.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Ref } from '#src/kernel/ref.ts';
import type { Position } from '#src/model/position.ts';
import type { EventStoreRequest } from '#src/ports/event-store.ts';
import { portOf } from '#src/ports/port.ts';
import type { ManagerMessage } from '#src/protocol/manager.ts';
import type { OpenStream } from '#src/protocol/source.ts';
import type { EventServiceOwn } from './own-messages.ts';
import type { SpanStream } from './stream.ts';

/** What an event service is started with. */
export interface EventServiceProps {
  readonly changefeed: string;
  readonly logPuller: Ref;
  /** The dispatcher manager it belongs to. */
  readonly manager: Ref;
  /** Bytes the event store may hold before reading stops. */
  readonly storeBytesMax: number;
}

/** The state; mutated in place. */
export interface EventServiceState {
  readonly props: EventServiceProps;
  quota: number;
  readonly streams: Map<string, SpanStream>;
  /** Parts that are subscribed to, by the table they are of. */
  readonly parts: Map<string, Set<SpanStream>>;
  subscriptionCount: number;
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

/** Share of the quota that the live window may hold, and deliveries that are not granted back. */
const budgetShare = 1 / 8;

/** The state before the stream was opened. */
export function newState(props: EventServiceProps): EventServiceState {
  return {
    props,
    quota: 256 << 20,
    streams: new Map(),
    parts: new Map(),
    subscriptionCount: 0,
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
}

/** Forgets everything it held and begins at the message's position. */
export function beginStream(state: EventServiceState, message: OpenStream): void {
  state.quota = message.memoryQuota;
  // Before the first there can be nothing but subscriptions, which came by another link and sooner: they hold.
  if (state.generation++ > 0) {
    state.streams.clear();
    state.parts.clear();
  }
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
}

/** Bytes that the live window may hold, and that deliveries may. */
export function budgetBytes(state: EventServiceState): number {
  return state.quota * budgetShare;
}

/** A call of the event store whose answer comes back as `answer` with `tag`. */
export function callStore(
  state: EventServiceState,
  request: EventStoreRequest,
  answer: EventServiceOwn['kind'],
  tag: string | number,
): Effect {
  const port = portOf('event-store', state.props.changefeed);
  return { kind: 'CallPort', port, request, answer, tag };
}

/** A message to the manager it belongs to. */
export function tell(state: EventServiceState, message: ManagerMessage, effects: Effect[]): void {
  effects.push({ kind: 'Send', to: state.props.manager, message });
}

/** The store lost something: nothing more is served, and the manager is told. */
export function fail(state: EventServiceState, outcome: Outcome<unknown>, effects: Effect[]): void {
  state.isBroken = true;
  const why = outcome.ok
    ? failure('STORE_FAILED', 'the event store gave no answer')
    : outcome.failure;
  tell(state, { kind: 'UpstreamFailed', failure: { ...why, retry: 'Again' } }, effects);
}
