/** Builds events and packets byte by byte, the other way round than the reader, for tests. */
import { crc32 } from 'node:zlib';

/** One event to build. */
export interface EventParts {
  readonly type: number;
  readonly body: Uint8Array;
  readonly timestamp?: number;
  readonly serverId?: number;
  readonly endOffset?: number;
  readonly flags?: number;
}

/** The event with its header and, when asked, its checksum. */
export function eventBytes(parts: EventParts, checksum: boolean): Buffer {
  const size = 19 + parts.body.byteLength + (checksum ? 4 : 0);
  const bytes = Buffer.alloc(size);
  bytes.writeUInt32LE(parts.timestamp ?? 0, 0);
  bytes.writeUInt8(parts.type, 4);
  bytes.writeUInt32LE(parts.serverId ?? 1, 5);
  bytes.writeUInt32LE(size, 9);
  bytes.writeUInt32LE(parts.endOffset ?? 0, 13);
  bytes.writeUInt16LE(parts.flags ?? 0, 17);
  bytes.set(parts.body, 19);
  if (checksum) bytes.writeUInt32LE(crc32(bytes.subarray(0, size - 4)), size - 4);
  return bytes;
}

/** Payloads as packets of the client protocol, numbered from `sequence` on, split at 16 MB − 1. */
export function packetBytes(payloads: readonly Uint8Array[], sequence = 1): Buffer {
  const out: Buffer[] = [];
  let number = sequence;
  for (const payload of payloads) {
    for (let at = 0; ; at += 0xffffff) {
      const piece = payload.subarray(at, at + 0xffffff);
      const header = Buffer.alloc(4);
      header.writeUIntLE(piece.byteLength, 0, 3);
      header.writeUInt8(number++ & 0xff, 3);
      out.push(header, Buffer.from(piece));
      if (piece.byteLength < 0xffffff) break;
    }
  }
  return Buffer.concat(out);
}

/** An event as the payload of a dump packet. */
export function dumpPayload(event: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(0), event]);
}

/** The body of a FORMAT_DESCRIPTION event up to its own checksum, for logs with or without checksums. */
export function formatBody(algorithm: 0 | 1, withCrc: boolean): Buffer {
  const body = Buffer.alloc(2 + 50 + 4 + 1 + 40 + 1 + (withCrc ? 0 : 4));
  body.writeUInt16LE(4, 0);
  body.write('10.11.19-MariaDB', 2, 'latin1');
  body.writeUInt8(19, 56);
  body.writeUInt8(algorithm, 97);
  return body;
}
