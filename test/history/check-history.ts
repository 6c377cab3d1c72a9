import { readBinlogFiles } from './binlog-text.ts';
import { HistoryChecker } from './history-checker.ts';

import type { SqlServer } from '#test/servers/sql-server.ts';
import type { HistoryReport, HistoryRules } from './history-checker.ts';

/**
 * Judges everything that a MariaDB downstream ever committed, from its own binary log. Call it when nothing is being
 * written: a transaction at the torn end of the last file is not looked at.
 */
export async function checkHistory(server: SqlServer, rules: HistoryRules): Promise<HistoryReport> {
  if (server.flavor !== 'mariadb') throw new Error('the history is read with mariadb-binlog');
  const checker = new HistoryChecker(rules);
  for await (const transaction of readBinlogFiles(server.binlogFiles(), checker.wants)) {
    checker.add(transaction);
  }
  return checker.finish();
}

/** One line per violation, for an assertion message. */
export function describeViolations(report: HistoryReport): string {
  return report.violations
    .map(({ rule, gtid, message }) => `${rule} at ${gtid}: ${message}`)
    .join('\n');
}
