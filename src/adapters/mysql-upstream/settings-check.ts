import { FailureError, failure } from '../../base/failure.ts';
import type { FailureCode } from '../../base/failures.ts';
import { parseMariadbGtids } from '../binlog/stream/mariadb-gtid.ts';
import type { ServerFacts } from './server-facts.ts';

/** Something that would make replication wrong. */
export interface Problem {
  readonly code: FailureCode;
  readonly message: string;
}

/** What a look at the settings found. */
export interface SettingsReport {
  readonly problems: readonly Problem[];
  readonly warnings: readonly string[];
}

const oldestVersion = { mariadb: 100500, mysql: 80000 } as const;

/** Judges a server's settings; pure, one sentence for each fault with the value to set. */
export function checkSettings(facts: ServerFacts): SettingsReport {
  const problems: Problem[] = [];
  const warnings: string[] = [];
  const value = (name: string): string => (facts.variables.get(name) ?? '').toUpperCase();
  const demand = (name: string, good: string): void => {
    if (value(name) === good) return;
    const found = facts.variables.get(name) ?? 'missing';
    problems.push({
      code: 'SOURCE_SETTING_WRONG',
      message: `${name} is ${found}: set ${name}=${good}`,
    });
  };
  if (facts.versionNumber < oldestVersion[facts.flavor]) {
    const oldest = facts.flavor === 'mariadb' ? 'MariaDB 10.5' : 'MySQL 8.0';
    problems.push({
      code: 'SOURCE_UNSUPPORTED',
      message: `version ${facts.version} is older than ${oldest}`,
    });
  }
  demand('log_bin', 'ON');
  if (value('binlog_format') !== '') demand('binlog_format', 'ROW');
  demand('binlog_row_metadata', 'FULL');
  if (facts.flavor === 'mariadb') checkMariadb(facts, demand, problems);
  else demand('gtid_mode', 'ON');
  const image = value('binlog_row_image');
  if (image !== 'FULL') {
    warnings.push(
      `binlog_row_image is ${image}: rows are logged in part, so changes of one key are not folded and applying is slower.`,
    );
  }
  if (value('binlog_row_value_options').includes('PARTIAL_JSON')) {
    warnings.push(
      'binlog_row_value_options is PARTIAL_JSON: updates of JSON columns are applied one by one.',
    );
  }
  return { problems, warnings };
}

function checkMariadb(
  facts: ServerFacts,
  demand: (name: string, good: string) => void,
  problems: Problem[],
): void {
  demand('gtid_strict_mode', 'ON');
  const state = parseMariadbGtids(facts.variables.get('gtid_binlog_state') ?? '');
  const domains = [...new Set(state.map((gtid) => gtid.domain))];
  if (domains.length > 1) {
    problems.push({
      code: 'SOURCE_SETTING_WRONG',
      message: `the log has several GTID domains (${domains.join(', ')}): use one gtid_domain_id, and remove the others with FLUSH BINARY LOGS DELETE_DOMAIN_ID`,
    });
  }
}

/** Throws one FailureError that names every problem; the first one's code. Returns when there is none. */
export function demandNoProblems(problems: readonly Problem[]): void {
  const [first] = problems;
  if (first === undefined) return;
  throw new FailureError(
    failure(first.code, `the upstream: ${problems.map((problem) => problem.message).join('; ')}`),
  );
}
