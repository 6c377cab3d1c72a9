/**
 * The first frame each side of a stream sends: who speaks, to whom, in which cluster, class and protocol version. Both
 * sides compare before any other frame is believed. JSON, so that a later version can still say why it refuses.
 */
import { failed, failure, ok, type Outcome } from '../../base/failure.ts';
import { isKeyPart } from '../../model/coordination-key.ts';
import type { PeerClass } from '../../ports/peers.ts';

/** Version of everything that travels between captures: handshake, envelope codec, messages. */
export const peerProtocolVersion = 1;

/** Largest handshake frame, bytes. */
export const handshakeBytesMax = 2_048;

/** The handshake of one side. */
export interface Hello {
  readonly version: number;
  readonly clusterId: string;
  /** Who speaks. */
  readonly from: string;
  /** Whom it means to speak to: a new capture at an old one's address is not it. */
  readonly to: string;
  readonly peerClass: PeerClass;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/** The bytes of a handshake. */
export function encodeHello(hello: Hello): Uint8Array {
  return encoder.encode(JSON.stringify(hello));
}

/** Total: any bytes give a handshake or PEER_REFUSED. */
export function decodeHello(bytes: Uint8Array): Outcome<Hello> {
  if (bytes.byteLength > handshakeBytesMax) {
    return refused(
      `the handshake has ${bytes.byteLength} bytes, at most ${handshakeBytesMax} are read`,
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch {
    return refused('the handshake is not JSON');
  }
  if (typeof value !== 'object' || value === null) return refused('the handshake is not an object');
  const { version, clusterId, from, to, peerClass } = value as Partial<
    Record<keyof Hello, unknown>
  >;
  if (typeof version !== 'number' || !Number.isSafeInteger(version)) {
    return refused('the handshake has no version');
  }
  if (!isId(clusterId) || !isId(from) || !isId(to)) {
    return refused('the handshake lacks a cluster id or capture id');
  }
  if (peerClass !== 'control' && peerClass !== 'data')
    return refused('the handshake names no class');
  return ok({ version, clusterId, from, to, peerClass });
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && isKeyPart(value);
}

function refused(message: string): Outcome<never> {
  return failed(failure('PEER_REFUSED', message, { retry: 'Reconnect', scope: 'Node' }));
}
