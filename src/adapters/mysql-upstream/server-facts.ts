import { fail } from '../../base/failure.ts';
import type { LogFlavor } from '../../model/block.ts';
import type { ServerConnection, TextRow } from './server-connection.ts';

/** What a server says about itself. */
export interface ServerFacts {
  readonly flavor: LogFlavor;
  readonly version: string;
  /** Major · 10000 + minor · 100 + patch. */
  readonly versionNumber: number;
  /** Global variables by name, lower case. */
  readonly variables: ReadonlyMap<string, string>;
}

const wanted = [
  'binlog_format',
  'binlog_row_image',
  'binlog_row_metadata',
  'binlog_row_value_options',
  'datadir',
  'enforce_gtid_consistency',
  'gtid_binlog_pos',
  'gtid_binlog_state',
  'gtid_executed',
  'gtid_mode',
  'gtid_purged',
  'gtid_strict_mode',
  'hostname',
  'log_bin',
  'port',
  'server_id',
  'server_uuid',
  'version_comment',
] as const;

/** Reads the facts. Variables a server does not have are absent. */
export async function readServerFacts(connection: ServerConnection): Promise<ServerFacts> {
  const names = wanted.map((name) => `'${name}'`).join(',');
  const [versionRow] = await connection.query('SELECT VERSION() AS version');
  const version = versionRow?.['version'] ?? '';
  const rows = await connection.query(`SHOW GLOBAL VARIABLES WHERE Variable_name IN (${names})`);
  const match = /(\d+)\.(\d+)\.(\d+)/.exec(version.replace(/^5\.5\.5-/, ''));
  if (match === null) fail('SOURCE_UNSUPPORTED', `the server's version is "${version}"`);
  const [major = 0, minor = 0, patch = 0] = match.slice(1).map(Number);
  return {
    flavor: /mariadb/i.test(version) ? 'mariadb' : 'mysql',
    version,
    versionNumber: major * 10000 + minor * 100 + patch,
    variables: variablesOf(rows),
  };
}

function variablesOf(rows: readonly TextRow[]): ReadonlyMap<string, string> {
  const variables = new Map<string, string>();
  for (const row of rows) {
    variables.set((row['Variable_name'] ?? '').toLowerCase(), row['Value'] ?? '');
  }
  return variables;
}

/**
 * A stable name for this very server: MySQL's server_uuid, and for MariaDB, which has none, its host, port and data
 * directory.
 */
export function serverIdentity(facts: ServerFacts): string {
  const value = (name: string): string => facts.variables.get(name) ?? '';
  if (facts.flavor === 'mysql') return value('server_uuid');
  return `${value('hostname')}:${value('port')}:${value('datadir')}`;
}
