/**
 * The dispatcher orchestrator of a node keeps one dispatcher manager per changefeed: makes it when a maintainer
 * bootstraps here, says when it has ended, and remembers who has closed it (spec/04 §4b).
 *
 *     none ──BootstrapFeed──▶ opening (ports) ──▶ starting (cell) ──▶ running ──it ends──▶ none
 *
 * Promises: one manager per changefeed; a maintainer that is not newer than a successful close makes none (E6); what comes
 * while one is being made waits, the newest epoch of each kind. Who governs a manager is judged by its own door.
 * Assumes: maintainers send again until they are answered.
 */
import { unreachable } from '#src/base/assert.ts';
import type { Failure, Outcome } from '#src/base/failure.ts';
import type { Behaviour, Env, Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Signal } from '#src/kernel/message.ts';
import { addressOf, idOf, type Ref } from '#src/kernel/ref.ts';
import type { FeedsAnswer, FeedsRequest } from '#src/ports/feeds.ts';
import type { ChangefeedEndpoints } from '#src/protocol/changefeed.ts';
import type { MaintainerMessage } from '#src/protocol/maintainer.ts';
import type { BootstrapFeed, CloseFeed, OrchestratorMessage } from '#src/protocol/orchestrator.ts';
import type { DispatcherManagerProps } from '../dispatcher-manager/manager-state.ts';
import { PendingRequests } from './pending-requests.ts';
import { Tombstones } from './tombstones.ts';

/** What an orchestrator is started with. */
export interface DispatcherOrchestratorProps {
  readonly workThreads: readonly string[];
  readonly storeBytesMax: number;
}

/** Everything an orchestrator receives. */
export type DispatcherOrchestratorInbox =
  | OrchestratorMessage
  | {
      readonly kind: 'FeedsAnswered';
      readonly tag: string;
      readonly outcome: Outcome<FeedsAnswer>;
    };

interface Managed {
  readonly is: 'opening' | 'starting' | 'running';
  readonly request: BootstrapFeed;
  /** Who bootstrapped last: it is told when the manager ends. */
  readonly maintainer: Ref;
  readonly manager: Ref | null;
}

/** The state; mutated in place. */
export interface DispatcherOrchestratorState {
  readonly props: DispatcherOrchestratorProps;
  readonly managed: Map<string, Managed>;
  readonly tombstones: Tombstones;
  readonly pending: PendingRequests;
}

type S = DispatcherOrchestratorState;

function init(props: DispatcherOrchestratorProps): Step<S> {
  return [
    { props, managed: new Map(), tombstones: new Tombstones(), pending: new PendingRequests() },
    [],
  ];
}

function receive(state: S, message: DispatcherOrchestratorInbox, env: Env): Step<S> {
  const effects: Effect[] = [];
  switch (message.kind) {
    case 'BootstrapFeed':
      bootstrap(state, message, env.from, effects);
      break;
    case 'CloseFeed':
      close(state, message, env.from, effects);
      break;
    case 'FeedsAnswered':
      opened(state, message.tag, message.outcome, env, effects);
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
      const id = feedOf(signal.id);
      const managed = state.managed.get(id);
      effects.push({ kind: 'Watch', target: signal.ref });
      if (managed === undefined) break;
      state.managed.set(id, { ...managed, is: 'running', manager: signal.ref });
      answer(managed.maintainer, 'ready', signal.ref, effects);
      workOff(state, id, env, effects);
      break;
    }
    case 'ChildRefused':
      gone(state, feedOf(signal.id), env, effects);
      break;
    case 'Terminated':
      if (signal.exit.kind === 'failure')
        effects.push(managerFailed(feedOf(idOf(signal.ref.path)), signal.exit.failure));
      gone(state, feedOf(idOf(signal.ref.path)), env, effects);
      break;
  }
  return [state, effects];
}

function bootstrap(state: S, message: BootstrapFeed, from: Ref, effects: Effect[]): void {
  const { id } = message.config;
  const managed = state.managed.get(id);
  if (managed === undefined) {
    const closedEpoch = state.tombstones.epochOf(id);
    if (message.epoch <= closedEpoch) {
      const refusal = {
        kind: 'FeedBootstrapped',
        is: 'refused',
        manager: null,
        closedEpoch,
      } as const;
      return send(from, refusal, effects);
    }
    state.managed.set(id, { is: 'opening', request: message, maintainer: from, manager: null });
    const { endpoints } = message.config;
    effects.push(openFeed(id, endpoints));
    return;
  }
  if (managed.is !== 'running') return state.pending.push({ message, from });
  // Another maintainer that is not newer is let through to the manager, whose door refuses it (E3).
  const isSame = addressOf(from) === addressOf(managed.maintainer);
  if (message.epoch > managed.request.epoch || (isSame && message.epoch === managed.request.epoch))
    state.managed.set(id, { ...managed, request: message, maintainer: from });
  answer(from, 'ready', managed.manager, effects);
}

/** The ports of the changefeed are ready on all threads: the manager is made, for the maintainer that asked. */
function opened(
  state: S,
  id: string,
  outcome: Outcome<FeedsAnswer>,
  env: Env,
  effects: Effect[],
): void {
  const managed = state.managed.get(id);
  if (managed?.is !== 'opening') return;
  if (!outcome.ok) {
    effects.push(managerFailed(id, outcome.failure));
    return gone(state, id, env, effects);
  }
  const { config, epoch } = managed.request;
  const { workThreads, storeBytesMax } = state.props;
  const props: DispatcherManagerProps = {
    changefeed: id,
    epoch,
    memoryQuota: config.memoryQuota,
    workThreads,
    storeBytesMax,
  };
  state.managed.set(id, { ...managed, is: 'starting' });
  effects.push({
    kind: 'Spawn',
    team: 'capture/write-path/managers',
    id: `dispatcher-manager:${id}`,
    role: 'dispatcher-manager',
    props,
    thread: threadOf(id, workThreads),
    epoch,
    owner: addressOf(managed.maintainer),
  });
}

/** Managers are spread over the work threads by name, so that a feed finds its own again after a restart. */
function threadOf(id: string, threads: readonly string[]): string {
  let hash = 0;
  for (const char of id) hash = (hash * 31 + char.charCodeAt(0)) % 65_521;
  return threads[hash % threads.length] ?? 'work-1';
}

function close(state: S, message: CloseFeed, from: Ref, effects: Effect[]): void {
  const managed = state.managed.get(message.id);
  if (managed === undefined) {
    state.tombstones.bury(message.id, message.epoch);
    return send(from, { kind: 'FeedClosed', is: 'closed', manager: null }, effects);
  }
  if (managed.is !== 'running') return state.pending.push({ message, from });
  send(from, { kind: 'FeedClosed', is: 'closing', manager: managed.manager }, effects);
}

/** A manager has ended, by a close or by itself, or could not be made: its maintainer learns it at once. */
function gone(state: S, id: string, env: Env, effects: Effect[]): void {
  const managed = state.managed.get(id);
  if (managed === undefined) return;
  state.managed.delete(id);
  effects.push(closeFeed(id));
  answer(managed.maintainer, 'retry', null, effects);
  workOff(state, id, env, effects);
}

/** Told on the node that it happens on: what is wrong may be this node alone. */
function managerFailed(changefeed: string, { code, message }: Failure): Effect {
  const detail = { changefeed, code, message };
  return { kind: 'Log', level: 'warn', event: 'manager-failed', detail };
}

function workOff(state: S, id: string, env: Env, effects: Effect[]): void {
  for (const { message, from } of state.pending.take(id))
    effects.push(...receive(state, message, { ...env, from })[1]);
}

function answer(to: Ref, is: 'ready' | 'retry', manager: Ref | null, effects: Effect[]): void {
  send(to, { kind: 'FeedBootstrapped', is, manager }, effects);
}

function send(to: Ref, message: MaintainerMessage, effects: Effect[]): void {
  effects.push({ kind: 'Send', to, message });
}

function openFeed(id: string, endpoints: ChangefeedEndpoints | null): Effect {
  const request: FeedsRequest = { kind: 'OpenFeed', id, holder: 'manager', endpoints };
  return { kind: 'CallPort', port: 'feeds', request, answer: 'FeedsAnswered', tag: id };
}

/** Nobody waits for it: whoever opens the ports anew comes after it. */
function closeFeed(id: string): Effect {
  const request: FeedsRequest = { kind: 'CloseFeed', id, holder: 'manager' };
  return { kind: 'CallPort', port: 'feeds', request, answer: 'FeedsAnswered', tag: '' };
}

function feedOf(managerId: string): string {
  return managerId.slice('dispatcher-manager:'.length);
}

/** See the top of this file. */
export const dispatcherOrchestrator: Behaviour<
  DispatcherOrchestratorState,
  DispatcherOrchestratorInbox,
  DispatcherOrchestratorProps
> = {
  init,
  receive,
  signal,
  overview: (state) => ({
    managers: [...state.managed].map(([id, managed]) => ({ id, is: managed.is })),
    tombstones: state.tombstones.size,
    pending: state.pending.size,
  }),
};
