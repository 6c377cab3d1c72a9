/** How long a node may write after a renewal of its session (FENCE §2.1), and how long others wait once it is gone. */

/** Clocks of two machines run apart by at most this share: two times 500 ppm. */
const driftShare = 0.001;
/** Share of the session's time kept between the last write and the earliest moment anybody else may take over. */
const marginShare = 0.2;
/** Renewals within one session's time. */
const renewalCount = 5;
const removalMsMin = 10_000;

/**
 * The first moment at which this node may not write any more, from when the renewal that was answered was *sent*: the store
 * began to count no earlier. Infinite for a session that ends with the process only.
 */
export function writeDeadlineMs(sentAtMs: number, ttlMs: number): number {
  return sentAtMs + ttlMs * (1 - driftShare - marginShare);
}

/** Milliseconds between two renewals: four in a row may be lost. */
export function renewalMs(ttlMs: number): number {
  return ttlMs / renewalCount;
}

/**
 * Milliseconds a node that ended without a word stays in the view of the others: what it had under way into a sink without
 * a fence may still arrive. A session that ends with its process (null) leaves nothing under way.
 */
export function removalDelayMs(ttlMs: number | null): number {
  return ttlMs === null ? 0 : Math.max(ttlMs / 2, removalMsMin);
}
