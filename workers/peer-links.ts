/**
 * Envelopes between captures: what shells address to another node goes out through the peers port, batched per peer, class
 * and tick; what comes in is handed to the local thread it names. Lives on the thread that holds the port. At most once:
 * whatever a full queue or a broken link loses is counted here and sent again by its protocol's resend owner.
 */
import { ok } from '#src/base/failure.ts';
import { isSeldom } from '#src/base/seldom.ts';
import type { Envelope } from '#src/kernel/message.ts';
import type { Log } from '#src/ports/log.ts';
import {
  peerFrameBytesMax,
  type PeerClass,
  type PeerEvents,
  type PeerLinkStatus,
  type Peers,
  type PeerSend,
  type PeersRequest,
} from '#src/ports/peers.ts';
import type { Port } from '#src/ports/port.ts';
import { decodeFrame, encodeEnvelope, joinEnvelopes } from './peer-frame.ts';

/** What the links need of their capture. */
export interface PeerLinksParts {
  /** Our capture id. */
  readonly self: string;
  /** Hands an envelope to the local thread its `to` names; false when there is none of that name. */
  readonly deliver: (envelope: Envelope) => boolean;
  readonly count: (name: string, value: number) => void;
  readonly log: Log;
}

/** A frame is closed once it holds so many bytes; one envelope may be larger, up to the port's limit. */
const frameBytes = 2 ** 20;
/** At most one log line a peer, class and reason in this time. */
const logEveryMs = 5_000;
/** Attempts in a row before a link that is not there is worth a line. */
const silentLossCount = 4;

interface Outbox {
  readonly to: string;
  readonly peerClass: PeerClass;
  readonly parts: Uint8Array[];
  byteCount: number;
}

/** See the top of this file. */
export class PeerLinks {
  readonly #parts: PeerLinksParts;
  readonly #outboxes = new Map<string, Outbox>();
  readonly #loggedAtMs = new Map<string, number>();
  #peers: Peers | null = null;
  #scheduled = false;

  constructor(parts: PeerLinksParts) {
    this.#parts = parts;
  }

  /** What the port calls. */
  readonly events: PeerEvents = {
    frame: (from, peerClass, bytes) => this.#arrived(from, peerClass, bytes),
    lost: (link) => this.#linkLost(link),
  };

  /** The port, once it listens. */
  use(peers: Peers): void {
    this.#peers = peers;
  }

  /** `HOST:PORT` where other captures reach this one; empty while it has no links. */
  get address(): string {
    return this.#peers?.address ?? '';
  }

  /** What an actor may ask (src/ports/peers.ts): it says who the other captures are. Without links that changes nothing. */
  port(): Port<PeersRequest, { readonly kind: 'MembersSet' }> {
    return {
      call: ({ members }) => {
        this.#peers?.setMembers(members);
        return Promise.resolve(ok({ kind: 'MembersSet' }));
      },
      close: () => Promise.resolve(),
    };
  }

  /** Ends all links. */
  async close(): Promise<void> {
    await this.#peers?.close();
  }

  /** Takes an envelope for another capture; it leaves with the others of this tick. One for our own id stays here. */
  post(envelope: Envelope): void {
    const { node } = envelope.to;
    if (node === undefined || node === this.#parts.self) {
      const { node: _, ...to } = envelope.to;
      this.#deliver({ ...envelope, to });
      return;
    }
    const peerClass = classOf(envelope);
    const bytes = encodeEnvelope(envelope);
    const key = `${peerClass} ${node}`;
    let outbox = this.#outboxes.get(key);
    if (outbox === undefined) {
      outbox = { to: node, peerClass, parts: [], byteCount: 0 };
      this.#outboxes.set(key, outbox);
    }
    if (outbox.byteCount > 0 && outbox.byteCount + bytes.byteLength > peerFrameBytesMax) {
      this.#send(outbox);
    }
    outbox.parts.push(bytes);
    outbox.byteCount += bytes.byteLength;
    if (outbox.byteCount >= frameBytes) this.#send(outbox);
    else if (!this.#scheduled) {
      this.#scheduled = true;
      queueMicrotask(() => this.#flush());
    }
  }

  #flush(): void {
    this.#scheduled = false;
    for (const outbox of this.#outboxes.values()) this.#send(outbox);
    // Peers come and go; nothing of one that is gone may stay.
    this.#outboxes.clear();
  }

  #send(outbox: Outbox): void {
    const { to, peerClass, parts } = outbox;
    if (parts.length === 0) return;
    const frame = joinEnvelopes(parts);
    const envelopeCount = parts.length;
    outbox.parts.length = 0;
    outbox.byteCount = 0;
    const sent: PeerSend = this.#peers?.send(to, peerClass, frame) ?? { kind: 'no-peer' };
    if (sent.kind === 'queued') {
      this.#parts.count(`peer-${peerClass}-sent`, envelopeCount);
      return;
    }
    this.#parts.count(`peer-${peerClass}-${sent.kind}`, envelopeCount);
    const message = sent.kind === 'refused' ? sent.failure.message : sent.kind;
    this.#warn(`${to} ${peerClass} ${sent.kind}`, { peer: to, class: peerClass, message });
  }

  #arrived(from: string, peerClass: PeerClass, bytes: Uint8Array): void {
    const decoded = decodeFrame(bytes, from);
    if (!decoded.ok) {
      this.#parts.count('peer-frame-corrupt', 1);
      const { message } = decoded.failure;
      this.#warn(`${from} ${peerClass} corrupt`, { peer: from, class: peerClass, message });
      return;
    }
    this.#parts.count(`peer-${peerClass}-received`, decoded.value.length);
    for (const envelope of decoded.value) this.#deliver(envelope);
  }

  /** A node that goes, goes within a few attempts: who is still a member then has a trouble that a person must know of. */
  #linkLost({ captureId: peer, address, peerClass, failure, failureCount }: PeerLinkStatus): void {
    if (failure === null || failureCount < silentLossCount || !isSeldom(failureCount)) return;
    const { code, message, cause } = failure;
    const detail = { peer, address, class: peerClass, code, message, inARow: failureCount };
    this.#parts.log(
      'warn',
      'peer-unreachable',
      cause === undefined ? detail : { ...detail, cause },
    );
  }

  #deliver(envelope: Envelope): void {
    if (!this.#parts.deliver(envelope)) this.#parts.count('peer-no-such-thread', 1);
  }

  #warn(key: string, detail: Readonly<Record<string, string>>): void {
    const nowMs = performance.now();
    if (nowMs - (this.#loggedAtMs.get(key) ?? -Infinity) < logEveryMs) return;
    // Bounded: peers come and go over the months.
    if (this.#loggedAtMs.size > 256) this.#loggedAtMs.clear();
    this.#loggedAtMs.set(key, nowMs);
    this.#parts.log('warn', 'peer-lost', detail);
  }
}

/**
 * The class of a conversation, never of a message: what two cells say to each other keeps its order. Whatever has to do
 * with the source (events, credit, resolved) is data.
 */
export function classOf({ to, from }: Envelope): PeerClass {
  return isSource(to.path) || isSource(from.path) ? 'data' : 'control';
}

function isSource(path: string): boolean {
  return path.startsWith('capture/source/');
}
