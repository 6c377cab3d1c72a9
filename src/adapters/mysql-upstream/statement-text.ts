import { fail } from '../../base/failure.ts';
import type { StatementSession } from '../../model/position.ts';
import type { LogFlavor } from '../../model/block.ts';
import type { SqlQuoting } from '../../model/sql-token.ts';
import { charsetOfCollation, decodeCharset } from '../binlog/charset.ts';
import type { QueryEvent } from '../binlog/stream/query-event.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Bits of sql_mode that change how quotes are read; the same in both families. */
const ansiQuotesBit = 4;
const noBackslashEscapesBit = 2 ** 20;

/** How quotes in the statement are to be read, from the session's sql_mode. */
export function quotingOf(query: QueryEvent): SqlQuoting {
  const mode = query.sqlMode ?? 0;
  return {
    ansiQuotes: (mode & ansiQuotesBit) !== 0,
    noBackslashEscapes: mode % (noBackslashEscapesBit * 2) >= noBackslashEscapesBit,
  };
}

/** The statement as text, decoded from the client's character set; SOURCE_UNSUPPORTED when that cannot be exact. */
export function statementText(query: QueryEvent): string {
  const { statement } = query;
  const charset =
    query.charset === undefined ? 'utf8mb4' : charsetOfCollation(query.charset.client);
  const exact =
    charset === null || charset === 'binary'
      ? null
      : decodeCharset(charset, statement, 0, statement.byteLength);
  if (exact !== null) return exact;
  try {
    return utf8.decode(statement);
  } catch {
    return fail(
      'SOURCE_UNSUPPORTED',
      `a statement in character set ${charset ?? 'unknown'} that cannot be read exactly`,
    );
  }
}

/** Option bit by which MariaDB from 10.8.4 on logs explicit_defaults_for_timestamp. */
const explicitDefaultsBit = 2 ** 24;

/** True when the server logs explicit_defaults_for_timestamp as an option bit. */
export function logsExplicitDefaults(server: {
  readonly flavor: LogFlavor;
  readonly versionNumber: number;
}): boolean {
  return server.flavor === 'mariadb' && server.versionNumber >= 100804;
}

/**
 * The session state of a DDL that its effect depends on, as far as it was logged. `explicitDefaultsInOptions`: see
 * {@link logsExplicitDefaults}.
 */
export function sessionOf(query: QueryEvent, explicitDefaultsInOptions: boolean): StatementSession {
  const { sqlMode, charset, timeZone, options } = query;
  const explicitDefaultsForTimestamp =
    explicitDefaultsInOptions && options !== undefined
      ? Math.floor(options / explicitDefaultsBit) % 2 === 1
      : query.explicitDefaultsForTimestamp;
  return {
    ...(sqlMode === undefined ? {} : { sqlMode }),
    ...(charset === undefined ? {} : { charset }),
    ...(timeZone === undefined ? {} : { timeZone }),
    ...(explicitDefaultsForTimestamp === undefined ? {} : { explicitDefaultsForTimestamp }),
  };
}
