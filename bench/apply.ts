/**
 * How many rows per second the MySQL sink writes into a private MariaDB, by rows per batch, beside a careful program that
 * sends the same changes through the driver (mysql2).
 *
 * Two tables at once, one batch after the other in each, as two dispatchers do; ours on two connections, the driver's on
 * two. Ours begins with blocks of row events in memory, decodes them, folds, and commits with guard and position; the
 * driver's begins with rows as JS values and has neither. Nothing is forced to disk. CPU of this process counts in both.
 */
import type { Outcome } from '#src/base/failure.ts';
import { readBlockInfo } from '#src/model/block.ts';
import type { SinkAnswer, SinkPort, SinkRequest } from '#src/ports/sink.ts';
import { openMysqlSink } from '#src/adapters/mysql-sink/sink.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import type { SqlServer } from '#test/servers/sql-server.ts';
import { ApplyTable, type ApplyBatch, type Operation } from './apply-data.ts';
import { applyByDriver } from './apply-peer.ts';
import { printLine, round2 } from './figures.ts';

/** One operation and batch size; speeds in rows per second. */
export interface ApplyCase {
  readonly operation: Operation;
  readonly batchRows: number;
  readonly rows: number;
  readonly sluice: number;
  readonly driver: number;
  /** sluice / driver. */
  readonly ratio: number;
}

const config = { innodb_flush_log_at_trx_commit: '0', sync_binlog: '0' };
const sizes = [1, 16, 64, 256, 1_024, 4_096];
const operations: readonly Operation[] = ['insert', 'update', 'delete'];
const tableCount = 2;
const changefeed = 'bench';
const token = 1;

/** Rows of each table: enough batches for a steady figure, little enough for a second. */
function totalOf(size: number): number {
  return Math.min(40_960, Math.max(1_000, size * 500));
}

/** Runs the bench. Under a minute. */
export async function apply(options: { json: boolean }): Promise<object> {
  const server = await startMariadb({ config });
  const sink = openMysqlSink({ uri: server.uri(), log: () => undefined, owner: 'bench' });
  const cases: ApplyCase[] = [];
  try {
    await ask(sink, { kind: 'Open', changefeed });
    await server.query('CREATE DATABASE bench');
    let number = 0;
    for (const size of sizes) {
      const tables = Array.from({ length: tableCount }, () => new ApplyTable(++number));
      const peers = Array.from({ length: tableCount }, () => new ApplyTable(++number));
      for (const table of [...tables, ...peers]) await server.query(table.definition);
      for (const { span } of tables)
        await ask(sink, { kind: 'RaiseSpan', changefeed, span, token, ts: 0 });
      for (const operation of operations) {
        const work = { operation, size, total: totalOf(size) };
        const sluice = await bySluice(sink, tables, work);
        const driver = await byDriver(server, peers, work);
        const rows = work.total * tableCount;
        cases.push({
          operation,
          batchRows: size,
          rows,
          sluice,
          driver,
          ratio: round2(sluice / driver),
        });
      }
    }
  } finally {
    await sink.close();
    await server.stop();
  }
  if (!options.json) print(cases);
  return { name: 'apply', unit: 'rows/s', cases };
}

interface Work {
  readonly operation: Operation;
  /** Rows per batch. */
  readonly size: number;
  /** Rows per table. */
  readonly total: number;
}

async function bySluice(
  sink: SinkPort,
  tables: readonly ApplyTable[],
  work: Work,
): Promise<number> {
  const prepared = tables.map((table) => ({
    span: table.span,
    batches: table.batches(work.operation, work.total, work.size),
  }));
  return rowsPerSecond(work.total * tables.length, async () => {
    await Promise.all(prepared.map(({ span, batches }) => applyAll(sink, span, batches)));
  });
}

async function applyAll(
  sink: SinkPort,
  span: string,
  batches: readonly ApplyBatch[],
): Promise<void> {
  // The first transaction of a batch follows the last one of the batch before.
  const [first] = batches;
  let afterTs = first === undefined ? 0 : first.lastTs - countOf(first);
  for (const { blocks, lastTs } of batches) {
    await ask(sink, {
      kind: 'Apply',
      changefeed,
      span,
      token,
      afterTs,
      untilTs: lastTs,
      stage: 'whole',
      idempotent: false,
      schemaVersion: 1,
      blocks,
    });
    afterTs = lastTs;
  }
}

function countOf(batch: ApplyBatch): number {
  return batch.blocks.reduce((sum, bytes) => sum + readBlockInfo('', bytes).transactionCount, 0);
}

async function byDriver(
  server: SqlServer,
  tables: readonly ApplyTable[],
  work: Work,
): Promise<number> {
  const connections = await Promise.all(
    tables.map(() => server.connect({ multipleStatements: true })),
  );
  try {
    return await rowsPerSecond(work.total * tables.length, async () => {
      await Promise.all(
        tables.map(async ({ name }, i) => {
          for (let from = 1; from <= work.total; from += work.size) {
            const to = Math.min(work.total + 1, from + work.size);
            const { operation } = work;
            await applyByDriver(connections[i]!, { table: name, operation }, { from, to });
          }
        }),
      );
    });
  } finally {
    await Promise.all(connections.map((connection) => connection.end()));
  }
}

async function rowsPerSecond(rows: number, task: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await task();
  return Math.round((rows * 1_000) / (performance.now() - begun));
}

async function ask(sink: SinkPort, request: SinkRequest): Promise<SinkAnswer> {
  const outcome: Outcome<SinkAnswer> = await sink.call(request);
  if (!outcome.ok) throw new Error(`${request.kind}: ${outcome.failure.message}`);
  return outcome.value;
}

function print(cases: readonly ApplyCase[]): void {
  printLine(['rows/s', 'rows per batch', 'sluice', 'driver', 'ratio']);
  for (const { operation, batchRows, sluice, driver, ratio } of cases)
    printLine([operation, batchRows, sluice, driver, ratio]);
}
