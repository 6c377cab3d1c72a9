/**
 * The batches of a dispatcher: what has come by the time the last one is committed goes out together, a large transaction in
 * stages, and what the sink says is committed moves the checkpoint (P2).
 */
import { assert } from '#src/base/assert.ts';
import type { Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { SinkApplied, SinkRequest } from '#src/ports/sink.ts';
import type { DispatcherWatermark } from '#src/protocol/manager.ts';
import {
  callSink,
  toService,
  type DispatcherState,
  type Held,
  type InFlight,
} from './dispatcher-state.ts';

type S = DispatcherState;

/** Sends the next batch when none is under way and there is one. */
export function applyNext(state: S, effects: readonly Effect[]): Step<S> {
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

/** The sink has answered: the position moves over what is committed, and the next batch follows. */
export function applied(state: S, answer: SinkApplied): Step<S> {
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
