/**
 * A dispatcher replicates one span: it raises the token of its slots, reads its position from them, subscribes to the
 * events after it, and applies them downstream batch by batch.
 *
 *     raising ──slots read──▶ recovering ──gap of lanes closed──▶ streaming
 *                                └────────── no gap ─────────────────▲
 *
 * A batch is whatever has come by the time the last one is committed: single transactions when caught up, many folded
 * ones under lag, up to `batchBytes`. A transaction larger than that goes out in stages on one connection and commits once.
 *
 * Promises: events are applied in commit order; `checkpointTs` reported is committed downstream (P2); nothing is applied
 * with another token than its own; after a failure it ends, and another incarnation with a new token re-reads the position
 * (I-7, I-9). Assumes: the event service sends complete transactions in order.
 */
import { assert, unreachable } from '#src/base/assert.ts';
import type { Failure } from '#src/base/failure.ts';
import type { Behaviour, Env, Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Signal } from '#src/kernel/message.ts';
import type { Ref } from '#src/kernel/ref.ts';
import { resumeOf } from '#src/model/lane-resume.ts';
import type { SinkRequest, SlotState } from '#src/ports/sink.ts';
import type { ManagerMessage } from '#src/protocol/manager.ts';
import type { Events } from '#src/protocol/source.ts';
import { applied, applyNext } from './batches.ts';
import {
  callSink,
  newState,
  release,
  toService,
  unsubscribe,
  type DispatcherInbox,
  type DispatcherProps,
  type DispatcherState,
} from './dispatcher-state.ts';

type S = DispatcherState;

function init(props: DispatcherProps): Step<S> {
  const { changefeed, span, token, startTs } = props;
  const raise: SinkRequest = { kind: 'RaiseSpan', changefeed, span, token, ts: startTs };
  return [
    newState(props),
    [{ kind: 'Watch', target: props.manager }, callSink(changefeed, raise, 'RaiseAnswered')],
  ];
}

function receive(state: S, message: DispatcherInbox, env: Env): Step<S> {
  switch (message.kind) {
    case 'RaiseAnswered':
      if (!message.outcome.ok) return end(state, message.outcome.failure);
      assert(message.outcome.value.kind === 'SpanRaised', 'answer to RaiseSpan');
      return becomeStreaming(state, message.outcome.value.lanes, env.self);
    case 'Events':
      return takeEvents(state, message);
    case 'Resolved':
      return applyNext({ ...state, resolvedTs: Math.max(state.resolvedTs, message.ts) }, []);
    case 'ApplyAnswered':
      if (!message.outcome.ok) return end(state, message.outcome.failure);
      assert(message.outcome.value.kind === 'Applied', 'answer to Apply');
      return applied(state, message.outcome.value);
    default:
      return unreachable(message);
  }
}

function signal(state: S, signal: Signal): Step<S> {
  switch (signal.kind) {
    case 'StopAsked':
    case 'Terminated':
      return [
        state,
        [
          unsubscribe(state),
          release(state),
          { kind: 'Stop', target: 'self', exit: { kind: 'shutdown' } },
        ],
      ];
    case 'ChildStarted':
    case 'ChildRefused':
      return [state, []];
  }
}

/** Goes on where the lanes stand; what a cut batch may have left half applied is applied again as final states. */
function becomeStreaming(state: S, lanes: readonly SlotState[], self: Ref): Step<S> {
  const { span, creditBytes } = state.props;
  const { startTs: afterTs, redoTs } = resumeOf(lanes, 0);
  const recovering = redoTs > afterTs;
  const subscribe = toService(state, {
    kind: 'Subscribe',
    span,
    subscriber: self,
    afterTs,
    creditBytes,
  });
  const note: Effect = {
    kind: 'Log',
    level: 'warn',
    event: 'lanes-recovering',
    detail: { span, afterTs, untilTs: redoTs },
  };
  return [
    {
      ...state,
      phase: recovering ? 'recovering' : 'streaming',
      appliedTs: afterTs,
      recoverTs: redoTs,
    },
    recovering ? [note, subscribe] : [subscribe],
  ];
}

/** Queues blocks; those that the slots hold already (sent again after a restart) are worked off at once. */
function takeEvents(state: S, message: Events): Step<S> {
  assert(message.seq === state.seq + 1, `events of ${state.props.span} out of order`);
  let { queuedBytes } = state;
  let heldBytes = 0;
  for (const [i, info] of message.infos.entries()) {
    if (info.lastTs <= state.appliedTs) {
      // Applying nothing would still commit a position: twice the same one, which no honest history has (I-3).
      heldBytes += info.byteCount;
      continue;
    }
    state.queue.push({ info, bytes: message.moved[i]!, schemaVersion: message.schemaVersion });
    queuedBytes += info.byteCount;
  }
  const { span } = state.props;
  const { appliedTs } = state;
  const grant = toService(state, { kind: 'GrantCredit', span, byteCount: heldBytes, appliedTs });
  return applyNext({ ...state, queuedBytes, seq: message.seq }, heldBytes > 0 ? [grant] : []);
}

function end(state: S, failure: Failure): Step<S> {
  const lost: ManagerMessage = { kind: 'DispatcherFailed', span: state.props.span, failure };
  return [
    state,
    [
      unsubscribe(state),
      release(state),
      { kind: 'Send', to: state.props.manager, message: lost },
      { kind: 'Stop', target: 'self', exit: { kind: 'failure', failure } },
    ],
  ];
}

/** See the top of this file. */
export const dispatcher: Behaviour<DispatcherState, DispatcherInbox, DispatcherProps> = {
  init,
  receive,
  signal,
  overview: (state) => ({
    phase: state.phase,
    changefeed: state.props.changefeed,
    span: state.props.span,
    queuedBytes: state.queuedBytes,
    queuedBlocks: state.queue.length,
    appliedTs: state.appliedTs,
    resolvedTs: state.resolvedTs,
    inFlight: state.inFlight?.stage ?? null,
  }),
};
