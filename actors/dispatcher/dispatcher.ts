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
import type { Failure, Outcome } from '#src/base/failure.ts';
import type { Behaviour, Env, Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Signal } from '#src/kernel/message.ts';
import type { Ref } from '#src/kernel/ref.ts';
import type { BlockInfo } from '#src/model/block.ts';
import { Queue } from '#src/base/queue.ts';
import { resumeOf } from '#src/model/lane-resume.ts';
import { portOf } from '#src/ports/port.ts';
import type { SinkAnswer, SinkApplied, SinkRequest, SlotState } from '#src/ports/sink.ts';
import type { DispatcherWatermark, ManagerMessage } from '#src/protocol/manager.ts';
import type { DispatcherMessage, Events, EventServiceMessage } from '#src/protocol/source.ts';

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

interface Held {
  readonly info: BlockInfo;
  readonly bytes: Uint8Array;
  readonly schemaVersion: number;
}

/** The batch that is being applied. */
interface InFlight {
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

type S = DispatcherState;

function init(props: DispatcherProps): Step<S> {
  const { changefeed, span, token, startTs } = props;
  const raise: SinkRequest = { kind: 'RaiseSpan', changefeed, span, token, ts: startTs };
  return [
    {
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
    },
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

/** Sends the next batch when none is under way and there is one. */
function applyNext(state: S, effects: readonly Effect[]): Step<S> {
  if (state.inFlight !== null || state.phase === 'raising') return [state, effects];
  const head = state.queue.peek();
  const openEnds =
    state.openTs !== 0 &&
    (head === undefined ? state.resolvedTs >= state.openTs : !head.info.continues);
  if (openEnds) return apply(state, [], 'end', effects);
  if (head === undefined) return report(state, effects);
  if (state.phase === 'recovering' && state.openTs === 0 && head.info.firstTs > state.recoverTs) {
    // Everything that may be there already has come and gone.
    return applyNext({ ...state, phase: 'streaming' }, effects);
  }
  const batch = state.phase === 'recovering' ? [state.queue.shift()!] : takeBatch(state);
  const last = batch.at(-1)!.info;
  const stage = last.unfinished
    ? state.openTs === 0
      ? 'begin'
      : 'more'
    : state.openTs === 0
      ? 'whole'
      : 'end';
  return apply(state, batch, stage, effects);
}

/** Blocks up to the batch size, of one schema version; a block of an unfinished transaction ends the batch. */
function takeBatch(state: S): Held[] {
  const batch: Held[] = [];
  let byteCount = 0;
  for (;;) {
    const next = state.queue.peek();
    if (next === undefined) break;
    if (batch.length > 0) {
      if (byteCount + next.info.byteCount > state.props.batchBytes) break;
      if (next.schemaVersion !== batch[0]!.schemaVersion) break;
      if (batch.at(-1)!.info.unfinished) break;
      // What ends an open transaction goes out alone: behind it another large one may begin, which needs its own.
      if (state.openTs !== 0) break;
    }
    batch.push(next);
    byteCount += next.info.byteCount;
    state.queue.shift();
  }
  return batch;
}

function apply(
  state: S,
  batch: readonly Held[],
  stage: InFlight['stage'],
  effects: readonly Effect[],
): Step<S> {
  const { changefeed, span, token } = state.props;
  const byteCount = batch.reduce((sum, held) => sum + held.info.byteCount, 0);
  const lastTs = batch.at(-1)?.info.lastTs ?? state.openTs;
  const recovering = state.phase === 'recovering';
  const request: SinkRequest = {
    kind: 'Apply',
    changefeed,
    span,
    token,
    afterTs: state.appliedTs,
    untilTs: recovering ? Math.min(lastTs, state.recoverTs) : lastTs,
    stage,
    idempotent: recovering,
    schemaVersion: batch[0]?.schemaVersion ?? 0,
    blocks: batch.map((held) => held.bytes),
  };
  const openTs = stage === 'begin' || stage === 'more' ? lastTs : 0;
  // A block that straddles the end of the recovery is applied once more, beyond it.
  if (recovering && lastTs > state.recoverTs) {
    const rest = [...state.queue];
    state.queue.clear();
    for (const held of [...batch, ...rest]) state.queue.push(held);
    return [
      {
        ...state,
        inFlight: { byteCount: 0, stage, lastTs: state.recoverTs, expectTs: 0 },
        openTs: 0,
      },
      [...effects, callSink(changefeed, request, 'ApplyAnswered')],
    ];
  }
  return [
    { ...state, inFlight: { byteCount, stage, lastTs, expectTs: lastTs }, openTs },
    [...effects, callSink(changefeed, request, 'ApplyAnswered')],
  ];
}

function applied(state: S, answer: SinkApplied): Step<S> {
  const { inFlight } = state;
  assert(inFlight !== null, 'an answer without a batch');
  const committed = inFlight.stage === 'whole' || inFlight.stage === 'end';
  // P2 hangs on this: the position may only move over what the sink says is committed.
  assert(
    !committed || answer.ts >= inFlight.expectTs,
    `${state.props.span}: the sink applied less than it was given`,
  );
  const appliedTs = committed ? Math.max(state.appliedTs, inFlight.lastTs) : state.appliedTs;
  const recovered = state.phase === 'recovering' && appliedTs >= state.recoverTs;
  const { span, manager } = state.props;
  const watermark: DispatcherWatermark = {
    kind: 'DispatcherWatermark',
    span,
    checkpointTs: appliedTs,
    rows: answer.rowCount,
    writtenRows: answer.writtenRowCount,
    transactions: answer.transactionCount,
  };
  return applyNext(
    {
      ...state,
      phase: recovered ? 'streaming' : state.phase,
      inFlight: null,
      appliedTs,
      queuedBytes: state.queuedBytes - inFlight.byteCount,
      reportedTs: Math.max(state.reportedTs, appliedTs),
    },
    [
      toService(state, { kind: 'GrantCredit', span, byteCount: inFlight.byteCount, appliedTs }),
      { kind: 'Send', to: manager, message: watermark },
    ],
  );
}

/** With nothing to do, the checkpoint follows what has been resolved. */
function report(state: S, effects: readonly Effect[]): Step<S> {
  if (state.openTs !== 0 || state.resolvedTs <= state.reportedTs) return [state, effects];
  const { span, manager } = state.props;
  const watermark: DispatcherWatermark = {
    kind: 'DispatcherWatermark',
    span,
    checkpointTs: state.resolvedTs,
    rows: 0,
    writtenRows: 0,
    transactions: 0,
  };
  return [
    { ...state, reportedTs: state.resolvedTs },
    [...effects, { kind: 'Send', to: manager, message: watermark }],
  ];
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

function toService(state: S, message: EventServiceMessage): Effect {
  return { kind: 'Send', to: state.props.eventService, message };
}

function unsubscribe(state: S): Effect {
  return toService(state, { kind: 'Unsubscribe', span: state.props.span });
}

function release(state: S): Effect {
  const request: SinkRequest = { kind: 'Release', span: state.props.span };
  return callSink(state.props.changefeed, request, 'ApplyAnswered');
}

function callSink(changefeed: string, request: SinkRequest, answer: DispatcherOwn['kind']): Effect {
  return { kind: 'CallPort', port: portOf('sink', changefeed), request, answer };
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
