/** Two servers and the command line between them. */
import assert from 'node:assert/strict';
import { compareTables, describeDifferences } from '#test/fixtures/compare.ts';
import { SluiceCommand, sluice } from './sluice-command.ts';

import type { SqlServer } from '#test/servers/sql-server.ts';
import type { CommandEnd } from './sluice-command.ts';

/** Starts one private server with settings added. */
export type StartServer = (options: {
  config?: Readonly<Record<string, string>>;
}) => Promise<SqlServer>;

/** The result line of a replication that succeeded (DESIGN §17). */
export interface ReplicateResult {
  readonly ok: true;
  readonly state: string;
  readonly checkpoint: { readonly ts: number; readonly gtid: string };
  readonly rows: number;
  readonly transactions: number;
  readonly ddl: number;
  readonly elapsedMs: number;
}

/** An upstream and a downstream. */
export class ServerPair {
  readonly upstream: SqlServer;
  readonly downstream: SqlServer;

  private constructor(upstream: SqlServer, downstream: SqlServer) {
    this.upstream = upstream;
    this.downstream = downstream;
  }

  /** Starts both, the downstream with settings added. */
  static async start(
    start: StartServer,
    downstreamConfig: Readonly<Record<string, string>> = {},
  ): Promise<ServerPair> {
    const [upstream, downstream] = await Promise.all([
      start({}),
      start({ config: downstreamConfig }),
    ]);
    return new ServerPair(upstream, downstream);
  }

  /** Stops both. */
  async stop(): Promise<void> {
    await Promise.all([this.upstream.stop(), this.downstream.stop()]);
  }

  /** commitTs of the newest transaction of the upstream, which is a MariaDB. */
  async newestTs(): Promise<number> {
    const [row] = await this.upstream.query<{ gtid: string }>('SELECT @@gtid_binlog_pos AS gtid');
    return Number(row!.gtid.split('-')[2]);
  }

  /** The arguments that name both servers. */
  get uris(): string[] {
    return ['--upstream', this.upstream.uri(), '--sink-uri', this.downstream.uri()];
  }

  /** `sluice replicate --json` until it ends; any end is an answer. */
  run(more: readonly string[] = [], limitMs?: number): Promise<CommandEnd> {
    return sluice(['replicate', ...this.uris, '--json', ...more], limitMs);
  }

  /** `sluice replicate --json`, left running. */
  begin(more: readonly string[] = []): SluiceCommand {
    return new SluiceCommand(['replicate', ...this.uris, '--json', ...more]);
  }

  /** Copies from the oldest (or the stored) position to the newest one and expects success. */
  async catchUp(more: readonly string[] = [], limitMs?: number): Promise<ReplicateResult> {
    const end = await this.run(['--until-caught-up', '--start', 'oldest', ...more], limitMs);
    assert.equal(end.status, 0, `${JSON.stringify(end.result)}\n${end.errors.slice(-4_000)}`);
    assert.equal(end.result['ok'], true);
    assert.equal(end.result['state'], 'finished');
    return end.result as unknown as ReplicateResult;
  }

  /** Both comparisons, Sluice's own and the tests', find no difference in any table of `schemas`. */
  async assertEqual(
    schemas: readonly string[],
    more: readonly string[] = [],
  ): Promise<{ tables: number; rows: number }> {
    const diff = await sluice(['diff', ...this.uris, '--json', ...more]);
    const { result } = diff;
    const told = JSON.stringify(result['differences'] ?? result).slice(0, 2_000);
    assert.equal(diff.status, 0, `sluice diff: ${told} ${diff.errors}`);
    assert.equal(result['ok'], true);
    assert.equal(result['equal'], true);
    const compared = await compareTables(this.upstream, this.downstream, {
      schemas,
      definitions: true,
    });
    assert.equal(describeDifferences(compared), '');
    const inDiff = (result['tables'] as { table: string }[]).filter(({ table }) =>
      schemas.some((schema) => table.startsWith(`${schema}.`)),
    );
    assert.equal(inDiff.length, compared.tables, 'both comparisons see the same tables');
    return { tables: compared.tables, rows: compared.rows };
  }
}
