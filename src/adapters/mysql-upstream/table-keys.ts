import { FailureError } from '../../base/failure.ts';
import { compileTableFilter } from '../../model/table-filter.ts';
import type { TableName } from '../../model/span.ts';
import { ServerConnection } from './server-connection.ts';
import { parseUpstreamUri } from './upstream-uri.ts';

/** Tables that a changefeed would replicate as they stand now, with and without a key that tells rows apart. */
export interface TableKeys {
  readonly keyed: readonly TableName[];
  /** Neither a primary key nor a unique one of columns that are NOT NULL: rows are matched by all columns, in one lane. */
  readonly keyless: readonly TableName[];
}

/** Reads the tables that `rules` let through and the account may see. FailureError of the connection or the rules. */
export async function readTableKeys(uri: string, rules: readonly string[]): Promise<TableKeys> {
  const filter = compileTableFilter(rules);
  const connection = await ServerConnection.open(parseUpstreamUri(uri));
  try {
    const tables = await connection.query(
      "SELECT table_schema AS s, table_name AS t FROM information_schema.tables WHERE table_type = 'BASE TABLE' ORDER BY 1, 2",
    );
    const keys = await connection.query(
      "SELECT table_schema AS s, table_name AS t FROM information_schema.statistics WHERE non_unique = 0 GROUP BY table_schema, table_name, index_name HAVING SUM(nullable = 'YES') = 0",
    );
    const keyed = new Set(keys.map((row) => JSON.stringify([row['s'], row['t']])));
    const wanted = tables
      .map((row) => ({ schema: row['s'] ?? '', table: row['t'] ?? '' }))
      .filter(({ schema, table }) => filter.matchesTable(schema, table));
    const hasKey = ({ schema, table }: TableName): boolean =>
      keyed.has(JSON.stringify([schema, table]));
    return {
      keyed: wanted.filter(hasKey),
      keyless: wanted.filter((one) => !hasKey(one)),
    };
  } finally {
    connection.close();
  }
}

const namedMax = 20;

/** A sentence that names the tables without a key, or null when there is none; what cannot be read is said, too. */
export async function warnOfKeylessTables(
  uri: string,
  rules: readonly string[],
): Promise<string | null> {
  try {
    const { keyless } = await readTableKeys(uri, rules);
    if (keyless.length === 0) return null;
    const names = keyless.slice(0, namedMax).map(({ schema, table }) => `${schema}.${table}`);
    const more = keyless.length > namedMax ? ` and ${keyless.length - namedMax} more` : '';
    return `tables without a key are matched by all columns, in one lane: ${names.join(', ')}${more}`;
  } catch (error) {
    if (!(error instanceof FailureError)) throw error;
    return `the tables without a key could not be listed: ${error.failure.message}`;
  }
}
