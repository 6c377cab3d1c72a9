/** The bookkeeping tables of the SQLite sink and the guard that stands in every transaction. */
import { fail } from '#src/base/failure.ts';
import type { Checkpoint, DdlEvent } from '#src/model/position.ts';
import { epochOf } from '#src/model/token.ts';
import type { SlotState } from '#src/ports/sink.ts';
import type { SqliteConnection } from './sqlite-connection.ts';

const metaTables = `
  CREATE TABLE IF NOT EXISTS sluice_meta_slot (
    cf TEXT NOT NULL, slot INTEGER NOT NULL, span TEXT NOT NULL, lane INTEGER NOT NULL,
    token INTEGER NOT NULL, seq INTEGER NOT NULL, ts INTEGER NOT NULL, base INTEGER NOT NULL,
    checkpoint TEXT, PRIMARY KEY (cf, slot), UNIQUE (cf, span, lane)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS sluice_meta_ddl (
    cf TEXT NOT NULL, ts INTEGER NOT NULL, gtid TEXT NOT NULL, statement TEXT NOT NULL,
    PRIMARY KEY (cf, ts)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS sluice_meta_identity (id TEXT PRIMARY KEY) WITHOUT ROWID;`;

/** A slot as its row has it. */
export interface SlotRow {
  readonly slot: number;
  readonly token: number;
  readonly seq: number;
  readonly ts: number;
  readonly base: number;
  readonly checkpoint: string | null;
}

/** Makes the bookkeeping tables when missing; `identity` names the file for ever once one is stored. */
export function makeMetaTables(connection: SqliteConnection, identity: string): string {
  connection.exec(metaTables);
  connection.run(
    'INSERT INTO sluice_meta_identity SELECT ? WHERE NOT EXISTS (SELECT 1 FROM sluice_meta_identity)',
    identity,
  );
  return String(connection.row('SELECT id FROM sluice_meta_identity')?.['id']);
}

/** The slot of a span ('' is the feed itself), or undefined. */
export function readSlot(
  connection: SqliteConnection,
  cf: string,
  span: string,
): SlotRow | undefined {
  const row = connection.row(
    'SELECT slot, token, seq, ts, base, checkpoint FROM sluice_meta_slot WHERE cf=? AND span=? AND lane=0',
    cf,
    span,
  );
  return row as SlotRow | undefined;
}

/**
 * Raises the token of a span's slot, making it at `ts` when missing. Refused by SINK_FENCED when a token above `token` is
 * there, and with `isStrict` also when an equal one is.
 */
export function raiseSlot(
  connection: SqliteConnection,
  cf: string,
  raise: {
    readonly span: string;
    readonly token: number;
    readonly ts: number;
    readonly isStrict: boolean;
  },
): SlotRow {
  const { span, token } = raise;
  const found = readSlot(connection, cf, span);
  const feed = span === '' ? undefined : readSlot(connection, cf, '');
  if (feed !== undefined && feed.token > token) return fenced(span, feed.token);
  if (found === undefined) {
    connection.run(
      `INSERT INTO sluice_meta_slot (cf, slot, span, lane, token, seq, ts, base)
       SELECT ?1, CASE WHEN ?2 = '' THEN 0 ELSE 1 + coalesce(max(slot), 0) END, ?2, 0, ?3, 0, ?4, ?4
       FROM sluice_meta_slot WHERE cf=?1`,
      cf,
      span,
      token,
      raise.ts,
    );
    return readSlot(connection, cf, span)!;
  }
  if (found.token > token || (raise.isStrict && found.token === token))
    return fenced(span, found.token);
  connection.run(
    'UPDATE sluice_meta_slot SET token=? WHERE cf=? AND slot=?',
    token,
    cf,
    found.slot,
  );
  return { ...found, token };
}

/** Raises the tokens of all slots of a changefeed that rests; SINK_FENCED when one is of a newer epoch. */
export function retireSlots(connection: SqliteConnection, cf: string, token: number): void {
  const top = connection.row(
    'SELECT span, token FROM sluice_meta_slot WHERE cf=? ORDER BY token DESC LIMIT 1',
    cf,
  );
  if (top !== undefined && epochOf(Number(top['token'])) > epochOf(token))
    fenced(String(top['span']), Number(top['token']));
  connection.run('UPDATE sluice_meta_slot SET token=?1 WHERE cf=?2 AND token<?1', token, cf);
}

/** The slot, when its token is `token` and, where known, its count of transactions is `seq`; else SINK_FENCED. */
export function guardSlot(
  connection: SqliteConnection,
  cf: string,
  guard: { readonly span: string; readonly token: number; readonly seq: number | undefined },
): SlotRow {
  const found = readSlot(connection, cf, guard.span);
  if (found === undefined) {
    return fail('SINK_FENCED', `the slot of ${guard.span} was never raised`, {
      retry: 'Resync',
      scope: 'Table',
    });
  }
  if (found.token !== guard.token) return fenced(guard.span, found.token);
  if (guard.seq !== undefined && found.seq !== guard.seq) {
    return fail(
      'SINK_FENCED',
      `the slot of ${guard.span} was written by another with the same token`,
      {
        retry: 'Resync',
        scope: 'Table',
        detail: { token: found.token, seq: found.seq },
      },
    );
  }
  return found;
}

/** Counts one transaction of the slot that now stands at `ts`; `base` is where the transaction began. */
export function advanceSlot(
  connection: SqliteConnection,
  cf: string,
  slot: SlotRow,
  to: { readonly ts: number; readonly base: number },
): void {
  const changed = connection.run(
    'UPDATE sluice_meta_slot SET seq=seq+1, ts=?, base=? WHERE cf=? AND slot=? AND token=? AND seq=?',
    to.ts,
    to.base,
    cf,
    slot.slot,
    slot.token,
    slot.seq,
  );
  if (changed !== 1) fenced('', slot.token);
}

/** Stores the feed's checkpoint in its guarded slot; a lower one than is there is refused. */
export function storeCheckpoint(
  connection: SqliteConnection,
  cf: string,
  slot: SlotRow,
  checkpoint: Checkpoint,
): void {
  const { ts } = checkpoint.position;
  if (ts < slot.ts) {
    fail('SINK_REFUSED', 'the checkpoint would go back', { detail: { ts, storedTs: slot.ts } });
  }
  advanceSlot(connection, cf, slot, { ts, base: ts });
  connection.run(
    'UPDATE sluice_meta_slot SET checkpoint=? WHERE cf=? AND slot=?',
    JSON.stringify(checkpoint),
    cf,
    slot.slot,
  );
}

/** True when the DDL at this place ran before; otherwise notes that it runs, in the same transaction. */
export function noteDdl(connection: SqliteConnection, cf: string, ddl: DdlEvent): boolean {
  const changed = connection.run(
    'INSERT INTO sluice_meta_ddl (cf, ts, gtid, statement) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING',
    cf,
    ddl.ts,
    ddl.gtid,
    ddl.sql,
  );
  return changed === 0;
}

/** A slot row as the port tells it. */
export function slotState(row: SlotRow): SlotState {
  return { slot: row.slot, lane: 0, seq: row.seq, ts: row.ts, base: row.base, lanes: 1 };
}

function fenced(span: string, token: number): never {
  return fail('SINK_FENCED', `a newer owner holds the slot of ${span === '' ? 'the feed' : span}`, {
    scope: span === '' ? 'Feed' : 'Table',
    detail: { token },
  });
}
