/** What follows a committed write: operators start only now (F1), and only when they may still (F5). */
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { becomeAbsent, shouldRun, type CoordinatorState, type Feed } from './coordinator-state.ts';
import { newMove, type FeedOperator } from './feed-operator.ts';
import { ended, stop } from './feed-stopping.ts';
import type { FeedWrite } from './feed-writes.ts';

type S = CoordinatorState;

/** An epoch that could not be stored is tried for again after this time. */
const placeAgainMs = 1_000;

/** Goes on after a write; `isCommitted` false: it was given up. */
export function afterWrite(
  state: S,
  feed: Feed,
  { after }: FeedWrite,
  isCommitted: boolean,
  env: Env,
): readonly Effect[] {
  const { epoch } = feed.record;
  switch (after.do) {
    case 'add': {
      state.operators.release(feed.id);
      // The store's trouble, not the changefeed's.
      if (!isCommitted) feed.retryAtMs = env.now() + placeAgainMs;
      if (!isCommitted || !mayBegin(state, feed)) return [];
      feed.placed = { node: after.node, epoch };
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
      const { node, from } = after;
      if (!isCommitted || !mayBegin(state, feed) || !isPlacedAt(feed, from)) return [];
      return push(state, feed, newMove(feed.id, from, { node, epoch }));
    }
    case 'stop':
      return isCommitted ? stop(state, feed) : [];
    case 'give-epoch':
      if (isCommitted) state.operators.giveEpoch(feed.id, epoch, state.props.self);
      return [];
    case 'nothing':
      return [];
  }
}

/** The changefeed may have been stopped while its epoch was stored (F5). */
function mayBegin(state: S, feed: Feed): boolean {
  const isStopping = (state.writes.get(feed.id) ?? []).some(({ after }) => after.do === 'stop');
  return shouldRun(feed) && !isStopping && state.operators.isFree(feed.id);
}

/** Its origin may have ended while the epoch of a move was stored. */
function isPlacedAt(
  { placed }: Feed,
  from: { readonly node: string; readonly epoch: number },
): boolean {
  return placed?.node === from.node && placed.epoch === from.epoch;
}

function push(state: S, feed: Feed, operator: FeedOperator): readonly Effect[] {
  const endings = state.operators.push(operator, new Set(state.nodes));
  if (endings === null) becomeAbsent(feed);
  return (endings ?? []).flatMap((ending) => ended(state, ending));
}
