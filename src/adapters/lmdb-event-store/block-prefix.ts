import { blockHeaderBytes, blockUnfinished, recordKind } from '#src/model/block.ts';

/**
 * The part of a block up to and including `ts`, as a block of its own; undefined when no transaction of it is ≤ ts.
 * For blocks that hold complete transactions before one that was cut off by a lost connection.
 */
export function blockPrefix(
  bytes: Uint8Array<ArrayBuffer>,
  ts: number,
): Uint8Array<ArrayBuffer> | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = blockHeaderBytes;
  let lastTs = -1;
  let transactionCount = 0;
  let eventCount = 0;
  while (at + 5 <= bytes.byteLength) {
    const kind = view.getUint8(at + 4);
    if (kind === recordKind.transaction) {
      const commitTs = view.getFloat64(at + 5, true);
      if (commitTs > ts) break;
      lastTs = commitTs;
      transactionCount++;
    } else if (kind === recordKind.rows) {
      eventCount++;
    }
    at += 5 + view.getUint32(at, true);
  }
  if (transactionCount === 0) return undefined;
  if (at >= bytes.byteLength) return bytes;
  const prefix = bytes.slice(0, at);
  const header = new DataView(prefix.buffer);
  // What follows was cut away, so the last transaction kept is a complete one.
  header.setUint32(4, header.getUint32(4, true) & ~blockUnfinished, true);
  header.setFloat64(16, lastTs, true);
  header.setUint32(24, transactionCount, true);
  header.setUint32(28, eventCount, true);
  return prefix;
}
