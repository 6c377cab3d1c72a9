/**
 * The history checks of RELIABILITY §2.3 on the simulated server's log, at each commit: C1 to C4 by the checker of the real
 * runs, and by the connection that committed, which must be one of the row's owner (I-1); C5 by versions: a row only ever
 * goes on, but for batches that are replayed after a cut, which say so in their position.
 */
import { HistoryChecker } from '../../history/history-checker.ts';

import type { LoggedImage, LoggedRow } from '../../history/binlog-text.ts';
import type { Logged } from './execution.ts';
import type { RowChange } from './transaction.ts';
import type { Row } from './value.ts';

const metaSlot = 'sluice_meta.slot';

/** What the downstream holds, as its log tells, with everything that ever broke a rule. */
export class LogCheck {
  /** `schema.table key` → version of the rows that exist. */
  readonly versions = new Map<string, number>();
  /** First broken rule. */
  violation: string | null = null;
  /** commitTs of the newest checkpoint, 0 before the first. */
  checkpointTs = 0;
  /** Statements on definitions since the tables of the test were made. */
  readonly definitions: string[] = [];
  readonly #isReplicated: (table: string) => boolean;
  readonly #checker: HistoryChecker;
  #count = 0;

  /** `isReplicated` by `schema.table`: tables whose first columns are key and version. */
  constructor(isReplicated: (table: string) => boolean) {
    this.#isReplicated = isReplicated;
    this.#checker = new HistoryChecker({ isReplicated });
  }

  /** Takes the next commit; `writer` names whose connection committed it, null when nobody knows. */
  add(logged: Logged, writer: string | null = null): void {
    const gtid = `0-1-${++this.#count}`;
    if (logged.kind === 'definition') {
      this.definitions.push(logged.sql);
      this.#checker.add({ gtid, isDdl: true, tables: new Map(), rows: [] });
      return;
    }
    const tables = new Map<string, number>();
    for (const change of logged.changes) {
      const name = nameOf(change);
      tables.set(name, (tables.get(name) ?? 0) + 1);
    }
    const slots = logged.changes.filter((change) => nameOf(change) === metaSlot);
    this.#checker.add({ gtid, isDdl: false, tables, rows: slots.map(loggedRow) });
    const [broken] = this.#checker.finish().violations;
    if (broken !== undefined) this.violation ??= `${broken.rule} at ${gtid}: ${broken.message}`;
    for (const slot of slots) {
      this.#checkpoint(slot);
      if (writer !== null) this.#checkWriter(slot, writer);
    }
    this.#follow(logged.changes, slots);
  }

  #checkWriter({ before, after }: RowChange, writer: string): void {
    if (before === null || after === null || after[0] === '' || before[4] === after[4]) return;
    const owner = String(after[8]).split('#')[0]!;
    if (owner !== writer) {
      this.violation ??= `I-1: ${writer} committed in slot ${after[1]}, which is ${owner}'s`;
    }
  }

  #checkpoint({ after }: RowChange): void {
    if (after === null || after[0] === '' || after[1] !== 0n) return;
    const ts = Number(/"ts":(\d+)/.exec(String(after[5]))?.[1] ?? 0);
    this.checkpointTs = Math.max(this.checkpointTs, ts);
  }

  #follow(changes: readonly RowChange[], slots: readonly RowChange[]): void {
    const isReplay = slots.some(({ after }) => String(after?.[5]).includes('"redoTs"'));
    const net = new Map<string, number | null>();
    for (const change of changes) {
      if (!this.#isReplicated(nameOf(change))) continue;
      if (change.before !== null) net.set(rowName(change, change.before), null);
      if (change.after !== null) net.set(rowName(change, change.after), Number(change.after[1]));
    }
    for (const [row, version] of net) {
      const before = this.versions.get(row) ?? 0;
      if (version === null) this.versions.delete(row);
      else this.versions.set(row, version);
      if (!isReplay && version !== null && version <= before) {
        this.violation ??= `C5: ${row} went from version ${before} to ${version}`;
      }
    }
  }
}

function nameOf(change: RowChange): string {
  return `${change.schema}.${change.table}`;
}

function rowName(change: RowChange, row: Row): string {
  return `${nameOf(change)} ${row[0]}`;
}

function loggedRow(change: RowChange): LoggedRow {
  const { before, after } = change;
  let kind: LoggedRow['kind'] = 'update';
  if (before === null) kind = 'insert';
  else if (after === null) kind = 'delete';
  return { table: nameOf(change), kind, before: imageOf(before), after: imageOf(after) };
}

/** Cells by number, 1 first. */
function imageOf(row: Row | null): LoggedImage {
  if (row === null) return [];
  return [null, ...row.map((value) => (value === null ? null : String(value)))];
}
