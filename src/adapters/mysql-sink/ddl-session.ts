import { FailureError, fail, failure } from '#src/base/failure.ts';
import { quoteIdentifier } from './batch/identifier.ts';
import { errno, serverFailure } from './server-error.ts';
import { ddlLockName, killHolders, sessionSetup } from './session.ts';
import { feedSlot, readSlotRow, slotColumns, slotIs } from './slot.ts';
import { literal, sqlBytes } from './sql-text.ts';

import type { DdlEvent } from '#src/model/position.ts';
import type { ServerError } from './command-answer.ts';
import type { SinkSession } from './session.ts';
import type { WriterParts } from './transaction.ts';

/** Whose DDL. */
export interface DdlOwner {
  readonly changefeed: string;
  readonly token: number;
}

/** Tries to get the DDL lock; between them whoever holds it is killed. Rolling back a killed ALTER takes its time. */
const lockTryCountMax = 60;
/** Bits of sql_mode that only MariaDB and old MySQL know; MySQL 8 refuses them. */
const oldModeBits = [4, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 28];
const unknownCollation = 1273;
const unknownCharset = 1115;

/**
 * The one session that runs DDL of a feed (FENCE §0.5, model D3): it took the feed's DDL lock first and checked the feed's
 * token after, and the lock is the session's own, so a successor that kills the session knows that no DDL of ours
 * can start or go on once it holds the lock.
 */
export class DdlSession {
  readonly owner: DdlOwner;
  readonly session: SinkSession;
  readonly #parts: WriterParts;
  /** Whether a default database was ever chosen here: there is no way back to none. */
  #hasDefault = false;

  private constructor(parts: WriterParts, owner: DdlOwner, session: SinkSession) {
    this.#parts = parts;
    this.owner = owner;
    this.session = session;
  }

  /** Opens the session; SINK_FENCED when the feed has a newer owner, SINK_BUSY when the lock cannot be had. */
  static async open(parts: WriterParts, owner: DdlOwner): Promise<DdlSession> {
    const session = await parts.sessions.open('ddl');
    try {
      const opened = new DdlSession(parts, owner, session);
      await opened.#takeLock();
      await opened.demandToken();
      return opened;
    } catch (error) {
      session.destroy();
      throw error;
    }
  }

  /** Reads the feed's token; throws unless it is ours. */
  async demandToken(): Promise<void> {
    const key = { changefeed: this.owner.changefeed, slot: feedSlot };
    const [row] = await this.session.rows(
      `SELECT ${slotColumns} FROM ${this.#parts.tables.slot} WHERE ${slotIs(key)}`,
      'check the token of the feed',
    );
    const token = row === undefined ? 0 : readSlotRow(row).token;
    if (token === this.owner.token) return;
    if (token > this.owner.token) {
      fail('SINK_FENCED', 'a newer owner raised the token of the feed', {
        detail: { token, mine: this.owner.token },
      });
    }
    fail('SINK_REGRESSED', 'the row of the feed is missing or of an older token', {
      retry: 'Resync',
    });
  }

  /** Whether this session can run a statement whose default database is `schema`, or a fresh one is needed. */
  async chooseDefault(schema: string): Promise<boolean> {
    if (schema === '') return true;
    const answer = await this.session.attempt([sqlBytes(`USE ${quoteIdentifier(schema)}`)]);
    if (answer.error === null) {
      this.#hasDefault = true;
      return true;
    }
    if (answer.error.errno !== errno.badDatabase) return this.#broken(answer.error);
    // Filtered out or not made yet. Unqualified names must not fall into the database of an earlier statement.
    return !this.#hasDefault;
  }

  /**
   * Runs the statement as the upstream's session ran it; null when it succeeded, else the server's error. The session is
   * one of ours again after it. A lost connection rejects: the outcome is unknown.
   */
  async run(ddl: DdlEvent, sql: string): Promise<ServerError | null> {
    try {
      return await this.#run(ddl, sql);
    } catch (error) {
      // Half way it is set up for this statement alone: nobody may go on with it.
      this.session.destroy();
      throw error;
    }
  }

  async #run(ddl: DdlEvent, sql: string): Promise<ServerError | null> {
    await this.#setContext(ddl);
    const { connection } = this.session;
    // A logged event holds one statement; what looks like a second one must not run.
    await connection.allowSeveralStatements(false, 30_000);
    const { gate } = this.#parts;
    // No time limit: an ALTER of a large table takes hours. A dead peer is noticed by the kernel's probes.
    const answer = await connection.query([sqlBytes(sql)], { gate, timeoutMs: 0 });
    await connection.allowSeveralStatements(true, 30_000);
    await this.session.run(
      `${sessionSetup('ddl')};SET TIMESTAMP=DEFAULT`,
      'set up the DDL session',
    );
    return answer.error;
  }

  /** Ends the session, on the server too. */
  async bury(): Promise<void> {
    await this.#parts.sessions.bury(this.session);
  }

  async #takeLock(): Promise<void> {
    const lockName = ddlLockName(this.owner.changefeed);
    for (let tryCount = 0; tryCount < lockTryCountMax; tryCount++) {
      const [row] = await this.session.rows(
        // No wait the first time: whoever holds it now is not going to give it up.
        `SELECT GET_LOCK(${literal(lockName)},${tryCount === 0 ? 0 : 1}) AS taken`,
        'take the DDL lock',
      );
      if (row?.['taken'] === 1) return;
      // Only the feed's owner may end another's session.
      await this.demandToken();
      await killHolders(this.session, [lockName]);
    }
    fail('SINK_BUSY', 'an earlier owner still runs a DDL', { retry: 'Again' });
  }

  /** Session state that the statement's meaning depends on (BINLOG: status variables of the event). */
  async #setContext(ddl: DdlEvent): Promise<void> {
    const settings = ['foreign_key_checks=0'];
    // Foreign keys were checked upstream, or switched off there: off is right for both.
    if (ddl.sqlMode !== undefined) settings.push(`sql_mode=${await this.#sqlMode(ddl.sqlMode)}`);
    if (ddl.timeZone !== undefined && ddl.timeZone !== '') {
      settings.push(`time_zone=${literal(ddl.timeZone)}`);
    }
    const timestamp = ddl.commitMs > 0 ? (ddl.commitMs / 1000).toFixed(3) : 'DEFAULT';
    // The text reached us as characters, whatever the client's charset was; literals keep their collation.
    await this.session.run(
      `SET NAMES utf8mb4;SET TIMESTAMP=${timestamp}`,
      'set the context of a DDL',
    );
    if (ddl.charset !== undefined) {
      await this.#setCollation('collation_connection', ddl.charset.connection);
      await this.#setCollation('collation_server', ddl.charset.server);
    }
    await this.#setExplicitDefaults(ddl.explicitDefaultsForTimestamp);
    await this.session.run(`SET SESSION ${settings.join(',')}`, 'set the context of a DDL');
  }

  async #setCollation(variable: string, id: number): Promise<void> {
    const answer = await this.session.attempt([sqlBytes(`SET SESSION ${variable}=${id}`)]);
    if (answer.error === null) return;
    const number = answer.error.errno;
    if (number !== unknownCollation && number !== unknownCharset) this.#broken(answer.error);
    this.#parts.log('warn', 'ddl-collation-unknown', { variable, id });
  }

  async #setExplicitDefaults(wanted: boolean | undefined): Promise<void> {
    if (wanted === undefined) return;
    const [row] = await this.session.rows(
      'SELECT @@explicit_defaults_for_timestamp AS explicit',
      'read a variable of the DDL session',
    );
    if (Number(row?.['explicit']) === Number(wanted)) return;
    const sql = `SET SESSION explicit_defaults_for_timestamp=${Number(wanted)}`;
    const answer = await this.session.attempt([sqlBytes(sql)]);
    if (answer.error === null) return;
    fail(
      'SINK_UNSUPPORTED',
      `explicit_defaults_for_timestamp is ${wanted ? 'ON' : 'OFF'} upstream and cannot be set so downstream`,
      { detail: { errno: answer.error.errno } },
    );
  }

  async #sqlMode(mode: number): Promise<number> {
    const [row] = await this.session.rows('SELECT VERSION() AS version', 'read the version');
    if (/mariadb/i.test(String(row?.['version']))) return mode;
    const high = Math.floor(mode / 2 ** 32) * 2 ** 32;
    // Above 2^31 the families gave the bits different meanings.
    let low = mode - high;
    for (const bit of oldModeBits) if (Math.floor(low / 2 ** bit) % 2 === 1) low -= 2 ** bit;
    return low;
  }

  #broken(error: ServerError): never {
    this.session.destroy();
    throw new FailureError(serverFailure(error, 'prepare a DDL'));
  }
}

/** The Failure of a DDL that the downstream refused, with the errno and, when it cannot hold values, the server's words. */
export function ddlRefusal(error: ServerError, { gtid }: DdlEvent): FailureError {
  const translated = serverFailure(error, `run the DDL at ${gtid}`);
  if (translated.retry !== 'Never') return new FailureError(translated);
  return new FailureError(
    failure('SINK_REFUSED', translated.message, {
      scope: 'Table',
      ...(translated.detail === undefined ? {} : { detail: translated.detail }),
    }),
  );
}
