/**
 * One changefeed in one process, with embedded coordination: what `sluice replicate`, `sluice demo` and embedders run.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compileTableFilter } from '#src/model/table-filter.ts';
import type { StartAt } from '#src/model/start-at.ts';
import { blankStatus, isLastWord, type ChangefeedStatus } from '#src/protocol/changefeed.ts';
import { Capture } from './capture.ts';
import { demandChangefeedId } from './changefeed-id.ts';
import { checkUris } from './ports.ts';
import type { CaptureSettings } from './settings.ts';
import { defaultWorkThreadCount } from './shared-memory.ts';
import { overFailure } from './tree-over.ts';

/** What to replicate, and how. URIs as DESIGN §17. */
export interface ReplicationOptions {
  readonly upstreamUri: string;
  readonly sinkUri: string;
  /** Default: derived from the upstream's address. */
  readonly changefeedId?: string;
  /** Where to begin when the downstream holds no position of this changefeed; default now. */
  readonly startAt?: StartAt;
  readonly rules?: readonly string[];
  readonly untilCaughtUp?: boolean;
  /** Bytes; default 128 MiB. */
  readonly memoryQuota?: number;
  readonly stuckAfterMs?: number;
  readonly workThreadCount?: number;
  readonly laneCount?: number;
  /** See the changefeed's configuration. */
  readonly splitAbove?: number | null;
  /** Default: a temporary directory that is removed at the end. */
  readonly dataDirectory?: string;
  readonly logLevel?: CaptureSettings['logLevel'];
  readonly onStatus?: (status: ChangefeedStatus) => void;
}

/** How a replication ended. */
export interface ReplicationResult {
  readonly ok: boolean;
  readonly status: ChangefeedStatus;
  readonly elapsedMs: number;
}

/** A running replication. */
export class Replication {
  readonly capture: Capture;
  readonly id: string;
  /** Resolves when it has ended and everything is closed. */
  readonly result: Promise<ReplicationResult>;

  private constructor(capture: Capture, id: string, result: Promise<ReplicationResult>) {
    this.capture = capture;
    this.id = id;
    this.result = result;
  }

  /** Starts threads and changefeed; FailureError CONFIG_INVALID for wrong options. */
  static async start(options: ReplicationOptions): Promise<Replication> {
    checkUris(options.upstreamUri, options.sinkUri);
    if (options.changefeedId !== undefined) demandChangefeedId(options.changefeedId);
    const rules = options.rules ?? ['*.*'];
    compileTableFilter(rules);
    const startedMs = performance.now();
    const id = options.changefeedId ?? defaultId(options.upstreamUri);
    let last = blankStatus(id);
    const ended = Promise.withResolvers<ChangefeedStatus>();
    const capture = await Capture.start({
      settings: settingsOf(options),
      workThreadCount: options.workThreadCount ?? defaultWorkThreadCount(),
      onStatus: (status) => {
        last = status;
        options.onStatus?.(status);
        if (isLastWord(status.state)) ended.resolve(status);
      },
      onOver: (over) => ended.resolve({ ...last, state: 'failed', failure: overFailure(over) }),
    });
    const started = capture.startChangefeed({
      id,
      endpoints: null,
      startAt: options.startAt ?? { kind: 'now' },
      rules,
      untilCaughtUp: options.untilCaughtUp ?? false,
      memoryQuota: options.memoryQuota ?? 128 << 20,
      stuckAfterMs: options.stuckAfterMs ?? 30 * 60_000,
      splitAbove: options.splitAbove ?? null,
    });
    void started.then((outcome) => {
      if (!outcome.ok) ended.resolve({ ...last, state: 'failed', failure: outcome.failure });
    });
    const result = ended.promise.then(async (status) => {
      await capture.stop();
      return { ok: status.state !== 'failed', status, elapsedMs: performance.now() - startedMs };
    });
    return new Replication(capture, id, result);
  }

  /** Applies what has been read, saves the checkpoint and ends; `result` then resolves with state `stopped`. */
  stop(): void {
    void this.capture.stopChangefeed(this.id);
  }
}

function settingsOf(options: ReplicationOptions): CaptureSettings {
  const { dataDirectory } = options;
  return {
    clusterId: 'default',
    upstreamUri: options.upstreamUri,
    sinkUri: options.sinkUri,
    dataDirectory: dataDirectory ?? mkdtempSync(join(tmpdir(), 'sluice-')),
    isTemporary: dataDirectory === undefined,
    captureId: Capture.newId(),
    logLevel: options.logLevel ?? 'warn',
    storeBytesMax: 8 * 2 ** 30,
    laneCount: options.laneCount ?? 2,
  };
}

/** The same upstream address gives the same id, so a second run goes on where the first one stood. */
function defaultId(upstreamUri: string): string {
  const address = upstreamUri.replace(/\/\/[^@/?]*@/, '//').replace(/\?.*$/, '');
  const socket = /[?&]socket=([^&]*)/.exec(upstreamUri)?.[1] ?? '';
  return `replicate-${createHash('sha256').update(`${address} ${socket}`).digest('hex').slice(0, 12)}`;
}
