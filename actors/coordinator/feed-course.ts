/** The course of a changefeed: what reports and failures make of it (FEATURES 1.2, spec/02). */
import type { Failure } from '#src/base/failure.ts';
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { epochOf, isEpochBelowMax } from '#src/model/token.ts';
import type { MaintainerReport } from '#src/protocol/coordinator.ts';
import {
  becomeAbsent,
  logFailure,
  reportFeed,
  shouldRun,
  toManager,
  type CoordinatorState,
  type Feed,
} from './coordinator-state.ts';
import { backoffOf, failing, reached, setbackOf } from './feed-health.ts';
import { isOf, placementOf, type MaintainerWord, type Placed } from './feed-operator.ts';
import { saveStatus } from './feed-status.ts';
import { ended } from './feed-stopping.ts';
import { isWriting, write } from './feed-writes.ts';

type S = CoordinatorState;

/** A node that may not write just now gets no changefeed back within this time. */
const fencedAgainMs = 1_000;

/** What a node says about one maintainer. */
export function reported(
  state: S,
  node: string,
  one: MaintainerReport,
  env: Env,
): readonly Effect[] {
  const word = wordOf(node, one);
  const feed = state.feeds.get(one.id);
  const operator = state.operators.get(one.id);
  const current = feed === undefined ? null : currentOf(state, feed);
  // Operators are fed first, whatever the epoch (F8).
  const { endings, isFinal } = state.operators.heard(word);
  if (feed === undefined || current === null || !isOf(current, word)) {
    const isAsked = operator !== undefined && isOf(placementOf(operator), word);
    const effects = endings.flatMap((ending) => ended(state, ending));
    return one.isWorking && !isAsked ? [...effects, endStale(state, word)] : effects;
  }
  // The last word of a move's origin counts before the target is told anything (spec/08 6283).
  const effects: Effect[] = [...takeStatus(state, feed, one, env)];
  effects.push(...endings.flatMap((ending) => ended(state, ending)));
  if (!one.isWorking && operator?.kind !== 'stop' && !isFinal)
    effects.push(...stoppedByItself(state, feed, one, env));
  return effects;
}

/** What a node says about one maintainer, without its status. */
export function wordOf(node: string, one: MaintainerReport): MaintainerWord {
  const { id, epoch, isWorking, isBootstrapped, isClosed } = one;
  return { id, node, epoch, isWorking, isBootstrapped, isClosed };
}

/** The maintainer whose word counts now. */
function currentOf(state: S, feed: Feed): Placed | null {
  const operator = state.operators.get(feed.id);
  const isStale = operator?.kind === 'stop' && operator.about === 'stale-owner';
  return operator === undefined || isStale ? feed.placed : placementOf(operator);
}

/**
 * What runs for a changefeed that nobody knows, or that another maintainer has, ends under the epoch it says it has (F11,
 * F12). It is told whenever it is heard of, until it is not.
 */
function endStale(state: S, { id, node, epoch }: MaintainerWord): Effect {
  const removed = !state.feeds.has(id);
  return toManager(state, node, {
    kind: 'RemoveMaintainer',
    id,
    epoch,
    cascade: true,
    removed,
    config: null,
  });
}

/** A checkpoint never falls; an error beside a lower one still counts (F10). */
function takeStatus(state: S, feed: Feed, one: MaintainerReport, env: Env): readonly Effect[] {
  const before = feed.status.checkpoint;
  const { checkpoint, resolvedTs } = one.status;
  const isLower = before !== null && (checkpoint === null || checkpoint.ts < before.ts);
  feed.status = isLower ? { ...one.status, checkpoint: before } : one.status;
  feed.isBootstrapped = one.isBootstrapped;
  // Its own word, once it has taken everything on: what was stored before it says nothing of how it fares.
  if (one.isWorking && one.isBootstrapped && checkpoint !== null) {
    const isIdle = one.status.state === 'normal' && checkpoint.ts === resolvedTs;
    feed.health = reached(feed.health, checkpoint.ts, isIdle, env.now());
  }
  const effects: Effect[] = [...saveStatus(state, feed, env, !one.isWorking)];
  // Nobody's intent is touched: only a warning ends, and a first bootstrap is noted.
  const isWell = feed.health.failureCount === 0 && one.status.state === 'normal';
  const isOver = isWell && feed.record.state === 'warning';
  if (one.isBootstrapped && (isOver || feed.record.isNew) && !isWriting(state, feed.id)) {
    const change = isOver ? ({ state: 'normal', failure: null } as const) : {};
    effects.push(...write(state, feed, { ...change, isNew: false, ifRunning: true }));
  }
  if (one.isWorking) effects.push(reportFeed(feed));
  return effects;
}

/** A maintainer that nobody asked to stop has stopped. */
function stoppedByItself(state: S, feed: Feed, one: MaintainerReport, env: Env): readonly Effect[] {
  state.operators.taskRemoved(feed.id);
  becomeAbsent(feed);
  const { status, isClosed } = one;
  if (!shouldRun(feed)) return [reportFeed(feed)];
  if (status.state === 'finished') {
    const change = {
      state: 'finished',
      failure: null,
      isOpen: !isClosed,
      ifRunning: true,
    } as const;
    return write(state, feed, change);
  }
  if (status.state === 'failed' && status.failure !== null)
    return failed(state, feed, status.failure, isClosed, env);
  // Its node stops in order: another takes over.
  feed.retryAtMs = env.now();
  return [];
}

/** What a failure makes of a changefeed. */
function failed(
  state: S,
  feed: Feed,
  failure: Failure,
  isClosed: boolean,
  env: Env,
): readonly Effect[] {
  const isOfNode = failure.scope === 'Node' && failure.code.startsWith('SINK_');
  if (isOfNode) {
    // Its node may not write: that says nothing of the changefeed (spec/03 §3c).
    feed.retryAtMs = env.now() + fencedAgainMs;
    return [];
  }
  const token = failure.detail?.['token'];
  // Only before any progress: afterwards it is a younger owner that has taken over, and this one ends.
  const isBehind = failure.code === 'SINK_FENCED' && !feed.health.isHeard;
  if (isBehind && typeof token === 'number') {
    const found = epochOf(token);
    if (!isEpochBelowMax(found)) return failForGood(state, feed, noTokenLeft(failure), isClosed);
    // An earlier owner wrote with a higher epoch than this store knows (a new data directory, a restored backup).
    feed.epochMin = Math.max(feed.epochMin, found);
    feed.retryAtMs = env.now();
    return [];
  }
  const bounds = {
    ...backoffOf(state.props.isPrompt),
    stuckAfterMs: feed.record.config.stuckAfterMs,
  };
  const world = { nowMs: env.now(), random: env.random() };
  const verdict = failing(feed.health, failure, bounds, world);
  if (verdict.state === 'failed') return failForGood(state, feed, failure, isClosed);
  feed.health = verdict.health;
  feed.retryAtMs = env.now() + verdict.afterMs;
  // State, failure and epoch in one write (F9): whatever the old maintainer still says is stale from here on.
  const setback = setbackOf(feed.health, env.now());
  const change = {
    state: 'warning',
    failure,
    setback,
    hasNewEpoch: true,
    ifRunning: true,
  } as const;
  return [logFailure(feed.id, failure, verdict.afterMs), ...write(state, feed, change)];
}

function failForGood(state: S, feed: Feed, failure: Failure, isClosed: boolean): readonly Effect[] {
  // What it left on the nodes is closed as that of a stopped one is.
  const change = { state: 'failed', failure, isOpen: !isClosed, ifRunning: true } as const;
  return write(state, feed, change);
}

/** Its slot downstream is a tombstone, or was written by another program. */
function noTokenLeft(failure: Failure): Failure {
  const message =
    'no token is left above the one in its slot downstream: remove the rows of this changefeed from the bookkeeping tables, or give it another id';
  return { ...failure, retry: 'Never', message };
}
