/**
 * What others say to membership: it watches which captures there are and tells its followers, this node's own lease with it.
 * Followers are told at every change and once a second, so that nobody who restarts or missed a word is left out.
 */
import type { Guards } from '../kernel/behaviour.ts';
import type { SessionNews } from './session.ts';

/** Messages to membership. News of the session count only from the session it follows. */
export type MembershipMessage = FollowNodes | SessionNews;

/** Tell me now and at every change. */
export interface FollowNodes {
  readonly kind: 'FollowNodes';
}

/** The nodes as this node sees them. */
export interface NodesChanged {
  readonly kind: 'NodesChanged';
  /** Capture id of this node. */
  readonly self: string;
  /** Capture ids of all nodes that may hold work, sorted; without those that only linger. */
  readonly nodes: readonly string[];
  /** The lease of this node's session; null while it has none, and when it lost it. */
  readonly lease: string | null;
  /** All nodes in view, in the order of their ids, the lingering ones too. */
  readonly members: readonly Member[];
  /** False before the first list of the coordination store: nobody is known, which does not mean that nobody is there. */
  readonly isComplete: boolean;
}

/** A node in view. */
export interface Member {
  readonly captureId: string;
  readonly apiAddress: string;
  readonly peerAddress: string;
  readonly version: string;
  /**
   * `alive`: holds its session, may be given work. `lingering`: its session ended without a word, and what it had under way
   * may still reach a sink without a fence; a fenced sink may be taken over at once, another when it has left the view.
   */
  readonly state: 'alive' | 'lingering';
}

/** See {@link MembershipMessage}. */
export const membershipGuards: Guards<MembershipMessage> = {
  FollowNodes: 'open',
  SessionJoined: 'open',
  SessionLost: 'open',
};
