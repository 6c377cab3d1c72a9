/**
 * The peers port (DESIGN §7, §12): frames between the captures of a cluster. At most once, and in order per link; a link is
 * one direction between two captures in one class. Nothing is ever sent twice by the transport: every protocol step has
 * a resend owner above it (spec/09 §9.4).
 */
import type { Failure } from '../base/failure.ts';

/** Classes have links of their own, so that rows never delay control. */
export type PeerClass = 'control' | 'data';

/** Another capture, as membership knows it. */
export interface PeerMember {
  /** Fresh at every start and after every fence, so an old one is never served again. */
  readonly captureId: string;
  /** `HOST:PORT` where it listens for peers. */
  readonly address: string;
  /** A name its certificate must carry, besides the host's. Absent: the first name seen is bound to the capture id. */
  readonly certificateName?: string;
}

/** What became of a frame. Only `queued` may arrive, and even that may be lost with the link. */
export type PeerSend =
  | { readonly kind: 'queued' }
  /** The link's queue is full: the frame was not taken; the sender's protocol sends again when it is due. */
  | { readonly kind: 'congested' }
  /** No such member. */
  | { readonly kind: 'no-peer' }
  /** PEER_FRAME_TOO_LARGE. */
  | { readonly kind: 'refused'; readonly failure: Failure };

/** One outgoing link, for inspection. */
export interface PeerLinkStatus {
  readonly captureId: string;
  readonly address: string;
  readonly peerClass: PeerClass;
  readonly phase: 'connecting' | 'open' | 'waiting';
  /** Frames and bytes taken and not yet handed to the system. */
  readonly queuedCount: number;
  readonly queuedBytes: number;
  /** Since the link was made. */
  readonly sentCount: number;
  readonly sentBytes: number;
  /** Frames that went down with a connection, or were refused for a full queue. */
  readonly lostCount: number;
  readonly congestedCount: number;
  /** Connections lost or refused in a row. */
  readonly failureCount: number;
  /** Why the last one ended; null when the link stands. */
  readonly failure: Failure | null;
}

/** What a capture hears of its peers. Called on the thread that opened the port, never within a call of it. */
export interface PeerEvents {
  /** A frame of a member. The bytes are the receiver's. */
  readonly frame: (from: string, peerClass: PeerClass, bytes: Uint8Array) => void;
  /** A link to a member was lost or refused, once more in a row; it is tried again. */
  readonly lost?: (link: PeerLinkStatus) => void;
}

/** Counters of what others sent here. */
export interface PeerServerStatus {
  readonly receivedCount: number;
  readonly receivedBytes: number;
  /** Connections that stand, with or without a handshake. */
  readonly connectionCount: number;
  /** Handshakes refused, by reason. */
  readonly refusals: Readonly<Record<string, number>>;
}

/** What an actor may ask of the peers port; frames are the shells' and never come this way. */
export type PeersRequest = {
  readonly kind: 'SetMembers';
  readonly members: readonly PeerMember[];
};

/** The peers port of one capture. */
export interface Peers {
  /** `HOST:PORT` where it listens, the port chosen by the system filled in. */
  readonly address: string;
  /**
   * The other members, as of now: links to new ones open at once, those of captures that are gone end with everything
   * queued, and what they still say is refused.
   */
  readonly setMembers: (members: readonly PeerMember[]) => void;
  /** Takes a frame for a member; the bytes must not be changed afterwards. Never blocks, never retries. */
  readonly send: (to: string, peerClass: PeerClass, frame: Uint8Array) => PeerSend;
  readonly links: () => readonly PeerLinkStatus[];
  readonly status: () => PeerServerStatus;
  /** Ends all links and stops listening; whoever is connected is cut off when it resolves. */
  readonly close: () => Promise<void>;
}

/** Largest frame, bytes. */
export const peerFrameBytesMax = 16 * 2 ** 20;
