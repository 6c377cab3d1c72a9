import { type BatchCounts, type BatchRange, SqliteBatch, TableCache } from './sqlite-batch.ts';
import type { SubmitGate } from '#src/ports/submit-gate.ts';
import { SqliteConnection } from './sqlite-connection.ts';
import { type SlotRow, advanceSlot, guardSlot } from './sqlite-slot.ts';

/** What a staged transaction is for. */
export interface StagePlan {
  readonly changefeed: string;
  readonly span: string;
  readonly token: number;
  readonly seq: number | undefined;
  readonly range: BatchRange;
}

/** Without a further stage for this long the transaction is given up: it holds the file's write lock. Milliseconds. */
const idleMsMax = 60_000;

/**
 * A transaction that takes several calls, on a connection of its own. From its guard to its end it holds the file's
 * write lock, so no token can be raised in between.
 */
export class StagedTransaction {
  readonly #connection: SqliteConnection;
  readonly #plan: StagePlan;
  readonly #slot: SlotRow;
  readonly #batch: SqliteBatch;
  readonly #range: BatchRange;
  readonly #timer: NodeJS.Timeout;
  #lastTs = 0;

  private constructor(connection: SqliteConnection, plan: StagePlan, slot: SlotRow) {
    this.#connection = connection;
    this.#plan = plan;
    this.#slot = slot;
    this.#batch = new SqliteBatch(new TableCache(connection));
    this.#range = { ...plan.range, afterTs: Math.max(plan.range.afterTs, slot.ts) };
    this.#timer = setTimeout(() => this.drop(), idleMsMax);
    this.#timer.unref();
  }

  /** Opens the transaction behind the guard; SINK_FENCED when the slot is another's. */
  static async open(
    path: string,
    gate: SubmitGate | undefined,
    plan: StagePlan,
  ): Promise<StagedTransaction> {
    const connection = await SqliteConnection.open(path, gate);
    try {
      await connection.begin();
      const { changefeed, span, token, seq } = plan;
      return new StagedTransaction(
        connection,
        plan,
        guardSlot(connection, changefeed, { span, token, seq }),
      );
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /** The token it was opened with. */
  get token(): number {
    return this.#plan.token;
  }

  /** Applies one call's blocks; the last call's may hold complete transactions behind the large one. */
  apply(blocks: readonly Uint8Array[], untilTs: number): BatchCounts {
    this.#timer.refresh();
    const counts = this.#batch.apply(blocks, { ...this.#range, untilTs });
    this.#lastTs = Math.max(this.#lastTs, counts.lastTs);
    return counts;
  }

  /** Commits all of it; answers where the slot stands now. */
  commit(): { readonly ts: number; readonly seq: number } {
    const { afterTs } = this.#range;
    const isMoved = this.#lastTs > 0;
    if (isMoved) {
      const to = { ts: this.#lastTs, base: afterTs };
      advanceSlot(this.#connection, this.#plan.changefeed, this.#slot, to);
    }
    this.#connection.commit();
    this.drop();
    return { ts: isMoved ? this.#lastTs : afterTs, seq: this.#slot.seq + (isMoved ? 1 : 0) };
  }

  /** Ends it; what was not committed is lost whole. */
  drop(): void {
    clearTimeout(this.#timer);
    this.#connection.close();
  }
}
