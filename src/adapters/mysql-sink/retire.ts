import { fail } from '#src/base/failure.ts';
import { epochOf } from '#src/model/token.ts';
import { rowsOf } from './connection.ts';
import { readSlotRow, slotColumns } from './slot.ts';
import { literal, sqlBytes } from './sql-text.ts';
import { Takeover, blockedBy } from './takeover.ts';

import type { SubmitGate } from '#src/ports/submit-gate.ts';
import type { MetaTables } from './meta-schema.ts';
import type { SinkSession } from './session.ts';
import type { Sessions } from './sessions.ts';
import type { TakeoverStep } from './takeover.ts';
import type { WriterParts } from './transaction.ts';

const doing = 'retire the slots of a changefeed';

/** Raises all slots of a changefeed that rests, so that nobody's late transaction commits (RELIABILITY I-12). */
export class Retirer {
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

  /** Does it, or finds it done; waits for, and in the end evicts, whoever holds a row. SINK_FENCED when a newer owner is there. */
  async retire(changefeed: string, token: number): Promise<void> {
    await this.#takeover.run({ changefeed, spans: null }, (session) =>
      this.#try(session, changefeed, token),
    );
  }

  async #try(session: SinkSession, changefeed: string, token: number): Promise<TakeoverStep<null>> {
    const cf = literal(changefeed);
    const rowsSql = `SELECT ${slotColumns} FROM ${this.#tables.slot} WHERE cf=${cf} ORDER BY slot FOR UPDATE`;
    const answer = await session.attempt(['BEGIN', rowsSql].map(sqlBytes));
    const blocked = blockedBy(session, answer, doing);
    if (blocked !== null) return blocked;
    const rows = rowsOf(answer, 1).map(readSlotRow);
    const newer = rows.find((row) => epochOf(row.token) > epochOf(token));
    if (newer !== undefined)
      return fail('SINK_FENCED', 'a newer owner raised the token of a slot', {
        detail: { token: newer.token, mine: token },
      });
    const slots = rows.filter((row) => row.token < token).map(({ slot }) => slot);
    const owner = literal(this.#sessions.instance);
    const statements =
      slots.length === 0
        ? ['ROLLBACK']
        : [
            `UPDATE ${this.#tables.slot} SET token=${token},guard=${token},owner=${owner} WHERE cf=${cf} AND slot IN (${slots.join(',')})`,
            'COMMIT',
          ];
    const raised = await session.attempt(statements.map(sqlBytes), this.#gate);
    return blockedBy(session, raised, doing) ?? { kind: 'Done', value: null };
  }
}
