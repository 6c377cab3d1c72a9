import { FailureError } from '#src/base/failure.ts';
import { guardStatements } from './slot.ts';
import { sqlBytes } from './sql-text.ts';
import { sendStatements } from './transaction.ts';

import type { SinkSession } from './session.ts';
import type { FencedWriter, SlotStep, StepOutcome, WriterParts } from './transaction.ts';

const commit = sqlBytes('COMMIT');

/**
 * One source transaction too large for one call: begun with the guard, filled part by part and committed on a session of its
 * own. Any failure loses all of it; nothing is ever half there, because the server rolls it back.
 */
export class StagedTransaction {
  readonly #parts: WriterParts;
  readonly #session: SinkSession;
  readonly #step: SlotStep;
  /** commitTs of the transaction, as its guard wrote it. */
  readonly ts: number;

  private constructor(
    parts: WriterParts,
    session: SinkSession,
    at: { step: SlotStep; ts: number },
  ) {
    this.#parts = parts;
    this.#session = session;
    this.#step = at.step;
    this.ts = at.ts;
  }

  /** Opens a session and passes the guard; from here on the slot's row is locked. */
  static async begin(parts: WriterParts, step: SlotStep, ts: number): Promise<StagedTransaction> {
    const session = await parts.sessions.open('staged');
    const staged = new StagedTransaction(parts, session, { step, ts });
    await staged.#send(guardStatements(parts.tables, step.key, step), true);
    return staged;
  }

  /** Adds changes; answers the bytes sent. */
  async more(statements: readonly Uint8Array[]): Promise<number> {
    await this.#send(statements, false);
    return statements.reduce((sum, statement) => sum + statement.byteLength + 1, 0);
  }

  /** Commits; when the answer is lost, the slot row tells. The session ends in any case. */
  async commit(writer: FencedWriter): Promise<StepOutcome> {
    try {
      const options = { gate: this.#parts.gate, endsOpen: false, guarded: false };
      await sendStatements(this.#session, [commit], options);
      this.#session.destroy();
      return { kind: 'Committed', byteCount: commit.byteLength };
    } catch (error) {
      if (!(error instanceof FailureError)) throw error;
      await this.abandon();
      const outcome = await writer.readBack(this.#step);
      if (outcome.kind === 'Committed') return { kind: 'Committed', byteCount: commit.byteLength };
      if (outcome.kind === 'Lost') return outcome;
      return { kind: 'Refused', failure: error.failure };
    }
  }

  /** Gives it up; resolves when the server was told to end the session. */
  async abandon(): Promise<void> {
    await this.#parts.sessions.bury(this.#session);
  }

  async #send(statements: readonly Uint8Array[], guarded: boolean): Promise<void> {
    if (statements.length === 0) return;
    try {
      await sendStatements(this.#session, statements, {
        gate: this.#parts.gate,
        endsOpen: true,
        guarded,
      });
    } catch (error) {
      await this.abandon();
      throw error;
    }
  }
}
