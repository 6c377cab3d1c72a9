/**
 * `sluice demo`: the main job with nothing beside it. A generated workload goes through the same actors and the same
 * fenced sink port into SQLite; at the end every row downstream is compared with the workload's own model.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { workloadModel } from '#src/adapters/workload/workload-history.ts';
import { Progress } from './progress.ts';
import { Replication } from './replication.ts';

/** Options of the demo. */
export interface DemoOptions {
  readonly seconds: number;
  readonly workload: string;
  readonly json: boolean;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent';
}

/** What the comparison at the end found. */
export interface DemoProof {
  readonly tables: number;
  readonly rowsCompared: number;
  readonly differences: number;
  /** Sum of every integer column over all tables, upstream and downstream. */
  readonly sums: readonly {
    readonly column: string;
    readonly upstream: string;
    readonly downstream: string;
  }[];
}

/** Transactions a second of the generated workload, unless its URI says otherwise. */
const demoRate = 2_000;

/** Runs the demo and prints its proof; the exit status. */
export async function demo(options: DemoOptions): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-demo-'));
  const database = join(directory, 'copy.db');
  const upstreamUri = options.workload.includes('://')
    ? options.workload
    : `workload://${options.workload}?rate=${demoRate}`;
  const progress = new Progress(options.json);
  try {
    const replication = await Replication.start({
      upstreamUri,
      sinkUri: `sqlite://${database}`,
      changefeedId: 'demo',
      startAt: { kind: 'oldest' },
      dataDirectory: join(directory, 'data'),
      logLevel: options.logLevel,
      onStatus: (status) => progress.status(status),
    });
    const stop = (): void => replication.stop();
    const timer = setTimeout(stop, options.seconds * 1_000);
    process.once('SIGINT', stop);
    process.once('SIGTERM', stop);
    const result = await replication.result;
    clearTimeout(timer);
    const residentMiB = Math.round(process.memoryUsage.rss() / 2 ** 20);
    const proof = prove(upstreamUri, database, result.status.checkpoint?.ts ?? 0);
    const ok = result.ok && proof.differences === 0 && proof.rowsCompared > 0;
    if (!options.json) printProof(proof, residentMiB);
    progress.result(result, { ok, proof, residentMiB });
    return ok ? 0 : 1;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Compares every row of the copy with the model of the workload after transaction `ts`. */
function prove(uri: string, database: string, ts: number): DemoProof {
  const copy = new DatabaseSync(database, { readOnly: true, readBigInts: true });
  try {
    let rowsCompared = 0;
    let differences = 0;
    const sums = new Map<string, { upstream: bigint; downstream: bigint }>();
    const models = workloadModel(uri, ts);
    for (const model of models) {
      const expected = new Set<string>();
      for (const row of model.rows) expected.add(row.map(String).join('\u0000'));
      const columns = model.columns.map((column) => `"${column}"`).join(', ');
      for (const row of copy
        .prepare(`SELECT ${columns} FROM "${model.schema}.${model.table}"`)
        .iterate()) {
        rowsCompared++;
        const values = model.columns.map((column) => row[column]);
        if (!expected.delete(values.map(String).join('\u0000'))) differences++;
        for (const [i, column] of model.columns.entries()) {
          const value = values[i];
          if (column in model.sums && typeof value === 'bigint')
            addSum(sums, column, 'downstream', value);
        }
      }
      differences += expected.size;
      for (const [column, sum] of Object.entries(model.sums)) addSum(sums, column, 'upstream', sum);
    }
    return {
      tables: models.length,
      rowsCompared,
      differences,
      sums: [...sums].map(([column, sum]) => ({
        column,
        upstream: String(sum.upstream),
        downstream: String(sum.downstream),
      })),
    };
  } finally {
    copy.close();
  }
}

function addSum(
  sums: Map<string, { upstream: bigint; downstream: bigint }>,
  column: string,
  side: 'upstream' | 'downstream',
  value: bigint,
): void {
  const sum = sums.get(column) ?? { upstream: 0n, downstream: 0n };
  sum[side] += value;
  sums.set(column, sum);
}

function printProof(proof: DemoProof, residentMiB: number): void {
  const equal = proof.differences === 0 ? 'all equal' : `${proof.differences} DIFFERENCES`;
  process.stdout.write(
    `\nproof: ${proof.rowsCompared} rows of ${proof.tables} tables compared: ${equal}\n`,
  );
  for (const { column, upstream, downstream } of proof.sums) {
    process.stdout.write(`  sum(${column}): upstream ${upstream}, downstream ${downstream}\n`);
  }
  process.stdout.write(`  resident memory ${residentMiB} MiB\n`);
}
