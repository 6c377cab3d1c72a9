/**
 * The scheduler of splits (spec/01 §1.8 balance split), for changefeeds that want it: a table that is hot is split over the
 * nodes, one in parts that has been cold for long is joined.
 */
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { partCountMax } from '#src/model/span.ts';
import { destinations } from './destinations.ts';
import type { MaintainerState } from './maintainer-state.ts';
import { wish } from './table-asks.ts';

/** Length of a window; hot in so many, cold in so many in a row. */
const windowMs = 15_000;
const hotWindowCount = 2;
const coldWindowCount = 8;
/** Wishes under way at once. */
const wishCountMax = 10;
/** Parts for each node: a node has several work threads, and keys are not all alike. */
const partsEach = 2;

/** Looks once a window; see the top of this file. */
export function balanceSplit(state: MaintainerState, env: Env): readonly Effect[] {
  const { heat, table, phase, drain, wishes } = state;
  const splitAbove = state.props.config.splitAbove ?? null;
  if (heat.windowMs(env.now()) < windowMs) return [];
  heat.endWindow(env.now(), splitAbove ?? Infinity, table.splitTables());
  if (splitAbove === null || phase.at !== 'running' || drain.node !== null) return [];
  const partCount = Math.min(partCountMax, partsEach * destinations(state).length);
  const changes = [
    ...heat
      .hot(hotWindowCount)
      .filter((span) => table.partsOf(span).length === 0 && partCount >= 2)
      .map((span) => ({ kind: 'split', span, partCount }) as const),
    ...heat.cold(coldWindowCount).map((span) => ({ kind: 'merge', span }) as const),
  ];
  const free = changes.filter(({ span }) => !wishes.has(span));
  return free
    .slice(0, Math.max(0, wishCountMax - wishes.size))
    .flatMap((change) => wish(state, change, []));
}
