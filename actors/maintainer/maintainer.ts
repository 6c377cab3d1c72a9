/**
 * The maintainer of one changefeed, under one maintainerEpoch: takes over the feed's slot and the source, schedules a
 * dispatcher per span with a fresh token, computes the checkpoint, and leads the feed through each DDL.
 *
 *     opening ──▶ raising ──▶ checking ──▶ grouping ──▶ saving ──▶ running ⇄ barrier (draining → saving → ddl → grouping)
 *        │           │            │            │           │          │
 *        └───────────┴────────────┴── failed ──┴───────────┴──────────┴──▶ (stopping ──▶) finishing ──▶ ended
 *
 * Promises: the checkpoint never passes a change that is not committed downstream (P2); tokens rise with every
 * assignment (I-7); a DDL runs when everything before it is applied and nothing after it has been read; before it
 * runs, the checkpoint before it is saved, so a restart meets it again and finds its done row.
 * Assumes: messages of one sender come in order (watermarks before the loss of their dispatcher; SpansSeen before the
 * ResolvedAdvanced that covers their events).
 */
import { assert, unreachable } from '#src/base/assert.ts';
import { failure as failureOf, type Failure, type Outcome } from '#src/base/failure.ts';
import type { Behaviour, Env, Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Signal } from '#src/kernel/message.ts';
import type { Ref } from '#src/kernel/ref.ts';
import type { Checkpoint, DdlEvent, Position, TimelineSegment } from '#src/model/position.ts';
import type { SinkAnswer, SinkRequest } from '#src/ports/sink.ts';
import type { Routing } from '#src/model/start-at.ts';
import { noCounts } from '#src/protocol/changefeed.ts';
import type {
  ChangefeedConfig,
  ChangefeedCounts,
  ChangefeedState,
} from '#src/protocol/changefeed.ts';
import type { MaintainerHeartbeat } from '#src/protocol/coordinator.ts';
import type {
  DdlReached,
  DispatcherLost,
  MaintainerMessage,
  ManagerHeartbeat,
  ResolvedAdvanced,
  SourceChecked,
} from '#src/protocol/maintainer.ts';
import type { ScheduleDispatcher } from '#src/protocol/manager.ts';
import type { EventServiceMessage, LogPullerMessage } from '#src/protocol/source.ts';
import type { DispatcherManagerProps } from '../dispatcher-manager/dispatcher-manager.ts';
import { PositionHistory } from './position-history.ts';

/** What a maintainer is started with. */
export interface MaintainerProps {
  readonly config: ChangefeedConfig;
  readonly epoch: number;
  readonly coordinator: Ref;
  readonly logPuller: Ref;
  readonly eventService: Ref;
}

/** Private messages: answers of the sink port, and timers. */
export type MaintainerOwn =
  | { readonly kind: 'SinkAnswered'; readonly tag: SinkCall; readonly outcome: Outcome<SinkAnswer> }
  | { readonly kind: 'TickDue' }
  | { readonly kind: 'StopDue' }
  | { readonly kind: 'EndDue' }
  | { readonly kind: 'RescheduleDue'; readonly span: string };

/** Everything a maintainer receives. */
export type MaintainerInbox = MaintainerMessage | MaintainerOwn;

type SinkCall = 'open' | 'raise' | 'groups' | 'save' | 'ddl';

type Phase =
  | { readonly at: 'opening' | 'raising' | 'checking' | 'grouping' | 'running' }
  /** A DDL holds the stream: `draining` until all dispatchers are there, then one sink call after another. */
  | {
      readonly at: 'barrier';
      readonly step: 'draining' | 'saving' | 'ddl' | 'grouping';
      readonly ddl: DdlEvent;
      readonly resolved: Position;
    }
  /** Asked to stop: nothing more is read, and what was read is applied, as far as `stopDrainMs` allows. */
  | { readonly at: 'stopping'; readonly closedTs: number | null }
  /** The last checkpoint is being saved. */
  | { readonly at: 'finishing'; readonly as: ChangefeedState; readonly failure: Failure | null }
  /** Its last word is said; the coordinator stops it once it has heard it (messages and exits travel apart). */
  | { readonly at: 'ended' };

/** The state; the maps are mutated in place. */
export interface MaintainerState {
  readonly phase: Phase;
  readonly props: MaintainerProps;
  readonly manager: Ref | null;
  readonly assignmentSeq: number;
  readonly timeline: readonly TimelineSegment[];
  readonly newest: Position | null;
  readonly routing: Routing;
  /** Per span, what its dispatcher has reported committed. */
  readonly watermarks: Map<string, number>;
  /** Losses in a row per span, without progress between them. */
  readonly losses: Map<string, number>;
  readonly history: PositionHistory;
  readonly resolved: Position | null;
  /** The newest checkpoint reached, and the newest saved. */
  readonly checkpoint: Position | null;
  readonly savedTs: number;
  /** The feed's slot carries this epoch's token: its checkpoint may be written. */
  readonly isRaised: boolean;
  /** The tree waits for this cell to end. */
  readonly isStopAsked: boolean;
  readonly saving: Position | null;
  readonly savedAtMs: number;
  readonly counts: ChangefeedCounts;
  readonly sourceMs: number;
  readonly appliedMs: number;
  readonly warnings: readonly string[];
  readonly trouble: Failure | null;
  /** Monotonic time of the last progress of the checkpoint, or of nothing left to do. */
  readonly progressAtMs: number;
  readonly reported: string;
}

type S = MaintainerState;

const tickMs = 50;
/** The checkpoint in the feed's slot is written at most this often; a restart reads again what came after it. */
const saveEveryMs = 500;
/** A span whose dispatcher is lost more often in a row, without progress, fails the feed. */
const lossCountMax = 8;
/** How long the last word waits to be heard. */
const endMs = 5_000;
/** How long a stop waits for what was read to be applied. */
const stopDrainMs = 8_000;
const tokenAssignments = 2 ** 20;

function init(props: MaintainerProps, env: Env): Step<S> {
  const state: S = {
    phase: { at: 'opening' },
    props,
    manager: null,
    assignmentSeq: 0,
    timeline: [],
    newest: null,
    routing: { rules: props.config.rules, groups: {} },
    watermarks: new Map(),
    losses: new Map(),
    history: new PositionHistory(),
    resolved: null,
    checkpoint: null,
    savedTs: -1,
    isRaised: false,
    isStopAsked: false,
    saving: null,
    savedAtMs: env.now(),
    counts: noCounts,
    sourceMs: 0,
    appliedMs: 0,
    warnings: [],
    trouble: null,
    progressAtMs: env.now(),
    reported: '',
  };
  return [
    state,
    [
      // A coordinator that starts anew knows of no maintainer: this one would go on beside the next.
      { kind: 'Watch', target: props.coordinator },
      { kind: 'Watch', target: props.logPuller },
      { kind: 'Watch', target: props.eventService },
      tick,
      callSink({ kind: 'Open', changefeed: props.config.id }, 'open'),
    ],
  ];
}

const tick: Effect = {
  kind: 'SetTimer',
  key: 'tick',
  afterMs: tickMs,
  message: { kind: 'TickDue' },
};

function receive(state: S, message: MaintainerInbox, env: Env): Step<S> {
  if (message.kind === 'EndDue') return [state, [stopSelf]];
  if (state.phase.at === 'ended') return [state, []];
  switch (message.kind) {
    case 'SinkAnswered':
      return sinkAnswered(state, message.tag, message.outcome, env);
    case 'StopMaintainer':
      return becomeStopping(state);
    case 'StopDue':
      return becomeFinishing(state, 'stopped', null);
    case 'SourceChecked':
      return sourceChecked(state, message);
    case 'SourceFailed':
      return becomeFinishing(state, 'failed', message.failure);
    case 'SourceTroubled':
      return [{ ...state, trouble: message.failure }, []];
    case 'SourceClosed':
      return state.phase.at === 'stopping'
        ? advance({ ...state, phase: { at: 'stopping', closedTs: message.resolvedTs } }, env)
        : [state, []];
    case 'SpansSeen':
      return scheduleAll(state, message.spans);
    case 'ResolvedAdvanced':
      return resolvedAdvanced(state, message, env);
    case 'DdlReached':
      return becomeDraining(state, message, env);
    case 'ManagerHeartbeat':
      return heartbeat(state, message, env);
    case 'DispatcherLost':
      return dispatcherLost(state, message);
    case 'RescheduleDue':
      return ['running', 'barrier', 'stopping'].includes(state.phase.at)
        ? scheduleAll(state, [message.span])
        : [state, []];
    case 'TickDue':
      return ticked(state, env);
    default:
      return unreachable(message);
  }
}

function signal(state: S, signal: Signal, env: Env): Step<S> {
  switch (signal.kind) {
    case 'StopAsked':
      if (state.phase.at === 'ended') return [state, [stopSelf]];
      return becomeFinishing({ ...state, isStopAsked: true }, 'stopped', null);
    case 'ChildStarted':
      return becomeRunning({ ...state, manager: signal.ref }, env);
    case 'ChildRefused':
    case 'Terminated':
      return becomeFinishing(
        state,
        'failed',
        failureOf('INTERNAL_FAULT', 'a part of the changefeed ended; it starts again', {
          retry: 'Again',
        }),
      );
  }
}

// ── starting ────────────────────────────────────────────────────────────────────────────────────────────────────────

function sinkAnswered(state: S, tag: SinkCall, outcome: Outcome<SinkAnswer>, env: Env): Step<S> {
  if (!outcome.ok) return sinkFailed(state, tag, outcome.failure);
  const answer = outcome.value;
  const { phase } = state;
  switch (tag) {
    case 'open': {
      if (phase.at !== 'opening') return [state, []];
      const { changefeed, token } = feedSlot(state);
      return [
        { ...state, phase: { at: 'raising' } },
        [callSink({ kind: 'RaiseFeed', changefeed, token }, 'raise')],
      ];
    }
    case 'raise':
      assert(answer.kind === 'FeedRaised', 'answer to RaiseFeed');
      return phase.at === 'raising' ? becomeChecking(state, answer.checkpoint) : [state, []];
    case 'groups':
      assert(answer.kind === 'GroupsRead', 'answer to ReadGroups');
      return groupsRead({ ...state, routing: { ...state.routing, groups: answer.groups } }, env);
    case 'save':
      return saved(state, env);
    case 'ddl':
      return phase.at === 'barrier' ? ddlDone(state) : [state, []];
    default:
      return unreachable(tag);
  }
}

function sinkFailed(state: S, tag: SinkCall, failure: Failure): Step<S> {
  // The end does not wait for a checkpoint that cannot be saved: the slots downstream have the truth. Only who says
  // `finished` must have saved it; another maintainer will.
  if (tag === 'save' && state.phase.at === 'finishing') {
    const { as, failure: known } = state.phase;
    return end(state, as === 'finished' ? 'failed' : as, known ?? failure);
  }
  const answered = tag === 'save' ? { ...state, saving: null } : state;
  return becomeFinishing(answered, 'failed', failure);
}

function becomeChecking(state: S, checkpoint: Checkpoint | null): Step<S> {
  const startAt =
    checkpoint === null
      ? state.props.config.startAt
      : ({
          kind: 'position',
          position: checkpoint.position,
          timeline: checkpoint.timeline,
        } as const);
  return [
    {
      ...state,
      phase: { at: 'checking' },
      checkpoint: checkpoint?.position ?? null,
      savedTs: checkpoint?.position.ts ?? -1,
      isRaised: true,
    },
    [toPuller(state, { kind: 'OpenSource', startAt })],
  ];
}

function sourceChecked(state: S, message: SourceChecked): Step<S> {
  if (state.phase.at !== 'checking') return [state, []];
  return [
    {
      ...state,
      phase: { at: 'grouping' },
      timeline: message.timeline,
      newest: message.newest,
      resolved: message.start,
      checkpoint: message.start,
      warnings: message.warnings,
    },
    [readGroups(state)],
  ];
}

/** Groups are known: at the start the manager is started, after a DDL the stream goes on. */
function groupsRead(state: S, env: Env): Step<S> {
  const { phase, props } = state;
  if (phase.at === 'barrier' && phase.step === 'grouping') {
    return [
      { ...state, phase: { at: 'running' }, progressAtMs: env.now() },
      [toService(state, { kind: 'ResumeSource', routing: state.routing })],
    ];
  }
  if (phase.at !== 'grouping') return [state, []];
  const { config, epoch } = props;
  const managerProps: DispatcherManagerProps = {
    changefeed: config.id,
    epoch,
    maintainer: env.self,
    eventService: props.eventService,
    workThreads: config.workThreads,
    creditBytes: Math.max(1 << 20, Math.floor(config.memoryQuota / 16)),
    batchBytes: Math.max(256 << 10, Math.min(4 << 20, Math.floor(config.memoryQuota / 64))),
  };
  const spawn: Effect = {
    kind: 'Spawn',
    team: 'capture/write-path/managers',
    id: `dispatcher-manager:${config.id}:${epoch}`,
    role: 'dispatcher-manager',
    props: managerProps,
    thread: env.self.thread,
    epoch,
    owner: env.self.path,
  };
  return [state, [spawn]];
}

/** The manager runs: the start position is stored (a restart begins there), then history flows. */
function becomeRunning(state: S, env: Env): Step<S> {
  if (state.phase.at !== 'grouping' || state.manager === null) return [state, []];
  const { checkpoint } = state;
  assert(checkpoint !== null, 'a start position');
  const { memoryQuota } = state.props.config;
  const running: S = { ...state, phase: { at: 'running' }, progressAtMs: env.now() };
  state.history.push(checkpoint);
  const [next, effects] = save(running, checkpoint, env);
  return [
    next,
    [
      { kind: 'Watch', target: state.manager },
      ...effects,
      toService(state, { kind: 'OpenStream', position: checkpoint, memoryQuota }),
      toPuller(state, {
        kind: 'StartPulling',
        position: checkpoint,
        timeline: state.timeline,
        routing: state.routing,
        chunkBytes: Math.max(256 << 10, Math.min(2 << 20, Math.floor(memoryQuota / 64))),
      }),
    ],
  ];
}

// ── running ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function scheduleAll(state: S, spans: readonly string[]): Step<S> {
  const { manager, checkpoint, props } = state;
  if (manager === null || checkpoint === null) return [state, []];
  let { assignmentSeq } = state;
  const effects = spans.map((span): Effect => {
    if (!state.watermarks.has(span)) state.watermarks.set(span, checkpoint.ts);
    const message: ScheduleDispatcher = {
      kind: 'ScheduleDispatcher',
      span,
      token: props.epoch * tokenAssignments + ++assignmentSeq,
      startTs: checkpoint.ts,
    };
    return { kind: 'Send', to: manager, message };
  });
  assert(assignmentSeq < tokenAssignments, 'assignments of one epoch');
  return [{ ...state, assignmentSeq }, effects];
}

function resolvedAdvanced(state: S, message: ResolvedAdvanced, env: Env): Step<S> {
  state.history.push(message.position);
  const { counts } = state;
  return advance(
    {
      ...state,
      resolved: message.position,
      sourceMs: Math.max(state.sourceMs, message.commitMs),
      counts: {
        ...counts,
        sourceBytes: counts.sourceBytes + message.byteCount,
        sourceTransactions: counts.sourceTransactions + message.transactionCount,
      },
    },
    env,
  );
}

function heartbeat(state: S, message: ManagerHeartbeat, env: Env): Step<S> {
  for (const [span, ts] of message.watermarks) {
    const known = state.watermarks.get(span) ?? 0;
    if (ts <= known) continue;
    state.watermarks.set(span, ts);
    state.losses.delete(span);
  }
  const { counts } = state;
  return advance(
    {
      ...state,
      appliedMs: Math.max(state.appliedMs, message.commitMs),
      counts: {
        ...counts,
        rows: counts.rows + message.rows,
        writtenRows: counts.writtenRows + message.writtenRows,
        transactions: counts.transactions + message.transactions,
      },
    },
    env,
  );
}

/** The checkpoint is the newest known position that every span and the source have passed. */
function advance(state: S, env: Env): Step<S> {
  let ts = state.resolved?.ts ?? 0;
  for (const watermark of state.watermarks.values()) if (watermark < ts) ts = watermark;
  const checkpoint = state.history.takeUpTo(ts) ?? state.checkpoint;
  const progressed = checkpoint !== null && checkpoint.ts > (state.checkpoint?.ts ?? -1);
  const next: S = progressed
    ? { ...state, checkpoint, progressAtMs: env.now(), trouble: null }
    : state;
  const { phase } = next;
  if (phase.at === 'barrier' && phase.step === 'draining' && ts >= phase.resolved.ts) {
    return save({ ...next, phase: { ...phase, step: 'saving' } }, phase.resolved, env);
  }
  if (phase.at === 'stopping' && phase.closedTs !== null && ts >= phase.closedTs)
    return becomeFinishing(next, 'stopped', null);
  return caughtUp(next) ? becomeFinishing(next, 'finished', null) : [next, []];
}

function caughtUp(state: S): boolean {
  const { checkpoint, newest, phase, props } = state;
  if (!props.config.untilCaughtUp || phase.at !== 'running') return false;
  return checkpoint !== null && newest !== null && checkpoint.ts >= newest.ts;
}

function dispatcherLost(state: S, message: DispatcherLost): Step<S> {
  const { span, failure } = message;
  const lossCount = (state.losses.get(span) ?? 0) + 1;
  state.losses.set(span, lossCount);
  if (failure.retry === 'Never' || lossCount > lossCountMax)
    return becomeFinishing(state, 'failed', failure);
  const afterMs = Math.min(5_000, 50 * 2 ** lossCount);
  const reschedule: MaintainerOwn = { kind: 'RescheduleDue', span };
  return [
    { ...state, trouble: failure },
    [
      {
        kind: 'Log',
        level: 'warn',
        event: 'dispatcher-lost',
        detail: { span, code: failure.code, message: failure.message, afterMs },
      },
      { kind: 'SetTimer', key: `reschedule ${span}`, afterMs, message: reschedule },
    ],
  ];
}

// ── DDL barrier ─────────────────────────────────────────────────────────────────────────────────────────────────────

function becomeDraining(state: S, message: DdlReached, env: Env): Step<S> {
  if (state.phase.at !== 'running') return [state, []];
  const { ddl, resolved } = message;
  return advance({ ...state, phase: { at: 'barrier', step: 'draining', ddl, resolved } }, env);
}

function ddlDone(state: S): Step<S> {
  const { phase, counts } = state;
  if (phase.at !== 'barrier') return [state, []];
  return [
    {
      ...state,
      phase: { ...phase, step: 'grouping' },
      counts: { ...counts, ddl: counts.ddl + 1 },
      appliedMs: Math.max(state.appliedMs, phase.ddl.commitMs),
    },
    [readGroups(state)],
  ];
}

// ── checkpoint ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Saves `position` when it is newer than what is saved; one save at a time. */
function save(state: S, position: Position, env: Env): Step<S> {
  if (state.saving !== null) return [state, []];
  if (position.ts <= state.savedTs) return saved({ ...state, saving: position }, env);
  const checkpoint: Checkpoint = { version: 1, position, timeline: state.timeline };
  return [
    { ...state, saving: position, savedAtMs: env.now() },
    [callSink({ kind: 'SaveCheckpoint', ...feedSlot(state), checkpoint }, 'save')],
  ];
}

function saved(state: S, env: Env): Step<S> {
  const { phase, saving } = state;
  assert(saving !== null, 'an answer to a save');
  const next: S = { ...state, saving: null, savedTs: Math.max(state.savedTs, saving.ts) };
  if (phase.at === 'finishing') {
    return next.checkpoint !== null && next.checkpoint.ts > next.savedTs
      ? save(next, next.checkpoint, env)
      : end(next, phase.as, phase.failure);
  }
  if (phase.at !== 'barrier' || phase.step !== 'saving') return [next, []];
  if (next.savedTs < phase.resolved.ts) return save(next, phase.resolved, env);
  const request: SinkRequest = { kind: 'RunDdl', ...feedSlot(state), ddl: phase.ddl };
  return [{ ...next, phase: { ...phase, step: 'ddl' } }, [callSink(request, 'ddl')]];
}

// ── ending ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A running feed applies what it has read, so that it stops at one position in all tables; others end at once. */
function becomeStopping(state: S): Step<S> {
  const { phase } = state;
  if (phase.at === 'stopping') return [state, []];
  const isApplying =
    phase.at === 'running' || (phase.at === 'barrier' && phase.step === 'draining');
  if (!isApplying) return becomeFinishing(state, 'stopped', null);
  return [
    { ...state, phase: { at: 'stopping', closedTs: null } },
    [
      toPuller(state, { kind: 'CloseSource' }),
      { kind: 'SetTimer', key: 'stop', afterMs: stopDrainMs, message: { kind: 'StopDue' } },
    ],
  ];
}

/** Stops the source, saves the last checkpoint, then ends. */
function becomeFinishing(state: S, as: ChangefeedState, failure: Failure | null): Step<S> {
  if (state.phase.at === 'finishing' || state.phase.at === 'ended') return [state, []];
  assert(as !== 'failed' || failure !== null, 'a failed feed says why');
  const next: S = { ...state, phase: { at: 'finishing', as, failure } };
  const close: readonly Effect[] = [toPuller(state, { kind: 'CloseSource' })];
  // Before the feed's slot was raised, or once fenced, there is nothing that may be saved.
  if (state.saving !== null) return [next, close];
  const maySave = state.isRaised && failure?.code !== 'SINK_FENCED';
  if (!maySave || state.checkpoint === null || state.checkpoint.ts <= state.savedTs) {
    const [ended, effects] = end(next, as, failure);
    return [ended, [...close, ...effects]];
  }
  const checkpoint: Checkpoint = {
    version: 1,
    position: state.checkpoint,
    timeline: state.timeline,
  };
  return [
    { ...next, saving: state.checkpoint },
    [...close, callSink({ kind: 'SaveCheckpoint', ...feedSlot(state), checkpoint }, 'save')],
  ];
}

function end(state: S, as: ChangefeedState, failure: Failure | null): Step<S> {
  const ended: S = { ...state, phase: { at: 'ended' } };
  const last = status(ended, as, failure);
  if (state.isStopAsked) return [ended, [last, stopSelf]];
  return [
    ended,
    [last, { kind: 'SetTimer', key: 'end', afterMs: endMs, message: { kind: 'EndDue' } }],
  ];
}

const stopSelf: Effect = { kind: 'Stop', target: 'self', exit: { kind: 'normal' } };

// ── status ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function ticked(state: S, env: Env): Step<S> {
  const effects: Effect[] = [tick];
  let next = state;
  const idle =
    state.checkpoint !== null &&
    state.checkpoint.ts === state.resolved?.ts &&
    state.trouble === null;
  if (idle) next = { ...next, progressAtMs: env.now() };
  else if (env.now() - state.progressAtMs > state.props.config.stuckAfterMs) {
    const why = state.trouble ?? failureOf('INTERNAL_FAULT', `no progress while ${stageOf(state)}`);
    return becomeFinishing(state, 'failed', { ...why, retry: 'Never' });
  }
  const due =
    next.checkpoint !== null && next.checkpoint.ts > next.savedTs && next.phase.at === 'running';
  if (due && next.saving === null && env.now() - next.savedAtMs >= saveEveryMs) {
    const [afterSave, saveEffects] = save(next, next.checkpoint!, env);
    next = afterSave;
    effects.push(...saveEffects);
  }
  effects.push(status(next, next.trouble === null ? runningState(next) : 'warning', next.trouble));
  return [next, effects];
}

function runningState(state: S): ChangefeedState {
  return ['running', 'barrier', 'stopping'].includes(state.phase.at) ? 'normal' : 'starting';
}

function stageOf(state: S): string {
  const { phase } = state;
  return phase.at === 'barrier' ? `ddl ${phase.step}` : phase.at;
}

function status(state: S, as: ChangefeedState, failure: Failure | null): Effect {
  const message: MaintainerHeartbeat = {
    kind: 'MaintainerHeartbeat',
    status: {
      id: state.props.config.id,
      state: as,
      stage: stageOf(state),
      checkpoint: state.checkpoint,
      resolvedTs: state.resolved?.ts ?? 0,
      newest: state.newest,
      sourceMs: state.sourceMs,
      appliedMs: state.appliedMs,
      spanCount: state.watermarks.size,
      counts: state.counts,
      failure,
      warnings: state.warnings,
    },
  };
  return { kind: 'Send', to: state.props.coordinator, message };
}

// ── addressing ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** The feed's own slot is written with the first token of the epoch. */
function feedSlot(state: S): { readonly changefeed: string; readonly token: number } {
  return { changefeed: state.props.config.id, token: state.props.epoch * tokenAssignments };
}

function readGroups(state: S): Effect {
  const { id, rules } = state.props.config;
  return callSink({ kind: 'ReadGroups', changefeed: id, rules }, 'groups');
}

function callSink(request: SinkRequest, tag: SinkCall): Effect {
  return { kind: 'CallPort', port: 'sink', request, answer: 'SinkAnswered', tag };
}

function toPuller(state: S, message: LogPullerMessage): Effect {
  return { kind: 'Send', to: state.props.logPuller, message };
}

function toService(state: S, message: EventServiceMessage): Effect {
  return { kind: 'Send', to: state.props.eventService, message };
}

/** See the top of this file. */
export const maintainer: Behaviour<MaintainerState, MaintainerInbox, MaintainerProps> = {
  init,
  receive,
  signal,
  overview: (state) => ({
    stage: stageOf(state),
    checkpointTs: state.checkpoint?.ts ?? 0,
    resolvedTs: state.resolved?.ts ?? 0,
    spans: state.watermarks.size,
    trouble: state.trouble?.code ?? null,
  }),
};
