/**
 * How long a committed transaction takes to be seen downstream, at 1,000 single-row transactions per second, beside
 * MariaDB's own replica under the same load.
 *
 * The clock of one process measures both ends: it runs from the upstream's answer to the commit until a reader that asks
 * the downstream for the newest row every millisecond has seen the row. One after the other, replica first; both
 * downstreams have one configuration, nothing forced to disk.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { startMariadb } from '#test/servers/mariadb.ts';
import type { SqlServer } from '#test/servers/sql-server.ts';
import { Replication } from '#workers/replication.ts';
import { percentile, printLine, round2 } from './figures.ts';

/** Milliseconds from commit upstream to being seen downstream. */
export interface LatencyFigures {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** Transactions seen, and per second. */
  readonly count: number;
  readonly rate: number;
}

const config = {
  innodb_flush_log_at_trx_commit: '0',
  sync_binlog: '0',
  binlog_annotate_row_events: 'OFF',
};
const perSecond = 1_000;
/** What is measured begins after this many transactions, when everything is warm. */
const warmCount = 2_000;
const pollMs = 1;
const patienceMs = 30_000;

/** Runs the bench. Under a minute. */
export async function latency(options: { json: boolean }): Promise<object> {
  const seconds = Number(process.env['BENCH_SECONDS'] ?? 8);
  const [upstream, replica, downstream] = await Promise.all([
    startMariadb({ config }),
    startMariadb({ config }),
    startMariadb({ config }),
  ]);
  try {
    const peer = await ofReplica(upstream, replica, seconds);
    const sluice = await ofSluice(upstream, downstream, seconds);
    if (!options.json) print(sluice, peer);
    const above = { p50: round2(sluice.p50 - peer.p50), p99: round2(sluice.p99 - peer.p99) };
    const ratio = round2(sluice.p50 / peer.p50);
    return { name: 'latency', unit: 'ms', sluice, replica: peer, above, ratio };
  } finally {
    await Promise.all([upstream, replica, downstream].map((server) => server.stop()));
  }
}

async function makeTable(server: SqlServer): Promise<void> {
  await server.query('DROP DATABASE IF EXISTS bench');
  await server.query('CREATE DATABASE bench');
  await server.query(
    'CREATE TABLE bench.ping (id INT PRIMARY KEY, k INT NOT NULL, c CHAR(120) NOT NULL, KEY (k))',
  );
}

async function ofReplica(
  upstream: SqlServer,
  replica: SqlServer,
  seconds: number,
): Promise<LatencyFigures> {
  await makeTable(upstream);
  await replica.query(
    `CHANGE MASTER TO master_host='127.0.0.1', master_port=${upstream.port}, master_user='root', master_use_gtid=slave_pos`,
  );
  await replica.query('START SLAVE');
  const figures = await measure(upstream, replica, seconds);
  await replica.query('STOP SLAVE');
  return figures;
}

async function ofSluice(
  upstream: SqlServer,
  downstream: SqlServer,
  seconds: number,
): Promise<LatencyFigures> {
  await makeTable(upstream);
  await makeTable(downstream);
  const running = Promise.withResolvers<void>();
  const replication = await Replication.start({
    upstreamUri: upstream.uri(),
    sinkUri: downstream.uri(),
    rules: ['bench.*'],
    onStatus: ({ state }) => {
      if (state === 'normal') running.resolve();
    },
  });
  await Promise.race([running.promise, replication.result]);
  const figures = await measure(upstream, downstream, seconds);
  replication.stop();
  const { ok, status } = await replication.result;
  if (!ok) throw new Error(`sluice failed: ${status.failure?.message ?? ''}`);
  return figures;
}

async function measure(
  upstream: SqlServer,
  downstream: SqlServer,
  seconds: number,
): Promise<LatencyFigures> {
  const count = seconds * perSecond + warmCount;
  const committed = new Float64Array(count + 1);
  const seen = new Float64Array(count + 1);
  const begun = performance.now();
  await Promise.all([write(upstream, committed), watch(downstream, seen)]);
  const tookMs = performance.now() - begun;
  const delays: number[] = [];
  for (let id = warmCount + 1; id <= count; id++)
    delays.push(Math.max(0, seen[id]! - committed[id]!));
  delays.sort((a, b) => a - b);
  return {
    p50: round2(percentile(delays, 0.5)),
    p99: round2(percentile(delays, 0.99)),
    max: round2(delays.at(-1) ?? 0),
    count: delays.length,
    rate: Math.round((count * 1_000) / tookMs),
  };
}

/** Inserts the ids from 1 at a steady rate, one transaction each; notes when each commit was answered. */
async function write(upstream: SqlServer, committed: Float64Array): Promise<void> {
  const connection = await upstream.connect({ database: 'bench' });
  const pending: Promise<void>[] = [];
  const begun = performance.now();
  for (let id = 1; id < committed.length;) {
    const due = Math.min(
      committed.length - 1,
      Math.floor(((performance.now() - begun) * perSecond) / 1_000),
    );
    for (; id <= due; id++) {
      const mine = id;
      const sent = connection.query(
        `INSERT INTO ping VALUES (${mine}, ${(mine * 31) % 10_000}, REPEAT('c', 119))`,
      );
      pending.push(sent.then(() => void (committed[mine] = performance.now())));
    }
    await delay(1);
  }
  await Promise.all(pending);
  await connection.end();
}

/** Asks for the newest id until the last one is there; notes when each id was first seen. */
async function watch(downstream: SqlServer, seen: Float64Array): Promise<void> {
  const connection = await downstream.connect();
  const last = seen.length - 1;
  let lastNewsAt = performance.now();
  for (let newest = 0; newest < last;) {
    const asked = performance.now();
    const id = await newestId(connection);
    const now = performance.now();
    if (id > newest) lastNewsAt = now;
    if (now - lastNewsAt > patienceMs) throw new Error('nothing new arrived downstream');
    while (newest < id) seen[++newest] = now;
    const rest = pollMs - (now - asked);
    if (rest > 0) await delay(rest);
  }
  await connection.end();
}

async function newestId(connection: Awaited<ReturnType<SqlServer['connect']>>): Promise<number> {
  try {
    const [rows] = await connection.query('SELECT MAX(id) AS id FROM bench.ping');
    return (rows as unknown as readonly { id: number | null }[])[0]?.id ?? 0;
  } catch {
    // A replica that has just begun has no table yet.
    return 0;
  }
}

function print(sluice: LatencyFigures, replica: LatencyFigures): void {
  printLine(['ms', 'p50', 'p99', 'max', 'txn/s']);
  for (const [name, each] of Object.entries({ sluice, replica }))
    printLine([name, each.p50, each.p99, each.max, each.rate]);
}
