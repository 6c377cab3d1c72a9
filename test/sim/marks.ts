/**
 * What a set of runs must have reached (the `Sometimes` of RELIABILITY §1.2): a state that is never reached is never
 * tested, so its absence fails the set.
 */

/** Seeds from which on every mark must be there. */
export const markSeedCount = 1_000;

/** Names of the marks. */
export const neededMarks: readonly string[] = [
  'DDL found done',
  'DDL ran',
  'batch cut',
  'batch of several lanes',
  'checkpoint of an earlier owner refused',
  'changefeed at rest',
  'chunk ends within a transaction',
  'compare-and-swap lost',
  'copied',
  'crash coordinator',
  'crash dispatcher',
  'crash dispatcher-manager',
  'crash event-service',
  'crash log-puller',
  'crash maintainer',
  'dispatcher recovering',
  'door: future-epoch',
  'door: no-such-cell',
  'door: stale-incarnation',
  'failed SOURCE_BINLOG_PURGED',
  'failed SOURCE_DIVERGED',
  'feed raise refused',
  'guard refused',
  'incomplete group discarded from the store',
  'incomplete group never happened',
  'killed during a DDL',
  'large transaction staged',
  'late packet committed',
  'log dispatcher-lost',
  'log node-passed-over',
  'log rotated',
  'log lanes-recovering',
  'log upstream-trouble',
  'maintainer stopping',
  'packet of the dead',
  'process gave up',
  'row locked by a stranger',
  'row written again',
  'server restarted',
  'server: lock wait timeout',
  'server: packet of the dead',
  'span raise refused',
  'stopped',
  'store read',
  'stream in a later log file',
  'takeover of a feed',
  'thread lost',
  'upstream heartbeat',
  'zombie woke up',
];

/** The marks that are missing. */
export function missingMarks(reached: ReadonlySet<string>): string[] {
  return neededMarks.filter((name) => !reached.has(name));
}
