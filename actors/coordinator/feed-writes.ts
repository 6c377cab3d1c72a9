/**
 * Changes of stored changefeed records (spec/02): each is one transaction, conditioned on being coordinator still and on
 * the record being the one it was made from. Who loses to a concurrent change reads again and applies the same change to
 * what is there now (F3). State, failure and epoch go in one write (F9). One write of a changefeed at a time.
 */
import { must } from '#src/base/assert.ts';
import { failed, failure as failureOf, ok, type Failure, type Outcome } from '#src/base/failure.ts';
import type { Effect } from '#src/kernel/effect.ts';
import {
  changefeedEpochKey,
  changefeedInfoKey,
  changefeedStatusKey,
} from '#src/model/coordination-key.ts';
import { isEpochBelowMax } from '#src/model/token.ts';
import type { CoordinationAnswer, CoordinationRequest, KeyValue } from '#src/ports/coordination.ts';
import { stillOwner, unchanged } from '#src/ports/ownership.ts';
import {
  encodeRecord,
  readRecord,
  type ChangefeedRecord,
  type Setback,
  type StoredState,
} from '#src/protocol/changefeed-record.ts';
import type { ChangefeedConfig } from '#src/protocol/changefeed.ts';
import {
  answer,
  callStore,
  highestEpoch,
  isRunning,
  type Asker,
  type CoordinatorOwn,
  type CoordinatorState,
  type Feed,
} from './coordinator-state.ts';
import type { Placed } from './feed-operator.ts';

type S = CoordinatorState;

/**
 * What a write changes; what it does not name stays as it is, whoever changed it last. A changefeed that is removed stays
 * removed: of it only the epoch changes.
 */
export interface RecordChange {
  readonly config?: ChangefeedConfig;
  readonly warnings?: readonly string[];
  readonly state?: StoredState;
  readonly failure?: Failure | null;
  /** Goes with a failure; one that is written without it, or ends, leaves none. */
  readonly setback?: Setback;
  readonly isNew?: false;
  readonly isOpen?: boolean;
  /** A fresh epoch, above the stored one and all that are known to be used (F2). */
  readonly hasNewEpoch?: true;
  /** Nothing changes unless it is meant to run: what happens to it never undoes what people asked for meanwhile. */
  readonly ifRunning?: true;
  /** The record is new: its key is not there. */
  readonly isCreated?: true;
  /** The record is deleted. */
  readonly isDeleted?: true;
}

/** What follows once the write is committed (F1: never before). */
export type AfterWrite =
  | { readonly do: 'nothing' }
  | { readonly do: 'add'; readonly node: string }
  | { readonly do: 'move'; readonly node: string; readonly from: Placed }
  /** Ends what runs, or what is left of it. */
  | { readonly do: 'stop' }
  /** The epoch that a stop operator waits for. */
  | { readonly do: 'give-epoch' };

/** A write under way or waiting. */
export interface FeedWrite {
  readonly change: RecordChange;
  readonly after: AfterWrite;
  readonly asker: Asker | null;
  readonly attempt: number;
  /** Monotonic time of the first try; null before it. */
  readonly triedAtMs: number | null;
}

/** How often a write is tried, and how long it waits between tries. */
const attemptCountMax = 10;
const attemptEveryMs = 25;
/** No try begins later than this after the first; a store that hangs says so within 3 s: ten in all (spec/02 §2f). */
const attemptMsMax = 7_000;

/** What becomes of a changefeed that should get an epoch above the last one (spec/02 2b). */
const usedUp = {
  state: 'failed',
  failure: failureOf(
    'CHANGEFEED_STATE',
    'its epochs are used up: a store or a downstream that was written by another program holds one near 2^33',
  ),
} as const;

/** The record after a change. */
function changed({ record, epochMin }: Feed, change: RecordChange): ChangefeedRecord {
  const { config, warnings, state, failure, setback, isNew, isOpen, hasNewEpoch } = change;
  if (change.ifRunning === true && !isRunning(record)) return record;
  const used = Math.max(record.epoch, epochMin);
  const isUsedUp = hasNewEpoch === true && !isEpochBelowMax(used);
  const epoch = hasNewEpoch === true && !isUsedUp ? used + 1 : record.epoch;
  const next = { ...record, epoch, isNew: isNew ?? record.isNew, isOpen: isOpen ?? record.isOpen };
  if (record.state === 'removed') return next;
  // A close goes on under the last epoch all the same; nothing else does.
  if (isUsedUp) return isRunning({ ...record, ...change }) ? { ...next, ...usedUp } : next;
  return {
    ...next,
    config: config ?? record.config,
    warnings: warnings ?? record.warnings,
    state: state ?? record.state,
    failure: failure === undefined ? record.failure : failure,
    setback: failure === undefined ? record.setback : (setback ?? null),
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
  queue.push({ change, after, asker, attempt: 0, triedAtMs: null });
  return queue.length === 1 ? sendWrite(state, feed.id) : [];
}

/** True while a write of the changefeed waits or is under way. */
export function isWriting(state: S, id: string): boolean {
  return (state.writes.get(id)?.length ?? 0) > 0;
}

/** Sends the first write of the queue. */
export function sendWrite(state: S, id: string): readonly Effect[] {
  const feed = state.feeds.get(id);
  const queue = state.writes.get(id);
  const first = queue?.[0];
  if (feed === undefined || queue === undefined || first === undefined) return [];
  queue[0] = { ...first, triedAtMs: first.triedAtMs ?? state.nowMs };
  return [callStore(transactionOf(state, feed, first.change), `write ${id}`)];
}

function transactionOf(state: S, feed: Feed, change: RecordChange): CoordinationRequest {
  const { ownership, clusterId } = state.props;
  const key = changefeedInfoKey(clusterId, feed.id);
  const owner = stillOwner(ownership);
  if (change.isDeleted !== true) {
    const puts = [{ key, value: encodeRecord(changed(feed, change)) }];
    return { kind: 'Transact', compares: [owner, unchanged(feed.entry)], puts };
  }
  // Whoever gets this id later begins above every epoch that a node or a sink may remember (F2).
  const epoch = Math.max(highestEpoch(state), feed.record.epoch, feed.epochMin);
  return {
    kind: 'Transact',
    compares: [owner, unchanged(feed.entry), unchanged(state.epochEntry)],
    puts: [{ key: changefeedEpochKey(clusterId), value: String(epoch) }],
    deletes: [key, changefeedStatusKey(clusterId, feed.id)],
  };
}

/** What became of the write under way. */
export type WriteResult =
  | { readonly is: 'committed'; readonly write: FeedWrite }
  | { readonly is: 'again' }
  /** Whether it was committed may be unknown: what is stored is read again. */
  | { readonly is: 'given-up'; readonly write: FeedWrite; readonly failure: Failure }
  /** Somebody has deleted the record. */
  | { readonly is: 'vanished' }
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
  if (!outcome.ok) return tryAgain(state, queue, first, outcome.failure);
  const reply = outcome.value;
  if (reply.kind !== 'Transacted') return null;
  const [owner, entry, epochEntry] = reply.entries;
  if (epochEntry !== undefined) state.epochEntry = epochEntry;
  if (reply.succeeded) {
    feed.record = changed(feed, first.change);
    if (entry !== undefined) feed.entry = entry;
    return committed(queue, first);
  }
  if (owner?.createRevision !== state.props.ownership.revision) return { is: 'deposed' };
  return entry === undefined ? null : lost(state, feed, queue, entry);
}

/** Another change came first, or an earlier attempt of this one whose answer was lost: what is stored counts (F3). */
function lost(state: S, feed: Feed, queue: FeedWrite[], entry: KeyValue): WriteResult {
  const first = must(queue[0], 'the write under way');
  const { change, attempt } = first;
  const mine = feed.record;
  if (entry.value === null) {
    if (change.isDeleted === true) return committed(queue, first);
    if (feed.entry.value !== null) return { is: 'vanished' };
  } else if (!takeEntry(feed, entry)) {
    return givenUp(queue, first, 'what is stored is of a later version');
  } else if (change.isCreated === true) {
    const isOurs = attempt > 0 && encodeRecord(feed.record) === encodeRecord(mine);
    return isOurs ? committed(queue, first) : givenUp(queue, first, 'another has made it');
  }
  const often = failureOf('COORDINATION_FAILED', 'the record changed too often', {
    retry: 'Again',
  });
  return tryAgain(state, queue, first, often);
}

/**
 * What is stored now counts, not what was thought to be (F3); false when it cannot be read. Only epochs never fall, also when
 * the store was restored from a backup (I-6).
 */
export function takeEntry(feed: Feed, entry: KeyValue): boolean {
  const record = entry.value === null ? null : readRecord(entry.value);
  if (record === null) return false;
  feed.epochMin = Math.max(feed.epochMin, feed.record.epoch);
  feed.entry = entry;
  feed.record = record;
  return true;
}

function tryAgain(
  { nowMs }: S,
  queue: FeedWrite[],
  first: FeedWrite,
  failure: Failure,
): WriteResult {
  const attempt = first.attempt + 1;
  const triedForMs = nowMs - (first.triedAtMs ?? nowMs);
  if (attempt < attemptCountMax && triedForMs < attemptMsMax) {
    queue[0] = { ...first, attempt };
    return { is: 'again' };
  }
  queue.shift();
  return { is: 'given-up', write: first, failure };
}

function committed(queue: FeedWrite[], first: FeedWrite): WriteResult {
  queue.shift();
  return { is: 'committed', write: first };
}

function givenUp(queue: FeedWrite[], first: FeedWrite, why: string): WriteResult {
  queue.shift();
  const code = first.change.isCreated === true ? 'CHANGEFEED_EXISTS' : 'COORDINATION_FAILED';
  const failure = failureOf(code, why);
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

/** The changefeed is gone: nothing of it is written any more, and whoever waits is told. */
export function dropWrites(state: S, id: string): readonly Effect[] {
  const queue = state.writes.get(id) ?? [];
  state.writes.delete(id);
  const gone = failureOf('CHANGEFEED_UNKNOWN', `no changefeed ${id}`);
  return queue.flatMap((write) =>
    answerWrite(write, write.change.state === 'removed' ? null : gone),
  );
}
