import { createHash } from 'node:crypto';
import { FailureError, fail, failure } from '#src/base/failure.ts';
import { errno, serverFailure } from './server-error.ts';
import { feedSlot, tokenCheck } from './slot.ts';
import { literal, sqlBytes } from './sql-text.ts';

import type { DdlEvent } from '#src/model/position.ts';
import type { Fingerprint } from './ddl-fingerprint.ts';
import type { DdlSession } from './ddl-session.ts';
import type { WriterParts } from './transaction.ts';

/** How far a DDL got. */
export type DdlState = 'intent' | 'done' | 'refused';

/** What the journal says of one DDL. */
export interface DdlRecord {
  readonly state: DdlState;
  readonly before: Fingerprint;
}

/** The journal of DDL in the downstream (FENCE W6): written before and after each, on the session that holds the lock. */
export class DdlJournal {
  readonly #parts: WriterParts;
  readonly #session: DdlSession;

  constructor(parts: WriterParts, session: DdlSession) {
    this.#parts = parts;
    this.#session = session;
  }

  /** The record of `ddl`, null when it was never tried. SINK_REFUSED when another statement is recorded at its place. */
  async read(ddl: DdlEvent): Promise<DdlRecord | null> {
    const [row] = await this.#session.session.rows(
      `SELECT state,digest,\`before\` FROM ${this.#parts.tables.ddl} WHERE ${this.#place(ddl)}`,
      'read the DDL journal',
    );
    if (row === undefined) return null;
    const state = String(row['state']) as DdlState;
    // A refused statement changed nothing, so a corrected one may stand in its place.
    if (state !== 'refused' && row['digest'] !== digestOf(ddl)) {
      return fail('SINK_REFUSED', `the downstream knows another DDL at position ${ddl.ts}`);
    }
    return { state, before: JSON.parse(String(row['before'])) as Fingerprint };
  }

  /** Records that `ddl` is about to run, and how its objects look. */
  async intend(ddl: DdlEvent, before: Fingerprint): Promise<void> {
    const { changefeed, token } = this.#session.owner;
    const values = [
      literal(changefeed),
      ddl.ts,
      literal(ddl.gtid),
      literal(digestOf(ddl)),
      `'intent'`,
      token,
      literal(JSON.stringify(before)),
    ];
    const columns = ['cf', 'ts', 'gtid', 'digest', 'state', 'token', '`before`'];
    const again = columns.slice(2).map((column) => `${column}=VALUES(${column})`);
    // No REPLACE: the account has no DELETE on the bookkeeping.
    await this.#write(
      `INSERT INTO ${this.#parts.tables.ddl}(${columns.join(',')}) VALUES (${values.join(',')}) ON DUPLICATE KEY UPDATE ${again.join(',')}`,
    );
  }

  /** Records how it ended. */
  async end(ddl: DdlEvent, state: 'done' | 'refused'): Promise<void> {
    const { token } = this.#session.owner;
    await this.#write(
      `UPDATE ${this.#parts.tables.ddl} SET state='${state}',token=${token} WHERE ${this.#place(ddl)}`,
    );
  }

  /** One fenced transaction: no journal line of a stale owner ever lands. */
  async #write(sql: string): Promise<void> {
    const { owner, session } = this.#session;
    const key = { changefeed: owner.changefeed, slot: feedSlot };
    const check = tokenCheck(this.#parts.tables, key, owner.token);
    const statements = [sqlBytes('BEGIN'), check, sqlBytes(sql), sqlBytes('COMMIT')];
    const answer = await session.attempt(statements, this.#parts.gate);
    if (answer.error === null) return;
    session.destroy();
    if (answer.error.statementIndex === 1 && answer.error.errno === errno.subqueryRows) {
      throw new FailureError(failure('SINK_FENCED', 'a newer owner raised the token of the feed'));
    }
    throw new FailureError(serverFailure(answer.error, 'write the DDL journal'));
  }

  #place(ddl: DdlEvent): string {
    return `cf=${literal(this.#session.owner.changefeed)} AND ts=${ddl.ts}`;
  }
}

function digestOf(ddl: DdlEvent): string {
  return createHash('sha256')
    .update(JSON.stringify([ddl.schema, ddl.sql]))
    .digest('hex');
}
