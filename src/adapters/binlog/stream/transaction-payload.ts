import { zstdDecompressSync } from 'node:zlib';
import { fail } from '../../../base/failure.ts';
import { ByteReader } from './byte-reader.ts';

const field = { end: 0, payloadSize: 1, compression: 2, uncompressedSize: 3 } as const;
const compression = { zstd: 0, none: 255 } as const;

/** The bytes of the events inside a TRANSACTION_PAYLOAD event, packed or not. */
export interface TransactionPayload {
  readonly bytes: Uint8Array;
  /** Bytes once unpacked; null when they are not packed. */
  readonly unpackedByteCount: number | null;
}

/** Most bytes that are asked for at once; what claims more is unpacked in pieces, so that a lie costs no memory. */
const pieceBytesMax = 1 << 24;

/**
 * The payload of a TRANSACTION_PAYLOAD event (MySQL `binlog_transaction_compression`), a view. The unpacked size is bounded by
 * `byteCountMax` before anything is unpacked.
 */
export function readTransactionPayload(body: Uint8Array, byteCountMax: number): TransactionPayload {
  const reader = new ByteReader(body, 'TRANSACTION_PAYLOAD event');
  let payloadSize = -1;
  let method: number = compression.none;
  let unpackedSize = -1;
  for (;;) {
    const kind = reader.packed();
    if (kind === field.end) break;
    const length = reader.packed();
    const value = new ByteReader(reader.raw(length), 'TRANSACTION_PAYLOAD field');
    if (kind === field.payloadSize) payloadSize = value.packed();
    else if (kind === field.compression) method = value.packed();
    else if (kind === field.uncompressedSize) unpackedSize = value.packed();
  }
  const bytes = reader.raw(payloadSize < 0 ? reader.remaining : payloadSize);
  if (method === compression.none) return { bytes, unpackedByteCount: null };
  if (method !== compression.zstd) reader.corrupt(`compression method ${method}`);
  if (unpackedSize < 0 || unpackedSize > byteCountMax) {
    reader.corrupt(`an unpacked size of ${unpackedSize} bytes, bound ${byteCountMax}`);
  }
  return { bytes, unpackedByteCount: unpackedSize };
}

/** Unpacks into exactly `byteCount` bytes: headers and bodies of events without checksums, one after the other. */
export function unpackZstd(packed: Uint8Array, byteCount: number): Uint8Array<ArrayBuffer> {
  let unpacked: Uint8Array<ArrayBuffer>;
  try {
    unpacked = zstdDecompressSync(packed, {
      maxOutputLength: Math.max(1, byteCount),
      // One byte more than fits, so that the last piece is seen to be the last.
      chunkSize: Math.min(pieceBytesMax, Math.max(64, byteCount + 1)),
    });
  } catch (error) {
    return fail('SOURCE_CORRUPT', 'TRANSACTION_PAYLOAD event: the zstd data is broken', {
      retry: 'Reconnect',
      cause: String(error),
    });
  }
  if (unpacked.byteLength !== byteCount) {
    fail('SOURCE_CORRUPT', 'TRANSACTION_PAYLOAD event: the unpacked size is wrong', {
      retry: 'Reconnect',
    });
  }
  return unpacked;
}
