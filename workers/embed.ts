/** The library's face: run a replication inside one's own process. */
import { Replication, type ReplicationOptions } from './replication.ts';

/**
 * Starts replicating and answers a handle: `result` resolves at its end, `stop()` ends it gracefully. FailureError
 * CONFIG_INVALID for wrong options; everything later is in the statuses and the result.
 */
export function startReplication(options: ReplicationOptions): Promise<Replication> {
  return Replication.start(options);
}
