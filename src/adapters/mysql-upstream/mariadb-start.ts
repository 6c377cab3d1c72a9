import { fail } from '../../base/failure.ts';
import type { Position } from '../../model/position.ts';
import type { StartAt } from '../../model/start-at.ts';
import {
  parseMariadbGtids,
  printMariadbGtid,
  type MariadbGtid,
} from '../binlog/stream/mariadb-gtid.ts';
import { gtidsBefore, listBinaryLogs } from './binary-logs.ts';
import type { ServerConnection } from './server-connection.ts';

/** Where to start and how far the log goes. */
export interface ResolvedStart {
  readonly start: Position;
  readonly newest: Position;
}

/**
 * Finds the start position on MariaDB and checks that the log still holds it: SOURCE_BINLOG_PURGED before the oldest
 * log, SOURCE_DIVERGED behind the newest transaction.
 */
export async function resolveMariadbStart(
  connection: ServerConnection,
  startAt: StartAt,
): Promise<ResolvedStart> {
  const start = await findStart(connection, startAt);
  const [row] = await connection.query(
    'SELECT @@gtid_binlog_pos AS pos, @@gtid_binlog_state AS state',
  );
  const newest = positionOf(row?.['pos'] ?? '');
  await demandInLog(connection, start, { newest, state: row?.['state'] ?? '' });
  return { start, newest };
}

async function findStart(connection: ServerConnection, startAt: StartAt): Promise<Position> {
  switch (startAt.kind) {
    case 'now':
      return snapshotPosition(connection);
    case 'oldest':
      return oldestPosition(connection);
    case 'gtid':
      return positionOf(startAt.gtid);
    case 'position':
      return startAt.position;
  }
}

/**
 * The position that a consistent snapshot stands at: `@@gtid_binlog_pos` would not do, because it runs ahead of what
 * readers can see.
 */
async function snapshotPosition(connection: ServerConnection): Promise<Position> {
  await connection.query('START TRANSACTION WITH CONSISTENT SNAPSHOT');
  const rows = await connection.query("SHOW STATUS LIKE 'binlog_snapshot_%'");
  const status = new Map(rows.map((row) => [row['Variable_name']?.toLowerCase(), row['Value']]));
  const file = status.get('binlog_snapshot_file') ?? '';
  const offset = Number(status.get('binlog_snapshot_position') ?? 0);
  const [row] = await connection.query(
    `SELECT BINLOG_GTID_POS('${file.replaceAll("'", "''")}', ${offset}) AS pos`,
  );
  await connection.query('COMMIT');
  return { ...positionOf(row?.['pos'] ?? ''), file, offset };
}

async function oldestPosition(connection: ServerConnection): Promise<Position> {
  const [file] = await listBinaryLogs(connection);
  return { ...positionOf(await gtidsBefore(connection, file!)), file: file!, offset: 4 };
}

/** The position behind the newest of a list of GTIDs of one domain. */
function positionOf(text: string): Position {
  const gtids = parseMariadbGtids(text);
  let last: MariadbGtid | undefined;
  for (const gtid of gtids) {
    if (last !== undefined && gtid.domain !== last.domain) {
      fail('SOURCE_SETTING_WRONG', `GTIDs of several domains (${last.domain}, ${gtid.domain})`);
    }
    if (last === undefined || gtid.sequence > last.sequence) last = gtid;
  }
  return last === undefined
    ? { ts: 0, gtid: '' }
    : { ts: last.sequence, gtid: printMariadbGtid(last) };
}

async function demandInLog(
  connection: ServerConnection,
  start: Position,
  end: { readonly newest: Position; readonly state: string },
): Promise<void> {
  const [gtid] = parseMariadbGtids(start.gtid);
  const sequence = gtid?.sequence ?? 0;
  const { newest } = end;
  const lastOfServer = parseMariadbGtids(end.state).find(
    (entry) => entry.server === gtid?.server && entry.domain === gtid.domain,
  );
  const [last] = parseMariadbGtids(newest.gtid);
  const unknown =
    sequence > newest.ts ||
    // The server would take another domain's position for none at all, and send its log from the start.
    (gtid !== undefined && last !== undefined && gtid.domain !== last.domain) ||
    (gtid !== undefined && sequence === newest.ts && start.gtid !== newest.gtid) ||
    (lastOfServer !== undefined && lastOfServer.sequence < sequence);
  if (unknown) {
    fail(
      'SOURCE_DIVERGED',
      `position ${start.gtid} is not in the upstream's history, which ends at ${newest.gtid || 'nothing'}`,
    );
  }
  const oldest = await oldestPosition(connection);
  if (sequence < oldest.ts) {
    fail(
      'SOURCE_BINLOG_PURGED',
      `position ${start.gtid || 'before everything'} is purged: the oldest log begins behind ${oldest.gtid}`,
    );
  }
}
