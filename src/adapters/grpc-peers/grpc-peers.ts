/**
 * The peers port over gRPC (DESIGN §7): this capture listens for the others and opens to each of them one stream per
 * class. Whoever sends dials, so a connection that works in one direction only is just that.
 */
import { ChannelCredentials } from '@grpc/grpc-js';
import { fail, failure } from '../../base/failure.ts';
import { addressText, isLoopback, parseAddress } from '../../config/address.ts';
import {
  peerFrameBytesMax,
  type PeerClass,
  type PeerEvents,
  type PeerMember,
  type Peers,
  type PeerSend,
} from '../../ports/peers.ts';
import { MemberBook } from './member-book.ts';
import { OutgoingLink } from './outgoing-link.ts';
import { defaultBounds, defaultTiming, type PeerTiming, type QueueBounds } from './peer-options.ts';
import { PeerCertificates, type PeerTls } from './peer-tls.ts';
import { PeerServer } from './peer-server.ts';

/** How to open the port. */
export interface GrpcPeersOptions {
  readonly clusterId: string;
  readonly captureId: string;
  /** `HOST:PORT` to listen at. */
  readonly listen: string;
  /** Null: plain text, which beyond loopback needs `allowPlainText`. */
  readonly tls: PeerTls | null;
  readonly allowPlainText?: boolean;
  readonly timing?: Partial<PeerTiming>;
  readonly bounds?: Partial<Readonly<Record<PeerClass, QueueBounds>>>;
}

const classes: readonly PeerClass[] = ['control', 'data'];
const queued: PeerSend = { kind: 'queued' };
const congested: PeerSend = { kind: 'congested' };
const noPeer: PeerSend = { kind: 'no-peer' };

/** Listens and is ready for members. FailureError PEER_LISTEN_FAILED, or CONFIG_INVALID for addresses and certificates. */
export async function openGrpcPeers(options: GrpcPeersOptions, events: PeerEvents): Promise<Peers> {
  const listen = parseAddress(options.listen, '--peer-addr');
  if (options.tls === null && !isLoopback(listen.host) && options.allowPlainText !== true) {
    fail(
      'CONFIG_INVALID',
      `--peer-addr: ${options.listen} is not loopback: set security.ca-path, cert-path and key-path`,
    );
  }
  const timing = { ...defaultTiming, ...options.timing };
  const members = new MemberBook();
  const certificates = options.tls === null ? null : new PeerCertificates(options.tls);
  const server = await PeerServer.start({
    clusterId: options.clusterId,
    self: options.captureId,
    listen,
    members,
    certificates,
    timing,
    frame: events.frame,
  });
  return new GrpcPeers({
    options,
    timing,
    members,
    certificates,
    server,
    lost: events.lost ?? (() => undefined),
    address: addressText({ host: listen.host, port: server.port }),
  });
}

interface Parts {
  readonly options: GrpcPeersOptions;
  readonly timing: PeerTiming;
  readonly members: MemberBook;
  readonly certificates: PeerCertificates | null;
  readonly server: PeerServer;
  readonly lost: NonNullable<PeerEvents['lost']>;
  readonly address: string;
}

type LinkPair = Readonly<Record<PeerClass, OutgoingLink>>;

class GrpcPeers implements Peers {
  readonly address: string;
  readonly #parts: Parts;
  readonly #links = new Map<string, { readonly address: string; readonly pair: LinkPair }>();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.address = parts.address;
  }

  readonly setMembers = (given: readonly PeerMember[]): void => {
    const others = given.filter(({ captureId }) => captureId !== this.#parts.options.captureId);
    for (const captureId of this.#parts.members.replace(others)) {
      this.#end(captureId);
      this.#parts.server.forget(captureId);
    }
    for (const member of others) {
      const standing = this.#links.get(member.captureId);
      if (standing?.address === member.address) continue;
      this.#end(member.captureId);
      const pair = { control: this.#open(member, 'control'), data: this.#open(member, 'data') };
      this.#links.set(member.captureId, { address: member.address, pair });
    }
  };

  readonly send = (to: string, peerClass: PeerClass, frame: Uint8Array): PeerSend => {
    if (frame.byteLength > peerFrameBytesMax) {
      const detail = { byteCount: frame.byteLength, byteCountMax: peerFrameBytesMax };
      const message = `a frame of ${frame.byteLength} bytes is above the limit of ${peerFrameBytesMax}`;
      return { kind: 'refused', failure: failure('PEER_FRAME_TOO_LARGE', message, { detail }) };
    }
    const link = this.#links.get(to)?.pair[peerClass];
    if (link === undefined) return noPeer;
    return link.send(frame) ? queued : congested;
  };

  readonly links: Peers['links'] = () =>
    [...this.#links.values()].flatMap(({ pair }) => classes.map((one) => pair[one].status()));

  readonly status: Peers['status'] = () => this.#parts.server.status();

  readonly close = async (): Promise<void> => {
    for (const captureId of this.#links.keys()) this.#end(captureId);
    this.#parts.members.replace([]);
    await this.#parts.server.close();
  };

  #open({ captureId, address }: PeerMember, peerClass: PeerClass): OutgoingLink {
    const { options, timing, members, certificates, lost } = this.#parts;
    return new OutgoingLink({
      clusterId: options.clusterId,
      self: options.captureId,
      captureId,
      address,
      peerClass,
      timing,
      bounds: options.bounds?.[peerClass] ?? defaultBounds[peerClass],
      credentials: () =>
        certificates?.channel(parseAddress(address, 'peer').host, (names) =>
          members.bind(captureId, names),
        ) ?? ChannelCredentials.createInsecure(),
      lost,
    });
  }

  #end(captureId: string): void {
    const links = this.#links.get(captureId);
    this.#links.delete(captureId);
    for (const one of classes) links?.pair[one].close();
  }
}
