import { FailureError, fail, failure } from '#src/base/failure.ts';
import { spansOverlap, wholeSpan } from '#src/model/span.ts';
import { rowsOf } from './connection.ts';
import { feedSlot, readSlotRow, slotColumns, slotIs } from './slot.ts';
import { literal, sqlBytes } from './sql-text.ts';
import { Takeover, blockedBy } from './takeover.ts';

import type { SubmitGate } from '#src/ports/submit-gate.ts';
import type { MetaTables } from './meta-schema.ts';
import type { SinkSession } from './session.ts';
import type { Sessions } from './sessions.ts';
import type { SlotRow } from './slot.ts';
import type { TakeoverStep } from './takeover.ts';
import type { WriterParts } from './transaction.ts';

const doing = 'raise the token of a slot';

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

type Step = TakeoverStep<readonly SlotRow[]>;

/**
 * Takeover (FENCE §1.2): raises tokens and reads positions in one locking transaction, so that nothing of an earlier owner
 * commits in between.
 */
export class Raiser {
  readonly #sessions: Sessions;
  readonly #tables: MetaTables;
  readonly #gate: SubmitGate | undefined;
  readonly #takeover: Takeover;

  constructor(parts: WriterParts) {
    this.#sessions = parts.sessions;
    this.#tables = parts.tables;
    this.#gate = parts.gate;
    this.#takeover = new Takeover(parts);
  }

  /** The rows with positions as they were under the lock, lowest slot first. SINK_FENCED when a higher token is there. */
  raise(raise: Raise): Promise<readonly SlotRow[]> {
    const sent = { value: false };
    const rows = { changefeed: raise.changefeed, spans: [raise.span] };
    return this.#takeover.run(rows, (session) => this.#try(session, raise, sent));
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
    const whole = wholeSpan(span);
    const othersSql = `SELECT DISTINCT span FROM ${this.#tables.slot} WHERE cf=${literal(changefeed)} AND (span=${literal(whole)} OR span>=${literal(`${whole}#`)} AND span<${literal(`${whole}$`)})`;
    const locking = ['BEGIN', ...(span === '' ? [] : [feedSql]), rowsSql, topSql, othersSql];
    const answer = await session.attempt(locking.map(sqlBytes));
    const blocked = blockedBy(session, answer, doing);
    if (blocked !== null) return blocked;
    const rows = rowsOf(answer, answer.statementCount - 3).map(readSlotRow);
    const others = rowsOf(answer, answer.statementCount - 1).map((row) => String(row['span']));
    if (rows.length === 0) demandUndivided(raise, others);
    const feed = span === '' ? undefined : rowsOf(answer, 1)[0];
    const isMine = sent.value && rows.every((row) => row.owner === this.#sessions.instance);
    const asked = { ...raise, refusesEqual: raise.refusesEqual && !isMine };
    const refusal = refusalOf(asked, rows, feed === undefined ? null : readSlotRow(feed));
    if (refusal !== null) throw refusal;
    const top = Number(rowsOf(answer, answer.statementCount - 2)[0]?.['top']);
    const made = missingRows(raise, rows, top);
    const statements = this.#raising(raise, rows, made);
    sent.value = true;
    const raised = await session.attempt(statements.map(sqlBytes), this.#gate);
    const stuck = blockedBy(session, raised, doing);
    if (stuck !== null) return stuck;
    const owner = this.#sessions.instance;
    return { kind: 'Done', value: [...rows, ...made].map((row) => ({ ...row, token, owner })) };
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
}

/** A span without rows whose table has others was divided otherwise meanwhile: whoever raises it is late. */
function demandUndivided({ span, token }: Raise, others: readonly string[]): void {
  const other = others.find((name) => name !== span && spansOverlap(name, span));
  if (other === undefined) return;
  fail('SINK_FENCED', `the slots of ${span} are those of ${other} by now`, {
    retry: 'Resync',
    scope: 'Table',
    detail: { mine: token },
  });
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
  // A maintainer that was replaced, or whose changefeed rests, must not even take spans that nobody has raised since.
  const feedToken = feed?.token ?? 0;
  const stale =
    highest > raise.token ||
    (raise.refusesEqual && highest === raise.token) ||
    feedToken > raise.token;
  if (!stale) return null;
  const found = Math.max(highest, feed?.token ?? 0);
  return new FailureError(
    failure('SINK_FENCED', 'a newer owner raised the token of this slot', {
      scope: raise.span === '' ? 'Feed' : 'Table',
      detail: { token: found, mine: raise.token },
    }),
  );
}
