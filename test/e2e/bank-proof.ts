/** The bank between two servers: money moves all the time, and at the end every row is there, once, in order. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { ongoing, type Ongoing } from '#test/fixtures/ongoing.ts';
import { checkHistory, describeViolations } from '#test/history/check-history.ts';

import type { Bank } from '#test/fixtures/workload.ts';
import type { HistoryReport } from '#test/history/history-checker.ts';
import type { SqlServer } from '#test/servers/sql-server.ts';
import type { ServerPair } from './server-pair.ts';

/** True of the bank's own tables. */
export function isAccount(table: string): boolean {
  return table.startsWith('bank.');
}

/** Money moves between all tables, with `pauseMs` between two rounds. */
export function moving(accounts: Bank, pauseMs = 0): Ongoing {
  return ongoing(async (round) => {
    await accounts.transfer(20, { connections: 2, seed: round, perTransaction: 2 });
    await sleep(pauseMs);
  });
}

/** Everything written has arrived, and nothing else is there; answers what the downstream's history shows. */
export async function provesEqual(servers: ServerPair, accounts: Bank): Promise<HistoryReport> {
  await servers.assertEqual(['bank']);
  assert.equal(await accounts.sum(servers.downstream), accounts.total);
  return provesHistory(servers.downstream, accounts);
}

/** Nothing came twice, stale or out of order, and no money was made or lost; `isReplicated`: the tables looked at. */
export async function provesHistory(
  downstream: SqlServer,
  accounts: Bank,
  isReplicated: (table: string) => boolean = isAccount,
): Promise<HistoryReport> {
  const history = await checkHistory(downstream, {
    isReplicated,
    bank: { isAccount, total: accounts.total, when: 'end' },
  });
  assert.equal(describeViolations(history), '');
  return history;
}

/** How much a history has seen, in one line. */
export function extentOf(history: HistoryReport): string {
  const { dataTransactions, dataRows, slotCommits, raises, ddl } = history;
  return JSON.stringify({ dataTransactions, dataRows, slotCommits, raises, ddl });
}
