/**
 * The dispatcher manager of one changefeed on one node: owns the node's log puller and event service for it, starts
 * dispatchers on the work threads as its maintainer says, and sums up how far they are.
 *
 *     opening ──source cells run──▶ idle ──StartSource──▶ streaming ──CloseManager──▶ ending ──all ended──▶ closed
 *
 * It outlives its maintainer: the next one adopts it with everything that runs (spec/04 E1–E4; its door compares epochs).
 * Promises: `checkpointTs` of a heartbeat never passes what is committed of an assignment until the maintainer has taken
 * the report of its end; a dispatcher that ended is reported until that is taken; one dispatcher per span.
 */
import { unreachable } from '#src/base/assert.ts';
import { failure as failureOf } from '#src/base/failure.ts';
import type { Behaviour, Env, Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Signal } from '#src/kernel/message.ts';
import { idOf, type Ref } from '#src/kernel/ref.ts';
import { becomeEnding, endSource } from './closing.ts';
import { lost, schedule, spanOf, stopOne, takeWatermark } from './dispatching.ts';
import { beat, checkpointOf, lookAtLoads, taken } from './heartbeat.ts';
import {
  isClosing,
  newState,
  stopSelf,
  tell,
  toPuller,
  toService,
  type DispatcherManagerInbox,
  type DispatcherManagerProps,
  type DispatcherManagerState,
} from './manager-state.ts';
import { stopCell } from './served-spans.ts';
import {
  check,
  sourceLost,
  spawnSource,
  startStream,
  takeResolved,
  upstreamFailed,
} from './source.ts';

type S = DispatcherManagerState;

const heartbeatMs = 20;
/** The next heartbeat, in place of the one that would come. */
function heartbeatIn(afterMs: number): Effect {
  return { kind: 'SetTimer', key: 'heartbeat', afterMs, message: { kind: 'HeartbeatDue' } };
}

function init(props: DispatcherManagerProps, env: Env): Step<S> {
  const state = newState(props);
  return [state, [...spawnSource(state, env), heartbeatIn(heartbeatMs)]];
}

function receive(state: S, message: DispatcherManagerInbox, env: Env): Step<S> {
  const effects: Effect[] = [];
  switch (message.kind) {
    case 'AdoptManager':
      adopt(state, env, effects);
      break;
    case 'CheckSource':
      if (isClosing(state)) break;
      if (state.facts !== null) tell(state, { kind: 'SourceChecked', facts: state.facts }, effects);
      else if (state.checkAsked === null) {
        state.checkAsked = message;
        check(state, effects);
      }
      break;
    case 'StartSource':
      state.startAsked ??= message;
      startStream(state, env, effects);
      break;
    case 'ScheduleDispatcher':
      schedule(state, message, env, effects);
      break;
    case 'StopDispatcher':
      stopOne(state, message, effects);
      break;
    case 'ResumeStream':
      if (state.held === null || state.held.ddl.ts > message.ddlTs) break;
      state.held = null;
      toService(state, { kind: 'ResumeSource', routing: message.routing }, effects);
      break;
    case 'CheckpointAdvanced':
      toService(state, { kind: 'Retain', ts: message.ts }, effects);
      break;
    case 'HeartbeatTaken':
      taken(state, message.beat, effects);
      break;
    case 'CloseStream':
      state.isStreamEnding = true;
      toPuller(state, { kind: 'CloseSource' }, effects);
      break;
    case 'CloseManager':
      if (!isClosing(state)) becomeEnding(state, effects);
      break;
    case 'CloseDue':
      effects.push(stopSelf);
      break;
    case 'HeartbeatDue':
      lookAtLoads(state, env.now());
      beat(state, effects);
      effects.push(heartbeatIn(heartbeatMs));
      break;
    case 'DispatcherWatermark':
      takeWatermark(state, message, env);
      break;
    case 'DispatcherFailed': {
      const { incarnation } = env.from;
      const assignment = state.served.get(message.span);
      if (assignment !== undefined) assignment.lastWord = { incarnation, failure: message.failure };
      break;
    }
    case 'UpstreamChecked':
      state.facts = message.facts;
      state.checkAsked = null;
      state.trouble = null;
      tell(state, { kind: 'SourceChecked', facts: message.facts }, effects);
      break;
    case 'UpstreamFailed':
      upstreamFailed(state, message.failure, effects);
      break;
    case 'UpstreamTroubled':
      state.trouble = message.failure;
      break;
    case 'UpstreamClosed':
      state.closedTs = message.resolvedTs;
      state.isStreamEnding = true;
      break;
    case 'SpansSeen':
      for (const span of message.spans) {
        state.known.add(span);
        state.seen.set(span, null);
      }
      break;
    case 'ResolvedAdvanced':
      takeResolved(state, message);
      break;
    case 'StreamHeld':
      state.held = message;
      state.isHeldTold = false;
      break;
    default:
      return unreachable(message);
  }
  return [state, effects];
}

function signal(state: S, signal: Signal, env: Env): Step<S> {
  const effects: Effect[] = [];
  switch (signal.kind) {
    case 'StopAsked':
      for (const { ref } of state.served.alive()) if (ref !== null) effects.push(stopCell(ref));
      effects.push(stopSelf);
      break;
    case 'ChildStarted':
      childStarted(state, signal.ref, env, effects);
      break;
    case 'ChildRefused':
    case 'Terminated': {
      const id = signal.kind === 'Terminated' ? idOf(signal.ref.path) : signal.id;
      if (id.startsWith('dispatcher:')) {
        lost(state, signal, env, effects);
        // Whoever moves the span waits for this word: its table stands still until then.
        if (!isClosing(state)) effects.push(heartbeatIn(1));
      } else sourceLost(state, id, signal.exit, effects);
      break;
    }
  }
  return [state, effects];
}

function childStarted(state: S, ref: Ref, env: Env, effects: Effect[]): void {
  effects.push({ kind: 'Watch', target: ref });
  const id = idOf(ref.path);
  if (id.startsWith('dispatcher:')) {
    const assignment = state.served.get(spanOf(state, id));
    if (assignment === undefined || assignment.status === 'ended') return;
    assignment.ref = ref;
    if (assignment.status === 'stopping') effects.push(stopCell(ref));
    return;
  }
  if (id.startsWith('log-puller:')) state.logPuller = ref;
  else state.eventService = ref;
  if (state.logPuller === null || state.eventService === null) return;
  if (state.phase === 'ending') return endSource(state, effects);
  if (state.phase !== 'opening') return;
  state.phase = 'idle';
  check(state, effects);
  startStream(state, env, effects);
}

// ── maintainer and source ───────────────────────────────────────────────────────────────────────────────────────────

function adopt(state: S, env: Env, effects: Effect[]): void {
  const { served, maintainer } = state;
  const { path, incarnation, node } = env.from;
  const isSame =
    maintainer?.path === path && maintainer.incarnation === incarnation && maintainer.node === node;
  const hasFailed = state.startAsked !== null && state.failure !== null;
  if (!isSame && (state.isStreamEnding || hasFailed)) {
    // Under the former maintainer, which may not have heard of it: what follows begins with a manager of its own.
    const why = failureOf('INTERNAL_STOPPED', 'the stream had ended', { retry: 'Again' });
    effects.push({ kind: 'Stop', target: 'self', exit: { kind: 'failure', failure: why } });
    return;
  }
  if (!isSame) {
    state.maintainer = env.from;
    state.seen.clear();
    state.isHeldTold = false;
    state.failure = null;
  }
  const spans = isSame
    ? served.alive().map(({ span, token, checkpointTs }) => ({ span, token, checkpointTs }))
    : served.adopted();
  const busy = new Set(spans.map(({ span }) => span));
  const isRunning = state.resolved !== null && !isClosing(state);
  const idle = [...state.known].filter((span) => !busy.has(span));
  const source = isRunning ? state.facts : null;
  tell(state, { kind: 'ManagerAdopted', served: spans, idle, source }, effects);
}

/** See the top of this file. */
export const dispatcherManager: Behaviour<
  DispatcherManagerState,
  DispatcherManagerInbox,
  DispatcherManagerProps
> = {
  init,
  receive,
  signal,
  overview: (state) => ({
    phase: state.phase,
    dispatchers: state.served.alive().length,
    pending: state.served.pendingCount,
    checkpointTs: checkpointOf(state),
    resolvedTs: state.resolved?.ts ?? 0,
    heldAt: state.held?.ddl.ts ?? null,
  }),
};
