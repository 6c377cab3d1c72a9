/**
 * How fast a backlog is caught up with, beside MariaDB's own replica: rows per second of `sluice replicate` and of the
 * best of three replicas (0, 2 and 4 parallel threads, optimistic mode) on the same log, one after the other.
 *
 * Fair: both downstreams are private MariaDBs of one configuration (nothing forced to disk, binary log on, no annotations),
 * both begin with the same rows, and both clocks run from the command to start until the upstream's last position is
 * there. Of ours the better of two runs counts, one before and one after the replicas. A replica's clock includes its connection and its reading of the log, as ours does; what is not counted is the
 * start of our threads, which takes about as long as a server's own start.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { startMariadb } from '#test/servers/mariadb.ts';
import type { SqlServer } from '#test/servers/sql-server.ts';
import { Replication } from '#workers/replication.ts';
import { cpuMsOf } from './cpu.ts';
import { printLine, round2 } from './figures.ts';
import { loads, makeTables, runLoad, type Load } from './load.ts';

/** One workload; speeds in row changes of the log per second. */
export interface ReplicateCase {
  readonly name: string;
  readonly rows: number;
  readonly transactions: number;
  readonly sluice: number;
  readonly sluiceSeconds: number;
  /** The same with the start of the threads. */
  readonly sluiceWholeSeconds: number;
  /** Processor time per row, microseconds: ours, the downstream's beside it, and the best replica's. */
  readonly cpu: { readonly sluice: number; readonly downstream: number; readonly replica: number };
  /** The best of `replicas`. */
  readonly replica: number;
  /** By parallel threads. */
  readonly replicas: Readonly<Record<string, number>>;
  /** sluice / replica. */
  readonly ratio: number;
}

const config = {
  innodb_flush_log_at_trx_commit: '0',
  sync_binlog: '0',
  binlog_annotate_row_events: 'OFF',
  innodb_buffer_pool_size: '512M',
  slave_parallel_mode: 'optimistic',
};
const waitSeconds = 120;

interface Servers {
  readonly upstream: SqlServer;
  readonly replica: SqlServer;
  readonly downstream: SqlServer;
}

/** Runs the bench: four workloads, each written for a few seconds. Under three minutes. */
export async function replicate(options: { json: boolean }): Promise<object> {
  const seconds = Number(process.env['BENCH_SECONDS'] ?? 5);
  const only = process.env['BENCH_LOAD'];
  const threads = (process.env['BENCH_REPLICA_THREADS'] ?? '0,2,4').split(',');
  const [upstream, replica, downstream] = await Promise.all([
    startMariadb({ config }),
    startMariadb({ config }),
    startMariadb({ config }),
  ]);
  const servers = { upstream, replica, downstream };
  const cases: ReplicateCase[] = [];
  try {
    for (const load of loads.filter(({ name }) => only === undefined || name === only))
      cases.push(await measure(servers, load, { seconds, threads }));
  } finally {
    await Promise.all(Object.values(servers).map((server) => server.stop()));
  }
  if (!options.json) print(cases);
  return { name: 'replicate', unit: 'rows/s', cases };
}

async function measure(
  servers: Servers,
  load: Load,
  plan: { readonly seconds: number; readonly threads: readonly string[] },
): Promise<ReplicateCase> {
  const { upstream, replica } = servers;
  await makeTables(upstream, load, true);
  const start = await position(upstream);
  await runLoad(upstream, load, plan.seconds);
  const end = await position(upstream);
  const first = await catchUp(servers, load, { start, name: `${load.name}-1` });
  const { rows, transactions } = first;
  const replicas: Record<string, number> = {};
  let best = { seconds: Number.POSITIVE_INFINITY, cpuMs: 0 };
  for (const threads of plan.threads) {
    await makeTables(replica, load, false);
    const run = await runReplica(servers, { start, end, threads });
    replicas[threads] = Math.round(rows / run.seconds);
    if (run.seconds < best.seconds) best = run;
  }
  const second = await catchUp(servers, load, { start, name: `${load.name}-2` });
  const own = first.seconds < second.seconds ? first : second;
  const perRow = (cpuMs: number): number => round2((cpuMs * 1_000) / rows);
  return {
    name: load.name,
    rows,
    transactions,
    sluice: Math.round(rows / own.seconds),
    sluiceSeconds: round2(own.seconds),
    sluiceWholeSeconds: round2(own.wholeSeconds),
    cpu: {
      sluice: perRow(own.cpuMs),
      downstream: perRow(own.downstreamCpuMs),
      replica: perRow(best.cpuMs),
    },
    replica: Math.round(rows / best.seconds),
    replicas,
    ratio: round2(best.seconds / own.seconds),
  };
}

async function position(server: SqlServer): Promise<string> {
  const [row] = await server.query<{ gtid: string }>('SELECT @@gtid_binlog_pos AS gtid');
  return row!.gtid;
}

interface OwnRun {
  readonly rows: number;
  readonly transactions: number;
  readonly seconds: number;
  readonly wholeSeconds: number;
  readonly cpuMs: number;
  readonly downstreamCpuMs: number;
}

/** One run of ours; its clock starts when the threads stand and the first request goes out. */
async function catchUp(
  servers: Servers,
  load: Load,
  run: { readonly start: string; readonly name: string },
): Promise<OwnRun> {
  const { upstream, downstream } = servers;
  await makeTables(downstream, load, false);
  const before = performance.now();

  let caughtUpAt = before;
  const replication = await Replication.start({
    upstreamUri: upstream.uri(),
    sinkUri: downstream.uri(),
    changefeedId: `bench-${run.name.replaceAll('_', '-')}`,
    startAt: { kind: 'gtid', gtid: run.start },
    rules: ['bench.*'],
    untilCaughtUp: true,
    stuckAfterMs: waitSeconds * 500,
    onStatus: ({ state }) => {
      if (state === 'finished') caughtUpAt = performance.now();
    },
  });
  const begun = performance.now();
  const cpuMs = cpuMsOf(process.pid);
  const downstreamCpuMs = cpuMsOf(downstream.pid);
  const result = await replication.result;
  if (!result.ok) throw new Error(`sluice failed: ${result.status.failure?.message ?? ''}`);
  await demandEqual(servers);
  const { rows, transactions } = result.status.counts;
  return {
    rows,
    transactions,
    seconds: (caughtUpAt - begun) / 1_000,
    wholeSeconds: (caughtUpAt - before) / 1_000,
    cpuMs: cpuMsOf(process.pid) - cpuMs,
    downstreamCpuMs: cpuMsOf(downstream.pid) - downstreamCpuMs,
  };
}

async function runReplica(
  servers: Servers,
  run: { readonly start: string; readonly end: string; readonly threads: string },
): Promise<{ readonly seconds: number; readonly cpuMs: number }> {
  const { upstream, replica } = servers;
  await replica.query('RESET MASTER');
  await replica.query(`SET GLOBAL gtid_slave_pos='${run.start}'`);
  await replica.query(`SET GLOBAL slave_parallel_threads=${run.threads}`);
  await replica.query(
    `CHANGE MASTER TO master_host='127.0.0.1', master_port=${upstream.port}, master_user='root', master_use_gtid=slave_pos`,
  );
  const cpuMs = cpuMsOf(replica.pid);
  const begun = performance.now();
  await replica.query('START SLAVE');
  const [row] = await replica.query<{ reached: number }>(
    `SELECT MASTER_GTID_WAIT('${run.end}', ${waitSeconds}) AS reached`,
  );
  const took = {
    seconds: (performance.now() - begun) / 1_000,
    cpuMs: cpuMsOf(replica.pid) - cpuMs,
  };
  if (row?.reached !== 0) throw new Error('the replica did not catch up');
  await replica.query('STOP SLAVE');
  await replica.query('RESET SLAVE ALL');
  await delay(200);
  return took;
}

/** A fast copy that is wrong counts nothing. */
async function demandEqual({ upstream, downstream }: Servers): Promise<void> {
  const tables = 'bench.sbtest1, bench.sbtest2, bench.sbtest3, bench.sbtest4';
  const [own, other] = await Promise.all([
    downstream.query(`CHECKSUM TABLE ${tables}`),
    upstream.query(`CHECKSUM TABLE ${tables}`),
  ]);
  if (JSON.stringify(own) !== JSON.stringify(other)) throw new Error('the copy is not equal');
}

function print(cases: readonly ReplicateCase[]): void {
  printLine(['rows/s', 'sluice', 'best replica', '0/2/4 threads', 'ratio', 'rows', 'cpu µs/row']);
  for (const each of cases) {
    const thousands = Object.values(each.replicas).map((value) => `${Math.round(value / 1_000)}k`);
    const { name, sluice, replica, ratio, rows, cpu } = each;
    const spent = `${cpu.sluice}+${cpu.downstream}:${cpu.replica}`;
    printLine([name, sluice, replica, thousands.join('/'), ratio, rows, spent]);
  }
}
