/**
 * Where the keeper of a session publishes how long this node may write (FENCE §2.1), and through which it ends that right.
 * Both act on all threads at once, without waiting for any of them: memory that every submit reads.
 */
export interface DeadlineSink {
  /**
   * Nothing is submitted at or after `deadlineNs` (monotonic, `process.hrtime.bigint()`); computed from `sentNs`, the moment
   * the keepalive that was answered was *sent*. Never moves back. A publication also ends a probation that began before
   * `sentNs`: after a gap in time (SIGSTOP, suspend) only a fresh round trip lets writes go on (FENCE §2.2).
   */
  publish(deadlineNs: bigint, sentNs: bigint): void;
  /** Fences the whole capture for good: the session is lost. Idempotent; `reason` goes to the log. */
  fence(reason: string): void;
}
