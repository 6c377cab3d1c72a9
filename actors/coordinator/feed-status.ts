/** The stored status of changefeeds: a copy of the checkpoint downstream, which never falls (FENCE §1.11, spec/02 F10). */
import type { Outcome } from '#src/base/failure.ts';
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { changefeedStatusKey } from '#src/model/coordination-key.ts';
import type { CoordinationAnswer, KeyValue } from '#src/ports/coordination.ts';
import { stillOwner, unchanged } from '#src/ports/ownership.ts';
import { encodeRecord, readStatusRecord } from '#src/protocol/changefeed-record.ts';
import { callStore, type CoordinatorState, type Feed } from './coordinator-state.ts';

const saveEveryMs = 1_000;

/** Saves the checkpoint of a changefeed, monotonically, when it is due; never beside a record of another life. */
export function saveStatus(
  state: CoordinatorState,
  feed: Feed,
  env: Env,
  isLast = false,
): readonly Effect[] {
  const { checkpoint } = feed.status;
  const isDue = (isLast || env.now() - feed.savedAtMs >= saveEveryMs) && !feed.isSaving;
  if (!isDue || checkpoint === null || checkpoint.ts <= feed.savedTs) return [];
  feed.isSaving = true;
  feed.savedAtMs = env.now();
  feed.savedTs = checkpoint.ts;
  const { ownership, clusterId } = state.props;
  const { key: info, createRevision } = feed.entry;
  const compares = [
    stillOwner(ownership),
    { key: info, target: 'createRevision', equals: createRevision },
    unchanged(feed.statusEntry),
  ] as const;
  const key = changefeedStatusKey(clusterId, feed.id);
  const puts = [{ key, value: encodeRecord({ version: 1, checkpoint }) }];
  return [callStore({ kind: 'Transact', compares, puts }, `status ${feed.id}`)];
}

/** Takes the answer to a saved status; a lost one is saved again with the next checkpoint. False: another is coordinator. */
export function takeStatusAnswer(
  state: CoordinatorState,
  feed: Feed,
  outcome: Outcome<CoordinationAnswer>,
): boolean {
  feed.isSaving = false;
  if (!outcome.ok || outcome.value.kind !== 'Transacted') {
    feed.savedTs = -1;
    return true;
  }
  const [owner, , entry] = outcome.value.entries;
  if (entry !== undefined) feed.statusEntry = entry;
  if (outcome.value.succeeded) return true;
  feed.savedTs = -1;
  if (owner?.createRevision !== state.props.ownership.revision) return false;
  if (entry !== undefined) takeStored(feed, entry);
  return true;
}

/** What is stored already counts for this changefeed, when it is ahead. */
export function takeStored(feed: Feed, entry: KeyValue): void {
  feed.statusEntry = entry;
  const stored = entry.value === null ? null : readStatusRecord(entry.value);
  if (stored === null) return;
  const { checkpoint } = stored;
  feed.savedTs = checkpoint.ts;
  if ((feed.status.checkpoint?.ts ?? -1) < checkpoint.ts)
    feed.status = { ...feed.status, checkpoint };
}
