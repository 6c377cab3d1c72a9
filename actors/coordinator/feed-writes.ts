/**
 * Changes of stored changefeed records (spec/02): each is one transaction, conditioned on being coordinator still and on
 * the record being the one it was made from. Who loses to a concurrent change reads again and applies the same change to
 * what is there now (F3). State, failure and epoch go in one write (F9). One write of a changefeed at a time.
 */
import { failed, failure as failureOf, ok, type Failure, type Outcome } from '#src/base/failure.ts';
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { changefeedInfoKey, changefeedStatusKey } from '#src/model/coordination-key.ts';
import type { CoordinationAnswer, KeyValue } from '#src/ports/coordination.ts';
import { stillOwner, unchanged } from '#src/ports/ownership.ts';
import {
  encodeRecord,
  readRecord,
  type ChangefeedRecord,
  type StoredState,
} from '#src/protocol/changefeed-record.ts';
import type { ChangefeedConfig } from '#src/protocol/changefeed.ts';
import {
  answer,
  callStore,
  type Asker,
  type CoordinatorOwn,
  type CoordinatorState,
  type Feed,
} from './coordinator-state.ts';

type S = CoordinatorState;

/** What a write changes; what it does not name stays as it is, whoever changed it last. */
export interface RecordChange {
  readonly config?: ChangefeedConfig;
  readonly state?: StoredState;
  readonly failure?: Failure | null;
  readonly isNew?: false;
  /** A fresh epoch, above the stored one and above this (F2). */
  readonly epochAbove?: number;
  /** The record is deleted. */
  readonly isDeleted?: true;
}

/** What follows once the write is committed (F1: never before). */
export type AfterWrite =
  | { readonly do: 'nothing' }
  | { readonly do: 'add'; readonly node: string }
  | {
      readonly do: 'move';
      readonly node: string;
      readonly from: { readonly node: string; readonly epoch: number };
    }
  /** Ends what runs, or what is left of it: for good (`removed`) or not. */
  | { readonly do: 'stop'; readonly removed: boolean }
  /** The epoch that a stop operator waits for. */
  | { readonly do: 'give-epoch' };

/** A write under way or waiting. */
export interface FeedWrite {
  readonly change: RecordChange;
  readonly after: AfterWrite;
  readonly asker: Asker | null;
  readonly attempt: number;
}

/** How often a write is tried, and how long it waits between tries. */
const attemptCountMax = 10;
const attemptEveryMs = 25;

/** The record after a change. */
export function changed(record: ChangefeedRecord, change: RecordChange): ChangefeedRecord {
  const { config, state, failure, isNew, epochAbove } = change;
  const epoch = epochAbove === undefined ? record.epoch : Math.max(record.epoch, epochAbove) + 1;
  return {
    ...record,
    epoch,
    config: config ?? record.config,
    state: state ?? record.state,
    failure: failure === undefined ? record.failure : failure,
    isNew: isNew ?? record.isNew,
  };
}

/** Puts a write at the end of the changefeed's queue. */
export function write(
  state: S,
  feed: Feed,
  change: RecordChange,
  after: AfterWrite = { do: 'nothing' },
  asker: Asker | null = null,
): readonly Effect[] {
  const queue = state.writes.get(feed.id) ?? [];
  state.writes.set(feed.id, queue);
  queue.push({ change, after, asker, attempt: 0 });
  return queue.length === 1 ? sendWrite(state, feed.id) : [];
}

/** True while a write of the changefeed waits or is under way. */
export function isWriting(state: S, id: string): boolean {
  return (state.writes.get(id)?.length ?? 0) > 0;
}

/** Sends the first write of the queue. */
export function sendWrite(state: S, id: string): readonly Effect[] {
  const feed = state.feeds.get(id);
  const first = state.writes.get(id)?.[0];
  if (feed === undefined || first === undefined) return [];
  const { ownership, clusterId } = state.props;
  const key = changefeedInfoKey(clusterId, id);
  const compares = [stillOwner(ownership), unchanged(feed.entry)] as const;
  const tag = `write ${id}`;
  if (first.change.isDeleted === true) {
    const deletes = [key, changefeedStatusKey(clusterId, id)];
    return [callStore({ kind: 'Transact', compares, deletes }, tag)];
  }
  const value = encodeRecord(changed(feed.record, first.change));
  return [callStore({ kind: 'Transact', compares, puts: [{ key, value }] }, tag)];
}

/** What became of the write under way. */
export type WriteResult =
  | { readonly is: 'committed'; readonly write: FeedWrite }
  | { readonly is: 'again' }
  | { readonly is: 'given-up'; readonly write: FeedWrite; readonly failure: Failure }
  /** Somebody else is coordinator. */
  | { readonly is: 'deposed' };

/** Takes the answer to the first write of the queue. */
export function takeWriteAnswer(
  state: S,
  feed: Feed,
  outcome: Outcome<CoordinationAnswer>,
): WriteResult | null {
  const queue = state.writes.get(feed.id);
  const first = queue?.[0];
  if (queue === undefined || first === undefined) return null;
  if (!outcome.ok) return tryAgain(queue, first, outcome.failure);
  const reply = outcome.value;
  if (reply.kind !== 'Transacted') return null;
  const [owner, entry] = reply.entries;
  if (!reply.succeeded) {
    if (owner?.createRevision !== state.props.ownership.revision) return { is: 'deposed' };
    if (entry !== undefined) takeEntry(feed, entry);
    return tryAgain(queue, first, failureOf('COORDINATION_FAILED', 'the record changed too often'));
  }
  queue.shift();
  if (queue.length === 0) state.writes.delete(feed.id);
  feed.record = changed(feed.record, first.change);
  if (entry !== undefined) feed.entry = entry;
  return { is: 'committed', write: first };
}

/** What is stored now counts, not what was thought to be (F3). */
function takeEntry(feed: Feed, entry: KeyValue): void {
  feed.entry = entry;
  const record = entry.value === null ? null : readRecord(entry.value);
  if (record !== null) feed.record = record;
}

function tryAgain(queue: FeedWrite[], first: FeedWrite, failure: Failure): WriteResult {
  const attempt = first.attempt + 1;
  if (attempt < attemptCountMax) {
    queue[0] = { ...first, attempt };
    return { is: 'again' };
  }
  queue.shift();
  return { is: 'given-up', write: first, failure };
}

/** Tries again in a moment. */
export function writeLater(id: string): Effect {
  const message: CoordinatorOwn = { kind: 'WriteDue', id };
  return { kind: 'SetTimer', key: `write ${id}`, afterMs: attemptEveryMs, message };
}

/** Says to whoever asked how the write went. */
export function answerWrite(write: FeedWrite, failure: Failure | null): readonly Effect[] {
  return answer(write.asker, failure === null ? ok({ kind: 'Done' }) : failed(failure));
}

/** Saves the checkpoint of a changefeed, monotonically, when it is due. */
export function saveStatus(state: S, feed: Feed, env: Env): readonly Effect[] {
  const { checkpoint } = feed.status;
  const isDue = env.now() - feed.savedAtMs >= 1_000 && !feed.isSaving;
  if (!isDue || checkpoint === null || checkpoint.ts <= feed.savedTs) return [];
  feed.isSaving = true;
  feed.savedAtMs = env.now();
  feed.savedTs = checkpoint.ts;
  const { ownership, clusterId } = state.props;
  const compares = [stillOwner(ownership), unchanged(feed.statusEntry)] as const;
  const key = changefeedStatusKey(clusterId, feed.id);
  const puts = [{ key, value: encodeRecord({ version: 1, checkpoint }) }];
  return [callStore({ kind: 'Transact', compares, puts }, `status ${feed.id}`)];
}

/** Takes the answer to a saved status; a lost one is saved again with the next checkpoint. */
export function takeStatusAnswer(feed: Feed, outcome: Outcome<CoordinationAnswer>): void {
  feed.isSaving = false;
  if (!outcome.ok) feed.savedTs = -1;
  else if (outcome.value.kind === 'Transacted') {
    const entry = outcome.value.entries[1];
    if (entry !== undefined) feed.statusEntry = entry;
    if (!outcome.value.succeeded) feed.savedTs = -1;
  }
}
