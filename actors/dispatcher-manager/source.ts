/** A dispatcher manager and its source cells: made with it, asked to check and to stream, and what they say. */
import { failure as failureOf, type Failure } from '#src/base/failure.ts';
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { exitText, type Exit } from '#src/kernel/exit.ts';
import { idOf, parentOf, type Ref } from '#src/kernel/ref.ts';
import type { ResolvedAdvanced } from '#src/protocol/manager.ts';
import type { EventServiceProps } from '../event-service/state.ts';
import type { LogPullerProps } from '../log-puller/log-puller.ts';
import { becomeClosed } from './closing.ts';
import { spawn } from './dispatching.ts';
import { beat } from './heartbeat.ts';
import { toPuller, toService, type DispatcherManagerState } from './manager-state.ts';

type S = DispatcherManagerState;

/** The source cells carry this life's number in their names: nothing of an earlier life is ever taken for theirs. */
export function spawnSource(state: S, env: Env): readonly Effect[] {
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

/** Asks the log puller to check the upstream, once it runs. */
export function check(state: S, effects: Effect[]): void {
  if (state.phase === 'opening' || state.checkAsked === null) return;
  toPuller(state, { kind: 'OpenSource', startAt: state.checkAsked.startAt }, effects);
}

/** Lets history flow, once the source cells run and somebody has asked for it; assignments that waited begin. */
export function startStream(state: S, env: Env, effects: Effect[]): void {
  const { startAsked, props } = state;
  if (state.phase !== 'idle' || startAsked === null) return;
  const { position, facts, routing, until } = startAsked;
  const { timeline } = facts;
  state.phase = 'streaming';
  state.resolved = position;
  state.facts = facts;
  const { memoryQuota } = props;
  toService(state, { kind: 'OpenStream', position, memoryQuota }, effects);
  const chunkBytes = Math.max(256 << 10, Math.min(2 << 20, Math.floor(memoryQuota / 64)));
  toPuller(
    state,
    { kind: 'StartPulling', position, timeline, routing, until, chunkBytes },
    effects,
  );
  for (const message of state.served.takeAllDeferred()) effects.push(spawn(state, message, env));
}

/** What a new beginning can heal, a new manager will; the rest is for the maintainer to judge. */
export function upstreamFailed(state: S, failure: Failure, effects: Effect[]): void {
  state.failure = failure;
  state.checkAsked = null;
  beat(state, effects);
  const isHealed = failure.retry === 'Again' || failure.retry === 'Reconnect';
  if (isHealed) effects.push({ kind: 'Stop', target: 'self', exit: { kind: 'failure', failure } });
}

/** The stream is complete up to here. */
export function takeResolved(state: S, message: ResolvedAdvanced): void {
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
export function sourceLost(state: S, id: string, exit: Exit, effects: Effect[]): void {
  if (id.startsWith('log-puller:')) state.logPuller = null;
  else state.eventService = null;
  if (state.phase === 'ending') return becomeClosed(state, effects);
  if (state.phase === 'closed') return;
  const why = failureOf('INTERNAL_FAULT', `${id} ended: ${exitText(exit)}`, { retry: 'Again' });
  effects.push({ kind: 'Stop', target: 'self', exit: { kind: 'failure', failure: why } });
}
