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
import { failure as failureOf, type Failure } from '#src/base/failure.ts';
import type { Behaviour, Env, Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { exitText, type Exit } from '#src/kernel/exit.ts';
import type { Signal } from '#src/kernel/message.ts';
import { idOf, parentOf, type Ref } from '#src/kernel/ref.ts';
import type { MaintainerMessage, ManagerTotals, SourceFacts } from '#src/protocol/maintainer.ts';
import type {
  CheckSource,
  DispatcherWatermark,
  ManagerMessage,
  ResolvedAdvanced,
  ScheduleDispatcher,
  StartSource,
  StopDispatcher,
  StreamHeld,
} from '#src/protocol/manager.ts';
import type { Position } from '#src/model/position.ts';
import type { EventServiceMessage, LogPullerMessage } from '#src/protocol/source.ts';
import type { DispatcherProps } from '../dispatcher/dispatcher.ts';
import type { EventServiceProps } from '../event-service/state.ts';
import type { LogPullerProps } from '../log-puller/log-puller.ts';
import { ServedSpans, type Assignment } from './served-spans.ts';

/** What a dispatcher manager is started with. */
export interface DispatcherManagerProps {
  readonly changefeed: string;
  /** The epoch it is made under: that of all its cells, whoever governs it later. */
  readonly epoch: number;
  readonly memoryQuota: number;
  readonly workThreads: readonly string[];
  /** Bytes the event store may hold before reading stops. */
  readonly storeBytesMax: number;
}

/** Everything a dispatcher manager receives. */
export type DispatcherManagerInbox =
  | ManagerMessage
  | { readonly kind: 'HeartbeatDue' }
  | { readonly kind: 'CloseDue' };

type Phase = 'opening' | 'idle' | 'streaming' | 'ending' | 'closed';

/** The state; mutated in place. */
export interface DispatcherManagerState {
  readonly props: DispatcherManagerProps;
  phase: Phase;
  maintainer: Ref | null;
  readonly served: ServedSpans;
  logPuller: Ref | null;
  eventService: Ref | null;
  /** Asked for before the source cells ran. */
  checkAsked: CheckSource | null;
  startAsked: StartSource | null;
  facts: SourceFacts | null;
  /** Spans the stream has shown; those not yet taken with the beat that first told them. */
  readonly known: Set<string>;
  readonly seen: Map<string, number | null>;
  resolved: Position | null;
  held: StreamHeld | null;
  isHeldTold: boolean;
  trouble: Failure | null;
  failure: Failure | null;
  /** How far the closed stream was complete; null while it is open. */
  closedTs: number | null;
  seq: number;
  beat: number;
  /** Silent heartbeats in a row. */
  quiet: number;
  told: string;
  totals: ManagerTotals;
}

type S = DispatcherManagerState;

const heartbeatMs = 20;
/** Without news a heartbeat is still sent every so many: a sign of life, and a second chance for what got lost. */
const quietMax = 25;
/** How long the closed manager waits to be heard. */
const closedMs = 1_000;
const heartbeat: Effect = {
  kind: 'SetTimer',
  key: 'heartbeat',
  afterMs: heartbeatMs,
  message: { kind: 'HeartbeatDue' },
};
const noTotals: ManagerTotals = {
  rows: 0,
  writtenRows: 0,
  transactions: 0,
  sourceBytes: 0,
  sourceTransactions: 0,
  appliedMs: 0,
  sourceMs: 0,
};

function init(props: DispatcherManagerProps, env: Env): Step<S> {
  const state: S = {
    props,
    phase: 'opening',
    maintainer: null,
    served: new ServedSpans(),
    logPuller: null,
    eventService: null,
    checkAsked: null,
    startAsked: null,
    facts: null,
    known: new Set(),
    seen: new Map(),
    resolved: null,
    held: null,
    isHeldTold: false,
    trouble: null,
    failure: null,
    closedTs: null,
    seq: 0,
    beat: 0,
    quiet: 0,
    told: '',
    totals: noTotals,
  };
  return [state, [...spawnSource(state, env), heartbeat]];
}

/** The source cells carry this life's number in their names: nothing of an earlier life is ever taken for theirs. */
function spawnSource(state: S, env: Env): readonly Effect[] {
  const { changefeed, epoch, storeBytesMax } = state.props;
  const cell = (role: 'log-puller' | 'event-service'): Ref => ({
    path: `capture/source/${role}:${changefeed}:${env.self.incarnation}`,
    thread: 'ingest',
    incarnation: 0,
  });
  const logPuller = cell('log-puller');
  const eventService = cell('event-service');
  const manager = env.self;
  const pullerProps: LogPullerProps = { changefeed, eventService, manager };
  const serviceProps: EventServiceProps = { changefeed, logPuller, manager, storeBytesMax };
  const spawn = (role: string, ref: Ref, props: unknown): Effect => ({
    kind: 'Spawn',
    team: parentOf(ref.path),
    id: idOf(ref.path),
    role,
    props,
    thread: ref.thread,
    epoch,
    owner: manager.path,
  });
  return [
    spawn('event-service', eventService, serviceProps),
    spawn('log-puller', logPuller, pullerProps),
  ];
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
      toPuller(state, { kind: 'CloseSource' }, effects);
      break;
    case 'CloseManager':
      if (!isClosing(state)) becomeEnding(state, effects);
      break;
    case 'CloseDue':
      effects.push(stopSelf);
      break;
    case 'HeartbeatDue':
      beat(state, effects);
      effects.push(heartbeat);
      break;
    case 'DispatcherWatermark':
      takeWatermark(state, message, env);
      break;
    case 'DispatcherFailed': {
      const assignment = state.served.get(message.span);
      if (assignment !== undefined) assignment.lastWord = message.failure;
      break;
    }
    case 'UpstreamChecked':
      state.facts = message.facts;
      state.checkAsked = null;
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
      if (id.startsWith('dispatcher:')) lost(state, spanOf(state, id), signal.exit, env, effects);
      else sourceLost(state, id, signal.exit, effects);
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
  if (!isSame && state.closedTs !== null) {
    // The former maintainer had let the stream end: what follows begins with a manager of its own.
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

function check(state: S, effects: Effect[]): void {
  if (state.phase === 'opening' || state.checkAsked === null) return;
  toPuller(state, { kind: 'OpenSource', startAt: state.checkAsked.startAt }, effects);
}

function startStream(state: S, env: Env, effects: Effect[]): void {
  const { startAsked, props } = state;
  if (state.phase !== 'idle' || startAsked === null) return;
  const { position, facts, routing } = startAsked;
  const { timeline } = facts;
  state.phase = 'streaming';
  state.resolved = position;
  state.facts = facts;
  const { memoryQuota } = props;
  toService(state, { kind: 'OpenStream', position, memoryQuota }, effects);
  const chunkBytes = Math.max(256 << 10, Math.min(2 << 20, Math.floor(memoryQuota / 64)));
  toPuller(state, { kind: 'StartPulling', position, timeline, routing, chunkBytes }, effects);
  for (const message of state.served.takeAllDeferred()) effects.push(spawn(state, message, env));
}

/** What a new beginning can heal, a new manager will; the rest is for the maintainer to judge. */
function upstreamFailed(state: S, failure: Failure, effects: Effect[]): void {
  state.failure = failure;
  state.checkAsked = null;
  beat(state, effects);
  const isHealed = failure.retry === 'Again' || failure.retry === 'Reconnect';
  if (isHealed) effects.push({ kind: 'Stop', target: 'self', exit: { kind: 'failure', failure } });
}

function takeResolved(state: S, message: ResolvedAdvanced): void {
  state.resolved = message.position;
  const { totals } = state;
  state.totals = {
    ...totals,
    sourceBytes: totals.sourceBytes + message.byteCount,
    sourceTransactions: totals.sourceTransactions + message.transactionCount,
    sourceMs: Math.max(totals.sourceMs, message.commitMs),
  };
}

/** A source cell ended: unless that was asked for, the manager ends too, and the orchestrator says so. */
function sourceLost(state: S, id: string, exit: Exit, effects: Effect[]): void {
  if (id.startsWith('log-puller:')) state.logPuller = null;
  else state.eventService = null;
  if (state.phase === 'ending') return becomeClosed(state, effects);
  if (state.phase === 'closed') return;
  const why = failureOf('INTERNAL_FAULT', `${id} ended: ${exitText(exit)}`, { retry: 'Again' });
  effects.push({ kind: 'Stop', target: 'self', exit: { kind: 'failure', failure: why } });
}

// ── dispatchers ─────────────────────────────────────────────────────────────────────────────────────────────────────

function schedule(state: S, message: ScheduleDispatcher, env: Env, effects: Effect[]): void {
  const { served } = state;
  const known = served.get(message.span);
  if (isClosing(state)) return served.miss(message.span, message.token);
  if (known !== undefined && known.status !== 'ended') {
    if (known.token === message.token) return served.tellAgain(known);
    if (known.token > message.token) return served.miss(message.span, message.token);
    served.defer(message);
    state.seq++;
    return stopAssignment(known, effects);
  }
  // It failed already under this very token: the report is under way.
  if (known?.token === message.token) return served.tellAgain(known);
  // Before the stream runs there is nobody to subscribe to.
  if (state.phase !== 'streaming') {
    served.defer(message);
    state.seq++;
    return;
  }
  effects.push(spawn(state, message, env));
}

function spawn(state: S, message: ScheduleDispatcher, env: Env): Effect {
  const { props, eventService } = state;
  const { memoryQuota } = props;
  const loads = [...state.served.loads(props.workThreads)];
  const [thread] = loads.reduce((least, entry) => (entry[1] < least[1] ? entry : least));
  state.served.start(message, thread);
  state.known.add(message.span);
  state.seq++;
  const dispatcherProps: DispatcherProps = {
    changefeed: props.changefeed,
    span: message.span,
    token: message.token,
    startTs: message.startTs,
    manager: env.self,
    eventService: eventService ?? env.self,
    creditBytes: Math.max(1 << 20, Math.floor(memoryQuota / 16)),
    batchBytes: Math.max(256 << 10, Math.min(4 << 20, Math.floor(memoryQuota / 64))),
  };
  return {
    kind: 'Spawn',
    team: `${parentOf(parentOf(env.self.path))}/dispatchers`,
    id: `dispatcher:${props.changefeed}:${encodeURIComponent(message.span)}`,
    role: 'dispatcher',
    props: dispatcherProps,
    thread,
    epoch: props.epoch,
    owner: env.self.path,
  };
}

function stopOne(state: S, message: StopDispatcher, effects: Effect[]): void {
  const { span, token } = message;
  const deferred = state.served.takeDeferred(span);
  if (deferred !== undefined && deferred.token !== token) state.served.defer(deferred);
  const known = state.served.get(span);
  if (known?.token !== token) return state.served.miss(span, token);
  if (known.status === 'ended') return state.served.tellAgain(known);
  stopAssignment(known, effects);
}

function stopAssignment(assignment: Assignment, effects: Effect[]): void {
  assignment.status = 'stopping';
  if (assignment.ref !== null) effects.push(stopCell(assignment.ref));
}

function takeWatermark(state: S, message: DispatcherWatermark, env: Env): void {
  const { totals } = state;
  state.totals = {
    ...totals,
    rows: totals.rows + message.rows,
    writtenRows: totals.writtenRows + message.writtenRows,
    transactions: totals.transactions + message.transactions,
    appliedMs: Math.max(totals.appliedMs, message.commitMs),
  };
  const assignment = state.served.get(message.span);
  if (assignment === undefined) return;
  // A late word of the span's former dispatcher says nothing about this one's life.
  if (assignment.ref !== null && assignment.ref.incarnation !== env.from.incarnation) return;
  assignment.checkpointTs = Math.max(assignment.checkpointTs, message.checkpointTs);
  state.served.works(assignment);
}

function lost(state: S, span: string, exit: Exit, env: Env, effects: Effect[]): void {
  const { served } = state;
  const assignment = served.get(span);
  if (assignment === undefined || assignment.status === 'ended') return;
  const wasAsked = assignment.status === 'stopping';
  // The exit and the dispatcher's last word travel apart: the exit, when it says why, is about this life for sure.
  const failure =
    exit.kind === 'failure' ? exit.failure : (assignment.lastWord ?? failureOfExit(span, exit));
  served.ended(assignment, wasAsked ? null : failure);
  const next = served.takeDeferred(span);
  if (next !== undefined && !isClosing(state)) effects.push(spawn(state, next, env));
  if (state.phase === 'ending') endSource(state, effects);
}

function failureOfExit(span: string, exit: Exit): Failure {
  return failureOf('INTERNAL_FAULT', `the dispatcher of ${span} ended: ${exitText(exit)}`, {
    retry: 'Again',
    scope: 'Table',
  });
}

// ── heartbeat ───────────────────────────────────────────────────────────────────────────────────────────────────────

function checkpointOf(state: S): number {
  return Math.min(state.resolved?.ts ?? 0, state.served.lowestTs());
}

function beat(state: S, effects: Effect[]): void {
  if (state.maintainer === null) return;
  const checkpointTs = checkpointOf(state);
  const { seq, resolved, held, trouble, failure, totals, served } = state;
  const isHeldNews = held !== null && !state.isHeldTold;
  const told = `${seq} ${checkpointTs} ${resolved?.ts ?? ''} ${trouble?.code ?? ''} ${failure?.code ?? ''} ${state.closedTs ?? ''} ${totals.rows}`;
  const isNews =
    told !== state.told ||
    served.hasNews ||
    state.seen.size > 0 ||
    isHeldNews ||
    state.phase === 'closed';
  if (!isNews && ++state.quiet < quietMax) return;
  const isRepeat = !isNews;
  state.quiet = 0;
  state.told = told;
  state.isHeldTold = true;
  const number = ++state.beat;
  for (const [span, toldBeat] of state.seen) if (toldBeat === null) state.seen.set(span, number);
  const message: MaintainerMessage = {
    kind: 'ManagerHeartbeat',
    beat: number,
    seq,
    checkpointTs,
    resolved,
    seen: [...state.seen.keys()],
    spans: served.reports(number),
    ddl:
      held !== null && (isHeldNews || isRepeat) ? { ddl: held.ddl, resolved: held.resolved } : null,
    isSourceClosed: state.closedTs !== null,
    isClosed: state.phase === 'closed',
    trouble,
    failure,
    totals,
  };
  tell(state, message, effects);
}

function taken(state: S, beatTaken: number, effects: Effect[]): void {
  state.served.taken(beatTaken);
  for (const [span, toldBeat] of state.seen)
    if (toldBeat !== null && toldBeat <= beatTaken) state.seen.delete(span);
  if (state.phase === 'closed') effects.push(stopSelf);
}

// ── closing ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function isClosing(state: S): boolean {
  return state.phase === 'ending' || state.phase === 'closed';
}

function becomeEnding(state: S, effects: Effect[]): void {
  state.phase = 'ending';
  state.served.dropDeferred();
  toPuller(state, { kind: 'CloseSource' }, effects);
  for (const assignment of state.served.alive()) stopAssignment(assignment, effects);
  endSource(state, effects);
}

/** The dispatchers have ended: the source cells end too. */
function endSource(state: S, effects: Effect[]): void {
  if (state.served.alive().length > 0) return;
  for (const ref of [state.logPuller, state.eventService])
    if (ref !== null) effects.push(stopCell(ref));
  becomeClosed(state, effects);
}

function becomeClosed(state: S, effects: Effect[]): void {
  if (state.logPuller !== null || state.eventService !== null) return;
  if (state.served.alive().length > 0) return;
  state.phase = 'closed';
  beat(state, effects);
  const afterMs = state.maintainer === null ? 0 : closedMs;
  effects.push({ kind: 'SetTimer', key: 'closed', afterMs, message: { kind: 'CloseDue' } });
}

// ── addressing ──────────────────────────────────────────────────────────────────────────────────────────────────────

const stopSelf: Effect = { kind: 'Stop', target: 'self', exit: { kind: 'shutdown' } };

function stopCell(target: Ref): Effect {
  return { kind: 'Stop', target, exit: { kind: 'shutdown' } };
}

function tell(state: S, message: MaintainerMessage, effects: Effect[]): void {
  if (state.maintainer !== null) effects.push({ kind: 'Send', to: state.maintainer, message });
}

function toPuller(state: S, message: LogPullerMessage, effects: Effect[]): void {
  if (state.logPuller !== null) effects.push({ kind: 'Send', to: state.logPuller, message });
}

function toService(state: S, message: EventServiceMessage, effects: Effect[]): void {
  if (state.eventService !== null) effects.push({ kind: 'Send', to: state.eventService, message });
}

function spanOf(state: S, id: string): string {
  return decodeURIComponent(id.slice(`dispatcher:${state.props.changefeed}:`.length));
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
