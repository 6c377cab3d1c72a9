/**
 * Membership knows which captures there are. A capture that leaves says that it has stopped writing and is out of the view at
 * once; one that ends without a word *lingers* for the removal delay, because what it had under way may still arrive
 * (spec/01 §1.4). That it once was there is told by its record, not by having been seen: an observer that started after
 * the deletion finds the record without a key and waits as well (spec/09 9.2.5). Who has waited deletes the record.
 *
 *     (list) ──▶ following: events, and the whole list again whenever the store has forgotten
 *
 * Promises: followers hear every view that lasts; the view is empty and not `isComplete` until the first list; trouble of the
 * store leaves the last view as it is.
 */
import { unreachable } from '#src/base/assert.ts';
import type { Outcome } from '#src/base/failure.ts';
import { isSeldom } from '#src/base/seldom.ts';
import type { Behaviour, Env, Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Signal } from '#src/kernel/message.ts';
import { addressOf, type Ref } from '#src/kernel/ref.ts';
import { captureKey, captureWatchPrefix } from '#src/model/coordination-key.ts';
import type { CoordinationAnswer, CoordinationRequest } from '#src/ports/coordination.ts';
import { absent, unchanged } from '#src/ports/ownership.ts';
import type { Member, MembershipMessage, NodesChanged } from '#src/protocol/membership.ts';
import type { SessionNews } from '#src/protocol/session.ts';
import {
  infoOf,
  lingerMs,
  standingOf,
  tableOf,
  withChanges,
  type CaptureTable,
} from './capture-table.ts';

/** What membership is started with. */
export interface MembershipProps {
  readonly clusterId: string;
  readonly captureId: string;
  readonly session: Ref;
  /** Cells of the plan that are told without asking. */
  readonly followers: readonly Ref[];
}

/** Private messages. */
export type MembershipOwn =
  | {
      readonly kind: 'CoordinationAnswered';
      readonly tag: 'watch' | 'remove';
      readonly outcome: Outcome<CoordinationAnswer>;
    }
  | { readonly kind: 'WatchDue' }
  | { readonly kind: 'TellDue' }
  | { readonly kind: 'LingerDue'; readonly captureId: string };

/** Everything membership receives. */
export type MembershipInbox = MembershipMessage | MembershipOwn;

/** The state. */
export interface MembershipState {
  readonly props: MembershipProps;
  readonly table: CaptureTable;
  /** Revision up to which the store was heard; null before the first list. */
  readonly after: number | null;
  /** Lingering captures whose delay has begun; true: it is over, only the record is still there. */
  readonly lingering: ReadonlyMap<string, boolean>;
  readonly lease: string | null;
  readonly followers: readonly Ref[];
  /** Answers of the store in a row that were none. */
  readonly troubleCount: number;
}

type S = MembershipState;

const watchMs = 10_000;
const retryMs = 500;
const tellMs = 1_000;
/** Between two attempts to delete a record whose delay is over. */
const removeMs = 5_000;
const followerCountMax = 10_000;

function init(props: MembershipProps): Step<S> {
  const state: S = {
    props,
    table: new Map(),
    after: null,
    lingering: new Map(),
    lease: null,
    followers: props.followers,
    troubleCount: 0,
  };
  return [
    state,
    [
      { kind: 'Send', to: props.session, message: { kind: 'FollowSession' } },
      watch(state),
      tellLater,
    ],
  ];
}

function receive(state: S, message: MembershipInbox, env: Env): Step<S> {
  switch (message.kind) {
    case 'FollowNodes':
      return follow(state, env.from);
    case 'SessionJoined':
    case 'SessionLost':
      return sessionNews(state, message, env.from);
    case 'CoordinationAnswered':
      return message.tag === 'watch' ? watched(state, message.outcome) : [state, []];
    case 'WatchDue':
      return [state, [watch(state)]];
    case 'TellDue':
      return [state, [...tellAll(state), tellLater]];
    case 'LingerDue':
      return lingered(state, message.captureId);
    default:
      return unreachable(message);
  }
}

function signal(state: S, signal: Signal): Step<S> {
  switch (signal.kind) {
    case 'StopAsked':
      return [state, [{ kind: 'Stop', target: 'self', exit: { kind: 'shutdown' } }]];
    case 'Terminated': {
      // A late word of an earlier life does not drop the present one.
      const { incarnation } = signal.ref;
      const gone = addressOf(signal.ref);
      const followers = state.followers.filter(
        (one) => addressOf(one) !== gone || one.incarnation !== incarnation,
      );
      return [{ ...state, followers }, []];
    }
    case 'ChildStarted':
    case 'ChildRefused':
      return [state, []];
  }
}

function follow(state: S, follower: Ref): Step<S> {
  const others = state.followers.filter((one) => addressOf(one) !== addressOf(follower));
  if (others.length >= followerCountMax) {
    const log: Effect = { kind: 'Log', level: 'warn', event: 'too-many-node-followers' };
    return [state, [log]];
  }
  const next: S = { ...state, followers: [...others, follower] };
  return [
    next,
    [
      { kind: 'Watch', target: follower },
      { kind: 'Send', to: follower, message: view(next) },
    ],
  ];
}

function sessionNews(state: S, news: SessionNews, from: Ref): Step<S> {
  // Anybody may send the words; only our session's count.
  if (addressOf(from) !== addressOf(state.props.session)) return [state, []];
  const lease = news.kind === 'SessionJoined' ? news.lease : null;
  return lease === state.lease ? [state, []] : changed(state, { ...state, lease }, []);
}

// ── the store ───────────────────────────────────────────────────────────────────────────────────────────────────────

function watched(state: S, outcome: Outcome<CoordinationAnswer>): Step<S> {
  if (!outcome.ok) {
    const { code, message, cause = '' } = outcome.failure;
    const troubleCount = state.troubleCount + 1;
    const detail = { code, message, cause, inARow: troubleCount };
    const said: Effect = { kind: 'Log', level: 'warn', event: 'membership-trouble', detail };
    return [
      { ...state, troubleCount },
      [
        ...(isSeldom(troubleCount) ? [said] : []),
        { kind: 'SetTimer', key: 'watch', afterMs: retryMs, message: { kind: 'WatchDue' } },
      ],
    ];
  }
  const answer = outcome.value;
  const { clusterId } = state.props;
  if (answer.kind !== 'Events' && answer.kind !== 'Reset') return [state, []];
  const table =
    answer.kind === 'Reset'
      ? tableOf(clusterId, answer.entries)
      : withChanges(clusterId, state.table, answer.events);
  const [next, effects] = lingerers({ ...state, table, after: answer.after, troubleCount: 0 });
  const [told, tells] = changed(state, next, effects);
  return [told, [...tells, watch(next)]];
}

/** Begins the delay of captures that linger since now, ends that of those that do not any more. */
function lingerers(state: S): Step<S> {
  const lingering = new Map<string, boolean>();
  const effects: Effect[] = [];
  for (const entry of state.table.values()) {
    if (standingOf(entry) !== 'lingering') continue;
    const { captureId } = entry;
    const begun = state.lingering.get(captureId);
    lingering.set(captureId, begun ?? false);
    if (begun === undefined) effects.push(lingerTimer(captureId, lingerMs(entry)));
  }
  for (const captureId of state.lingering.keys()) {
    if (!lingering.has(captureId)) effects.push({ kind: 'DropTimer', key: timerKey(captureId) });
  }
  return [{ ...state, lingering }, effects];
}

/** The delay of a capture is over: it leaves the view, and its record the store, unless either came back. */
function lingered(state: S, captureId: string): Step<S> {
  const entry = state.table.get(captureId);
  if (!state.lingering.has(captureId) || entry === undefined || entry.record === null)
    return [state, []];
  const over: S = { ...state, lingering: new Map(state.lingering).set(captureId, true) };
  const key = captureKey(state.props.clusterId, captureId);
  const remove: Effect = call('remove', {
    kind: 'Transact',
    compares: [absent(key), unchanged(entry.record)],
    deletes: [entry.record.key],
  });
  return changed(state, over, [remove, lingerTimer(captureId, removeMs)]);
}

function lingerTimer(captureId: string, afterMs: number): Effect {
  const message: MembershipOwn = { kind: 'LingerDue', captureId };
  return { kind: 'SetTimer', key: timerKey(captureId), afterMs, message };
}

function timerKey(captureId: string): string {
  return `linger ${captureId}`;
}

function watch(state: S): Effect {
  const prefix = captureWatchPrefix(state.props.clusterId);
  return call('watch', { kind: 'NextEvents', prefix, after: state.after, waitMs: watchMs });
}

function call(tag: 'watch' | 'remove', request: CoordinationRequest): Effect {
  return { kind: 'CallPort', port: 'coordination', request, answer: 'CoordinationAnswered', tag };
}

// ── the view ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** `next`, with word to the followers when the view is another one. */
function changed(before: S, next: S, effects: readonly Effect[]): Step<S> {
  const isSame = JSON.stringify(view(before)) === JSON.stringify(view(next));
  return [next, isSame ? effects : [...effects, ...tellAll(next)]];
}

function view(state: S): NodesChanged {
  const members = [...state.table.values()].flatMap((entry): readonly Member[] => {
    const standing = standingOf(entry);
    const { captureId } = entry;
    if (standing === 'gone' || state.lingering.get(captureId) === true) return [];
    const { apiAddress = '', peerAddress = '', version = '' } = infoOf(entry) ?? {};
    return [{ captureId, apiAddress, peerAddress, version, state: standing }];
  });
  members.sort((a, b) => (a.captureId < b.captureId ? -1 : 1));
  return {
    kind: 'NodesChanged',
    self: state.props.captureId,
    nodes: members.filter((one) => one.state === 'alive').map((one) => one.captureId),
    lease: state.lease,
    members,
    isComplete: state.after !== null,
  };
}

function tellAll(state: S): readonly Effect[] {
  const message = view(state);
  return state.followers.map((to) => ({ kind: 'Send', to, message }));
}

const tellLater: Effect = {
  kind: 'SetTimer',
  key: 'tell',
  afterMs: tellMs,
  message: { kind: 'TellDue' },
};

/** See the top of this file. */
export const membership: Behaviour<MembershipState, MembershipInbox, MembershipProps> = {
  init,
  receive,
  signal,
  overview: (state) => ({
    after: state.after,
    lease: state.lease,
    members: view(state).members.map((one) => `${one.captureId} ${one.state}`),
    followers: state.followers.length,
  }),
};
