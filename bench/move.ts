/**
 * How long a table stands still when it is moved to another node: three `sluice server` processes, a real etcd and two MariaDB
 * servers, a row into the table every 2 ms. The pause of a move is the longest time in which nothing new of the table was seen
 * downstream, from asking for the move until a while after it was done; beside it the longest such time of windows of the
 * same kind without a move. Goal: a median of 200 ms at most (DESIGN §15).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { must } from '#src/base/assert.ts';
import { ServerCluster } from '#test/e2e/cluster/server-cluster.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import type { SqlServer } from '#test/servers/sql-server.ts';
import { median, percentile, printLine, round2 } from './figures.ts';

const moveCount = Number(process.env['BENCH_ROUNDS'] ?? 20);
const tableCount = 12;
const writeEveryMs = 2;
const lookEveryMs = 1;
/** What is watched after a move was answered. */
const afterMs = 300;
/** Moves that the cluster makes by itself are not measured: it evens out once in a while, and then has nothing to do. */
const restMs = 500;
const goalMs = 200;

/** Runs the bench; about a minute. */
export async function move(options: { readonly json: boolean }): Promise<object> {
  const [upstream, downstream] = await Promise.all([startMariadb(), startMariadb()]);
  const cluster = await ServerCluster.start(3, { leaseTtlSeconds: 10 });
  const stopped = new AbortController();
  try {
    const uris = ['--upstream', upstream.uri(), '--sink-uri', downstream.uri()];
    const names = ['-i', 'move', '--start', 'oldest', '--no-confirm'];
    await cluster.client('changefeed', 'create', ...names, ...uris);
    await makeTables(upstream);
    await cluster.balanced('move', tableCount, 3);
    const seen = new Seen();
    const working = [write(upstream, stopped.signal), watch(downstream, seen, stopped.signal)];
    await sleep(2_000);
    const pauses: number[] = [];
    const quiet: number[] = [];
    const doneMs: number[] = [];
    for (let i = 0; i < moveCount; i++) {
      quiet.push(await pauseDuring(seen, () => sleep(restMs)));
      const to = await elsewhere(cluster);
      const asked = performance.now();
      pauses.push(
        await pauseDuring(seen, async () => {
          await moveTo(cluster, to);
          doneMs.push(performance.now() - asked);
        }),
      );
    }
    stopped.abort();
    await Promise.all(working);
    const figures = {
      moves: pauses.length,
      medianMs: round2(median(pauses)),
      p90Ms: round2(
        percentile(
          pauses.toSorted((a, b) => a - b),
          0.9,
        ),
      ),
      quietMedianMs: round2(median(quiet)),
      answeredMedianMs: round2(median(doneMs)),
    };
    if (!options.json) {
      printLine(['', 'median ms', 'p90 ms', 'no move ms', 'answered ms']);
      const { medianMs, p90Ms, quietMedianMs, answeredMedianMs } = figures;
      printLine(['pause', medianMs, p90Ms, quietMedianMs, answeredMedianMs]);
    }
    const ratio = round2(figures.medianMs / goalMs);
    return { name: 'move', unit: 'ms', goal: `median ${goalMs} ms`, ...figures, ratio };
  } finally {
    stopped.abort();
    await cluster.stop();
    await Promise.all([upstream.stop(), downstream.stop()]);
  }
}

async function makeTables(upstream: SqlServer): Promise<void> {
  const tables = Array.from(
    { length: tableCount },
    (_, i) => `CREATE TABLE m.t${i} (id INT PRIMARY KEY AUTO_INCREMENT, n INT);`,
  );
  await upstream.script(`CREATE DATABASE m; ${tables.join(' ')}`);
  for (let i = 0; i < tableCount; i++) await upstream.query(`INSERT INTO m.t${i} (n) VALUES (0)`);
}

/** When something new of the table was seen. */
class Seen {
  #lastMs = performance.now();
  #longestMs = 0;

  news(): void {
    this.#look();
    this.#lastMs = performance.now();
  }

  /** Begins a window. */
  begin(): void {
    this.#longestMs = 0;
  }

  /** The longest time without news in the window, one that still goes on included. */
  end(): number {
    this.#look();
    return this.#longestMs;
  }

  #look(): void {
    this.#longestMs = Math.max(this.#longestMs, performance.now() - this.#lastMs);
  }
}

async function pauseDuring(seen: Seen, run: () => Promise<void>): Promise<number> {
  seen.begin();
  await run();
  await sleep(afterMs);
  return seen.end();
}

/** A node that does not have the table. */
async function elsewhere(cluster: ServerCluster): Promise<string> {
  const placed = await cluster.tables('move');
  const others = placed.filter(({ tables }) => !tables.includes('m.t0'));
  return must(others[Math.floor(Math.random() * others.length)], 'another node').captureId;
}

async function moveTo(cluster: ServerCluster, captureId: string): Promise<void> {
  const { address } = must(cluster.members[0], 'a node');
  const answer = await fetch(`http://${address}/api/v2/changefeeds/move/move_table`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ table: 'm.t0', target_node_id: captureId }),
  });
  if (!answer.ok) throw new Error(`move_table: ${answer.status} ${await answer.text()}`);
}

async function write(upstream: SqlServer, signal: AbortSignal): Promise<void> {
  const connection = await upstream.connect();
  while (!signal.aborted) {
    await connection.query('INSERT INTO m.t0 (n) VALUES (1)');
    await sleep(writeEveryMs);
  }
  await connection.end();
}

async function watch(downstream: SqlServer, seen: Seen, signal: AbortSignal): Promise<void> {
  const connection = await downstream.connect();
  let newest = 0;
  while (!signal.aborted) {
    const [rows] = await connection.query('SELECT MAX(id) AS id FROM m.t0');
    const id = (rows as unknown as readonly { id: number | null }[])[0]?.id ?? 0;
    if (id > newest) seen.news();
    newest = Math.max(newest, id);
    await sleep(lookEveryMs);
  }
  await connection.end();
}
