import { zstdDecompressSync } from 'node:zlib';
import { fail } from '../../../base/failure.ts';
import { ByteReader } from './byte-reader.ts';

const field = { end: 0, payloadSize: 1, compression: 2, uncompressedSize: 3 } as const;
const compression = { zstd: 0, none: 255 } as const;

/**
 * The events inside a TRANSACTION_PAYLOAD event (MySQL `binlog_transaction_compression`), unpacked: headers and bodies
 * without checksums, one after the other. The unpacked size is bounded by `byteCountMax` before anything is unpacked.
 */
export function unpackTransactionPayload(body: Uint8Array, byteCountMax: number): Uint8Array {
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
  const packed = reader.raw(payloadSize < 0 ? reader.remaining : payloadSize);
  if (method === compression.none) return packed;
  if (method !== compression.zstd) reader.corrupt(`compression method ${method}`);
  if (unpackedSize < 0 || unpackedSize > byteCountMax) {
    reader.corrupt(`an unpacked size of ${unpackedSize} bytes, bound ${byteCountMax}`);
  }
  return unpack(packed, unpackedSize);
}

function unpack(packed: Uint8Array, size: number): Uint8Array {
  let unpacked: Uint8Array;
  try {
    unpacked = zstdDecompressSync(packed, { maxOutputLength: Math.max(1, size) });
  } catch (error) {
    return fail('SOURCE_CORRUPT', 'TRANSACTION_PAYLOAD event: the zstd data is broken', {
      retry: 'Reconnect',
      cause: String(error),
    });
  }
  if (unpacked.byteLength !== size) {
    fail('SOURCE_CORRUPT', 'TRANSACTION_PAYLOAD event: the unpacked size is wrong', {
      retry: 'Reconnect',
    });
  }
  return unpacked;
}
