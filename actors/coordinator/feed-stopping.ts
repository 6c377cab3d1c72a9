/** How what runs for a changefeed ends, on all nodes, and how one that is removed is forgotten (spec/02 Stop, spec/09 9.2.7). */
import type { Effect } from '#src/kernel/effect.ts';
import {
  becomeAbsent,
  reportFeed,
  shouldRun,
  type CoordinatorState,
  type Feed,
} from './coordinator-state.ts';
import { placementOf, type StopOperator } from './feed-operator.ts';
import type { FeedEnding } from './feed-operators.ts';
import { isWriting, write } from './feed-writes.ts';

type S = CoordinatorState;

/**
 * Ends what was placed, where it is (in a move: where it still is). Where nothing is placed, managers may have been left on
 * nodes all the same: they are closed from here, under an epoch of their own (spec/09 9.2.7).
 */
export function stop(state: S, feed: Feed): readonly Effect[] {
  const known = state.operators.get(feed.id);
  const isStale = known?.kind === 'stop' && known.about === 'stale-owner';
  // One that waits for an epoch has no placement: it knows that nothing is left of it.
  const isHomeless = known?.phase === 'needs-epoch';
  const isOurs = known !== undefined && !isStale;
  const placed = isHomeless ? null : isOurs ? placementOf(known) : feed.placed;
  const operator: StopOperator = {
    kind: 'stop',
    id: feed.id,
    phase: placed === null ? 'needs-epoch' : 'stopping',
    node: placed?.node ?? state.props.self,
    epoch: placed?.epoch ?? 0,
    removed: feed.record.state === 'removed',
    about: 'placement',
  };
  const endings = state.operators.pushStop(operator, new Set(state.nodes)) ?? [];
  return endings.flatMap((ending) => ended(state, ending));
}

/**
 * Whatever led there: a changefeed that should not run is stopped until nothing of it is left on any node, and one that is
 * removed is deleted then. A write that was given up, or a coordinator that was lost half-way, is made good here.
 */
export function settle(state: S, feed: Feed): readonly Effect[] {
  if (shouldRun(feed) || isWriting(state, feed.id)) return [];
  const operator = state.operators.get(feed.id);
  const isRemoved = feed.record.state === 'removed';
  const isStop = operator?.kind === 'stop' && operator.about === 'placement';
  if (isStop && (operator.removed || !isRemoved)) return [];
  const isBusy = operator?.kind === 'add' || operator?.kind === 'move';
  if (isStop || isBusy || feed.placed !== null || feed.record.isOpen) return stop(state, feed);
  return isRemoved ? write(state, feed, { isDeleted: true }) : [];
}

/** An operator has ended. */
export function ended(state: S, { operator, place }: FeedEnding): readonly Effect[] {
  const feed = state.feeds.get(operator.id);
  if (feed === undefined) return [];
  switch (place.is) {
    case 'replicating':
      feed.placed = { node: place.node, epoch: operator.epoch };
      return [];
    case 'absent':
      becomeAbsent(feed);
      return [];
    case 'stopped':
      if (operator.kind !== 'stop' || operator.about === 'stale-owner') return [];
      becomeAbsent(feed);
      if (operator.removed) return write(state, feed, { isDeleted: true });
      return shouldRun(feed) ? [] : [...write(state, feed, { isOpen: false }), reportFeed(feed)];
    case 'unchanged':
      return [];
  }
}
