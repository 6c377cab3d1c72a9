import { fail } from '../../base/failure.ts';
import type { Position, TimelineSegment } from '../../model/position.ts';
import type { StartAt } from '../../model/start-at.ts';
import { GtidSet } from '../binlog/stream/gtid-set.ts';
import { fileNumber } from '../binlog/stream/rotate-event.ts';
import { gtidsBefore, listBinaryLogs, logEnd } from './binary-logs.ts';
import type { ResolvedStart } from './mariadb-start.ts';
import { fileOfTs, mysqlTs } from './mysql-clock.ts';
import type { ServerConnection } from './server-connection.ts';
import { serverIdentity, type ServerFacts } from './server-facts.ts';

/** The first event of a file begins here. */
const fileHeadBytes = 4;

/** A start with the timeline it lies on; a segment is appended when the upstream is another server or its log was reset. */
export interface ResolvedMysqlStart extends ResolvedStart {
  readonly timeline: readonly TimelineSegment[];
}

/** Finds the start position on MySQL by GTID: SOURCE_BINLOG_PURGED and SOURCE_DIVERGED when the log does not have it. */
export async function resolveMysqlStart(
  connection: ServerConnection,
  facts: ServerFacts,
  startAt: StartAt,
): Promise<ResolvedMysqlStart> {
  const [row] = await connection.query(
    'SELECT @@GLOBAL.gtid_executed AS executed, @@GLOBAL.gtid_purged AS purged',
  );
  const executed = GtidSet.parse(row?.['executed'] ?? '');
  const purged = GtidSet.parse(row?.['purged'] ?? '');
  const wanted = wantedSet(startAt, executed, purged);
  demandInLog(wanted, executed, purged);
  const files = await listBinaryLogs(connection);
  const place = { server: serverIdentity(facts), files };
  const resolved =
    startAt.kind === 'position'
      ? await resume(connection, place, startAt)
      : await begin(connection, place, wanted);
  const end = await logEnd(connection, facts);
  const fileBase = resolved.timeline.at(-1)?.fileBase ?? 0;
  const newestTs = mysqlTs(fileBase, end.file, end.offset) - 1;
  const newest: Position = { ts: newestTs, gtid: executed.toString(), ...end };
  return { ...resolved, newest };
}

function wantedSet(startAt: StartAt, executed: GtidSet, purged: GtidSet): GtidSet {
  switch (startAt.kind) {
    case 'now':
      return executed;
    case 'oldest':
      return purged;
    case 'gtid':
      return GtidSet.parse(startAt.gtid);
    case 'position':
      return GtidSet.parse(startAt.position.gtid);
  }
}

function demandInLog(wanted: GtidSet, executed: GtidSet, purged: GtidSet): void {
  if (!executed.contains(wanted)) {
    fail(
      'SOURCE_DIVERGED',
      `the upstream does not know ${wanted.minus(executed).toString()} of the stored position`,
    );
  }
  if (!wanted.contains(purged)) {
    fail('SOURCE_BINLOG_PURGED', `${purged.minus(wanted).toString()} is purged and not yet read`);
  }
}

interface Place {
  readonly server: string;
  readonly files: readonly string[];
}

type Begun = Omit<ResolvedMysqlStart, 'newest'>;

async function begin(connection: ServerConnection, place: Place, wanted: GtidSet): Promise<Begun> {
  const file = await startFile(connection, place.files, wanted);
  const gtid = wanted.toString();
  const segment = { server: place.server, fileBase: 0, firstGtid: gtid };
  return { start: startOfFile(0, file, gtid), timeline: [segment] };
}

async function resume(
  connection: ServerConnection,
  place: Place,
  stored: { readonly position: Position; readonly timeline: readonly TimelineSegment[] },
): Promise<Begun> {
  const { position, timeline } = stored;
  if (await continues(connection, place, stored)) return { start: position, timeline };
  // Another server, or a log that was begun anew: its files go on above everything numbered so far.
  const file = await startFile(connection, place.files, GtidSet.parse(position.gtid));
  const fileBase = fileOfTs(position.ts) + 1 - fileNumber(file);
  const added = { server: place.server, fileBase, firstGtid: position.gtid };
  return {
    start: { ts: position.ts, gtid: position.gtid, file, offset: fileHeadBytes },
    timeline: [...timeline, added],
  };
}

/** Whether the log of this server is still the one that the position counts on. */
async function continues(
  connection: ServerConnection,
  { server, files }: Place,
  { position, timeline }: { position: Position; timeline: readonly TimelineSegment[] },
): Promise<boolean> {
  const segment = timeline.at(-1);
  if (segment?.server !== server) return false;
  const number = fileOfTs(position.ts) - segment.fileBase;
  if (number > fileNumber(files.at(-1)!)) return false;
  const file = files.find((name) => fileNumber(name) === number);
  // A log that was begun anew may have reached the number again: then what lies before that file is not all in the position.
  if (file === undefined) return true;
  return GtidSet.parse(position.gtid).contains(GtidSet.parse(await gtidsBefore(connection, file)));
}

function startOfFile(fileBase: number, file: string, gtid: string): Position {
  // What the file has of the set is skipped by the server, so everything before the file is a valid floor.
  return { ts: mysqlTs(fileBase, file, fileHeadBytes) - 1, gtid, file, offset: fileHeadBytes };
}

/** The newest file before which everything is in `wanted`; the lists only grow, so halving finds it. */
async function startFile(
  connection: ServerConnection,
  files: readonly string[],
  wanted: GtidSet,
): Promise<string> {
  let low = 0;
  let high = files.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    const before = GtidSet.parse(await gtidsBefore(connection, files[middle]!));
    if (wanted.contains(before)) low = middle;
    else high = middle - 1;
  }
  return files[low]!;
}
