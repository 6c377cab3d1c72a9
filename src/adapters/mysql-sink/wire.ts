import { fail } from '#src/base/failure.ts';

/** Largest payload of one packet on the wire; longer payloads go on in the next packet. */
const packetPayloadMax = 0xffffff;
/** Bytes of a packet's header: payload length and sequence number. */
const packetHeaderBytes = 4;

/** Command bytes of the client protocol that the sink uses. */
export const commandByte = { query: 0x03, setOption: 0x1b } as const;

/**
 * A command as ready packets: header, command byte and `parts` one after the other, cut at 16 MB. One copy of the parts
 * is made, so that one write submits all of it.
 */
export function commandPackets(command: number, parts: readonly Uint8Array[]): Buffer {
  let payloadBytes = 1;
  for (const part of parts) payloadBytes += part.byteLength;
  // A payload of a multiple of 16 MB − 1 ends with an empty packet.
  const packetCount = Math.floor(payloadBytes / packetPayloadMax) + 1;
  const packets = Buffer.allocUnsafe(payloadBytes + packetCount * packetHeaderBytes);
  let sequence = 0;
  let at = 0;
  let room = 0;
  let rest = payloadBytes;
  const openPacket = (): void => {
    room = Math.min(rest, packetPayloadMax);
    rest -= room;
    packets.writeUIntLE(room, at, 3);
    packets[at + 3] = sequence++ & 0xff;
    at += packetHeaderBytes;
  };
  const append = (bytes: Uint8Array): void => {
    let from = 0;
    while (from < bytes.byteLength) {
      if (room === 0) openPacket();
      const count = Math.min(room, bytes.byteLength - from);
      packets.set(bytes.subarray(from, from + count), at);
      at += count;
      from += count;
      room -= count;
    }
  };
  append(Uint8Array.of(command));
  for (const part of parts) append(part);
  if (payloadBytes % packetPayloadMax === 0) openPacket();
  return packets.subarray(0, at);
}

/** Packets that {@link commandPackets} makes of a payload of `payloadBytes`; the answer's sequence number goes on from here. */
export function packetCountOf(payloadBytes: number): number {
  return Math.floor(payloadBytes / packetPayloadMax) + 1;
}

/**
 * Cuts what arrives on the socket into payloads. `onPayload` gets each whole payload in order; views into what arrived,
 * so whoever keeps one copies it. Payloads above `payloadBytesMax` and broken sequence numbers are SINK_DISCONNECTED:
 * the connection cannot be trusted any more.
 */
export class PacketReader {
  readonly #onPayload: (payload: Buffer) => void;
  readonly #payloadBytesMax: number;
  #rest: Buffer = Buffer.alloc(0);
  #pieces: Buffer[] = [];
  #pieceBytes = 0;
  #sequence = 0;

  constructor(onPayload: (payload: Buffer) => void, payloadBytesMax: number) {
    this.#onPayload = onPayload;
    this.#payloadBytesMax = payloadBytesMax;
  }

  /** The sequence number that the next packet must carry. */
  expect(sequence: number): void {
    this.#sequence = sequence & 0xff;
  }

  /** Takes bytes from the socket; throws a FailureError when they break the protocol. */
  push(chunk: Buffer): void {
    let bytes = this.#rest.byteLength === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.byteLength >= packetHeaderBytes) {
      const payloadBytes = bytes.readUIntLE(0, 3);
      if (this.#pieceBytes + payloadBytes > this.#payloadBytesMax) {
        fail('SINK_DISCONNECTED', 'the downstream sent a packet above the bound', {
          retry: 'Reconnect',
        });
      }
      const end = packetHeaderBytes + payloadBytes;
      if (bytes.byteLength < end) break;
      if (bytes[3] !== this.#sequence) {
        fail('SINK_DISCONNECTED', 'the downstream sent packets out of order', {
          retry: 'Reconnect',
        });
      }
      this.#sequence = (this.#sequence + 1) & 0xff;
      this.#take(bytes.subarray(packetHeaderBytes, end), payloadBytes === packetPayloadMax);
      bytes = bytes.subarray(end);
    }
    this.#rest = bytes;
  }

  #take(payload: Buffer, unfinished: boolean): void {
    if (unfinished || this.#pieces.length > 0) {
      this.#pieces.push(payload);
      this.#pieceBytes += payload.byteLength;
      if (unfinished) return;
      payload = Buffer.concat(this.#pieces);
      this.#pieces = [];
      this.#pieceBytes = 0;
    }
    this.#onPayload(payload);
  }
}

/** Reads the fields of one payload in order; reading past the end is SINK_DISCONNECTED. */
export class PayloadReader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  /** A length-encoded integer, null for the NULL mark; exact below 2^53, and lengths above that are refused. */
  integer(): number | null {
    const first = this.#need(1)[0]!;
    if (first < 0xfb) return first;
    if (first === 0xfb) return null;
    if (first === 0xff) return broken();
    const width = first === 0xfc ? 2 : first === 0xfd ? 3 : 8;
    const bytes = this.#need(width);
    if (width < 8) return bytes.readUIntLE(0, width);
    const value = Number(bytes.readBigUInt64LE(0));
    return Number.isSafeInteger(value) ? value : broken();
  }

  /** A length-encoded string, null for NULL: a view. */
  text(): Buffer | null {
    const byteCount = this.integer();
    return byteCount === null ? null : this.#need(byteCount);
  }

  /** An unsigned 16-bit integer. */
  short(): number {
    return this.#need(2).readUInt16LE(0);
  }

  /** What is left, as a view. */
  rest(): Buffer {
    return this.#bytes.subarray(this.#at);
  }

  #need(count: number): Buffer {
    const end = this.#at + count;
    if (end > this.#bytes.byteLength) return broken();
    const view = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return view;
  }
}

function broken(): never {
  return fail('SINK_DISCONNECTED', 'the downstream sent a packet that is cut short', {
    retry: 'Reconnect',
  });
}
