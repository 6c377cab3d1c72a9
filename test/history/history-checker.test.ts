import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BinlogTextReader } from './binlog-text.ts';
import { HistoryChecker } from './history-checker.ts';

import type { LoggedImage, LoggedRow, LoggedTransaction } from './binlog-text.ts';
import type { HistoryReport, HistoryRules } from './history-checker.ts';

const slotTable = 'sluice_meta.slot';
const rules: HistoryRules = { isReplicated: (table) => table.startsWith('app.') };

interface Slot {
  readonly slot?: number;
  readonly token: number | string;
  readonly guard?: number;
  readonly seq: number;
  readonly ts: number;
  readonly span?: string;
}

function image({ slot = 1, token, guard, seq, ts, span = 'app.t' }: Slot): LoggedImage {
  const cells = ['f', slot, token, guard ?? token, seq, `{"ts":${ts},"base":0}`, span, 0, 'o'];
  return [null, ...cells.map(String)];
}

function made(slot: Slot): LoggedRow {
  return { table: slotTable, kind: 'insert', before: [], after: image(slot) };
}

function moved(from: Slot, to: Slot): LoggedRow {
  return { table: slotTable, kind: 'update', before: image(from), after: image(to) };
}

function judge(
  transactions: readonly { rows: readonly LoggedRow[]; data?: readonly string[]; ddl?: boolean }[],
  more: Partial<HistoryRules> = {},
): HistoryReport {
  const checker = new HistoryChecker({ ...rules, ...more });
  for (const [index, { rows, data = [], ddl = false }] of transactions.entries()) {
    const tables = new Map([...rows.map(({ table }) => table), ...data].map((name) => [name, 1]));
    const transaction: LoggedTransaction = { gtid: `0-1-${index + 1}`, isDdl: ddl, tables, rows };
    checker.add(transaction);
  }
  return checker.finish();
}

function broken(report: HistoryReport): string[] {
  return report.violations.map(({ rule, gtid }) => `${rule} ${gtid}`);
}

const start = { token: 5, seq: 0, ts: 10 };
const first = { token: 5, seq: 1, ts: 20 };
const second = { token: 5, seq: 2, ts: 30 };
const raised = { token: 6, seq: 2, ts: 30 };
const third = { token: 6, seq: 3, ts: 40 };

test('a history with commits, a raise, a checkpoint and a DDL is good and counted', () => {
  const feed = { slot: 0, token: 5, seq: 0, ts: 1, span: '' };
  const report = judge([
    { rows: [made(start), made(feed)] },
    { rows: [moved(start, first)], data: ['app.t'] },
    { rows: [moved(first, second)], data: ['app.t'] },
    { rows: [moved(feed, { ...feed, seq: 1 })] },
    { rows: [], data: ['app.t'], ddl: true },
    { rows: [moved(second, raised)] },
    { rows: [moved(raised, third)], data: ['app.t'] },
    { rows: [], data: ['other.t'] },
  ]);
  assert.deepEqual(broken(report), []);
  const { transactions, dataTransactions, dataRows, slotCommits, raises, ddl } = report;
  assert.deepEqual(
    { transactions, dataTransactions, dataRows, slotCommits, raises, ddl },
    { transactions: 8, dataTransactions: 3, dataRows: 3, slotCommits: 4, raises: 1, ddl: 1 },
  );
  assert.deepEqual([...report.tokens.get('f/1')!], ['5', '6']);
});

test('C1: a token that falls is found', () => {
  const report = judge([
    { rows: [made(raised)] },
    { rows: [moved(raised, { ...third, token: 5 })], data: ['app.t'] },
  ]);
  assert.ok(broken(report).includes('C1 0-1-2'));
});

test('C1: a guard that is not the token is found', () => {
  assert.deepEqual(broken(judge([{ rows: [made({ ...start, guard: 4 })] }])), ['C1 0-1-1']);
});

test('C1: a commit that raises its own token is found', () => {
  const report = judge([
    { rows: [made(start)] },
    { rows: [moved(start, { ...first, token: 6 })], data: ['app.t'] },
  ]);
  assert.deepEqual(broken(report), ['C1 0-1-2']);
});

test('C2: a gap in seq is found', () => {
  const report = judge([
    { rows: [made(start)] },
    { rows: [moved(start, { ...second })], data: ['app.t'] },
  ]);
  assert.deepEqual(broken(report), ['C2 0-1-2']);
});

test('C2: a batch that was committed twice is found, with or without its seq', () => {
  const again = { ...first, ts: 20 };
  const report = judge([
    { rows: [made(start)] },
    { rows: [moved(start, first)], data: ['app.t'] },
    { rows: [moved(start, again)], data: ['app.t'] },
  ]);
  assert.ok(broken(report).includes('C2 0-1-3'));
  const unmoved = judge([
    { rows: [made(first)] },
    { rows: [moved(first, first)], data: ['app.t'] },
  ]);
  assert.deepEqual(broken(unmoved), ['C4 0-1-2']);
});

test('C2: a row that does not follow from the last one is found', () => {
  const report = judge([
    { rows: [made(start)] },
    { rows: [moved(first, second)], data: ['app.t'] },
  ]);
  assert.ok(broken(report).includes('C2 0-1-2'));
});

test('C3: a position that stands or goes back is found', () => {
  for (const ts of [10, 9]) {
    const report = judge([
      { rows: [made(start)] },
      { rows: [moved(start, { ...first, ts })], data: ['app.t'] },
    ]);
    assert.deepEqual(broken(report), ['C3 0-1-2']);
  }
  const back = judge([{ rows: [made(second)] }, { rows: [moved(second, { ...raised, ts: 29 })] }]);
  assert.deepEqual(broken(back), ['C3 0-1-2']);
});

test('C3: a checkpoint may be saved again but not go back', () => {
  const feed = { slot: 0, token: 5, seq: 0, ts: 7, span: '' };
  const again = { ...feed, seq: 1 };
  const back = { ...feed, seq: 2, ts: 6 };
  const report = judge([
    { rows: [made(feed)] },
    { rows: [moved(feed, again)] },
    { rows: [moved(again, back)] },
  ]);
  assert.deepEqual(broken(report), ['C3 0-1-3']);
});

test('C4: a write without a slot, and one beside a raise only, are found', () => {
  const report = judge([
    { rows: [made(start)], data: ['app.t'] },
    { rows: [], data: ['app.t'] },
    { rows: [moved(start, { ...start, token: 6 })], data: ['app.t'] },
  ]);
  assert.deepEqual(broken(report), ['C4 0-1-1', 'C4 0-1-2', 'C4 0-1-3']);
});

test('C4: two slots in one transaction are found', () => {
  const other = { slot: 2, token: 5, seq: 0, ts: 10, span: 'app.u' };
  const report = judge([
    { rows: [made(start), made(other)] },
    { rows: [moved(start, first), moved(other, { ...other, seq: 1, ts: 11 })], data: ['app.t'] },
  ]);
  assert.deepEqual(broken(report), ['C4 0-1-2']);
});

test("C4: a slot that writes another span's table is found; a group may write all of its own", () => {
  const group = { ...start, span: 'group:app.p+app.t' };
  const good = judge([
    { rows: [made(group)] },
    { rows: [moved(group, { ...first, span: group.span })], data: ['app.t', 'app.p'] },
  ]);
  assert.deepEqual(broken(good), []);
  const report = judge([
    { rows: [made(start)] },
    { rows: [moved(start, first)], data: ['app.t', 'app.u'] },
  ]);
  assert.deepEqual(broken(report), ['C4 0-1-2']);
});

test('C4: a removed slot that moves again, and a deleted slot, are found', () => {
  const removed = { ...start, token: '18446744073709551615' };
  const report = judge([
    { rows: [made(removed)] },
    { rows: [moved(removed, { ...removed, seq: 1, ts: 11 })], data: ['app.t'] },
    { rows: [{ table: slotTable, kind: 'delete', before: image(start), after: [] }] },
  ]);
  assert.deepEqual(broken(report), ['C4 0-1-2', 'C4 0-1-3']);
});

test('the scratch row of no changefeed may move as it likes but fences nothing', () => {
  const cells = (row: LoggedImage): LoggedImage => row.with(1, '');
  const report = judge([
    {
      rows: [
        {
          table: slotTable,
          kind: 'update',
          before: cells(image(third)),
          after: cells(image(start)),
        },
      ],
      data: ['app.t'],
    },
  ]);
  assert.deepEqual(broken(report), ['C4 0-1-1']);
  assert.equal(report.slotCommits, 0);
});

test('C7: a sum that breaks between two commits or at the end is found', () => {
  const account = (before: string | null, after: string | null): LoggedRow => ({
    table: 'app.account_0',
    kind: 'update',
    before: before === null ? [] : [null, '1', 'o', before],
    after: after === null ? [] : [null, '1', 'o', after],
  });
  const bank = {
    isAccount: (table: string) => table.startsWith('app.account'),
    total: 100,
    when: 'everyCommit' as const,
  };
  const history = [
    { rows: [account(null, '60'), account(null, '40')] },
    { rows: [account('60', '50')] },
    { rows: [account('40', '50')] },
    { rows: [account('50', null)] },
  ];
  const unfenced = { isReplicated: () => false };
  assert.deepEqual(broken(judge(history, { ...unfenced, bank })), [
    'C7 0-1-2',
    'C7 0-1-4',
    'C7 0-1-4',
  ]);
  const atEnd = { ...unfenced, bank: { ...bank, when: 'end' as const } };
  assert.deepEqual(broken(judge(history, atEnd)), ['C7 0-1-4']);
  assert.deepEqual(broken(judge(history.slice(0, 3), atEnd)), []);
});

test('a transaction without its commit is not history', () => {
  const reader = new BinlogTextReader(() => true);
  const lines = [
    '#261121  1:47:11 server id 1  end_log_pos 1 CRC32 0x0 \tGTID 0-1-1 trans',
    '### INSERT INTO `app`.`t`',
    '### SET',
    "###   @1='x' /* VARSTRING(128) meta=128 nullable=0 is_null=0 */",
  ];
  for (const line of lines) assert.equal(reader.line(line), null);
  assert.equal(reader.end(), null);
});
