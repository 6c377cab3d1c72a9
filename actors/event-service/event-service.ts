/**
 * The event service of one changefeed on a node keeps what the log puller read until it is committed downstream, and gives each
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
import { unreachable } from '#src/base/assert.ts';
import type { Behaviour, Env, Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Signal } from '#src/kernel/message.ts';
import type { EventServiceMessage } from '#src/protocol/source.ts';
import {
  granted,
  pump,
  subscribe,
  subscriberGone,
  tellResolved,
  unsubscribed,
} from './delivery.ts';
import {
  appended,
  collect,
  collected,
  discard,
  discardAfter,
  resumed,
  retain,
  takeChunk,
} from './intake.ts';
import type { EventServiceOwn } from './own-messages.ts';
import {
  beginStream,
  fail,
  newState,
  type EventServiceProps,
  type EventServiceState,
} from './state.ts';
import { readBack } from './store-reading.ts';

/** Everything an event service receives. */
export type EventServiceInbox = EventServiceMessage | EventServiceOwn;

type S = EventServiceState;

/** Resolved timestamps go out once per tick; garbage is collected every so many ticks. */
const tickMs = 20;
const collectTickCount = 25;

const tick: Effect = {
  kind: 'SetTimer',
  key: 'tick',
  afterMs: tickMs,
  message: { kind: 'TickDue' },
};

function init(props: EventServiceProps): Step<S> {
  return [newState(props), [{ kind: 'Watch', target: props.manager }, tick]];
}

function receive(state: S, message: EventServiceInbox, env: Env): Step<S> {
  const effects: Effect[] = [];
  switch (message.kind) {
    case 'OpenStream':
      beginStream(state, message);
      // Whatever an earlier life stored is read again from the log.
      effects.push(discardAfter(state, 0));
      break;
    case 'Chunk':
      takeChunk(state, message, effects);
      break;
    case 'DiscardIncomplete':
      discard(state, effects);
      break;
    case 'ResumeSource':
      resumed(state, message.routing, effects);
      break;
    case 'Retain':
      retain(state, message.ts);
      break;
    case 'Subscribe':
      subscribe(state, message, effects);
      break;
    case 'GrantCredit':
      granted(state, message, env.from, effects);
      break;
    case 'Unsubscribe':
      unsubscribed(state, message.span, env.from, effects);
      break;
    case 'AppendAnswered':
      appended(state, message, effects);
      break;
    case 'ReadAnswered': {
      const more = readBack(state, message, effects);
      if (more !== null) pump(state, more, effects);
      break;
    }
    case 'CollectAnswered':
      collected(state, message, effects);
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

/**
 * A subscriber that is gone holds nothing of the common budget. Asked to end the service drops what it has stored; when its
 * manager is gone, another may be writing there already.
 */
function signal(state: S, signal: Signal): Step<S> {
  if (signal.kind !== 'StopAsked' && signal.kind !== 'Terminated') return [state, []];
  if (signal.kind === 'Terminated' && signal.ref.path !== state.props.manager.path) {
    const effects: Effect[] = [];
    subscriberGone(state, signal.ref, effects);
    return [state, effects];
  }
  const drop = signal.kind === 'StopAsked' ? [discardAfter(state, 0)] : [];
  return [state, [...drop, { kind: 'Stop', target: 'self', exit: { kind: 'shutdown' } }]];
}

/** See the top of this file. */
export const eventService: Behaviour<EventServiceState, EventServiceInbox, EventServiceProps> = {
  init,
  receive,
  signal,
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
