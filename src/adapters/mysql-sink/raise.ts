import { FailureError, failure } from '#src/base/failure.ts';
import { rowsOf } from './connection.ts';
import { errno, isPassing, serverFailure } from './server-error.ts';
import { killHolders } from './session.ts';
import { feedSlot, readSlotRow, slotColumns, slotIs } from './slot.ts';
import { literal, sqlBytes } from './sql-text.ts';

import type { Log } from '#src/ports/log.ts';
import type { CommandAnswer } from './command-answer.ts';
import type { SubmitGate } from '#src/ports/submit-gate.ts';
import type { MetaTables } from './meta-schema.ts';
import type { SinkSession } from './session.ts';
import type { Sessions } from './sessions.ts';
import type { SlotRow } from './slot.ts';
import type { WriterParts } from './transaction.ts';

/** Tries of one raise; each waits at most 1 s for the row locks of an earlier owner. */
const tryCountMax = 15;
/** Milliseconds between tries: time for a killed connection to roll back. */
const pauseMs = 50;
/** assignmentSeq part of a token (FENCE §1.1). */
const tokensPerEpoch = 2 ** 20;

/** A raise of the token of all rows of one span ('' is the feed itself). */
export interface Raise {
  readonly changefeed: string;
  readonly span: string;
  readonly token: number;
  /** Rows to have at least; missing ones are made with `pos`. */
  readonly laneCount: number;
  readonly pos: string;
  /** Whether a row that has exactly `token` is refused too. */
  readonly refusesEqual: boolean;
}

type Step =
  | { readonly kind: 'Raised'; readonly rows: readonly SlotRow[] }
  | { readonly kind: 'Blocked' }
  | { readonly kind: 'Collided' };

/**
 * Takeover (FENCE §1.2): raises tokens and reads positions in one locking transaction, so that nothing of an earlier owner
 * commits in between. Only when that owner's transaction blocks it, the owner's connections are found by the locks
 * they hold and killed.
 */
export class Raiser {
  readonly #sessions: Sessions;
  readonly #tables: MetaTables;
  readonly #gate: SubmitGate | undefined;
  readonly #log: Log;
  readonly #sleep: WriterParts['sleep'];

  constructor(parts: WriterParts) {
    this.#sessions = parts.sessions;
    this.#tables = parts.tables;
    this.#gate = parts.gate;
    this.#log = parts.log;
    this.#sleep = parts.sleep;
  }

  /** The rows with positions as they were under the lock, lowest slot first. SINK_FENCED when a higher token is there. */
  async raise(raise: Raise): Promise<readonly SlotRow[]> {
    let last = failure('SINK_BUSY', 'an earlier owner keeps the slot rows locked', {
      retry: 'Again',
    });
    const sent = { value: false };
    for (let tryCount = 0; tryCount < tryCountMax; tryCount++) {
      try {
        const step = await this.#sessions.control.with((session) =>
          this.#try(session, raise, sent),
        );
        if (step.kind === 'Raised') return step.rows;
        if (step.kind === 'Blocked') await this.#evict(raise);
      } catch (error) {
        if (!(error instanceof FailureError) || !isPassing(error.failure)) throw error;
        last = error.failure;
        // A server that is gone is not waited for here: the caller has the longer patience.
        if (last.code === 'SINK_UNREACHABLE' && tryCount >= 3) break;
      }
      await this.#sleep(pauseMs * (tryCount + 1));
    }
    throw new FailureError(last);
  }

  /** `sent` is set before the raise goes out: from then on, a row with our token may be our own doing. */
  async #try(session: SinkSession, raise: Raise, sent: { value: boolean }): Promise<Step> {
    const { changefeed, span, token } = raise;
    const rowsSql =
      `SELECT ${slotColumns} FROM ${this.#tables.slot} FORCE INDEX(lanes) ` +
      `WHERE cf=${literal(changefeed)} AND span=${literal(span)} ORDER BY lane FOR UPDATE`;
    // The feed's row first: all transactions take slot rows in ascending order.
    const feedSql = `SELECT token,seq,pos,slot,lane,owner FROM ${this.#tables.slot} WHERE ${slotIs({ changefeed, slot: feedSlot })} LOCK IN SHARE MODE`;
    const topSql = `SELECT COALESCE(MAX(slot),0) AS top FROM ${this.#tables.slot} WHERE cf=${literal(changefeed)}`;
    const locking = ['BEGIN', ...(span === '' ? [] : [feedSql]), rowsSql, topSql];
    const answer = await session.attempt(locking.map(sqlBytes));
    const blocked = this.#check(session, answer);
    if (blocked !== null) return blocked;
    const rows = rowsOf(answer, answer.statementCount - 2).map(readSlotRow);
    const feed = span === '' ? undefined : rowsOf(answer, 1)[0];
    const isMine = sent.value && rows.every((row) => row.owner === this.#sessions.instance);
    const asked = { ...raise, refusesEqual: raise.refusesEqual && !isMine };
    const refusal = refusalOf(asked, rows, feed === undefined ? null : readSlotRow(feed));
    if (refusal !== null) throw refusal;
    const top = Number(rowsOf(answer, answer.statementCount - 1)[0]?.['top']);
    const made = missingRows(raise, rows, top);
    const statements = this.#raising(raise, rows, made);
    sent.value = true;
    const raised = await session.attempt(statements.map(sqlBytes), this.#gate);
    const stuck = this.#check(session, raised);
    if (stuck !== null) return stuck;
    return {
      kind: 'Raised',
      rows: [...rows, ...made].map((row) => ({ ...row, token, owner: this.#sessions.instance })),
    };
  }

  #raising(raise: Raise, rows: readonly SlotRow[], made: readonly SlotRow[]): string[] {
    const { changefeed, span, token } = raise;
    const cf = literal(changefeed);
    const owner = literal(this.#sessions.instance);
    const statements: string[] = [];
    if (rows.length > 0) {
      const slots = rows.map((row) => row.slot).join(',');
      statements.push(
        `UPDATE ${this.#tables.slot} SET token=${token},guard=${token},owner=${owner} WHERE cf=${cf} AND slot IN (${slots})`,
      );
    }
    if (made.length > 0) {
      const values = made.map(
        ({ slot, lane, pos }) =>
          `(${cf},${slot},${token},${token},0,${literal(pos)},${literal(span)},${lane},${owner})`,
      );
      statements.push(
        `INSERT INTO ${this.#tables.slot}(cf,slot,token,guard,seq,pos,span,lane,owner) VALUES ${values.join(',')}`,
      );
    }
    return [...statements, 'COMMIT'];
  }

  /** Null when the command succeeded; what to do when it met others; throws anything else. */
  #check(session: SinkSession, answer: CommandAnswer): Step | null {
    if (answer.error === null) return null;
    session.destroy();
    const number = answer.error.errno;
    if (number === errno.lockWaitTimeout) return { kind: 'Blocked' };
    // Another raiser took the same free slot number, or our locks crossed: the next try sees its rows.
    if (number === errno.duplicateEntry || number === errno.deadlock) return { kind: 'Collided' };
    throw new FailureError(serverFailure(answer.error, 'raise the token of a slot'));
  }

  /** Ends what may hold the rows: all connections of the instance that raised them last, of our own only the dead ones. */
  async #evict(raise: Raise): Promise<void> {
    await this.#sessions.control.with(async (session) => {
      const rows = await session.rows(
        `SELECT DISTINCT owner FROM ${this.#tables.slot} WHERE cf=${literal(raise.changefeed)} AND span=${literal(raise.span)}`,
        'find the earlier owner of a slot',
      );
      const names = rows.flatMap((row) => this.#sessions.lockNamesOf(String(row['owner'])));
      const killCount = await killHolders(session, names, (id) => !this.#sessions.isLive(id));
      this.#log('warn', 'sink-owner-evicted', { span: raise.span, killCount });
    });
  }
}

function missingRows(raise: Raise, rows: readonly SlotRow[], top: number): SlotRow[] {
  const made: SlotRow[] = [];
  const lanes = new Set(rows.map((row) => row.lane));
  for (let lane = 0; lane < raise.laneCount; lane++) {
    if (lanes.has(lane)) continue;
    const slot = raise.span === '' ? feedSlot : top + 1 + made.length;
    made.push({ slot, lane, token: raise.token, seq: 0, pos: raise.pos, owner: '' });
  }
  return made;
}

/** Why the raise must not happen, or null. */
function refusalOf(
  raise: Raise,
  rows: readonly SlotRow[],
  feed: SlotRow | null,
): FailureError | null {
  const highest = Math.max(0, ...rows.map((row) => row.token));
  // A maintainer that was replaced must not even take spans that its successor has not raised yet.
  const feedEpoch = feed === null ? 0 : Math.floor(feed.token / tokensPerEpoch);
  const stale =
    highest > raise.token ||
    (raise.refusesEqual && highest === raise.token) ||
    feedEpoch > Math.floor(raise.token / tokensPerEpoch);
  if (!stale) return null;
  const found = Math.max(highest, feed?.token ?? 0);
  return new FailureError(
    failure('SINK_FENCED', 'a newer owner raised the token of this slot', {
      scope: raise.span === '' ? 'Feed' : 'Table',
      detail: { token: found, mine: raise.token },
    }),
  );
}
