import { inflateRawSync, inflateSync } from 'node:zlib';
import { corrupt } from './corrupt.ts';

/** Largest plain size that is believed: no server makes an event or a cell above 1 GiB. */
const plainBytesMax = 2 ** 30;

/** Deflate cannot shrink by more than 1032 : 1, so a larger claim is a lie and is refused before memory is taken. */
const ratioMax = 1032;

/** Inflates `bytes[start, end)` into exactly `plainBytes` bytes; anything else is SOURCE_CORRUPT. */
function inflateExactly(
  bytes: Uint8Array,
  range: { readonly start: number; readonly end: number },
  plainBytes: number,
  raw: boolean,
): Uint8Array {
  const packed = bytes.subarray(range.start, range.end);
  if (plainBytes > plainBytesMax || plainBytes > (packed.byteLength + 1) * ratioMax) {
    corrupt('a compressed part claims an impossible size');
  }
  if (plainBytes === 0) return new Uint8Array(0);
  let plain: Uint8Array;
  try {
    const options = { maxOutputLength: plainBytes };
    plain = raw ? inflateRawSync(packed, options) : inflateSync(packed, options);
  } catch {
    return corrupt('a compressed part does not inflate');
  }
  if (plain.byteLength !== plainBytes) corrupt('a compressed part has not the size it claims');
  return plain;
}

/** The rows of a MariaDB compressed rows event: a byte (0x80 + size of the length), the plain length, zlib data. */
export function inflateRows(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const head = bytes[start];
  if (head === undefined || start >= end) return corrupt('a compressed event is cut short');
  const lengthBytes = head & 7;
  if ((head & 0x80) === 0 || (head & 0x70) !== 0 || lengthBytes < 1 || lengthBytes > 4) {
    corrupt('a compressed event has an unknown method');
  }
  const from = start + 1 + lengthBytes;
  if (from > end) corrupt('a compressed event is cut short');
  return inflateExactly(bytes, { start: from, end }, readLength(bytes, start + 1, from), false);
}

/**
 * The content of a cell of a COMPRESSED column (its length prefix already left out): nothing for nothing, else a header
 * byte (method in the upper half, 8 = no zlib wrapper, size of the length), the plain length and deflate data; method 0
 * is the plain content itself. Answers a view when nothing was compressed.
 */
export function inflateCell(bytes: Uint8Array, start: number, end: number): Uint8Array {
  if (start >= end) return new Uint8Array(0);
  const head = bytes[start]!;
  const method = head >> 4;
  if (method === 0) return bytes.subarray(start + 1, end);
  const lengthBytes = head & 7;
  if (method !== 8 || lengthBytes > 4) corrupt('a compressed cell has an unknown method');
  const from = start + 1 + lengthBytes;
  if (from > end) corrupt('a compressed cell is cut short');
  return inflateExactly(
    bytes,
    { start: from, end },
    readLength(bytes, start + 1, from),
    (head & 8) !== 0,
  );
}

function readLength(bytes: Uint8Array, start: number, end: number): number {
  let length = 0;
  for (let i = start; i < end; i++) length = length * 256 + bytes[i]!;
  return length;
}
