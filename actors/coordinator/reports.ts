/** What a new coordinator makes of what the nodes say they run (spec/02 F11–F13). */
import { assert } from '#src/base/assert.ts';
import type { MaintainerWord } from './feed-operator.ts';

/** One changefeed after the reports: its maintainer, when there is one, and those that must end. */
export interface Standing {
  readonly current: MaintainerWord | null;
  readonly stale: readonly MaintainerWord[];
}

/**
 * Sorts reports by changefeed. `epochs` are the persisted ones; a feed that is not in it is unknown, and whatever runs for
 * it is stale (F11). The maintainer under the persisted epoch is current; two of them are a broken promise (F12).
 */
export function standings(
  epochs: ReadonlyMap<string, number>,
  reports: readonly MaintainerWord[],
): ReadonlyMap<string, Standing> {
  const all = new Map<string, Standing>();
  for (const id of epochs.keys()) all.set(id, { current: null, stale: [] });
  for (const word of reports) {
    const standing = all.get(word.id) ?? { current: null, stale: [] };
    if (word.epoch === epochs.get(word.id) && word.isWorking) {
      assert(standing.current === null, `two maintainers of ${word.id} under epoch ${word.epoch}`);
      all.set(word.id, { ...standing, current: word });
    } else if (word.isWorking) all.set(word.id, { ...standing, stale: [...standing.stale, word] });
  }
  return all;
}
