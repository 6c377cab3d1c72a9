/**
 * The maintainer manager of a node starts and ends maintainers as the coordinator of the newest term says, and reports
 * how they are.
 *
 *     none ──Add──▶ opening (ports) ──▶ starting ──▶ running ──last word, or it crashed──▶ stopped ──newer Add──▶ …
 *
 * Promises: at most one maintainer per changefeed; a newer Add waits until the old one has stopped (E9, E10: it is refused
 * and sent again); every Remove is answered, also for what is not here. Its door compares the coordinator's terms.
 */
import { unreachable } from '#src/base/assert.ts';
import { failure as failureOf, type Failure, type Outcome } from '#src/base/failure.ts';
import type { Behaviour, Env, Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { exitText } from '#src/kernel/exit.ts';
import type { Signal } from '#src/kernel/message.ts';
import { idOf, type Ref } from '#src/kernel/ref.ts';
import type { FeedsAnswer, FeedsRequest } from '#src/ports/feeds.ts';
import { blankStatus, type ChangefeedConfig } from '#src/protocol/changefeed.ts';
import type {
  CoordinatorMessage,
  DrainTarget,
  MaintainerReport,
} from '#src/protocol/coordinator.ts';
import type { MaintainerMessage } from '#src/protocol/maintainer.ts';
import type {
  AddMaintainer,
  MaintainerManagerMessage,
  MaintainerReported,
  RemoveMaintainer,
} from '#src/protocol/maintainer-manager.ts';
import type { MaintainerProps } from '../maintainer/maintainer-state.ts';
import { admitAdd, admitRemove, type Registered } from './registry.ts';

/** What a maintainer manager is started with. */
export interface MaintainerManagerProps {
  /** Capture id of this node. */
  readonly self: string;
  readonly workThreads: readonly string[];
}

/** Everything a maintainer manager receives. */
export type MaintainerManagerInbox =
  | MaintainerManagerMessage
  | {
      readonly kind: 'FeedsAnswered';
      readonly tag: string;
      readonly outcome: Outcome<FeedsAnswer>;
    }
  | { readonly kind: 'TickDue' };

/** An Add, or a close of what somebody else has left, that waits for its ports. */
interface Opening {
  readonly config: ChangefeedConfig;
  readonly epoch: number;
  readonly isRemovalOnly: boolean;
}

/** The state; mutated in place. */
export interface MaintainerManagerState {
  readonly props: MaintainerManagerProps;
  nodes: readonly string[];
  coordinator: Ref | null;
  drain: DrainTarget;
  readonly registry: Map<string, Registered>;
  readonly openings: Map<string, Opening>;
  /** Changefeeds whose state the coordinator has not been told yet. */
  readonly changed: Set<string>;
  reportedAtMs: number;
  wholeAtMs: number;
}

type S = MaintainerManagerState;

const tickMs = 200;
/** A sign of life even when nothing changes. */
const reportEveryMs = 1_000;
/** Maintainers that have stopped are remembered, the last so many, for a coordinator that asks again. */
const stoppedCountMax = 100;
const tick: Effect = {
  kind: 'SetTimer',
  key: 'tick',
  afterMs: tickMs,
  message: { kind: 'TickDue' },
};

function init(props: MaintainerManagerProps): Step<S> {
  const state: S = {
    props,
    nodes: [props.self],
    coordinator: null,
    drain: { number: 0, node: null },
    registry: new Map(),
    openings: new Map(),
    changed: new Set(),
    reportedAtMs: -Infinity,
    wholeAtMs: -Infinity,
  };
  return [state, [tick]];
}

function receive(state: S, message: MaintainerManagerInbox, env: Env): Step<S> {
  const effects: Effect[] = [];
  switch (message.kind) {
    case 'NodesChanged':
      if (!message.isComplete) break;
      state.nodes = message.nodes;
      for (const { ref } of state.registry.values()) toMaintainer(ref, message, effects);
      break;
    case 'BootstrapManager':
      state.coordinator = env.from;
      report(state, true, env, effects);
      break;
    case 'AddMaintainer':
      add(state, message, effects);
      break;
    case 'RemoveMaintainer':
      remove(state, message, env, effects);
      break;
    case 'AskTable':
      toMaintainer(state.registry.get(message.id)?.ref ?? null, message, effects);
      break;
    case 'TableAnswered':
      if (state.coordinator !== null)
        effects.push({ kind: 'Send', to: state.coordinator, message });
      break;
    case 'SetDrainTarget':
      if (message.drain.number <= state.drain.number) break;
      state.drain = message.drain;
      for (const { ref } of state.registry.values())
        toMaintainer(ref, { kind: 'DrainChanged', drain: message.drain }, effects);
      report(state, false, env, effects);
      break;
    case 'MaintainerReported':
      reported(state, message, env, effects);
      break;
    case 'FeedsAnswered':
      opened(state, message.tag, message.outcome, env, effects);
      break;
    case 'TickDue':
      if (state.changed.size > 0 || env.now() - state.reportedAtMs >= reportEveryMs)
        report(state, false, env, effects);
      effects.push(tick);
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
      effects.push({ kind: 'Stop', target: 'self', exit: { kind: 'shutdown' } });
      break;
    case 'ChildStarted': {
      effects.push({ kind: 'Watch', target: signal.ref });
      const known = registeredAs(state, signal.id);
      if (known === undefined) break;
      state.registry.set(known.id, { ...known, is: 'running', ref: signal.ref, removal: null });
      if (known.removal !== null) toMaintainer(signal.ref, known.removal, effects);
      break;
    }
    case 'ChildRefused':
    case 'Terminated': {
      const id = signal.kind === 'Terminated' ? idOf(signal.ref.path) : signal.id;
      const known = registeredAs(state, id);
      if (known !== undefined) ended(state, known, exitText(signal.exit), env, effects);
      break;
    }
  }
  return [state, effects];
}

// ── add and remove ──────────────────────────────────────────────────────────────────────────────────────────────────

function add(state: S, message: AddMaintainer, effects: Effect[]): void {
  const { config, epoch } = message;
  const known = state.registry.get(config.id);
  switch (admitAdd(known, epoch)) {
    case 'add':
      return open(state, { config, epoch, isRemovalOnly: false }, effects);
    case 'known':
      state.changed.add(config.id);
      return;
    case 'refused':
      effects.push({ kind: 'Count', name: 'maintainer add refused', value: 1 });
      return;
  }
}

function remove(state: S, message: RemoveMaintainer, env: Env, effects: Effect[]): void {
  const { id, epoch, cascade, removed, config } = message;
  const known = state.registry.get(id);
  switch (admitRemove(known, { epoch, cascade })) {
    case 'forward': {
      const removal = { kind: 'RemoveThis', cascade, removed } as const;
      if (known?.ref == null) state.registry.set(id, { ...known!, removal });
      else toMaintainer(known.ref, removal, effects);
      return;
    }
    case 'stopped':
      return sayStopped(state, id, epoch, env, effects);
    case 'close':
      if (config === null) return sayStopped(state, id, epoch, env, effects);
      return open(state, { config, epoch, isRemovalOnly: true }, effects);
    case 'stale':
      effects.push({ kind: 'Count', name: 'maintainer remove stale', value: 1 });
      return;
  }
}

/** A synthetic word for what is not here, under the request's own epoch: the coordinator would wait for ever. */
function sayStopped(state: S, id: string, epoch: number, env: Env, effects: Effect[]): void {
  const known = state.registry.get(id);
  const status = known?.epoch === epoch ? known.report.status : blankStatus(id);
  const isClosed = known?.epoch === epoch && known.report.isClosed;
  const one: MaintainerReport = {
    id,
    epoch,
    isWorking: false,
    isBootstrapped: false,
    isClosed,
    status,
  };
  tell(state, [one], false, env, effects);
}

function open(state: S, opening: Opening, effects: Effect[]): void {
  const { config, epoch } = opening;
  const { id, endpoints } = config;
  state.openings.set(id, opening);
  const status = blankStatus(id);
  const report: MaintainerReport = {
    id,
    epoch,
    isWorking: true,
    isBootstrapped: false,
    isClosed: false,
    status,
  };
  state.registry.set(id, { id, epoch, is: 'opening', ref: null, report, removal: null });
  state.changed.add(id);
  const request: FeedsRequest = { kind: 'OpenFeed', id, holder: 'maintainer', endpoints };
  effects.push({ kind: 'CallPort', port: 'feeds', request, answer: 'FeedsAnswered', tag: id });
}

/** The ports of the changefeed are ready on all threads: its maintainer is started. */
function opened(
  state: S,
  id: string,
  outcome: Outcome<FeedsAnswer>,
  env: Env,
  effects: Effect[],
): void {
  const opening = state.openings.get(id);
  const known = state.registry.get(id);
  state.openings.delete(id);
  if (opening === undefined || known?.is !== 'opening') return;
  if (!outcome.ok) return endedWith(state, known, outcome.failure, env, effects);
  const { config, epoch, isRemovalOnly } = opening;
  const { self, workThreads } = state.props;
  const { nodes, drain } = state;
  const props: MaintainerProps = {
    config,
    epoch,
    manager: env.self,
    self,
    nodes,
    drain,
    isRemovalOnly,
  };
  state.registry.set(id, { ...known, is: 'starting' });
  effects.push({
    kind: 'Spawn',
    team: 'capture/control/maintainers',
    id: maintainerId(id, epoch),
    role: 'maintainer',
    props,
    thread: leastLoaded(state, workThreads),
    epoch,
    owner: env.self.path,
  });
}

function leastLoaded(state: S, threads: readonly string[]): string {
  const loads = new Map(threads.map((thread) => [thread, 0]));
  for (const { ref } of state.registry.values())
    if (ref !== null) loads.set(ref.thread, (loads.get(ref.thread) ?? 0) + 1);
  return [...loads].reduce((least, entry) => (entry[1] < least[1] ? entry : least))[0];
}

// ── reports ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function reported(state: S, message: MaintainerReported, env: Env, effects: Effect[]): void {
  const { status, epoch, isBootstrapped, isClosed, isLast } = message;
  const known = state.registry.get(status.id);
  // A late word of another instance changes nothing.
  if (known === undefined || known.epoch !== epoch || known.is === 'stopped') return;
  const one: MaintainerReport = {
    id: status.id,
    epoch,
    isWorking: true,
    isBootstrapped,
    isClosed,
    status,
  };
  const isNews = known.report.status.state !== status.state || !known.report.isBootstrapped;
  state.registry.set(status.id, { ...known, report: isLast ? { ...one, isBootstrapped } : one });
  if (!isLast) {
    if (isNews || isProgress(known.report, one)) state.changed.add(status.id);
    return;
  }
  // What follows from the last word waits until the cell is gone: then another may be started.
  effects.push({ kind: 'Stop', target: env.from, exit: { kind: 'normal' } });
}

function isProgress(before: MaintainerReport, now: MaintainerReport): boolean {
  return JSON.stringify(before.status) !== JSON.stringify(now.status);
}

function ended(state: S, known: Registered, why: string, env: Env, effects: Effect[]): void {
  const { status } = known.report;
  const isSaid = ['failed', 'finished', 'stopped'].includes(status.state);
  const fault = failureOf('INTERNAL_FAULT', `the maintainer ended: ${why}`, { retry: 'Again' });
  endedWith(state, known, isSaid ? status.failure : fault, env, effects);
}

function endedWith(
  state: S,
  known: Registered,
  failure: Failure | null,
  env: Env,
  effects: Effect[],
): void {
  const { status } = known.report;
  const isSaid = ['failed', 'finished', 'stopped'].includes(status.state);
  const last = isSaid ? status : { ...status, state: 'failed' as const, failure };
  const report = { ...known.report, isWorking: false, isBootstrapped: false, status: last };
  state.registry.delete(known.id);
  state.registry.set(known.id, { ...known, is: 'stopped', ref: null, report, removal: null });
  forgetOldest(state);
  const request: FeedsRequest = { kind: 'CloseFeed', id: known.id, holder: 'maintainer' };
  effects.push({ kind: 'CallPort', port: 'feeds', request, answer: 'FeedsAnswered', tag: '' });
  tell(state, [report], false, env, effects);
}

function forgetOldest(state: S): void {
  const stopped = [...state.registry.values()].filter(({ is }) => is === 'stopped');
  for (const { id } of stopped.slice(0, Math.max(0, stopped.length - stoppedCountMax)))
    state.registry.delete(id);
}

function report(state: S, isBootstrap: boolean, env: Env, effects: Effect[]): void {
  // Now and then everything is said again: a last word may have been lost on the way.
  const isWhole = isBootstrap || env.now() - state.wholeAtMs >= reportEveryMs;
  if (isWhole) state.wholeAtMs = env.now();
  const ids = isWhole ? [...state.registry.keys()] : [...state.changed];
  state.changed.clear();
  const reports = ids.flatMap((id) => {
    const known = state.registry.get(id);
    return known === undefined ? [] : [known.report];
  });
  tell(state, reports, isBootstrap, env, effects);
}

function tell(
  state: S,
  reports: readonly MaintainerReport[],
  isBootstrap: boolean,
  env: Env,
  effects: Effect[],
): void {
  if (state.coordinator === null) return;
  state.reportedAtMs = env.now();
  const message: CoordinatorMessage = {
    kind: 'ManagerReported',
    isBootstrap,
    reports,
    drain: state.drain,
  };
  effects.push({ kind: 'Send', to: state.coordinator, message });
}

// ── addressing ──────────────────────────────────────────────────────────────────────────────────────────────────────

function maintainerId(id: string, epoch: number): string {
  return `maintainer:${id}:${epoch}`;
}

function registeredAs(state: S, childId: string): Registered | undefined {
  return [...state.registry.values()].find((one) => maintainerId(one.id, one.epoch) === childId);
}

function toMaintainer(to: Ref | null, message: MaintainerMessage, effects: Effect[]): void {
  if (to !== null) effects.push({ kind: 'Send', to, message });
}

/** See the top of this file. */
export const maintainerManager: Behaviour<
  MaintainerManagerState,
  MaintainerManagerInbox,
  MaintainerManagerProps
> = {
  init,
  receive,
  signal,
  overview: (state) => ({
    maintainers: [...state.registry.values()].map(({ id, epoch, is }) => ({ id, epoch, is })),
    coordinator: state.coordinator?.node ?? state.props.self,
    drain: state.drain.node,
  }),
};
