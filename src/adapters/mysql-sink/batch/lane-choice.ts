import { wildHash } from './collation-fold.ts';
import { noConflict } from './conflict-key.ts';
import { noImage } from './row-fold.ts';

import type { ConflictKey } from './conflict-key.ts';
import type { RowFold } from './row-fold.ts';

/** A lane below this many rows costs more (a slot row, a commit) than it gains. */
export const laneRowCountMin = 192;

/** How many lanes a batch of `rowCount` rows is worth. */
export function lanesWorth(rowCount: number, laneCount: number): number {
  return Math.max(1, Math.min(laneCount, Math.floor(rowCount / laneRowCountMin)));
}

/**
 * Chooses a lane for each entry of a fold. Entries whose images before or after the batch may meet in a unique index get
 * the same lane, because lanes run at once and commit apart: one may need a value that another gives up.
 */
export function chooseLanes(
  fold: RowFold,
  laneCount: number,
  keys: readonly ConflictKey[] | null,
): Uint8Array {
  const lanes = new Uint8Array(fold.count);
  if (laneCount === 1 || keys === null) return lanes;
  if (keys.length === 0) {
    for (let i = 0; i < fold.count; i++) lanes[i] = Math.floor((i * laneCount) / fold.count);
    return lanes;
  }
  const leaders = joinEntries(fold, keys);
  if (leaders === null) return lanes;
  // An entry follows the first one of its component, which always comes before it.
  for (let i = 0; i < fold.count; i++) {
    const leader = leaderOf(leaders, i);
    lanes[i] = leader === i ? Math.floor((i * laneCount) / fold.count) : lanes[leader]!;
  }
  return lanes;
}

/** Union-find over the entries; null when some value may meet any other. */
function joinEntries(fold: RowFold, keys: readonly ConflictKey[]): Int32Array | null {
  const leaders = new Int32Array(fold.count);
  for (let i = 0; i < fold.count; i++) leaders[i] = i;
  const holders = new Map<number, number>();
  for (let i = 0; i < fold.count; i++) {
    for (const image of [fold.first[i]!, fold.last[i]!]) {
      if (image === noImage) continue;
      for (const key of keys) {
        const hash = key(fold.arena, image);
        if (hash === wildHash) return null;
        if (hash === noConflict) continue;
        const holder = holders.get(hash);
        if (holder === undefined) holders.set(hash, i);
        else join(leaders, holder, i);
      }
    }
  }
  return leaders;
}

function leaderOf(leaders: Int32Array, entry: number): number {
  let at = entry;
  while (leaders[at] !== at) {
    // Halving the path keeps the chains short.
    leaders[at] = leaders[leaders[at]!]!;
    at = leaders[at]!;
  }
  return at;
}

/** The smaller entry leads. */
function join(leaders: Int32Array, a: number, b: number): void {
  const leaderA = leaderOf(leaders, a);
  const leaderB = leaderOf(leaders, b);
  if (leaderA < leaderB) leaders[leaderB] = leaderA;
  else leaders[leaderA] = leaderB;
}
