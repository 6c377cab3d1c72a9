/** `sluice replicate`: one changefeed in this process, until it has caught up or is told to stop. */
import type { Failure } from '#src/base/failure.ts';
import { readChangefeedFile } from '#src/config/changefeed-file.ts';
import { startOf } from '#src/model/start-at.ts';
import { Progress } from './progress.ts';
import { Replication } from './replication.ts';

/** Options of the command line. */
export interface ReplicateOptions {
  readonly upstream: string;
  readonly sinkUri: string;
  readonly changefeedId?: string;
  readonly config?: string;
  readonly start: string;
  readonly untilCaughtUp: boolean;
  readonly workers?: number;
  readonly dataDir?: string;
  readonly json?: boolean;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent';
}

/** Replicates; the exit status (DESIGN §17). */
export async function replicate(options: ReplicateOptions): Promise<number> {
  const file = readChangefeedFile(options.config, 'process');
  const progress = new Progress(options.json === true);
  const replication = await Replication.start({
    upstreamUri: options.upstream,
    sinkUri: options.sinkUri,
    startAt: startOf(options.start),
    untilCaughtUp: options.untilCaughtUp,
    rules: file.rules,
    memoryQuota: file.memoryQuota,
    stuckAfterMs: file.stuckAfterMs,
    laneCount: file.laneCount,
    splitAbove: file.splitAbove,
    logLevel: options.logLevel,
    onStatus: (status) => progress.status(status),
    ...(options.changefeedId === undefined ? {} : { changefeedId: options.changefeedId }),
    ...(options.workers === undefined ? {} : { workThreadCount: options.workers }),
    ...(options.dataDir === undefined ? {} : { dataDirectory: options.dataDir }),
  });
  process.once('SIGINT', () => replication.stop());
  process.once('SIGTERM', () => replication.stop());
  const result = await replication.result;
  progress.result(result);
  return result.ok ? 0 : statusOf(result.status.failure);
}

/** The exit status of a failure (DESIGN §17). */
function statusOf(failure: Failure | null): number {
  if (failure?.code === 'SINK_FENCED') return 3;
  return failure?.code === 'CONFIG_INVALID' ? 2 : 1;
}
