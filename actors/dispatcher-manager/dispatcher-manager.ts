/**
 * The dispatcher manager of one changefeed starts its dispatchers on the work threads, spreads them evenly, and sums up
 * their watermarks for the maintainer.
 *
 * Promises: a dispatcher that ended is reported to the maintainer exactly once, with its failure; a heartbeat carries
 * every watermark that moved since the one before. Ends with its maintainer.
 */
import { unreachable } from '#src/base/assert.ts';
import { failure as failureOf, type Failure } from '#src/base/failure.ts';
import type { Behaviour, Env, Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { exitText, type Exit } from '#src/kernel/exit.ts';
import type { Signal } from '#src/kernel/message.ts';
import { idOf, parentOf, type Ref } from '#src/kernel/ref.ts';
import type { MaintainerMessage } from '#src/protocol/maintainer.ts';
import type {
  DispatcherFailed,
  DispatcherWatermark,
  ManagerMessage,
  ScheduleDispatcher,
} from '#src/protocol/manager.ts';
import type { DispatcherProps } from '../dispatcher/dispatcher.ts';

/** What a dispatcher manager is started with. */
export interface DispatcherManagerProps {
  readonly changefeed: string;
  readonly epoch: number;
  readonly maintainer: Ref;
  readonly eventService: Ref;
  readonly workThreads: readonly string[];
  /** Bytes of events one dispatcher may hold, and of one batch. */
  readonly creditBytes: number;
  readonly batchBytes: number;
}

/** Everything a dispatcher manager receives. */
export type DispatcherManagerInbox = ManagerMessage | { readonly kind: 'HeartbeatDue' };

interface Placed {
  readonly thread: string;
  readonly ref: Ref | null;
}

/** The state; maps are mutated in place. */
export interface DispatcherManagerState {
  readonly props: DispatcherManagerProps;
  readonly dispatchers: Map<string, Placed>;
  /** Schedules for spans whose former dispatcher has not ended yet. */
  readonly pending: Map<string, ScheduleDispatcher>;
  readonly moved: Map<string, number>;
  readonly failures: Map<string, Failure>;
  rows: number;
  writtenRows: number;
  transactions: number;
  commitMs: number;
}

type S = DispatcherManagerState;

const heartbeatMs = 20;
const heartbeat: Effect = {
  kind: 'SetTimer',
  key: 'heartbeat',
  afterMs: heartbeatMs,
  message: { kind: 'HeartbeatDue' },
};

function init(props: DispatcherManagerProps): Step<S> {
  const state: S = {
    props,
    dispatchers: new Map(),
    pending: new Map(),
    moved: new Map(),
    failures: new Map(),
    rows: 0,
    writtenRows: 0,
    transactions: 0,
    commitMs: 0,
  };
  return [state, [{ kind: 'Watch', target: props.maintainer }, heartbeat]];
}

function receive(state: S, message: DispatcherManagerInbox, env: Env): Step<S> {
  switch (message.kind) {
    case 'ScheduleDispatcher':
      if (state.dispatchers.has(message.span)) {
        state.pending.set(message.span, message);
        return [state, []];
      }
      return [state, [spawn(state, message, env)]];
    case 'DispatcherWatermark':
      takeWatermark(state, message);
      return [state, []];
    case 'DispatcherFailed':
      takeFailure(state, message);
      return [state, []];
    case 'HeartbeatDue':
      return [state, [...beat(state), heartbeat]];
    default:
      return unreachable(message);
  }
}

function signal(state: S, signal: Signal, env: Env): Step<S> {
  switch (signal.kind) {
    case 'StopAsked':
      return [state, stopAll(state)];
    case 'ChildStarted': {
      const span = spanOf(state, signal.id);
      const placed = state.dispatchers.get(span);
      if (placed !== undefined) state.dispatchers.set(span, { ...placed, ref: signal.ref });
      return [state, [{ kind: 'Watch', target: signal.ref }]];
    }
    case 'ChildRefused':
      return [state, lost(state, spanOf(state, signal.id), signal.exit, env)];
    case 'Terminated':
      if (signal.ref.path === state.props.maintainer.path) return [state, stopAll(state)];
      return [state, lost(state, spanOf(state, idOf(signal.ref.path)), signal.exit, env)];
  }
}

function spawn(state: S, message: ScheduleDispatcher, env: Env): Effect {
  const { props } = state;
  const thread = leastLoaded(state);
  state.dispatchers.set(message.span, { thread, ref: null });
  const dispatcherProps: DispatcherProps = {
    changefeed: props.changefeed,
    span: message.span,
    token: message.token,
    startTs: message.startTs,
    manager: env.self,
    eventService: props.eventService,
    batchBytes: props.batchBytes,
    creditBytes: props.creditBytes,
  };
  return {
    kind: 'Spawn',
    team: `${parentOf(parentOf(env.self.path))}/dispatchers`,
    id: dispatcherId(state, message.span),
    role: 'dispatcher',
    props: dispatcherProps,
    thread,
    epoch: props.epoch,
    owner: env.self.path,
  };
}

function leastLoaded(state: S): string {
  const loads = new Map(state.props.workThreads.map((thread) => [thread, 0]));
  for (const { thread } of state.dispatchers.values())
    loads.set(thread, (loads.get(thread) ?? 0) + 1);
  return [...loads].reduce((least, entry) => (entry[1] < least[1] ? entry : least))[0];
}

function takeWatermark(state: S, message: DispatcherWatermark): void {
  state.moved.set(message.span, message.checkpointTs);
  state.rows += message.rows;
  state.writtenRows += message.writtenRows;
  state.transactions += message.transactions;
  state.commitMs = Math.max(state.commitMs, message.commitMs);
}

/** Kept until the dispatcher's end is seen, so that a new one is never started beside the old. */
function takeFailure(state: S, message: DispatcherFailed): void {
  state.failures.set(message.span, message.failure);
}

function beat(state: S): Effect[] {
  if (state.moved.size === 0) return [];
  const message: MaintainerMessage = {
    kind: 'ManagerHeartbeat',
    watermarks: [...state.moved],
    rows: state.rows,
    writtenRows: state.writtenRows,
    transactions: state.transactions,
    commitMs: state.commitMs,
  };
  state.moved.clear();
  state.rows = 0;
  state.writtenRows = 0;
  state.transactions = 0;
  return [{ kind: 'Send', to: state.props.maintainer, message }];
}

function lost(state: S, span: string, exit: Exit, env: Env): readonly Effect[] {
  if (!state.dispatchers.delete(span)) return [];
  // The exit and the dispatcher's last word travel apart: the exit, when it says why, is about this life for sure.
  const failure =
    exit.kind === 'failure'
      ? exit.failure
      : (state.failures.get(span) ?? failureOfExit(span, exit));
  state.failures.delete(span);
  const next = state.pending.get(span);
  if (next !== undefined) {
    state.pending.delete(span);
    return [spawn(state, next, env)];
  }
  const message: MaintainerMessage = { kind: 'DispatcherLost', span, failure };
  return [...beat(state), { kind: 'Send', to: state.props.maintainer, message }];
}

function failureOfExit(span: string, exit: Exit): Failure {
  return failureOf('INTERNAL_FAULT', `the dispatcher of ${span} ended: ${exitText(exit)}`, {
    retry: 'Again',
    scope: 'Table',
  });
}

function stopAll(state: S): readonly Effect[] {
  const exit: Exit = { kind: 'shutdown' };
  const stops = [...state.dispatchers.values()].flatMap(({ ref }): Effect[] =>
    ref === null ? [] : [{ kind: 'Stop', target: ref, exit }],
  );
  return [...stops, { kind: 'Stop', target: 'self', exit }];
}

function dispatcherId(state: S, span: string): string {
  return `dispatcher:${state.props.changefeed}:${encodeURIComponent(span)}`;
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
    dispatchers: state.dispatchers.size,
    pending: state.pending.size,
  }),
};
