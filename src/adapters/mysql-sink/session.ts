import { createHash } from 'node:crypto';
import { FailureError, fail } from '#src/base/failure.ts';
import { rowsOf } from './connection.ts';
import { errno, serverFailure } from './server-error.ts';
import { joinStatements, literal, sqlBytes } from './sql-text.ts';

import type { CommandAnswer, ResultRow } from './command-answer.ts';
import type { SubmitGate } from '#src/ports/submit-gate.ts';
import type { SinkConnection } from './connection.ts';

/** What a session is for; decides how long its locks may outlive a client that froze. */
export type SessionKind = 'writer' | 'staged' | 'control' | 'ddl';

/** Seconds: wait for a row lock, stay idle, stay idle inside a transaction, wait for a metadata lock. */
interface SessionLimits {
  readonly rowLock: number;
  readonly idle: number;
  readonly idleInTransaction: number;
  readonly metadataLock: number;
}

// The idle limits bound how long a frozen client can hold a slot row when nobody may KILL it (FENCE §1.6).
const limits: Readonly<Record<SessionKind, SessionLimits>> = {
  writer: { rowLock: 5, idle: 30, idleInTransaction: 15, metadataLock: 30 },
  // Between two parts of a huge transaction the upstream may need time to send the next.
  staged: { rowLock: 5, idle: 120, idleInTransaction: 120, metadataLock: 30 },
  control: { rowLock: 1, idle: 30, idleInTransaction: 15, metadataLock: 10 },
  ddl: { rowLock: 5, idle: 600, idleInTransaction: 15, metadataLock: 60 },
};

/** Most connections of one sink instance: how many lock names a successor must look at to find them all. */
export const connectionCountMax = 64;

/** Own bound of one command of several statements, below whatever the server allows. */
const commandBytesMax = 32 * 1024 * 1024;

/** Milliseconds without an answer after which a connection is given up. Longer than any lock wait of the session. */
export const commandTimeoutMs = 60_000;

/** sql_mode of every session but a DDL's: literals need only their quotes doubled, and no value is adjusted in silence. */
export const sinkSqlMode =
  'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION';

/** The statements that make a fresh connection one of ours; MariaDB's own settings stand in comments only it reads. */
export function sessionSetup(kind: SessionKind): string {
  const { rowLock, idle, idleInTransaction, metadataLock } = limits[kind];
  return [
    'SET NAMES binary',
    `SET SESSION sql_mode='${sinkSqlMode}',time_zone='+00:00',autocommit=1,sql_auto_is_null=0,sql_safe_updates=0,` +
      `foreign_key_checks=0,unique_checks=1,innodb_lock_wait_timeout=${rowLock},lock_wait_timeout=${metadataLock},` +
      `wait_timeout=${idle}/*M!100301 ,idle_transaction_timeout=${idleInTransaction}*/` +
      `/*M!100200 ,check_constraint_checks=0,max_statement_time=0*/`,
    'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
  ].join(';');
}

/** Name of the server-wide lock that connection `index` of sink instance `instance` holds for life; 47 characters. */
export function connectionLockName(instance: string, index: number): string {
  return hashedName(`connection/${instance}/${index}`);
}

/** Name of the lock that whoever runs DDL of `changefeed` holds (FENCE §0.5). */
export function ddlLockName(changefeed: string): string {
  return hashedName(`ddl/${changefeed}`);
}

/** Name of the lock that keeps canaries of several instances apart. */
export const canaryLockName = hashedName('canary');

function hashedName(text: string): string {
  return `sluice/${createHash('sha256').update(text).digest('hex').slice(0, 40)}`;
}

/**
 * A connection set up for one {@link SessionKind}, holding its named lock. After any error the connection is destroyed
 * (RELIABILITY I-11): what the server did with the command has to be read back on another one.
 */
export class SinkSession {
  readonly kind: SessionKind;
  readonly connection: SinkConnection;
  /** The lock this session holds; whoever wants to end the session finds its id by it. */
  readonly lockName: string;
  /** Largest command of several statements, in bytes, that this session takes at once. */
  readonly commandBytesMax: number;
  /** Largest single statement, in bytes, that the server takes. */
  readonly statementBytesMax: number;

  private constructor(kind: SessionKind, connection: SinkConnection, held: HeldLock) {
    this.kind = kind;
    this.connection = connection;
    this.lockName = held.lockName;
    this.commandBytesMax = Math.min(held.statementBytesMax, commandBytesMax);
    this.statementBytesMax = held.statementBytesMax;
  }

  /**
   * Connects, sets up, and takes the first free of `lockNames`. SINK_BUSY when all are taken; SINK_CANARY when
   * something between us and the server shares sessions among clients.
   */
  static async open(
    kind: SessionKind,
    connect: () => Promise<SinkConnection>,
    lockNames: Iterable<string>,
  ): Promise<SinkSession> {
    const connection = await connect();
    try {
      const held = await takeLock(kind, connection, lockNames);
      return new SinkSession(kind, connection, held);
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }

  /** Sends statements as one command and answers what the server said, errors included; the caller must act on those. */
  attempt(
    statements: readonly Uint8Array[],
    gate?: SubmitGate,
    timeoutMs = commandTimeoutMs,
  ): Promise<CommandAnswer> {
    return this.connection.query(joinStatements(statements), { gate, timeoutMs });
  }

  /** Sends SQL text and answers the results; a server error destroys the connection and is thrown as its Failure. */
  async run(sql: string, doing: string, gate?: SubmitGate): Promise<CommandAnswer> {
    const answer = await this.attempt([sqlBytes(sql)], gate);
    if (answer.error !== null) {
      this.connection.destroy();
      throw new FailureError(serverFailure(answer.error, doing));
    }
    return answer;
  }

  /** The rows of one query. */
  async rows(sql: string, doing: string): Promise<readonly ResultRow[]> {
    return rowsOf(await this.run(sql, doing), 0);
  }

  /** Closes the socket at once. */
  destroy(): void {
    this.connection.destroy();
  }
}

interface HeldLock {
  readonly lockName: string;
  readonly statementBytesMax: number;
}

async function takeLock(
  kind: SessionKind,
  connection: SinkConnection,
  lockNames: Iterable<string>,
): Promise<HeldLock> {
  let setup = `${sessionSetup(kind)};`;
  for (const lockName of lockNames) {
    const sql = `${setup}SELECT GET_LOCK(${literal(lockName)},0) AS taken,CONNECTION_ID() AS id,@@max_allowed_packet AS room`;
    const answer = await connection.query([sqlBytes(sql)], { timeoutMs: commandTimeoutMs });
    if (answer.error !== null) {
      throw new FailureError(serverFailure(answer.error, 'set up a session'));
    }
    const row = rowsOf(answer, answer.statementCount - 1)[0];
    if (row?.['id'] !== connection.id) {
      fail('SINK_CANARY', 'a proxy shares downstream sessions among clients: locks do not hold');
    }
    // An OK packet's overhead and the server's own slack: stay clear of the exact limit.
    const room = Math.max(1024, Number(row['room']) - 1024);
    if (row['taken'] === 1) return { lockName, statementBytesMax: room };
    setup = '';
  }
  return fail('SINK_BUSY', 'all connection names of this sink instance are taken', {
    retry: 'Again',
  });
}

/**
 * Ends, with `session`, the connections that hold any of `lockNames` and that `mayKill` allows by their ids; answers how many
 * it ended. A connection that is gone already counts as ended. SINK_ACCESS_DENIED when they belong to another account.
 */
export async function killHolders(
  session: SinkSession,
  lockNames: readonly string[],
  mayKill: (id: number) => boolean = () => true,
): Promise<number> {
  if (lockNames.length === 0) return 0;
  const columns = lockNames.map((name, at) => `IS_USED_LOCK(${literal(name)}) AS c${at}`);
  const [row] = await session.rows(
    `SELECT ${columns.join(',')}`,
    'find connections by their locks',
  );
  const ids = Object.values(row ?? {}).filter(
    (id): id is number => typeof id === 'number' && id !== session.connection.id && mayKill(id),
  );
  for (const id of ids) {
    const answer = await session.attempt([sqlBytes(`KILL CONNECTION ${id}`)]);
    if (answer.error !== null && answer.error.errno !== errno.noSuchThread) {
      session.destroy();
      throw new FailureError(serverFailure(answer.error, 'end a connection of an earlier owner'));
    }
  }
  return ids.length;
}
