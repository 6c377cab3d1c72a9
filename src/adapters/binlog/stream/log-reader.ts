/**
 * Turns packets of a dump into events: status byte, server errors, checksums, compressed transactions. Asks for packets
 * only when it needs one, so whatever is not read stays with the framing and back-pressure works.
 */
import { crc32 } from 'node:zlib';
import { fail, FailureError, type Outcome } from '../../../base/failure.ts';
import { eventType } from './event-type.ts';
import { readFormatDescription, type FormatDescription } from './format-description.ts';
import { eventHeaderBytes, type LogEvent } from './log-event.ts';
import type { PacketFraming } from './packet-framing.ts';
import { readServerError, type ServerError } from './server-error.ts';
import {
  readTransactionPayload,
  unpackZstd,
  type TransactionPayload,
} from './transaction-payload.ts';

/** Largest event, joined or unpacked: the server's own limit of max_allowed_packet, with room for headers. */
export const eventBytesMax = 2 ** 30 + 2 ** 16;

const statusEvent = 0;
const statusEnd = 0xfe;
const statusError = 0xff;
/** An error packet has a `#` before its SQL state; anything else is a damaged byte. */
const stateMarker = 0x23;

/** How a dump ended, when it did: with an error packet, or with an end packet (the server stops sending). */
export type DumpEnd =
  | { readonly kind: 'error'; readonly error: ServerError }
  | { readonly kind: 'end' };

/**
 * From so many unpacked bytes on, a transaction is unpacked elsewhere: below, the way there and back costs the reader's thread
 * as much as the work (`npm run bench -- unpack`).
 */
export const elsewhereBytesMin = 256 * 1024;

/** Another thread that unpacks large transactions. */
export interface UnpackElsewhere {
  /** Starts the work; the bytes of `packed` stay as they are. */
  readonly unpack: (packed: Uint8Array, unpackedByteCount: number) => Promise<Outcome<Uint8Array>>;
  /** Called when {@link LogReader.next} can go on. */
  readonly onUnpacked: () => void;
}

interface Unpacking {
  readonly payload: TransactionPayload;
  outcome?: Outcome<Uint8Array>;
}

/** Reads events from a framing; after `end` is set no more come. */
export class LogReader {
  readonly #framing: PacketFraming;
  /** Undefined until the first format description. */
  #checksumBytes: 0 | 4 | undefined;
  #format: FormatDescription | undefined;
  readonly #elsewhere: UnpackElsewhere | undefined;
  /** A transaction that is being unpacked elsewhere, until `next` has looked at what became of it. */
  #unpacking: Unpacking | undefined;
  #payload: Uint8Array | undefined;
  #payloadAt = 0;
  /** End of the file part that the payload came from: events inside have no offsets. */
  #payloadEndOffset = 0;
  /** Bytes of all packets read. */
  byteCount = 0;
  end: DumpEnd | undefined;

  constructor(framing: PacketFraming, elsewhere?: UnpackElsewhere) {
    this.#framing = framing;
    this.#elsewhere = elsewhere;
  }

  /** The format in force; undefined before the first FORMAT_DESCRIPTION. */
  get format(): FormatDescription | undefined {
    return this.#format;
  }

  /** True while events of an unpacked transaction are left. */
  get insidePayload(): boolean {
    return this.#payload !== undefined;
  }

  /** True while a transaction is being unpacked elsewhere: what follows is not read before it, the dump has not ended. */
  get isUnpacking(): boolean {
    return this.#unpacking !== undefined && this.#unpacking.outcome === undefined;
  }

  /** End offset of the compressed transaction that the current event came from; 0 when it came from none. */
  get payloadEndOffset(): number {
    return this.#payloadEndOffset;
  }

  /** Fills `event` with the next event; false when more bytes are needed or the dump has ended. */
  next(event: LogEvent): boolean {
    for (;;) {
      if (this.#unpacking !== undefined && !this.#takeUnpacked(this.#unpacking)) return false;
      if (this.#payload !== undefined) {
        if (this.#nextOfPayload(event, this.#payload)) return true;
        continue;
      }
      this.#payloadEndOffset = 0;
      if (this.end !== undefined) return false;
      const packet = this.#framing.next();
      if (packet === undefined) return false;
      this.byteCount += packet.byteLength + 4;
      if (!this.#openPacket(packet)) return false;
      this.#readEvent(event, packet);
      if (event.type !== eventType.transactionPayload) return true;
      this.#payloadEndOffset = event.endOffset;
      this.#unpack(readTransactionPayload(event.body(), eventBytesMax));
    }
  }

  #unpack(payload: TransactionPayload): void {
    const { bytes, unpackedByteCount } = payload;
    this.#payloadAt = 0;
    if (unpackedByteCount === null) this.#payload = bytes;
    else if (this.#elsewhere === undefined || unpackedByteCount < elsewhereBytesMin)
      this.#payload = unpackZstd(bytes, unpackedByteCount);
    else {
      const { unpack, onUnpacked } = this.#elsewhere;
      const unpacking: Unpacking = { payload };
      this.#unpacking = unpacking;
      void unpack(bytes, unpackedByteCount).then((outcome) => {
        unpacking.outcome = outcome;
        onUnpacked();
      });
    }
  }

  /** False while the work elsewhere goes on. */
  #takeUnpacked({ payload, outcome }: Unpacking): boolean {
    if (outcome === undefined) return false;
    this.#unpacking = undefined;
    if (outcome.ok) this.#payload = outcome.value;
    else if (outcome.failure.code === 'SOURCE_CORRUPT') throw new FailureError(outcome.failure);
    // Whatever kept the others from it: here it can be done.
    else this.#payload = unpackZstd(payload.bytes, payload.unpackedByteCount ?? 0);
    return true;
  }

  #openPacket(packet: Uint8Array): boolean {
    const status = packet[0];
    if (status === statusEvent) return true;
    if (status === statusError && packet[3] === stateMarker) {
      this.end = { kind: 'error', error: readServerError(packet) };
    } else if (status === statusEnd && packet.byteLength < 9) this.end = { kind: 'end' };
    else {
      fail('SOURCE_CORRUPT', `packet of ${packet.byteLength} bytes with status ${status}`, {
        retry: 'Reconnect',
      });
    }
    return false;
  }

  #readEvent(event: LogEvent, packet: Uint8Array): void {
    const isFormat = packet[1 + 4] === eventType.formatDescription;
    // A format description brings its own algorithm byte, so it is read whole first.
    const checksumBytes = isFormat ? 0 : (this.#checksumBytes ?? guessChecksumBytes(packet));
    const end = event.read(packet, 1, packet.byteLength, checksumBytes);
    if (end !== packet.byteLength) {
      fail('SOURCE_CORRUPT', `${packet.byteLength - end} bytes behind an event`, {
        retry: 'Reconnect',
      });
    }
    if (isFormat) {
      this.#format = readFormatDescription(event.body());
      this.#checksumBytes = this.#format.checksumBytes;
    }
    if (this.#checksumBytes === 4) verifyChecksum(event, packet);
  }

  #nextOfPayload(event: LogEvent, payload: Uint8Array): boolean {
    if (this.#payloadAt >= payload.byteLength) {
      this.#payload = undefined;
      return false;
    }
    this.#payloadAt = event.read(payload, this.#payloadAt, payload.byteLength, 0);
    if (event.type === eventType.transactionPayload) {
      fail('SOURCE_CORRUPT', 'a compressed transaction inside another', { retry: 'Reconnect' });
    }
    event.endOffset = 0;
    if (this.#payloadAt >= payload.byteLength) this.#payload = undefined;
    return true;
  }
}

/**
 * Whether an event has a checksum that comes before any format description (a ROTATE made up for us): it has when it is
 * right.
 */
function guessChecksumBytes(packet: Uint8Array): 0 | 4 {
  const end = packet.byteLength - 4;
  return end > 1 && crc32(packet.subarray(1, end)) === storedChecksum(packet) ? 4 : 0;
}

function storedChecksum(packet: Uint8Array): number {
  const end = packet.byteLength - 4;
  return (
    (packet[end]! |
      (packet[end + 1]! << 8) |
      (packet[end + 2]! << 16) |
      (packet[end + 3]! << 24)) >>>
    0
  );
}

function verifyChecksum(event: LogEvent, packet: Uint8Array): void {
  if (event.size < eventHeaderBytes + 4) {
    fail('SOURCE_CORRUPT', 'an event without room for its checksum', { retry: 'Reconnect' });
  }
  const end = packet.byteLength - 4;
  if (crc32(packet.subarray(1, end)) !== storedChecksum(packet)) {
    fail('SOURCE_CHECKSUM', `the checksum of an event of type ${event.type} does not match`, {
      retry: 'Reconnect',
    });
  }
}
