/**
 * The session is this node's claim to be a node of the cluster. It opens a lease, registers the capture under it, renews it
 * and publishes until when the node may write; on the lease thread, where nothing may delay a renewal.
 *
 *     opening ──lease──▶ joining ──registered──▶ member ──StopAsked──▶ leaving ──▶ (ended)
 *        ▲────lease gone───┘ │                      │
 *                            └──id used before──────┴──renewals unanswered, key or lease gone──▶ lost
 *
 * Promises: nothing may be written before the capture is registered, nor after the deadline of the last renewal that was
 * answered (FENCE §2.1). Whatever the way a claim is lost, the fence is the first thing done (spec/03 3g.3), and it is never
 * taken back: `lost` is the end of this capture, a new one has a new id. A node that leaves says that it has stopped writing.
 *
 * Two keys tell of a capture: one bound to the lease, and a record that stays until it is sure that nothing of the node is
 * under way any more (spec/09 9.2.5). A session that was started again under an id that lived before finds the record, and
 * is lost: its former life may have been fenced.
 */
import { unreachable } from '#src/base/assert.ts';
import type { Outcome } from '#src/base/failure.ts';
import type { Behaviour, Env, Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Signal } from '#src/kernel/message.ts';
import type { Ref } from '#src/kernel/ref.ts';
import { captureKey } from '#src/model/coordination-key.ts';
import type { CoordinationAnswer, KeyValue, SessionProof } from '#src/ports/coordination.ts';
import type { SessionMessage, SessionNews } from '#src/protocol/session.ts';
import {
  call,
  close,
  deadline,
  noTimers,
  openLease,
  publication,
  renewSoon,
  retryLater,
  stopSelf,
  timers,
  trouble,
  type SessionOwn,
  type Tag,
} from './own-messages.ts';
import { farewell, ownWatch, registration, type SessionProps } from './own-keys.ts';

/** Everything the session receives. */
export type SessionInbox = SessionMessage | SessionOwn;

/** A lease and its newest proof. */
interface Held {
  readonly lease: string;
  readonly proof: SessionProof;
  /** A renewal is under way. */
  readonly isRenewing: boolean;
}

type Phase =
  | { readonly name: 'opening' }
  | ({ readonly name: 'joining' } & Held)
  | ({ readonly name: 'member'; readonly watchedTo: number } & Held)
  | { readonly name: 'leaving'; readonly lease: string }
  | { readonly name: 'lost'; readonly reason: string };

/** The state. */
export interface SessionState {
  readonly props: SessionProps;
  readonly phase: Phase;
  readonly followers: readonly Ref[];
  /** Answers of the store in a row that were none. */
  readonly troubleCount: number;
}

type S = SessionState;

const followerCountMax = 64;

function init(props: SessionProps): Step<S> {
  return [
    { props, phase: { name: 'opening' }, followers: [], troubleCount: 0 },
    [openLease(props)],
  ];
}

function receive(state: S, message: SessionInbox, env: Env): Step<S> {
  switch (message.kind) {
    case 'FollowSession':
      return follow(state, env.from);
    case 'CoordinationAnswered':
      return answered(state, message.tag, message.outcome);
    case 'RetryDue':
      return retry(state, message.tag);
    case 'RenewalDue':
      return renew(state);
    case 'ExpiryDue':
      return expired(state);
    case 'DeadlineAnswered':
      return [state, []];
    default:
      return unreachable(message);
  }
}

function signal(state: S, signal: Signal): Step<S> {
  switch (signal.kind) {
    case 'StopAsked':
      return leave(state);
    case 'Terminated': {
      // A late word of an earlier life does not drop the present one.
      const followers = state.followers.filter(
        ({ path, incarnation }) =>
          path !== signal.ref.path || incarnation !== signal.ref.incarnation,
      );
      return [{ ...state, followers }, []];
    }
    case 'ChildStarted':
    case 'ChildRefused':
      return [state, []];
  }
}

function follow(state: S, follower: Ref): Step<S> {
  const others = state.followers.filter((one) => one.path !== follower.path);
  // Followers are the few cells of this node's own plan.
  if (follower.node !== undefined || others.length >= followerCountMax) return [state, []];
  return [
    { ...state, followers: [...others, follower] },
    [{ kind: 'Watch', target: follower }, ...news(state).map((word) => send(follower, word))],
  ];
}

// ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function answered(before: S, tag: Tag, outcome: Outcome<CoordinationAnswer>): Step<S> {
  const state: S = { ...before, troubleCount: outcome.ok ? 0 : before.troubleCount + 1 };
  switch (tag) {
    case 'open':
      return opened(state, outcome);
    case 'join':
      return joined(state, outcome);
    case 'renew':
      return renewed(state, outcome);
    case 'watch':
      return watched(state, outcome);
    case 'leave':
      return state.phase.name === 'leaving' ? [state, [close(state.phase.lease)]] : [state, []];
    case 'close':
      return [state, [stopSelf]];
  }
}

function opened(state: S, outcome: Outcome<CoordinationAnswer>): Step<S> {
  if (state.phase.name !== 'opening') return [state, []];
  if (!outcome.ok) return [state, [...trouble(state, 'open', outcome.failure), retryLater('open')]];
  if (outcome.value.kind !== 'SessionOpened') return [state, []];
  const proof = outcome.value;
  const phase: Phase = { name: 'joining', lease: proof.lease, proof, isRenewing: false };
  return [{ ...state, phase }, [...timers(proof), call('join', registration(state.props, proof))]];
}

function joined(state: S, outcome: Outcome<CoordinationAnswer>): Step<S> {
  const { phase } = state;
  if (phase.name !== 'joining') return [state, []];
  if (!outcome.ok) {
    if (outcome.failure.code === 'COORDINATION_SESSION_LOST') return reopen(state);
    // Also when the outcome is unknown: what was registered by then is found to be ours.
    return [state, [...trouble(state, 'join', outcome.failure), retryLater('join')]];
  }
  const answer = outcome.value;
  if (answer.kind !== 'Transacted') return [state, []];
  if (!answer.succeeded && answer.entries[0]?.lease !== phase.lease)
    return lose(state, 'the capture id was used before');
  const member: S = { ...state, phase: { ...phase, name: 'member', watchedTo: answer.revision } };
  return [
    member,
    [
      ...publication(phase.proof),
      call('watch', ownWatch(state.props, answer.revision)),
      ...tellAll(member),
    ],
  ];
}

function renewed(state: S, outcome: Outcome<CoordinationAnswer>): Step<S> {
  const { phase } = state;
  if (!isHeld(phase)) return [state, []];
  const rested: S = { ...state, phase: { ...phase, isRenewing: false } };
  if (!outcome.ok) {
    if (outcome.failure.code === 'COORDINATION_SESSION_LOST') {
      return phase.name === 'joining' ? reopen(state) : lose(state, 'the lease is over');
    }
    return [rested, [...trouble(state, 'renew', outcome.failure), renewSoon(phase.proof.ttlMs)]];
  }
  const proof = outcome.value;
  if (proof.kind !== 'KeptAlive' || proof.lease !== phase.lease) return [rested, []];
  const newer: S = { ...state, phase: { ...phase, isRenewing: false, proof } };
  return [
    newer,
    [...(phase.name === 'member' ? publication(proof) : []), ...timers(proof), ...tellAll(newer)],
  ];
}

function watched(state: S, outcome: Outcome<CoordinationAnswer>): Step<S> {
  const { phase, props } = state;
  if (phase.name !== 'member') return [state, []];
  if (!outcome.ok)
    return [state, [...trouble(state, 'watch', outcome.failure), retryLater('watch')]];
  const answer = outcome.value;
  if (answer.kind !== 'Events' && answer.kind !== 'Reset') return [state, []];
  const key = captureKey(props.clusterId, props.captureId);
  const isOurs = (entry: KeyValue): boolean => entry.value !== null && entry.lease === phase.lease;
  const seen = (answer.kind === 'Events' ? answer.events : answer.entries).filter(
    (entry) => entry.key === key,
  );
  const isGone =
    answer.kind === 'Events'
      ? !seen.every((entry) => isOurs(entry))
      : !seen.some((entry) => isOurs(entry));
  if (isGone) return lose(state, 'the key of this capture is gone');
  const watching: S = { ...state, phase: { ...phase, watchedTo: answer.after } };
  return [watching, [call('watch', ownWatch(props, answer.after))]];
}

// ── steps ───────────────────────────────────────────────────────────────────────────────────────────────────────────

function retry(state: S, tag: Tag): Step<S> {
  const { phase, props } = state;
  if (tag === 'open' && phase.name === 'opening') return [state, [openLease(props)]];
  if (tag === 'join' && phase.name === 'joining')
    return [state, [call('join', registration(props, phase.proof))]];
  if (tag === 'watch' && phase.name === 'member')
    return [state, [call('watch', ownWatch(props, phase.watchedTo))]];
  return [state, []];
}

function renew(state: S): Step<S> {
  const { phase } = state;
  if (!isHeld(phase) || phase.isRenewing) return [state, []];
  return [
    { ...state, phase: { ...phase, isRenewing: true } },
    [call('renew', { kind: 'KeepAlive', lease: phase.lease })],
  ];
}

function expired(state: S): Step<S> {
  switch (state.phase.name) {
    case 'member':
      return lose(state, 'no renewal was answered in time');
    case 'joining':
      return reopen(state);
    case 'opening':
    case 'leaving':
    case 'lost':
      return [state, []];
  }
}

/** The lease ended before the capture was registered: nothing was ever written under it. */
function reopen(state: S): Step<S> {
  return [{ ...state, phase: { name: 'opening' } }, [...noTimers, openLease(state.props)]];
}

/** The one way to lose the claim: the fence comes first. */
function lose(state: S, reason: string): Step<S> {
  const lost: S = { ...state, phase: { name: 'lost', reason } };
  return [
    lost,
    [
      deadline({ kind: 'Fence', reason: `session: ${reason}` }),
      ...noTimers,
      {
        kind: 'Log',
        level: 'error',
        event: 'session-lost',
        detail: { capture: state.props.captureId, reason },
      },
      ...tellAll(lost),
    ],
  ];
}

/** Everything that writes has been stopped before: the plan starts the claim first and stops it last. */
function leave(state: S): Step<S> {
  const { phase, props } = state;
  switch (phase.name) {
    case 'opening':
      // A lease that may be under way ends by itself.
      return [state, [stopSelf]];
    case 'lost':
      return [state, [stopSelf]];
    case 'leaving':
      return [state, []];
    case 'joining':
    case 'member':
      return [
        { ...state, phase: { name: 'leaving', lease: phase.lease } },
        [...noTimers, call('leave', farewell(props, phase.proof))],
      ];
  }
}

// ── followers ───────────────────────────────────────────────────────────────────────────────────────────────────────

function news(state: S): readonly SessionNews[] {
  const { phase, props } = state;
  const { captureId } = props;
  if (phase.name === 'member') return [{ kind: 'SessionJoined', captureId, lease: phase.lease }];
  return phase.name === 'lost' ? [{ kind: 'SessionLost', captureId, reason: phase.reason }] : [];
}

function tellAll(state: S): readonly Effect[] {
  return news(state).flatMap((word) => state.followers.map((follower) => send(follower, word)));
}

function send(to: Ref, message: SessionNews): Effect {
  return { kind: 'Send', to, message };
}

function isHeld(phase: Phase): phase is Extract<Phase, Held> {
  return phase.name === 'joining' || phase.name === 'member';
}

/** See the top of this file. */
export const session: Behaviour<SessionState, SessionInbox, SessionProps> = {
  init,
  receive,
  signal,
  overview: ({ phase, props, followers }) => ({
    phase: phase.name,
    capture: props.captureId,
    ...(phase.name === 'lost' ? { reason: phase.reason } : {}),
    ...('lease' in phase ? { lease: phase.lease } : {}),
    followers: followers.length,
  }),
};
