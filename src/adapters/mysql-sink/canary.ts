import { FailureError, fail, failure } from '#src/base/failure.ts';
import { quoteText } from './batch/identifier.ts';
import { rowsOf } from './connection.ts';
import { errno, serverFailure } from './server-error.ts';
import { canaryLockName } from './session.ts';
import { guardStatements, slotIs } from './slot.ts';
import { literal, sqlBytes } from './sql-text.ts';
import { tombstoneToken } from './meta-schema.ts';

import type { MetaTables } from './meta-schema.ts';
import type { SinkSession } from './session.ts';
import type { SlotKey } from './slot.ts';

/** The scratch rows belong to no changefeed: a changefeed's name is never empty. */
const scratch: SlotKey = { changefeed: '', slot: 0 };
const scratchToken = 7;
const canaryWaitSeconds = 20;

/**
 * Proves, each time a sink opens, that this server enforces the fence (FENCE §1.2): on a scratch row the right token
 * commits, a stale or too high token, a wrong seq, a missing row and a tombstone are refused before anything behind
 * the guard runs, and a rollback takes everything back. SINK_CANARY says what did not hold.
 */
export async function runCanary(session: SinkSession, tables: MetaTables): Promise<void> {
  await demandTransactionalTables(session, tables);
  await session.run(
    `INSERT INTO ${tables.slot}(cf,slot,token,guard,seq,pos,span,lane,owner) VALUES ('',0,0,0,0,'','canary',0,'') ON DUPLICATE KEY UPDATE token=VALUES(token),guard=VALUES(guard)`,
    'make the scratch row',
  );
  const canary = new Canary(session, tables);
  await canary.run();
}

/**
 * Runs `task` while no other sink makes tables or runs a canary on this server: scratch rows are shared, and a server that is
 * making a table may show another session half of it. SINK_BUSY when the turn does not come in 20 s.
 */
export async function inTurn(session: SinkSession, task: () => Promise<void>): Promise<void> {
  const taken = await session.rows(
    `SELECT GET_LOCK(${literal(canaryLockName)},${canaryWaitSeconds}) AS taken`,
    'take turns with other canaries',
  );
  if (taken[0]?.['taken'] !== 1) {
    fail('SINK_BUSY', 'another canary holds the scratch row', { retry: 'Again' });
  }
  // After an error the session is destroyed, and its locks end with it.
  await task();
  await session.run(`DO RELEASE_LOCK(${literal(canaryLockName)})`, 'end the canary');
}

class Canary {
  readonly #session: SinkSession;
  readonly #tables: MetaTables;

  constructor(session: SinkSession, tables: MetaTables) {
    this.#session = session;
    this.#tables = tables;
  }

  async run(): Promise<void> {
    await this.#setToken(String(scratchToken));
    const seq = await this.#seq();
    const right = { token: scratchToken, previousSeq: seq, pos: '{}' };
    if (!(await this.#passes(scratch, right, 'ROLLBACK')) || (await this.#seq()) !== seq) {
      caught('a rolled back transaction was not taken back');
    }
    if (!(await this.#passes(scratch, right, 'COMMIT')) || (await this.#seq()) !== seq + 1) {
      caught('the right token and sequence were refused');
    }
    const next = { ...right, previousSeq: seq + 1 };
    await this.#demandRefused(scratch, { ...next, token: scratchToken - 1 }, 'a stale token');
    await this.#demandRefused(scratch, { ...next, token: scratchToken + 1 }, 'a foreign token');
    await this.#demandRefused(scratch, right, 'a repeated sequence number');
    await this.#demandRefused(scratch, { ...next, previousSeq: seq + 2 }, 'a sequence gap');
    await this.#demandRefused({ ...scratch, slot: 1 }, next, 'a missing row');
    await this.#setToken(tombstoneToken);
    await this.#demandRefused(scratch, next, 'a tombstone');
    if ((await this.#seq()) !== seq + 1) caught('a refused transaction left a trace');
  }

  async #demandRefused(key: SlotKey, guard: Guard, what: string): Promise<void> {
    if (await this.#passes(key, guard, 'COMMIT')) caught(`${what} was not refused`);
  }

  /** Runs the guard with a marker behind it; whether the server got as far as the marker. */
  async #passes(key: SlotKey, guard: Guard, end: 'COMMIT' | 'ROLLBACK'): Promise<boolean> {
    await this.#session.run('SET @sluice_marker=0', 'set the canary marker');
    const guarded = guardStatements(this.#tables, key, guard);
    const answer = await this.#session.attempt([
      ...guarded,
      sqlBytes('SET @sluice_marker=1'),
      sqlBytes(end),
    ]);
    const number = answer.error?.errno;
    if (number !== undefined && !refusals.has(number)) {
      throw new FailureError(serverFailure(answer.error!, 'run the canary'));
    }
    const after = await this.#session.run(
      'ROLLBACK;SELECT @sluice_marker AS marker',
      'read the canary marker',
    );
    const marked = Number(rowsOf(after, 1)[0]?.['marker']) === 1;
    if (marked !== (number === undefined)) caught('statements run on behind an error');
    return marked;
  }

  async #seq(): Promise<number> {
    const sql = `SELECT seq FROM ${this.#tables.slot} WHERE ${slotIs(scratch)}`;
    const rows = await this.#session.rows(sql, 'read the scratch row');
    return Number(rows[0]?.['seq']);
  }

  async #setToken(token: string): Promise<void> {
    await this.#session.run(
      `UPDATE ${this.#tables.slot} SET token=${token},guard=${token} WHERE ${slotIs(scratch)}`,
      'prepare the scratch row',
    );
  }
}

interface Guard {
  readonly token: number;
  readonly previousSeq: number;
  readonly pos: string;
}

const refusals: ReadonlySet<number> = new Set([
  errno.subqueryRows,
  errno.checkViolatedMariadb,
  errno.checkViolatedMysql,
]);

async function demandTransactionalTables(session: SinkSession, tables: MetaTables): Promise<void> {
  const rows = await session.rows(
    `SELECT TABLE_NAME AS name,ENGINE AS engine FROM information_schema.TABLES WHERE TABLE_SCHEMA=${quoteText(tables.database)} AND TABLE_NAME IN ('slot','ddl') ORDER BY TABLE_NAME`,
    'read the engines of the bookkeeping tables',
  );
  if (rows.length !== 2) caught('the bookkeeping tables cannot be seen');
  const wrong = rows.find((row) => row['engine'] !== 'InnoDB');
  if (wrong !== undefined) {
    caught(`table ${String(wrong['name'])} is ${String(wrong['engine'])}, not InnoDB`);
  }
  const [state] = await session.rows(
    'SELECT @@read_only AS readOnly,@@autocommit AS autocommit',
    'read whether the server is writable',
  );
  if (Number(state?.['readOnly']) !== 0) {
    throw new FailureError(
      failure('SINK_READ_ONLY', 'the downstream is read-only', { retry: 'Again' }),
    );
  }
  if (Number(state?.['autocommit']) !== 1) caught('autocommit cannot be switched on');
}

function caught(what: string): never {
  return fail('SINK_CANARY', `the downstream does not enforce the fence: ${what}`);
}
