/**
 * Keys of stored blocks: u32 span number · f64 lastTs · u32 part · u32 block bytes, all big-endian. A double ≥ 0 sorts by
 * its bits, so bytewise order is (span, lastTs, part). The size rides in the key: garbage is counted without touching values.
 */

/** Bytes of a block key. */
export const blockKeyBytes = 20;

/** The highest part number; a cursor with it stands after every block that ends at its ts. */
export const partMax = 0xffffffff;

/** What a block key says. */
export interface BlockKey {
  /** The store's own number of the span. */
  readonly span: number;
  readonly ts: number;
  readonly part: number;
  /** Bytes of the block. */
  readonly byteCount: number;
}

/** The bytes of a key. `ts` must be ≥ 0. */
export function writeBlockKey(key: BlockKey): Buffer {
  const bytes = Buffer.allocUnsafeSlow(blockKeyBytes);
  bytes.writeUInt32BE(key.span, 0);
  bytes.writeDoubleBE(key.ts, 4);
  bytes.writeUInt32BE(key.part, 12);
  bytes.writeUInt32BE(key.byteCount, 16);
  return bytes;
}

/** Reads what {@link writeBlockKey} wrote. */
export function readBlockKey(bytes: Buffer): BlockKey {
  return {
    span: bytes.readUInt32BE(0),
    ts: bytes.readDoubleBE(4),
    part: bytes.readUInt32BE(12),
    byteCount: bytes.readUInt32BE(16),
  };
}

/** The key after every block of `span` up to (`ts`, `part`), to start or end a range with. */
export function keyAfter(span: number, ts: number, part: number): Buffer {
  return writeBlockKey({ span, ts: Math.max(ts, 0), part, byteCount: 0xffffffff });
}

/** The key before every block of `span`. */
export function keyBefore(span: number): Buffer {
  return writeBlockKey({ span, ts: 0, part: 0, byteCount: 0 });
}
