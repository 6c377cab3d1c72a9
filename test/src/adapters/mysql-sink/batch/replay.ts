/** Runs plans on a real downstream the way the sink does: one session, statement after statement, raw bytes. */
import { createConnection } from 'mysql2/promise';
import { BatchPlanner } from '#src/adapters/mysql-sink/batch/batch-planner.ts';
import { TableCatalog } from '#src/adapters/mysql-sink/batch/table-catalog.ts';
import { loggedBlocks } from './logged-blocks.ts';

import type { BatchPlan } from '#src/adapters/mysql-sink/batch/batch.ts';
import type { SqlServer } from '#test/servers/sql-server.ts';
import type { Connection } from 'mysql2/promise';
import type { LoggedBlock } from './logged-blocks.ts';

const session = `SET NAMES binary, time_zone='+00:00', foreign_key_checks=0,
  sql_mode='NO_BACKSLASH_ESCAPES,ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'`;

/** A downstream to replay into. */
export class Downstream {
  readonly server: SqlServer;
  readonly catalog: TableCatalog;
  readonly #connections: Connection[];
  readonly #appliedTs = new Map<string, number>();

  private constructor(server: SqlServer, connections: Connection[]) {
    this.server = server;
    this.#connections = connections;
    this.catalog = new TableCatalog((sql) => server.query(sql));
  }

  static async open(server: SqlServer, laneCount = 4): Promise<Downstream> {
    const connections: Connection[] = [];
    for (let i = 0; i < laneCount; i++) {
      const connection = await createConnection({
        host: '127.0.0.1',
        port: server.port,
        user: 'root',
        // One character, one byte: statements are bytes and travel as they are.
        charset: 'LATIN1_SWEDISH_CI',
        flags: ['FOUND_ROWS'],
      });
      await connection.query(session);
      await connection.query('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED');
      connections.push(connection);
    }
    return new Downstream(server, connections);
  }

  async close(): Promise<void> {
    for (const connection of this.#connections) await connection.end();
  }

  /** Runs all lanes at once, each in one transaction. */
  async apply(plan: BatchPlan): Promise<void> {
    const outcomes = await Promise.allSettled(
      plan.lanes.map(async (lane, i) => {
        const connection = this.#connections[i]!;
        if (lane.statements.length === 0) return;
        await connection.query('BEGIN');
        try {
          for (const statement of lane.statements) await run(connection, statement);
          await connection.query('COMMIT');
        } catch (error) {
          await connection.query('ROLLBACK');
          throw error;
        }
      }),
    );
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  /** Plans and applies blocks of one span in batches of `batchCount` blocks, more where a transaction goes on. */
  async replay(
    span: string,
    blocks: readonly LoggedBlock[],
    options: {
      laneCount?: number;
      batchCount?: number;
      idempotent?: boolean;
      /** Only what came after the last replay of the span. */
      onward?: boolean;
    } = {},
  ): Promise<BatchPlan[]> {
    const planner = new BatchPlanner(this.catalog, {
      laneCount: options.laneCount ?? 1,
      packetBytesMax: 16 << 20,
    });
    const plans: BatchPlan[] = [];
    let afterTs = (options.onward === true ? this.#appliedTs.get(span) : undefined) ?? 0;
    let batch: Uint8Array[] = [];
    for (const block of blocks) {
      batch.push(block.bytes);
      const isLast = block === blocks.at(-1);
      if (!isLast && (block.info.unfinished || batch.length < (options.batchCount ?? Infinity))) {
        continue;
      }
      const plan = await planner.plan({
        blocks: batch,
        span,
        afterTs,
        untilTs: Number.MAX_SAFE_INTEGER,
        parts: [],
        idempotent: options.idempotent ?? false,
        wholeTransactions: false,
      });
      batch = [];
      await this.apply(plan);
      plans.push(plan);
      afterTs = plan.lastTs;
      this.#appliedTs.set(span, afterTs);
    }
    return plans;
  }
}

async function run(connection: Connection, statement: Uint8Array): Promise<void> {
  const sql = Buffer.from(statement).toString('latin1');
  try {
    await connection.query(sql);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new Error(`${text} in ${sql.slice(0, 400)}`, { cause: error });
  }
}

/** Replays everything `upstream` logged for `schema` since `fromTs`. */
export async function replaySchema(
  upstream: SqlServer,
  downstream: Downstream,
  schema: string,
  options: Parameters<Downstream['replay']>[2] & { blockBytes?: number } = {},
): Promise<BatchPlan[]> {
  await upstream.query('FLUSH BINARY LOGS');
  const blocks = loggedBlocks(upstream.dataDirectory, schema, undefined, options.blockBytes);
  const plans: BatchPlan[] = [];
  for (const [span, list] of blocks) plans.push(...(await downstream.replay(span, list, options)));
  return plans;
}

/** All rows of a table as hexadecimal text of each column, sorted: equal for equal contents, byte by byte. */
export async function tableContent(
  server: SqlServer,
  schema: string,
  table: string,
): Promise<string[]> {
  const columns = await server.query<{ name: string; type: string }>(
    `SELECT COLUMN_NAME AS name, DATA_TYPE AS type FROM information_schema.COLUMNS
     WHERE TABLE_SCHEMA=? AND TABLE_NAME=? ORDER BY ORDINAL_POSITION`,
    [schema, table],
  );
  const quoted = (name: string): string => `\`${name.replaceAll('`', '``')}\``;
  const cells = columns.map(({ name, type }) => {
    const column = quoted(name);
    if (['float', 'double'].includes(type)) return `IFNULL(CONCAT(${column}+0e0),'NULL')`;
    if (['enum', 'set', 'bit'].includes(type))
      return `IFNULL(CONCAT(HEX(${column}+0),':',${column}),'NULL')`;
    return `IFNULL(HEX(${column}),'NULL')`;
  });
  const rows = await server.query<{ line: string }>(
    `SELECT CONCAT_WS('|',${cells.join(',')}) AS line FROM ${quoted(schema)}.${quoted(table)}`,
  );
  return rows.map((row) => String(row.line)).toSorted();
}
