/** A coordinator and the store: records as they are read, and what becomes of what it writes (FENCE §1.11). */
import { unreachable } from '#src/base/assert.ts';
import { failure as failureOf, type Failure, type Outcome } from '#src/base/failure.ts';
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import {
  changefeedInfoKey,
  changefeedListPrefix,
  changefeedStatusKey,
  readCoordinationKey,
} from '#src/model/coordination-key.ts';
import { absentKey, type CoordinationAnswer } from '#src/ports/coordination.ts';
import { readRecord } from '#src/protocol/changefeed-record.ts';
import { afterWrite } from './after-write.ts';
import {
  callStore,
  newFeed,
  report,
  reportFeed,
  shownStatus,
  type CoordinatorState,
  type Feed,
} from './coordinator-state.ts';
import { place } from './feed-placing.ts';
import { takeStatusAnswer, takeStored } from './feed-status.ts';
import { backoffOf, delayAfter } from './feed-health.ts';
import {
  answerWrite,
  dropWrites,
  isWriting,
  sendWrite,
  takeEntry,
  takeWriteAnswer,
  writeLater,
  type FeedWrite,
} from './feed-writes.ts';
import { bootstrapOn } from './nodes.ts';

type S = CoordinatorState;

/** Reads all records. */
export function load(clusterId: string): Effect {
  return callStore({ kind: 'List', prefix: changefeedListPrefix(clusterId) }, 'load');
}

/** What the store has answered: records as they were read, or the outcome of a write. */
export function storeAnswered(
  state: S,
  tag: string,
  outcome: Outcome<CoordinationAnswer>,
  env: Env,
): readonly Effect[] {
  const [what = '', id = ''] = tag.split(' ');
  if (what === 'load') return loaded(state, outcome, env);
  const feed = state.feeds.get(id);
  if (feed === undefined) return [];
  if (what === 'status') return takeStatusAnswer(state, feed, outcome) ? [] : [deposed];
  if (what === 'read') return readAnswered(state, feed, outcome, env);
  return what === 'write' ? written(state, feed, outcome, env) : [];
}

/** Another is coordinator. */
const deposed: Effect = { kind: 'Stop', target: 'self', exit: { kind: 'normal' } };

/** After a write whose outcome nobody knows: what is stored counts. */
export function readAgain(state: S, id: string): readonly Effect[] {
  const key = changefeedInfoKey(state.props.clusterId, id);
  return state.feeds.has(id) ? [callStore({ kind: 'Get', key }, `read ${id}`)] : [];
}

function readAnswered(
  state: S,
  feed: Feed,
  outcome: Outcome<CoordinationAnswer>,
  env: Env,
): readonly Effect[] {
  if (!outcome.ok || outcome.value.kind !== 'Got') {
    const message = { kind: 'ReadDue', id: feed.id } as const;
    return [{ kind: 'SetTimer', key: `read ${feed.id}`, afterMs: 500, message }];
  }
  const { entry } = outcome.value;
  // A write that was answered meanwhile is newer.
  if (entry.revision < feed.entry.revision) return [];
  const isThere = entry.value !== null && (takeEntry(feed, entry) || feed.entry.value !== null);
  if (isThere) return place(state, env);
  return isWriting(state, feed.id) ? [] : forget(state, feed);
}

/** Its record is gone: what still runs is unknown from here on, and is removed (F11). */
function forget(state: S, feed: Feed): readonly Effect[] {
  state.feeds.delete(feed.id);
  state.operators.release(feed.id);
  state.operators.taskRemoved(feed.id);
  return [...dropWrites(state, feed.id), report({ ...shownStatus(feed), state: 'removed' })];
}

function loaded(state: S, outcome: Outcome<CoordinationAnswer>, env: Env): readonly Effect[] {
  if (state.phase !== 'loading') return [];
  if (!outcome.ok || outcome.value.kind !== 'Listed')
    return [{ kind: 'SetTimer', key: 'load', afterMs: 500, message: { kind: 'LoadDue' } }];
  const { clusterId } = state.props;
  const statuses = new Map(outcome.value.entries.map((entry) => [entry.key, entry]));
  const effects: Effect[] = [];
  for (const entry of outcome.value.entries) {
    const key = readCoordinationKey(clusterId, entry.key);
    if (key?.kind === 'changefeed-epoch') state.epochEntry = entry;
    if (key?.kind !== 'changefeed-info') continue;
    const { changefeedId: id } = key;
    const record = entry.value === null ? null : readRecord(entry.value);
    if (record === null || record.config.id !== id) {
      // Of a later version, or not ours: it is left alone.
      effects.push({ kind: 'Log', level: 'error', event: 'changefeed-unreadable', detail: { id } });
      continue;
    }
    const statusKey = changefeedStatusKey(clusterId, id);
    const status = statuses.get(statusKey) ?? absentKey(statusKey);
    const feed = newFeed(id, record, { info: entry, status }, env.now());
    takeStored(feed, status);
    feed.retryAtMs =
      env.now() + delayAfter(record.setback, backoffOf(state.props.isPrompt), env.random());
    state.feeds.set(id, feed);
  }
  state.phase = 'gathering';
  state.gatheringAtMs = env.now();
  return [...effects, ...bootstrapOn(state, env)];
}

function written(
  state: S,
  feed: Feed,
  outcome: Outcome<CoordinationAnswer>,
  env: Env,
): readonly Effect[] {
  const result = takeWriteAnswer(state, feed, outcome);
  if (result === null) return [];
  switch (result.is) {
    case 'deposed':
      return [deposed];
    case 'vanished':
      return forget(state, feed);
    case 'again':
      return [writeLater(feed.id)];
    case 'given-up':
      return [
        ...afterWrite(state, feed, result.write, false, env),
        ...answerWrite(result.write, result.failure),
        ...sendWrite(state, feed.id),
        ...readAgain(state, feed.id),
      ];
    case 'committed': {
      if (result.write.change.isDeleted === true)
        return [...forget(state, feed), ...answerWrite(result.write, null)];
      return [
        ...afterWrite(state, feed, result.write, true, env),
        ...answerWrite(result.write, unmade(feed, result.write)),
        reportFeed(feed),
        ...sendWrite(state, feed.id),
        ...place(state, env),
      ];
    }
    default:
      return unreachable(result);
  }
}

/** A removal that came first keeps a changefeed as it is. */
function unmade({ id, record }: Feed, { change }: FeedWrite): Failure | null {
  if (change.state === undefined || change.state === record.state) return null;
  return failureOf('CHANGEFEED_STATE', `the changefeed ${id} is ${record.state}`);
}
