import { spanTables } from '#src/model/span.ts';

import type { LoggedImage, LoggedRow, LoggedTransaction } from './binlog-text.ts';

/** What the history must look like. */
export interface HistoryRules {
  /** True for tables that are replicated: a row of theirs needs a slot update beside it. */
  readonly isReplicated: (table: string) => boolean;
  /** Database of the bookkeeping tables. Default `sluice_meta`. */
  readonly metaDatabase?: string;
  /** C7: accounts whose balances add up to a constant. */
  readonly bank?: BankRule;
}

/** C7: the sum of one column over some tables. Balances must stay above zero: the log does not show their sign. */
export interface BankRule {
  readonly isAccount: (table: string) => boolean;
  /** Number of the balance column, 1 first. Default 3. */
  readonly balanceColumn?: number;
  readonly total: number;
  /** What the accounts hold before the first transaction of the log. Default 0: the log begins with their inserts. */
  readonly startSum?: number;
  /** `everyCommit`: once the total is reached it holds after each transaction. `end`: only after the last. */
  readonly when: 'everyCommit' | 'end';
}

/** One broken rule, at the transaction that broke it. */
export interface HistoryViolation {
  /** The check's number: C1, C2, C3, C4, C7, or `row` when a slot row cannot be read. */
  readonly rule: string;
  readonly gtid: string;
  readonly message: string;
}

/** What was checked: a check of nothing proves nothing, so tests look at these numbers too. */
export interface HistoryReport {
  readonly violations: readonly HistoryViolation[];
  readonly transactions: number;
  /** Transactions with rows of replicated tables. */
  readonly dataTransactions: number;
  /** Row changes of replicated tables. */
  readonly dataRows: number;
  /** Slot updates with seq + 1. */
  readonly slotCommits: number;
  /** Slot updates with a higher token. */
  readonly raises: number;
  readonly ddl: number;
  /** Tokens under which each slot committed, by `changefeed/slot`. */
  readonly tokens: ReadonlyMap<string, ReadonlySet<string>>;
  /** Last state of each slot, by `changefeed/slot`. */
  readonly slots: ReadonlyMap<string, SlotImage>;
}

/** A slot row. */
export interface SlotImage {
  readonly cf: string;
  readonly slot: string;
  readonly token: bigint;
  readonly guard: bigint;
  readonly seq: bigint;
  /** Position reached; null in the feed's own row before its first checkpoint. */
  readonly ts: number | null;
  readonly span: string;
  readonly lane: string;
}

const violationsMax = 1_000;
const tombstone = 2n ** 64n - 1n;

/**
 * Judges the downstream's own history (RELIABILITY §2.3), one transaction after another:
 * C1 a slot's token never falls; C2 its seq rises by exactly 1 with each commit; C3 its position rises strictly;
 * C4 a transaction with replicated rows has exactly one such slot update, of the span that holds those tables, and no
 * tombstoned slot moves; C7 the bank's sum. Memory is one image per slot.
 */
export class HistoryChecker {
  readonly #rules: HistoryRules;
  readonly #slotTable: string;
  readonly #violations: HistoryViolation[] = [];
  readonly #slots = new Map<string, SlotImage>();
  readonly #tokens = new Map<string, Set<string>>();
  #transactions = 0;
  #dataTransactions = 0;
  #dataRows = 0;
  #slotCommits = 0;
  #raises = 0;
  #ddl = 0;
  #sum: number;
  #sumReached = false;
  #gtid = '';

  constructor(rules: HistoryRules) {
    this.#rules = rules;
    this.#slotTable = `${rules.metaDatabase ?? 'sluice_meta'}.slot`;
    this.#sum = rules.bank?.startSum ?? 0;
  }

  /** Whether the checker needs the row images of a table. */
  readonly wants = (table: string): boolean =>
    table === this.#slotTable || this.#rules.bank?.isAccount(table) === true;

  /** Judges the next transaction of the log. */
  add(transaction: LoggedTransaction): void {
    this.#gtid = transaction.gtid;
    this.#transactions += 1;
    if (transaction.isDdl) this.#ddl += 1;
    const commits: SlotImage[] = [];
    for (const row of transaction.rows) {
      if (row.table === this.#slotTable) {
        const committed = this.#slotRow(row);
        if (committed !== null) commits.push(committed);
      } else {
        this.#bankRow(row);
      }
    }
    // CREATE TABLE … SELECT brings its rows in the statement's own transaction, under the DDL's protection.
    if (!transaction.isDdl) this.#checkFence(transaction, commits);
    this.#checkBank('everyCommit');
  }

  /** The verdict after the last transaction. */
  finish(): HistoryReport {
    this.#checkBank('end');
    return {
      violations: this.#violations,
      transactions: this.#transactions,
      dataTransactions: this.#dataTransactions,
      dataRows: this.#dataRows,
      slotCommits: this.#slotCommits,
      raises: this.#raises,
      ddl: this.#ddl,
      tokens: this.#tokens,
      slots: this.#slots,
    };
  }

  /** Checks C1–C3 on one change of a slot row; the new image when it is a commit. */
  #slotRow(row: LoggedRow): SlotImage | null {
    if (row.kind === 'delete') {
      this.#violate('C4', `slot ${readSlot(row.before)?.slot ?? '?'} was deleted`);
      return null;
    }
    const after = readSlot(row.after);
    if (after === null) {
      this.#violate('row', 'a slot row cannot be read');
      return null;
    }
    // The scratch row on which each sink proves the fence belongs to no changefeed and fences nothing.
    if (after.cf === '') return null;
    const name = `${after.cf}/${after.slot}`;
    const before = this.#slots.get(name);
    this.#slots.set(name, after);
    if (after.guard !== after.token) this.#violate('C1', `${name}: guard ${after.guard} ≠ token`);
    if (row.kind === 'insert') {
      if (before !== undefined) this.#violate('C2', `${name} was made twice`);
      return null;
    }
    const logged = readSlot(row.before);
    // The log may begin after the slot was made; from then on every image must follow from the one before.
    const previous = before ?? logged;
    if (previous === null || logged === null) return null;
    if (logged.seq !== previous.seq || logged.token !== previous.token) {
      this.#violate('C2', `${name}: the row before is not the row that was last written`);
    }
    return this.#slotStep(name, previous, after);
  }

  #slotStep(name: string, before: SlotImage, after: SlotImage): SlotImage | null {
    const { token, seq } = after;
    if (before.token === tombstone) this.#violate('C4', `${name} is removed and was changed`);
    if (token < before.token)
      this.#violate('C1', `${name}: token fell from ${before.token} to ${token}`);
    if (seq === before.seq) {
      if (token > before.token) this.#raises += 1;
      if (after.ts !== null && before.ts !== null && after.ts < before.ts) {
        this.#violate('C3', `${name}: a raise moved ts back from ${before.ts} to ${after.ts}`);
      }
      return null;
    }
    this.#slotCommits += 1;
    const used = this.#tokens.get(name) ?? new Set();
    this.#tokens.set(name, used.add(String(token)));
    if (seq !== before.seq + 1n)
      this.#violate('C2', `${name}: seq went from ${before.seq} to ${seq}`);
    if (token !== before.token)
      this.#violate('C1', `${name}: a commit changed the token to ${token}`);
    this.#checkPosition(name, before, after);
    return after;
  }

  /** The feed's own row (span '') holds the checkpoint, which may be saved again unchanged. */
  #checkPosition(name: string, before: SlotImage, after: SlotImage): void {
    if (after.ts === null) this.#violate('C3', `${name}: a commit without a position`);
    else if (before.ts === null) return;
    else if (after.span === '' ? after.ts < before.ts : after.ts <= before.ts) {
      const { span, lane } = after;
      const where = `${name} (${span}, lane ${lane})`;
      this.#violate('C3', `${where}: ts went from ${before.ts} to ${after.ts}`);
    }
  }

  #checkFence(transaction: LoggedTransaction, commits: readonly SlotImage[]): void {
    const data = [...transaction.tables].filter(([table]) => this.#rules.isReplicated(table));
    const spans = commits.filter(({ span }) => span !== '');
    if (spans.length > 1) this.#violate('C4', `${spans.length} slots in one transaction`);
    if (data.length === 0) return;
    this.#dataTransactions += 1;
    for (const [, rows] of data) this.#dataRows += rows;
    const [slot] = spans;
    if (slot === undefined) {
      this.#violate('C4', `unfenced write to ${data.map(([table]) => table).join(', ')}`);
      return;
    }
    const allowed = new Set(spanTables(slot.span).map(({ schema, table }) => `${schema}.${table}`));
    for (const [table] of data) {
      if (!allowed.has(table))
        this.#violate('C4', `slot ${slot.slot} of ${slot.span} wrote ${table}`);
    }
  }

  #bankRow(row: LoggedRow): void {
    const column = this.#rules.bank?.balanceColumn ?? 3;
    this.#sum += Number(row.after[column] ?? 0) - Number(row.before[column] ?? 0);
  }

  #checkBank(when: 'everyCommit' | 'end'): void {
    const { bank } = this.#rules;
    if (bank === undefined) return;
    if (this.#sum === bank.total) this.#sumReached = true;
    const due = when === 'end' || (bank.when === 'everyCommit' && this.#sumReached);
    if (due && this.#sum !== bank.total) {
      this.#violate('C7', `the bank holds ${this.#sum}, not ${bank.total}`);
    }
  }

  #violate(rule: string, message: string): void {
    if (this.#violations.length < violationsMax) {
      this.#violations.push({ rule, gtid: this.#gtid, message });
    }
  }
}

/** Columns cf, slot, token, guard, seq, pos, span, lane, as the sink makes them. */
function readSlot(image: LoggedImage): SlotImage | null {
  const [, cf, slot, token, guard, seq, pos, span, lane] = image;
  if (cf === undefined || slot === undefined || cf === null || slot === null) return null;
  if (!/^\d+$/.test(token ?? '') || !/^\d+$/.test(guard ?? '') || !/^\d+$/.test(seq ?? ''))
    return null;
  return {
    cf,
    slot,
    token: BigInt(token!),
    guard: BigInt(guard!),
    seq: BigInt(seq!),
    ts: readTs(pos ?? ''),
    span: span ?? '',
    lane: lane ?? '0',
  };
}

function readTs(pos: string): number | null {
  const found = /"ts":(\d+)/.exec(pos)?.[1];
  return found === undefined ? null : Number(found);
}
