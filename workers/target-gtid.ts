/** Where a changefeed is to end, as a person wrote it: looked at before it is stored. */
import { GtidSet } from '#src/adapters/binlog/stream/gtid-set.ts';
import { parseMariadbGtids } from '#src/adapters/binlog/stream/mariadb-gtid.ts';
import { workloadTs } from '#src/adapters/workload/workload-upstream.ts';
import { fail, FailureError } from '#src/base/failure.ts';
import type { UpstreamChecked } from '#src/ports/upstream.ts';

/**
 * CONFIG_INVALID unless `target` is a GTID of this upstream (MySQL: a set) that lies behind `start`, where the changefeed
 * begins or goes on. It need not have happened yet.
 */
export function demandTarget(target: string, { flavor, start, newest }: UpstreamChecked): void {
  const isAhead = readAs(() => {
    switch (flavor) {
      case 'workload':
        return workloadTs(target) > start.ts;
      case 'mariadb':
        return mariadbSequence(target, newest.gtid) > start.ts;
      case 'mysql': {
        const wanted = GtidSet.parse(target);
        return !GtidSet.parse(start.gtid).contains(wanted);
      }
    }
  });
  if (!isAhead)
    wrong(`${target} does not lie behind ${start.gtid || 'nothing'}, where the changefeed begins`);
}

function mariadbSequence(target: string, newest: string): number {
  const [gtid, second] = parseMariadbGtids(target);
  if (gtid === undefined || second !== undefined)
    return wrong('one GTID of the form domain-server-sequence');
  const [last] = parseMariadbGtids(newest);
  if (last !== undefined && last.domain !== gtid.domain)
    wrong(`${target} is of domain ${gtid.domain}, the upstream's log of domain ${last.domain}`);
  return gtid.sequence;
}

/** What is wrong with a GTID is said with the name of the field. */
function readAs(read: () => boolean): boolean {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof FailureError) || error.failure.message.startsWith(field)) throw error;
    return wrong(error.failure.message);
  }
}

const field = 'target_gtid';

function wrong(why: string): never {
  return fail('CONFIG_INVALID', `${field}: ${why}`);
}
