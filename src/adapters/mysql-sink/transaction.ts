import { FailureError, failure } from '#src/base/failure.ts';
import { isRowCheckError } from './batch/row-check.ts';
import { rowsOf } from './connection.ts';
import { gateFailure } from '#src/ports/submit-gate.ts';
import { errno, isPassing, serverFailure } from './server-error.ts';
import { guardStatementCount, guardStatements, readSlotRow, slotColumns, slotIs } from './slot.ts';
import { sqlBytes } from './sql-text.ts';
import { describeStatement, isRowCheck } from './statement-text.ts';

import type { Failure } from '#src/base/failure.ts';
import type { Log } from '#src/ports/log.ts';
import type { ServerError } from './command-answer.ts';
import type { SubmitGate } from '#src/ports/submit-gate.ts';
import type { MetaTables } from './meta-schema.ts';
import type { SinkSession } from './session.ts';
import type { SessionPool, Sessions } from './sessions.ts';
import type { SlotKey } from './slot.ts';

/** One step of a slot: the guard for (token, previousSeq) → previousSeq + 1, the position, and the changes. */
export interface SlotStep {
  readonly key: SlotKey;
  readonly token: number;
  readonly previousSeq: number;
  readonly pos: string;
}

/**
 * How a step ended. `Refused`: it is certain that nothing was committed and the slot is as before. `Lost`: the slot is
 * somebody else's, or nobody can say what was committed; only a new raise tells.
 */
export type StepOutcome =
  | { readonly kind: 'Committed'; readonly byteCount: number }
  | { readonly kind: 'Refused'; readonly failure: Failure }
  | { readonly kind: 'Lost'; readonly failure: Failure };

/** Tries of one step, and of one reading back. */
const tryCountMax = 8;
const pauseMsMin = 100;
const pauseMsMax = 5_000;
const commit = sqlBytes('COMMIT');
/** Error numbers by which the guard refuses. */
const refusals: ReadonlySet<number> = new Set([
  errno.subqueryRows,
  errno.checkViolatedMariadb,
  errno.checkViolatedMysql,
]);

/** What a {@link FencedWriter} works with. */
export interface WriterParts {
  readonly sessions: Sessions;
  readonly tables: MetaTables;
  readonly gate: SubmitGate | undefined;
  readonly log: Log;
  /** Resolves after so many milliseconds. */
  readonly sleep: (ms: number) => Promise<void>;
}

/**
 * Commits slot steps, each exactly once. A step goes out as one command whenever it fits; else in several, each awaited, on
 * one connection. After anything but a clean answer the connection is given up and the outcome is read from the slot
 * row, under its lock, on another connection (RELIABILITY I-9): only then the same bytes are sent again.
 */
export class FencedWriter {
  readonly #parts: WriterParts;

  constructor(parts: WriterParts) {
    this.#parts = parts;
  }

  /** Commits `statements` as one step, with sessions of `pool`. */
  async commit(
    step: SlotStep,
    statements: readonly Uint8Array[],
    pool: SessionPool,
  ): Promise<StepOutcome> {
    const whole = [...guardStatements(this.#parts.tables, step.key, step), ...statements, commit];
    const byteCount = whole.reduce((sum, statement) => sum + statement.byteLength + 1, 0);
    for (let tryCount = 1; ; tryCount++) {
      const problem = await this.#submit(whole, pool);
      if (problem === null) return { kind: 'Committed', byteCount };
      if (problem.isSent) {
        const outcome = await this.readBack(step);
        if (outcome.kind === 'Committed') return { kind: 'Committed', byteCount };
        if (outcome.kind === 'Lost') return outcome;
      }
      // From here on it is certain that nothing of this step was committed.
      if (!isPassing(problem.failure) || tryCount === tryCountMax) {
        return { kind: 'Refused', failure: problem.failure };
      }
      const { code } = problem.failure;
      this.#parts.log('warn', 'sink-step-again', { code, slot: step.key.slot, tryCount });
      await this.#parts.sleep(pauseOf(tryCount));
    }
  }

  /** What became of `step`, read under the lock of its row: any transaction still at work on it ends first. */
  async readBack(
    step: SlotStep,
  ): Promise<{ kind: 'Committed' } | { kind: 'Untouched' } | { kind: 'Lost'; failure: Failure }> {
    for (let tryCount = 1; ; tryCount++) {
      try {
        return await this.#parts.sessions.control.with((session) => this.#readOnce(session, step));
      } catch (error) {
        if (!(error instanceof FailureError)) throw error;
        if (!isPassing(error.failure) || tryCount === tryCountMax) {
          return { kind: 'Lost', failure: { ...error.failure, retry: 'Resync' } };
        }
        await this.#parts.sleep(pauseOf(tryCount));
      }
    }
  }

  async #readOnce(
    session: SinkSession,
    step: SlotStep,
  ): Promise<{ kind: 'Committed' } | { kind: 'Untouched' } | { kind: 'Lost'; failure: Failure }> {
    const sql = `BEGIN;SELECT ${slotColumns} FROM ${this.#parts.tables.slot} WHERE ${slotIs(step.key)} FOR UPDATE;ROLLBACK`;
    const found = rowsOf(await session.run(sql, 'read back a slot'), 1)[0];
    const row = found === undefined ? null : readSlotRow(found);
    if (row !== null && row.token === step.token) {
      if (row.seq === step.previousSeq) return { kind: 'Untouched' };
      if (row.seq === step.previousSeq + 1 && row.pos === step.pos) return { kind: 'Committed' };
    }
    return { kind: 'Lost', failure: lossOf(step, row) };
  }

  /** Null when the server confirmed the commit. */
  async #submit(
    whole: readonly Uint8Array[],
    pool: SessionPool,
  ): Promise<{ readonly failure: Failure; readonly isSent: boolean } | null> {
    const { gate } = this.#parts;
    if (gate !== undefined && !gate.mayWrite()) {
      return { failure: gateFailure(gate), isSent: false };
    }
    let session: SinkSession;
    try {
      session = await pool.borrow();
    } catch (error) {
      if (!(error instanceof FailureError)) throw error;
      return { failure: error.failure, isSent: false };
    }
    try {
      await sendStatements(session, whole, { gate, endsOpen: false, guarded: true });
      return null;
    } catch (error) {
      if (!(error instanceof FailureError)) throw error;
      await this.#parts.sessions.bury(session);
      return { failure: error.failure, isSent: true };
    } finally {
      pool.giveBack(session);
    }
  }
}

/** How statements of a transaction are sent. */
export interface SendOptions {
  readonly gate: SubmitGate | undefined;
  /** Whether the transaction must still be open behind the last statement. */
  readonly endsOpen: boolean;
  /** Whether the statements begin with the guard. */
  readonly guarded: boolean;
}

/**
 * Sends statements of one transaction in as few commands as the server takes, each awaited, and checks that the transaction
 * lives on between them. A FailureError means: give the session up.
 */
export async function sendStatements(
  session: SinkSession,
  statements: readonly Uint8Array[],
  options: SendOptions,
): Promise<void> {
  let from = 0;
  while (from < statements.length) {
    const to = commandEnd(statements, from, session);
    const answer = await session.attempt(statements.slice(from, to), options.gate);
    if (answer.error !== null) {
      const at = from + answer.error.statementIndex;
      const isGuard = options.guarded && at < guardStatementCount;
      throw new FailureError(stepFailure(answer.error, statements, { at, isGuard }));
    }
    const expected = to < statements.length || options.endsOpen;
    if (expected !== session.connection.inTransaction) {
      throw new FailureError(
        failure('SINK_DISCONNECTED', 'the downstream ended the transaction on its own', {
          retry: 'Reconnect',
        }),
      );
    }
    from = to;
  }
}

/** Index behind the last statement that still fits into one command beginning with statement `from`. */
function commandEnd(statements: readonly Uint8Array[], from: number, session: SinkSession): number {
  let bytes = 0;
  let to = from;
  while (to < statements.length) {
    bytes += statements[to]!.byteLength + 1;
    if (bytes > session.commandBytesMax) break;
    to++;
  }
  if (to > from) return to;
  if (statements[from]!.byteLength < session.statementBytesMax) return from + 1;
  const says = `a statement of ${statements[from]!.byteLength} bytes does not fit into max_allowed_packet of the downstream`;
  throw new FailureError(failure('SINK_ROW_TOO_LARGE', says, { scope: 'Table' }));
}

/** The Failure of an error at statement `at` of a step. */
function stepFailure(
  error: ServerError,
  statements: readonly Uint8Array[],
  place: { readonly at: number; readonly isGuard: boolean },
): Failure {
  const { at, isGuard } = place;
  if (isGuard && refusals.has(error.errno)) {
    // Not the last word: the slot row is read back, and only that tells whether we are fenced.
    return failure('SINK_BUSY', 'the fence refused a transaction', { retry: 'Again' });
  }
  const statement = statements[at];
  if (
    statement !== undefined &&
    isRowCheck(statement) &&
    isRowCheckError(error.errno, error.text)
  ) {
    const doing = describeStatement(statements[at - 1]);
    return failure('SINK_ROW_MISSING', `fewer or more rows than expected: ${doing}`, {
      scope: 'Table',
      detail: { errno: error.errno },
    });
  }
  return serverFailure(error, describeStatement(statement));
}

function lossOf(
  step: SlotStep,
  row: { readonly token: number; readonly seq: number } | null,
): Failure {
  const { slot } = step.key;
  if (row !== null && row.token > step.token) {
    return failure('SINK_FENCED', `a newer owner raised the token of slot ${slot}`, {
      scope: 'Table',
      detail: { slot, token: row.token, mine: step.token },
    });
  }
  const found =
    row === null ? 'missing' : row.token < step.token ? 'of an older token' : 'elsewhere';
  return failure('SINK_REGRESSED', `the row of slot ${slot} is ${found}`, {
    retry: 'Resync',
    scope: 'Table',
    detail: { slot, mine: step.token },
  });
}

function pauseOf(tryCount: number): number {
  return Math.min(pauseMsMax, pauseMsMin * 2 ** (tryCount - 1));
}
