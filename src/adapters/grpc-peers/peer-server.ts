/**
 * The listening side: accepts sockets, demands a handshake in time, and hands on the frames of members. A member's newer
 * stream replaces its older one of the same class, so no frame of a broken connection comes after one of its successor.
 */
import { createServer, type Server as SocketServer, type Socket } from 'node:net';
import {
  Server,
  ServerCredentials,
  status as grpcStatus,
  type ConnectionInjector,
  type ServerDuplexStream,
} from '@grpc/grpc-js';
import { fail } from '../../base/failure.ts';
import { addressText, type Address } from '../../config/address.ts';
import type { PeerClass, PeerServerStatus } from '../../ports/peers.ts';
import { asBuffer, byteService } from './byte-service.ts';
import { decodeHello, encodeHello, peerProtocolVersion, type Hello } from './handshake.ts';
import type { MemberBook } from './member-book.ts';
import { channelOptions, type PeerTiming } from './peer-options.ts';
import { namesOf, type PeerCertificates } from './peer-tls.ts';

/** What the listening side is made of. */
export interface PeerServerParts {
  readonly clusterId: string;
  readonly self: string;
  readonly listen: Address;
  readonly members: MemberBook;
  /** Null: plain text. */
  readonly certificates: PeerCertificates | null;
  readonly timing: PeerTiming;
  readonly frame: (from: string, peerClass: PeerClass, bytes: Uint8Array) => void;
}

type Call = ServerDuplexStream<Buffer, Buffer>;

/** Sockets in all, and sockets whose handshake is outstanding: beyond, the newest is refused, or the oldest ended. */
const socketCountMax = 1_024;
const strangerCountMax = 128;
/** Streams of one connection; a peer needs one. */
const streamCountMax = 4;

interface Refused {
  readonly reason: string;
  readonly message: string;
}

/** See the top of this file. */
export class PeerServer {
  readonly #parts: PeerServerParts;
  readonly #grpc: Server;
  readonly #sockets: SocketServer;
  readonly #open = new Set<Socket>();
  /** Sockets without a completed handshake, oldest first, by remote address, each with its deadline. */
  readonly #strangers = new Map<
    string,
    { readonly socket: Socket; readonly timer: NodeJS.Timeout }
  >();
  readonly #calls = new Map<string, Call>();
  readonly #refusals = new Map<string, number>();
  #injector: ConnectionInjector;
  #stamp: string;
  #receivedCount = 0;
  #receivedBytes = 0;

  private constructor(parts: PeerServerParts) {
    this.#parts = parts;
    this.#stamp = parts.certificates?.stamp() ?? '';
    this.#grpc = new Server({
      ...channelOptions(parts.timing),
      'grpc.max_concurrent_streams': streamCountMax,
    });
    this.#grpc.addService(byteService, { stream: (call: Call) => this.#called(call) });
    this.#injector = this.#grpc.createConnectionInjector(this.#credentials());
    this.#sockets = createServer({ noDelay: true }, (socket) => this.#accept(socket));
    this.#sockets.maxConnections = socketCountMax;
  }

  /** Listens; PEER_LISTEN_FAILED when the address is taken or not of this machine. */
  static async start(parts: PeerServerParts): Promise<PeerServer> {
    const server = new PeerServer(parts);
    const { host, port } = parts.listen;
    await new Promise<void>((resolve, reject) => {
      server.#sockets.once('error', reject);
      server.#sockets.listen(port, host, resolve);
    }).catch((error: unknown) => {
      server.#grpc.forceShutdown();
      return fail('PEER_LISTEN_FAILED', `cannot listen for peers at ${addressText(parts.listen)}`, {
        scope: 'Node',
        cause: String(error),
      });
    });
    // What goes wrong while accepting concerns a stranger, not this node.
    server.#sockets.on('error', () => server.#count('accept'));
    return server;
  }

  /** Where it listens. */
  get port(): number {
    const address = this.#sockets.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Ends the streams of a capture that is no member any more. */
  forget(captureId: string): void {
    for (const peerClass of ['control', 'data'] as const) {
      const call = this.#calls.get(`${peerClass} ${captureId}`);
      if (call !== undefined) this.#refuse(call, notMember(captureId));
    }
  }

  status(): PeerServerStatus {
    return {
      receivedCount: this.#receivedCount,
      receivedBytes: this.#receivedBytes,
      connectionCount: this.#open.size,
      refusals: Object.fromEntries(this.#refusals),
    };
  }

  /** Ends every socket at once. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#sockets.close(() => resolve());
    });
    this.#grpc.forceShutdown();
    for (const { timer } of this.#strangers.values()) clearTimeout(timer);
    for (const socket of this.#open) socket.destroy();
    await closed;
  }

  // ── sockets ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #accept(socket: Socket): void {
    const key = `${socket.remoteAddress}:${socket.remotePort}`;
    this.#open.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      this.#open.delete(socket);
      this.#known(key);
    });
    const timer = setTimeout(() => this.#expire(key), this.#parts.timing.handshakeMs);
    this.#strangers.set(key, { socket, timer });
    const [oldest] = this.#strangers.keys();
    if (this.#strangers.size > strangerCountMax && oldest !== undefined) this.#expire(oldest);
    try {
      this.#renewCertificates();
      this.#injector.injectConnection(socket);
    } catch {
      this.#count('certificates');
      socket.destroy();
    }
  }

  #expire(key: string): void {
    const stranger = this.#strangers.get(key);
    if (stranger === undefined) return;
    this.#count('handshake-deadline');
    this.#known(key);
    stranger.socket.destroy();
  }

  #known(key: string): void {
    const stranger = this.#strangers.get(key);
    if (stranger !== undefined) clearTimeout(stranger.timer);
    this.#strangers.delete(key);
  }

  #credentials(): ServerCredentials {
    return this.#parts.certificates?.server() ?? ServerCredentials.createInsecure();
  }

  /** New sockets use certificate files as they are now; standing connections keep theirs. */
  #renewCertificates(): void {
    const stamp = this.#parts.certificates?.stamp() ?? '';
    if (stamp === this.#stamp) return;
    this.#injector = this.#grpc.createConnectionInjector(this.#credentials());
    this.#stamp = stamp;
  }

  // ── streams ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #called(call: Call): void {
    const deadline = setTimeout(
      () => this.#refuse(call, { reason: 'handshake-deadline', message: 'no handshake in time' }),
      this.#parts.timing.handshakeMs,
    );
    let hello: Hello | null = null;
    call.on('data', (bytes: Buffer) => {
      if (hello === null) {
        clearTimeout(deadline);
        hello = this.#admit(call, bytes);
        return;
      }
      // After a refusal, or once a newer stream took its place, whatever was still under way is nobody's.
      if (this.#calls.get(keyOf(hello)) !== call) return;
      this.#receivedCount++;
      this.#receivedBytes += bytes.byteLength;
      this.#parts.frame(hello.from, hello.peerClass, bytes);
    });
    const ended = (): void => {
      clearTimeout(deadline);
      if (hello !== null && this.#calls.get(keyOf(hello)) === call)
        this.#calls.delete(keyOf(hello));
    };
    call.on('error', ended);
    call.on('cancelled', ended);
    call.on('end', () => {
      ended();
      call.end();
    });
  }

  #admit(call: Call, bytes: Buffer): Hello | null {
    const decoded = decodeHello(bytes);
    if (!decoded.ok) {
      this.#refuse(call, { reason: 'handshake', message: decoded.failure.message });
      return null;
    }
    const hello = decoded.value;
    const refused = this.#refusalOf(call, hello);
    if (refused !== null) {
      this.#refuse(call, refused);
      return null;
    }
    this.#known(call.getPeer());
    const former = this.#calls.get(keyOf(hello));
    this.#calls.set(keyOf(hello), call);
    if (former !== undefined) this.#refuse(former, { reason: 'replaced', message: 'replaced' });
    const welcome: Hello = { ...hello, from: hello.to, to: hello.from };
    call.write(asBuffer(encodeHello(welcome)));
    return hello;
  }

  #refusalOf(call: Call, hello: Hello): Refused | null {
    const { clusterId, self, members, certificates } = this.#parts;
    if (hello.version !== peerProtocolVersion) {
      return {
        reason: 'version',
        message: `protocol version ${hello.version} is not ${peerProtocolVersion}`,
      };
    }
    if (hello.clusterId !== clusterId) {
      return { reason: 'cluster', message: `this is cluster ${clusterId}, not ${hello.clusterId}` };
    }
    if (hello.to !== self) {
      return { reason: 'address', message: `this is capture ${self}, not ${hello.to}` };
    }
    if (!members.has(hello.from)) return notMember(hello.from);
    if (certificates === null) return null;
    const certificate = call.getAuthContext().sslPeerCertificate;
    const names = certificate === undefined ? [] : namesOf(certificate);
    const message = certificates.refusal(names) ?? members.bind(hello.from, names);
    return message === null ? null : { reason: 'certificate', message };
  }

  #refuse(call: Call, { reason, message }: Refused): void {
    this.#count(reason);
    call.emit('error', { code: grpcStatus.PERMISSION_DENIED, details: message });
  }

  #count(reason: string): void {
    this.#refusals.set(reason, (this.#refusals.get(reason) ?? 0) + 1);
  }
}

function keyOf(hello: Hello): string {
  return `${hello.peerClass} ${hello.from}`;
}

function notMember(captureId: string): Refused {
  return { reason: 'not-member', message: `capture ${captureId} is no member of the cluster` };
}
