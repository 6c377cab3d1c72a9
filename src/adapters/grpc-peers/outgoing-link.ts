/**
 * One outgoing link: a bounded queue and the stream that empties it. The stream is opened anew, with back-off, for as long
 * as the link lives. Frames handed to a stream that breaks are lost; frames still queued go with the next one, so order
 * holds and nothing travels twice.
 *
 *     connecting ──welcome──▶ open ──lost──▶ waiting ──back-off──▶ connecting
 */
import {
  Client,
  status as grpcStatus,
  type ChannelCredentials,
  type ClientDuplexStream,
  type ServiceError,
} from '@grpc/grpc-js';
import { failure, FailureError, type Failure, messageOf } from '../../base/failure.ts';
import { Queue } from '../../base/queue.ts';
import type { PeerClass, PeerLinkStatus } from '../../ports/peers.ts';
import { asBuffer, passBytes, streamPath } from './byte-service.ts';
import { decodeHello, encodeHello, peerProtocolVersion } from './handshake.ts';
import { channelOptions, type PeerTiming, type QueueBounds } from './peer-options.ts';

/** What a link is made of. */
export interface OutgoingLinkParts {
  readonly clusterId: string;
  readonly self: string;
  readonly captureId: string;
  readonly address: string;
  readonly peerClass: PeerClass;
  readonly bounds: QueueBounds;
  readonly timing: PeerTiming;
  /** Called at every attempt: certificates may have been replaced. FailureError when they cannot be read. */
  readonly credentials: () => ChannelCredentials;
  /** See {@link PeerEvents}. */
  readonly lost: (link: PeerLinkStatus) => void;
}

/** Frames handed to the stream at once; the rest waits here, where it is counted. */
const inFlightCountMax = 64;
const inFlightBytesMax = 2 ** 20;
/** Back-off doubles at most so often. */
const doublingMax = 16;

/** TLS sends no number as a server's name; whether the certificate names the address is checked by ourselves. */
const servername = { 'grpc.ssl_target_name_override': 'peer.sluice.internal' } as const;

type Stream = ClientDuplexStream<Buffer, Buffer>;

/** See the top of this file. */
export class OutgoingLink {
  readonly #parts: OutgoingLinkParts;
  readonly #queue = new Queue<Buffer>();
  #queuedBytes = 0;
  /** Handed to the current stream and not yet confirmed by it. */
  #inFlightCount = 0;
  #inFlightBytes = 0;
  #phase: PeerLinkStatus['phase'] | 'closed' = 'waiting';
  #client: Client | null = null;
  #stream: Stream | null = null;
  #timer: NodeJS.Timeout | null = null;
  #failure: Failure | null = null;
  #failureCount = 0;
  #sentCount = 0;
  #sentBytes = 0;
  #lostCount = 0;
  #congestedCount = 0;

  constructor(parts: OutgoingLinkParts) {
    this.#parts = parts;
    this.#connect();
  }

  /** False when the queue is full; the frame was not taken then. */
  send(frame: Uint8Array): boolean {
    const { countMax, bytesMax } = this.#parts.bounds;
    const count = this.#queue.length + this.#inFlightCount + 1;
    const bytes = this.#queuedBytes + this.#inFlightBytes + frame.byteLength;
    if (count > countMax || bytes > bytesMax) {
      this.#congestedCount++;
      return false;
    }
    this.#queue.push(asBuffer(frame));
    this.#queuedBytes += frame.byteLength;
    this.#pump();
    return true;
  }

  status(): PeerLinkStatus {
    const { captureId, address, peerClass } = this.#parts;
    return {
      captureId,
      address,
      peerClass,
      phase: this.#phase === 'closed' ? 'waiting' : this.#phase,
      queuedCount: this.#queue.length + this.#inFlightCount,
      queuedBytes: this.#queuedBytes + this.#inFlightBytes,
      sentCount: this.#sentCount,
      sentBytes: this.#sentBytes,
      lostCount: this.#lostCount,
      congestedCount: this.#congestedCount,
      failureCount: this.#failureCount,
      failure: this.#failure,
    };
  }

  /** Ends the link at once, with everything queued. */
  close(): void {
    this.#phase = 'closed';
    this.#drop();
    this.#queue.clear();
    this.#queuedBytes = 0;
  }

  #connect(): void {
    this.#phase = 'connecting';
    const { address, timing } = this.#parts;
    try {
      const options = { ...channelOptions(timing), ...servername };
      this.#client = new Client(address, this.#parts.credentials(), options);
    } catch (error) {
      this.#lost(
        error instanceof FailureError
          ? error.failure
          : unreachableFailure(address, messageOf(error)),
      );
      return;
    }
    const stream: Stream = this.#client.makeBidiStreamRequest(streamPath, passBytes, passBytes);
    this.#stream = stream;
    const { clusterId, self: from, captureId: to, peerClass } = this.#parts;
    const hello = { version: peerProtocolVersion, clusterId, from, to, peerClass };
    stream.write(asBuffer(encodeHello(hello)));
    this.#timer = setTimeout(() => {
      this.#lost(unreachableFailure(address, `no handshake within ${timing.handshakeMs} ms`));
    }, timing.handshakeMs);
    stream.on('data', (bytes: Buffer) => this.#answered(stream, bytes));
    stream.on('error', (error: ServiceError) => {
      if (this.#stream === stream) this.#lost(failureOf(address, error));
    });
    stream.on('end', () => {
      if (this.#stream === stream) this.#lost(unreachableFailure(address, 'the stream ended'));
    });
  }

  #answered(stream: Stream, bytes: Buffer): void {
    if (this.#stream !== stream) return;
    if (this.#phase === 'open') {
      this.#lost(refusedFailure('the peer spoke out of turn'));
      return;
    }
    const welcome = decodeHello(bytes);
    const { clusterId, self, captureId, peerClass } = this.#parts;
    if (!welcome.ok) {
      this.#lost(welcome.failure);
      return;
    }
    const { value } = welcome;
    const isExpected =
      value.version === peerProtocolVersion &&
      value.clusterId === clusterId &&
      value.from === captureId &&
      value.to === self &&
      value.peerClass === peerClass;
    if (!isExpected) {
      this.#lost(refusedFailure('the peer answered as somebody else'));
      return;
    }
    this.#clearTimer();
    this.#phase = 'open';
    this.#failure = null;
    this.#failureCount = 0;
    this.#pump();
  }

  #pump(): void {
    const stream = this.#stream;
    if (this.#phase !== 'open' || stream === null) return;
    while (this.#inFlightCount < inFlightCountMax && this.#inFlightBytes < inFlightBytesMax) {
      const frame = this.#queue.shift();
      if (frame === undefined) return;
      const byteCount = frame.byteLength;
      this.#queuedBytes -= byteCount;
      this.#inFlightCount++;
      this.#inFlightBytes += byteCount;
      stream.write(frame, (error?: Error | null) => {
        // A stream that broke has had its frames counted as lost already.
        if (this.#stream !== stream || (error !== undefined && error !== null)) return;
        this.#inFlightCount--;
        this.#inFlightBytes -= byteCount;
        this.#sentCount++;
        this.#sentBytes += byteCount;
        this.#pump();
      });
    }
  }

  #lost(why: Failure): void {
    if (this.#phase === 'closed') return;
    this.#drop();
    this.#phase = 'waiting';
    this.#failure = why;
    this.#failureCount++;
    const { backoffMsMin, backoffMsMax } = this.#parts.timing;
    const doubled = backoffMsMin * 2 ** Math.min(this.#failureCount - 1, doublingMax);
    const afterMs = Math.min(backoffMsMax, doubled) * (0.5 + Math.random() / 2);
    this.#timer = setTimeout(() => this.#connect(), afterMs);
    // Whoever hears of it may call us.
    const { lost } = this.#parts;
    queueMicrotask(() => lost(this.status()));
  }

  #drop(): void {
    this.#clearTimer();
    const stream = this.#stream;
    this.#stream = null;
    this.#lostCount += this.#inFlightCount;
    this.#inFlightCount = 0;
    this.#inFlightBytes = 0;
    if (stream !== null) {
      // What a cancelled stream still has to say is of no interest, but an unheard error would end the process.
      stream.on('error', () => undefined);
      stream.cancel();
    }
    this.#client?.close();
    this.#client = null;
  }

  #clearTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

function failureOf(address: string, error: ServiceError): Failure {
  const isRefusal =
    error.code === grpcStatus.PERMISSION_DENIED || error.code === grpcStatus.FAILED_PRECONDITION;
  return isRefusal
    ? refusedFailure(error.details)
    : unreachableFailure(address, error.details === '' ? error.message : error.details);
}

function refusedFailure(message: string): Failure {
  return failure('PEER_REFUSED', message, { retry: 'Reconnect', scope: 'Node' });
}

function unreachableFailure(address: string, cause: string): Failure {
  return failure('PEER_UNREACHABLE', `the peer at ${address} does not answer`, {
    retry: 'Reconnect',
    scope: 'Node',
    cause,
  });
}
