import { quoteIdentifier, quoteText } from './batch/identifier.ts';

import type { SinkSession } from './session.ts';

/** Token of a removed changefeed's slots: above every token, so that nothing writes through them again. */
export const tombstoneToken = '18446744073709551615';

/** Names of the bookkeeping tables, quoted. */
export interface MetaTables {
  readonly database: string;
  readonly slot: string;
  readonly ddl: string;
}

/** The tables in `database`. */
export function metaTables(database: string): MetaTables {
  const quoted = quoteIdentifier(database);
  return { database, slot: `${quoted}.slot`, ddl: `${quoted}.ddl` };
}

/**
 * The progress rows, one per slot, and the guard in them (FENCE §1.2). `span` is empty for slot 0, the feed itself. `owner`
 * is the sink instance that raised the row last: its connections are found by it. `pos` is JSON: a lane's position, or
 * in slot 0 the checkpoint, whose MySQL GTID set can be long.
 */
function slotTable(tables: MetaTables): string {
  return `CREATE TABLE IF NOT EXISTS ${tables.slot}(
  cf VARBINARY(128) NOT NULL, slot INT UNSIGNED NOT NULL,
  token BIGINT UNSIGNED NOT NULL, guard BIGINT UNSIGNED NOT NULL,
  seq BIGINT UNSIGNED NOT NULL, pos MEDIUMBLOB NOT NULL,
  span VARBINARY(1024) NOT NULL, lane SMALLINT UNSIGNED NOT NULL, owner VARBINARY(128) NOT NULL,
  PRIMARY KEY(cf,slot), UNIQUE KEY lanes(cf,span,lane),
  CONSTRAINT stale_writer CHECK (guard=token)) ENGINE=InnoDB ROW_FORMAT=DYNAMIC`;
}

/**
 * One row per DDL: `intent` before it runs, `done` after, `refused` when the downstream said no. `digest` tells the statement,
 * `before` is JSON of how each table it changes looked when the intent was written.
 */
function ddlTable(tables: MetaTables): string {
  return `CREATE TABLE IF NOT EXISTS ${tables.ddl}(
  cf VARBINARY(128) NOT NULL, ts BIGINT UNSIGNED NOT NULL, gtid BLOB NOT NULL,
  digest BINARY(64) NOT NULL, state VARBINARY(16) NOT NULL, token BIGINT UNSIGNED NOT NULL,
  \`before\` MEDIUMBLOB NOT NULL, PRIMARY KEY(cf,ts)) ENGINE=InnoDB ROW_FORMAT=DYNAMIC`;
}

/** Makes what is missing. An account that may not create them is fine as long as they exist. */
export async function makeMetaTables(session: SinkSession, tables: MetaTables): Promise<void> {
  const found = await session.rows(
    `SELECT COUNT(*) AS count FROM information_schema.TABLES WHERE TABLE_SCHEMA=${quoteText(tables.database)} AND TABLE_NAME IN ('slot','ddl')`,
    'look for the bookkeeping tables',
  );
  if (found[0]?.['count'] === 2) return;
  const database = `CREATE DATABASE IF NOT EXISTS ${quoteIdentifier(tables.database)}`;
  await session.run(
    [database, slotTable(tables), ddlTable(tables)].join(';'),
    'make the bookkeeping tables',
  );
}
