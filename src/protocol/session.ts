/**
 * What others say to the session: it holds this node's claim to be a node (DESIGN §5), tells followers under which lease, and
 * fences the process first thing when the claim is gone (spec/03 3g.3).
 */
import type { Guards } from '../kernel/behaviour.ts';

/** Messages to the session. */
export type SessionMessage = FollowSession;

/** Tell me now and at every change; told again at every renewal, so that nobody who restarts is left out. */
export interface FollowSession {
  readonly kind: 'FollowSession';
}

/** What the session tells its followers. */
export type SessionNews = SessionJoined | SessionLost;

/** This node is one of the cluster: keys bound to `lease` live as long as its claim. */
export interface SessionJoined {
  readonly kind: 'SessionJoined';
  readonly captureId: string;
  readonly lease: string;
}

/** The claim is gone, the process is fenced already; a capture never gets it back (a new one may join). */
export interface SessionLost {
  readonly kind: 'SessionLost';
  readonly captureId: string;
  readonly reason: string;
}

/** See {@link SessionMessage}. */
export const sessionGuards: Guards<SessionMessage> = { FollowSession: 'open' };
