import { literal, sqlBytes } from './sql-text.ts';

import type { ResultRow } from './command-answer.ts';
import type { MetaTables } from './meta-schema.ts';

/** Which row of the slot table. */
export interface SlotKey {
  readonly changefeed: string;
  readonly slot: number;
}

/** Slot 0 of a changefeed is the feed itself. */
export const feedSlot = 0;

/** Largest token a writer may hold: exact as a number. */
export const tokenMax = Number.MAX_SAFE_INTEGER;

/** A slot row as read. */
export interface SlotRow {
  readonly slot: number;
  readonly lane: number;
  /** Infinity for a tombstone, which is above every token. */
  readonly token: number;
  readonly seq: number;
  readonly pos: string;
  readonly owner: string;
}

/** Columns that {@link readSlotRow} needs. */
export const slotColumns = 'slot,lane,token,seq,pos,owner';

/** A row of a query for {@link slotColumns}. */
export function readSlotRow(row: ResultRow): SlotRow {
  const token = row['token'] ?? null;
  return {
    slot: Number(row['slot']),
    lane: Number(row['lane']),
    token: typeof token === 'number' ? token : Number.POSITIVE_INFINITY,
    seq: Number(row['seq']),
    pos: String(row['pos']),
    owner: String(row['owner']),
  };
}

/** Two rows from one scalar sub-query: error 1242, whatever the sql_mode and with constraints switched off. */
const refuse = '(SELECT 1 UNION SELECT 2)';

/** How many statements {@link guardStatements} makes; errors at a lower index of the command are the guard's. */
export const guardStatementCount = 3;

/**
 * The fence (FENCE §1.2): the first statements of every transaction. The UPDATE takes the row's lock, and errors unless
 * the row still has our token and the seq we think it has; the check errors when there is no such row. Both errors
 * end the command, so neither the changes nor the COMMIT behind them are ever read by the server.
 */
export function guardStatements(
  tables: MetaTables,
  key: SlotKey,
  guard: { readonly token: number; readonly previousSeq: number; readonly pos: string },
): Uint8Array[] {
  const { token, previousSeq, pos } = guard;
  const update =
    `UPDATE ${tables.slot} SET guard=IF(seq=${previousSeq} AND token=${token},${token},${refuse}),` +
    `seq=${previousSeq + 1},pos=${literal(pos)} WHERE ${slotIs(key)}`;
  return [
    sqlBytes('BEGIN'),
    sqlBytes(update),
    sqlBytes(`SET @sluice_guard=IF(ROW_COUNT()=1,1,${refuse})`),
  ];
}

/**
 * One statement that errors with 1242 unless slot `key` has `token`, holding the row so until the transaction ends: for
 * bookkeeping that belongs to the owner but is not a step of the slot.
 */
export function tokenCheck(tables: MetaTables, key: SlotKey, token: number): Uint8Array {
  const read = `(SELECT token FROM ${tables.slot} WHERE ${slotIs(key)} LOCK IN SHARE MODE)`;
  return sqlBytes(`SET @sluice_guard=IF(COALESCE(${read},0)=${token},1,${refuse})`);
}

/** SQL condition that selects one slot row. */
export function slotIs(key: SlotKey): string {
  return `cf=${literal(key.changefeed)} AND slot=${key.slot}`;
}
