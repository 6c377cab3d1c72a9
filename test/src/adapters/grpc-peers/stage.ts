/** Captures for tests of the peers port: real servers on free ports of 127.0.0.1 in this process. */
import { openGrpcPeers, type GrpcPeersOptions } from '#src/adapters/grpc-peers/grpc-peers.ts';
import type { PeerClass, PeerLinkStatus, PeerMember, Peers } from '#src/ports/peers.ts';

/** A frame that arrived. */
export interface Arrived {
  readonly from: string;
  readonly peerClass: PeerClass;
  readonly text: string;
}

/** Short times, so that a test of a lost connection does not wait for the usual ones. */
export const quickTiming = {
  handshakeMs: 400,
  keepaliveMs: 200,
  keepaliveTimeoutMs: 200,
  backoffMsMin: 10,
  backoffMsMax: 100,
} as const;

const limitMs = 20_000;
const tickMs = 5;

/** Waits until `holds`; throws with `what` when it never does. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, tickMs));
  }
}

/** One capture's port with what it heard. */
export class TestCapture {
  readonly id: string;
  readonly peers: Peers;
  readonly arrived: Arrived[];
  /** Bytes of what arrived, for frames that are no text. */
  readonly sizes: number[];
  /** Links of ours that were lost, each time. */
  readonly lost: PeerLinkStatus[];

  private constructor(
    id: string,
    peers: Peers,
    heard: {
      readonly arrived: Arrived[];
      readonly sizes: number[];
      readonly lost: PeerLinkStatus[];
    },
  ) {
    this.id = id;
    this.peers = peers;
    this.arrived = heard.arrived;
    this.sizes = heard.sizes;
    this.lost = heard.lost;
  }

  static async open(id: string, options: Partial<GrpcPeersOptions> = {}): Promise<TestCapture> {
    const arrived: Arrived[] = [];
    const sizes: number[] = [];
    const lost: PeerLinkStatus[] = [];
    const peers = await openGrpcPeers(
      {
        clusterId: 'c',
        captureId: id,
        listen: '127.0.0.1:0',
        tls: null,
        timing: quickTiming,
        ...options,
      },
      {
        frame: (from, peerClass, bytes) => {
          sizes.push(bytes.byteLength);
          const text = bytes.byteLength > 1_000 ? '' : Buffer.from(bytes).toString();
          arrived.push({ from, peerClass, text });
        },
        lost: (link) => lost.push(link),
      },
    );
    return new TestCapture(id, peers, { arrived, sizes, lost });
  }

  /** This capture as a member, behind another address when one is given. */
  member(address = this.peers.address): PeerMember {
    return { captureId: this.id, address };
  }

  say(to: string, text: string, peerClass: PeerClass = 'control'): string {
    return this.peers.send(to, peerClass, Buffer.from(text)).kind;
  }

  link(to: string, peerClass: PeerClass = 'control'): PeerLinkStatus | undefined {
    return this.peers.links().find((link) => link.captureId === to && link.peerClass === peerClass);
  }

  texts(peerClass?: PeerClass): string[] {
    return this.arrived
      .filter((one) => peerClass === undefined || one.peerClass === peerClass)
      .map(({ text }) => text);
  }

  /** Waits until both links to `to` stand. */
  async joined(to: string): Promise<void> {
    await until(`${this.id} joined ${to}`, () =>
      (['control', 'data'] as const).every((one) => this.link(to, one)?.phase === 'open'),
    );
  }
}

/** Makes all captures members of each other and waits for their links. */
export async function join(captures: readonly TestCapture[]): Promise<void> {
  const members = captures.map((capture) => capture.member());
  for (const { peers } of captures) peers.setMembers(members);
  for (const one of captures) {
    for (const other of captures) if (other !== one) await one.joined(other.id);
  }
}
