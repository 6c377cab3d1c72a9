import { ByteReader } from './byte-reader.ts';
import { eventHeaderBytes } from './log-event.ts';

/** What a FORMAT_DESCRIPTION event says about the events after it. */
export interface FormatDescription {
  readonly serverVersion: string;
  /** Seconds since 1970 when the server wrote it at its start; 0 otherwise. */
  readonly createdAt: number;
  /** Bytes of CRC32 at the end of each event: 4 or 0. */
  readonly checksumBytes: 0 | 4;
}

const algorithmBytes = 1;
const crcBytes = 4;

/**
 * Reads the body of a FORMAT_DESCRIPTION event up to the end of the event: it always ends in the checksum algorithm and
 * four bytes for its own checksum, whatever the algorithm. SOURCE_CORRUPT for another log version or algorithm.
 */
export function readFormatDescription(body: Uint8Array): FormatDescription {
  const reader = new ByteReader(body, 'FORMAT_DESCRIPTION event');
  const version = reader.u16();
  if (version !== 4) reader.corrupt(`binary log version ${version}`);
  const versionBytes = reader.raw(50);
  const createdAt = reader.u32();
  const headerBytes = reader.u8();
  if (headerBytes !== eventHeaderBytes) reader.corrupt(`event headers of ${headerBytes} bytes`);
  if (reader.remaining < algorithmBytes + crcBytes) reader.corrupt('no checksum algorithm');
  const algorithm = body[body.byteLength - algorithmBytes - crcBytes]!;
  if (algorithm > 1) reader.corrupt(`checksum algorithm ${algorithm}`);
  const zero = versionBytes.indexOf(0);
  const serverVersion = new TextDecoder().decode(
    versionBytes.subarray(0, zero < 0 ? versionBytes.byteLength : zero),
  );
  return { serverVersion, createdAt, checksumBytes: algorithm === 1 ? crcBytes : 0 };
}
