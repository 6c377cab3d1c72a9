/** The course of a changefeed: what reports, failures and endings make of it (FEATURES 1.2, spec/02). */
import type { Failure } from '#src/base/failure.ts';
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { MaintainerReport } from '#src/protocol/coordinator.ts';
import {
  logFailure,
  reportFeed,
  shouldRun,
  toManager,
  type CoordinatorState,
  type Feed,
} from './coordinator-state.ts';
import { failing, patientBackoff, promptBackoff, reached } from './feed-health.ts';
import { placementOf, type MaintainerWord } from './feed-operator.ts';
import type { FeedEnding } from './feed-operators.ts';
import { isWriting, saveStatus, write } from './feed-writes.ts';

type S = CoordinatorState;

const tokenAssignments = 2 ** 20;

/** What a node says about one maintainer. */
export function reported(
  state: S,
  node: string,
  one: MaintainerReport,
  env: Env,
): readonly Effect[] {
  const word: MaintainerWord = {
    id: one.id,
    node,
    epoch: one.epoch,
    isWorking: one.isWorking,
    isBootstrapped: one.isBootstrapped,
  };
  const feed = state.feeds.get(one.id);
  const operator = state.operators.get(one.id);
  // Operators are fed first, whatever the epoch (F8); the last word of a move's origin still counts (spec/08 6283).
  const { endings, isFinal } = state.operators.heard(word);
  if (feed === undefined) return one.isWorking ? [removeUnknown(state, word)] : [];
  const isCurrent = one.epoch === feed.record.epoch || isFinal;
  const isPlaced = operator !== undefined && isAbout(placementOf(operator), word);
  const effects: Effect[] = [];
  if (isCurrent || isPlaced) effects.push(...takeStatus(state, feed, one, env));
  effects.push(...endings.flatMap((ending) => ended(state, ending)));
  if (!one.isWorking && one.epoch === feed.record.epoch && operator?.kind !== 'stop' && !isFinal)
    effects.push(...stoppedByItself(state, feed, one, env));
  return effects;
}

function isAbout(
  at: { readonly node: string; readonly epoch: number },
  word: MaintainerWord,
): boolean {
  return at.node === word.node && at.epoch === word.epoch;
}

/** Nobody knows this changefeed: what runs for it ends, under the epoch it says it has (F11). */
function removeUnknown(state: S, { id, node, epoch }: MaintainerWord): Effect {
  return toManager(state, node, {
    kind: 'RemoveMaintainer',
    id,
    epoch,
    cascade: true,
    removed: true,
    config: null,
  });
}

/** A checkpoint never falls; an error beside a lower one still counts (F10). */
function takeStatus(state: S, feed: Feed, one: MaintainerReport, env: Env): readonly Effect[] {
  const before = feed.status.checkpoint;
  const { checkpoint } = one.status;
  const isLower = before !== null && (checkpoint === null || checkpoint.ts < before.ts);
  feed.status = isLower ? { ...one.status, checkpoint: before } : one.status;
  feed.isBootstrapped = one.isBootstrapped;
  const ts = feed.status.checkpoint?.ts ?? -1;
  const isIdle = one.status.state === 'normal' && ts === one.status.resolvedTs;
  if (one.isWorking && ts >= 0) feed.health = reached(feed.health, ts, isIdle, env.now());
  const effects: Effect[] = [...saveStatus(state, feed, env)];
  // Nobody's intent is touched: only a warning ends, and a first bootstrap is noted.
  const isWell = feed.health.failureCount === 0 && one.status.state === 'normal';
  const isOver = isWell && feed.record.state === 'warning';
  if (one.isBootstrapped && (isOver || feed.record.isNew) && !isWriting(state, feed.id)) {
    const change = isOver ? ({ state: 'normal', failure: null } as const) : {};
    effects.push(...write(state, feed, { ...change, isNew: false }));
  }
  if (one.isWorking) effects.push(reportFeed(feed));
  return effects;
}

/** A maintainer that nobody asked to stop has stopped. */
function stoppedByItself(state: S, feed: Feed, one: MaintainerReport, env: Env): readonly Effect[] {
  if (feed.node === null && state.operators.get(feed.id) === undefined) return [];
  state.operators.taskRemoved(feed.id);
  feed.node = null;
  feed.isBootstrapped = false;
  const { status } = one;
  if (!shouldRun(feed)) return [reportFeed(feed)];
  if (status.state === 'finished') return write(state, feed, { state: 'finished', failure: null });
  if (status.state === 'failed' && status.failure !== null)
    return failed(state, feed, status.failure, env);
  // Its node stops in order: another takes over.
  feed.retryAtMs = env.now();
  return [];
}

/** What a failure makes of a changefeed. */
export function failed(state: S, feed: Feed, failure: Failure, env: Env): readonly Effect[] {
  const shown = failure.detail?.['token'];
  const shownEpoch = typeof shown === 'number' ? Math.floor(shown / tokenAssignments) : -1;
  // Only before any progress: afterwards it is a younger owner that has taken over, and this one ends.
  const isBehind = shownEpoch >= feed.record.epoch && feed.health.progressTs < 0;
  if (failure.code === 'SINK_FENCED' && isBehind) {
    // An earlier owner wrote with a higher epoch than this store knows (a new data directory, a restored backup).
    feed.epochMin = Math.max(feed.epochMin, shownEpoch);
    feed.retryAtMs = env.now();
    return [];
  }
  const bounds = {
    ...(state.props.isPrompt ? promptBackoff : patientBackoff),
    stuckAfterMs: feed.record.config.stuckAfterMs,
  };
  const world = { nowMs: env.now(), random: env.random() };
  const verdict = failing(feed.health, failure, bounds, world);
  if (verdict.state === 'failed') return write(state, feed, { state: 'failed', failure });
  feed.health = verdict.health;
  feed.retryAtMs = env.now() + verdict.afterMs;
  // State, failure and epoch in one write (F9): whatever the old maintainer still says is stale from here on.
  const change = { state: 'warning', failure, epochAbove: feed.epochMin } as const;
  return [logFailure(feed.id, failure, verdict.afterMs), ...write(state, feed, change)];
}

/** An operator has ended. */
export function ended(state: S, { operator, place }: FeedEnding): readonly Effect[] {
  const feed = state.feeds.get(operator.id);
  if (feed === undefined) return [];
  switch (place.is) {
    case 'replicating':
      feed.node = place.node;
      return [];
    case 'absent':
      feed.node = null;
      return [];
    case 'stopped':
      if (operator.kind !== 'stop' || operator.about === 'stale-owner') return [];
      feed.node = null;
      feed.isBootstrapped = false;
      if (operator.removed) return write(state, feed, { isDeleted: true });
      return shouldRun(feed) ? [] : [reportFeed(feed)];
    case 'unchanged':
      return [];
  }
}
