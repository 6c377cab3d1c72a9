/** What follows a committed write: operators start only now (F1), and only when they may still (F5). */
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { shouldRun, type CoordinatorState, type Feed } from './coordinator-state.ts';
import { ended, failed } from './feed-course.ts';
import { newMove, placementOf, type FeedOperator, type StopOperator } from './feed-operator.ts';
import type { FeedWrite } from './feed-writes.ts';
import { failure as failureOf } from '#src/base/failure.ts';

type S = CoordinatorState;

/** Goes on after a write; `isCommitted` false: it was given up. */
export function afterWrite(
  state: S,
  feed: Feed,
  { after }: FeedWrite,
  isCommitted: boolean,
  env: Env,
): readonly Effect[] {
  switch (after.do) {
    case 'add': {
      state.operators.release(feed.id);
      if (!isCommitted) {
        const why = failureOf('COORDINATION_FAILED', 'the epoch could not be stored', {
          retry: 'Again',
        });
        return failed(state, feed, why, env);
      }
      const { epoch } = feed.record;
      feed.node = after.node;
      feed.isBootstrapped = false;
      return push(state, feed, {
        kind: 'add',
        id: feed.id,
        phase: 'adding',
        node: after.node,
        epoch,
      });
    }
    case 'move': {
      state.operators.release(feed.id);
      if (!isCommitted) return [];
      const to = { node: after.node, epoch: feed.record.epoch };
      return push(state, feed, newMove(feed.id, after.from, to));
    }
    case 'stop':
      return isCommitted ? stop(state, feed, after.removed) : [];
    case 'give-epoch':
      if (isCommitted) state.operators.giveEpoch(feed.id, feed.record.epoch, state.props.self);
      return [];
    case 'nothing':
      return [];
  }
}

/** The changefeed may have been stopped while its epoch was stored (F5). */
function push(state: S, feed: Feed, operator: FeedOperator): readonly Effect[] {
  const isStopping = (state.writes.get(feed.id) ?? []).some(({ after }) => after.do === 'stop');
  if (!shouldRun(feed) || isStopping || !state.feeds.has(feed.id)) {
    if (operator.kind === 'add') feed.node = null;
    return [];
  }
  const endings = state.operators.push(operator, new Set(state.nodes));
  return (endings ?? []).flatMap((ending) => ended(state, ending));
}

/**
 * Ends what was placed, where it is (in a move: where it still is). Where nothing is placed, managers may have been left on
 * nodes all the same: they are closed from here, under an epoch of their own (spec/09 9.2.7).
 */
function stop(state: S, feed: Feed, removed: boolean): readonly Effect[] {
  const known = state.operators.get(feed.id);
  const isStop = known?.kind === 'stop' && known.about === 'placement';
  const placed =
    known !== undefined && (known.kind !== 'stop' || isStop)
      ? placementOf(known)
      : feed.node === null
        ? null
        : { node: feed.node, epoch: feed.record.epoch };
  const operator: StopOperator = {
    kind: 'stop',
    id: feed.id,
    phase: placed === null ? 'needs-epoch' : 'stopping',
    node: placed?.node ?? state.props.self,
    epoch: placed?.epoch ?? 0,
    removed,
    about: 'placement',
  };
  const endings = state.operators.pushStop(operator, new Set(state.nodes));
  return (endings ?? []).flatMap((ending) => ended(state, ending));
}
