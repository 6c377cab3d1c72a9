/**
 * The upstream that generates its history (port: src/ports/upstream.ts): `workload://bank?seed=1&rate=500`. It hands over
 * the very bytes that MariaDB would log, so everything behind it works as with a server. The same URI gives the same
 * history on every machine; only pace and commit times follow the clock.
 */
import { assert, must } from '#src/base/assert.ts';
import {
  FailureError,
  type Outcome,
  fail,
  failed,
  failure,
  ok,
  messageOf,
} from '#src/base/failure.ts';
import type { Position } from '#src/model/position.ts';
import type { Log } from '#src/ports/log.ts';
import type {
  UpstreamAnswer,
  UpstreamChecked,
  UpstreamChunk,
  UpstreamPort,
  UpstreamRequest,
} from '#src/ports/upstream.ts';
import type { StartAt } from '#src/model/start-at.ts';
import { WorkloadBlocks } from './workload-blocks.ts';
import { WorkloadHistory } from './workload-history.ts';
import { type WorkloadSettings, parseWorkloadUri } from './workload-uri.ts';

/** What the workload needs to open. */
export interface WorkloadUpstreamOptions {
  readonly uri: string;
  readonly log: Log;
  /** Gives commit times, milliseconds; by default the system's clock. */
  readonly clock?: () => number;
}

/** Most rows of one chunk, so that a call does not hold its thread long. */
const chunkRowsMax = 4096;
/** Longest sleep at a time, milliseconds. */
const sleepMsMax = 1000;

/** Opens a workload; FailureError CONFIG_INVALID when the URI is wrong. */
export function openWorkloadUpstream(options: WorkloadUpstreamOptions): UpstreamPort {
  const upstream = new WorkloadUpstream(parseWorkloadUri(options.uri), options);
  return {
    call: (request) => upstream.call(request),
    close: () => {
      upstream.stop();
      return Promise.resolve();
    },
  };
}

class WorkloadUpstream {
  readonly #settings: WorkloadSettings;
  readonly #log: Log;
  readonly #clock: () => number;
  #stream: WorkloadStream | null = null;
  #isClosed = false;

  constructor(settings: WorkloadSettings, options: WorkloadUpstreamOptions) {
    this.#settings = settings;
    this.#log = options.log;
    this.#clock = options.clock ?? Date.now;
  }

  stop(): void {
    this.#isClosed = true;
    this.#stream?.stop();
    this.#stream = null;
  }

  async call(request: UpstreamRequest): Promise<Outcome<UpstreamAnswer>> {
    if (this.#isClosed) return failed(failure('INTERNAL_STOPPED', 'the workload is closed'));
    try {
      return ok(await this.#answer(request));
    } catch (error) {
      if (error instanceof FailureError) return failed(error.failure);
      const text = messageOf(error);
      return failed(failure('INTERNAL_FAULT', 'the workload generator broke', { cause: text }));
    }
  }

  #answer(request: UpstreamRequest): UpstreamAnswer | Promise<UpstreamAnswer> {
    switch (request.kind) {
      case 'Check':
        return this.#check(request.startAt);
      case 'Open': {
        this.#stream?.stop();
        const history = new WorkloadHistory(this.#settings);
        if (request.position.ts > history.lastTs) diverged(request.position.gtid);
        history.skipTo(request.position.ts);
        const blocks = new WorkloadBlocks(request.routing);
        const untilTs = request.until == null ? Infinity : workloadTs(request.until);
        this.#stream = new WorkloadStream({ history, blocks, clock: this.#clock, untilTs });
        this.#log('info', 'workload-opened', { kind: this.#settings.kind, ts: history.ts });
        return { kind: 'Opened' };
      }
      case 'Next':
        return must(this.#stream, 'a stream: Open comes before Next').next(request.byteCountMax);
      case 'Route':
        this.#stream?.route(new WorkloadBlocks(request.routing));
        return { kind: 'Routed' };
      case 'Close':
        this.#stream?.stop();
        this.#stream = null;
        return { kind: 'Closed' };
    }
  }

  /** The history is as if it began when it is first read: `now` and `oldest` both stand before its first transaction. */
  #check(startAt: StartAt): UpstreamChecked {
    const history = new WorkloadHistory(this.#settings);
    const { kind, seed } = this.#settings;
    let ts = 0;
    if (startAt.kind === 'position') ts = startAt.position.ts;
    if (startAt.kind === 'gtid') ts = workloadTs(startAt.gtid);
    if (ts > history.lastTs) return diverged(positionAt(ts).gtid);
    const newestTs = Number.isFinite(history.lastTs)
      ? history.lastTs
      : Math.max(history.setupTs, ts);
    return {
      kind: 'Checked',
      flavor: 'workload',
      version: '1',
      serverId: `workload:${kind}:${seed}`,
      start: positionAt(ts),
      newest: positionAt(newestTs),
      timeline: [],
      warnings: [],
    };
  }
}

/** commitTs of a GTID of a workload; SOURCE_DIVERGED for anything else. */
export function workloadTs(gtid: string): number {
  const match = /^0-1-(\d{1,15})$/.exec(gtid);
  return match === null ? diverged(gtid) : Number(match[1]);
}

function diverged(gtid: string): never {
  return fail('SOURCE_DIVERGED', `the workload has no transaction ${gtid}`, { scope: 'Feed' });
}

function positionAt(ts: number): Position {
  return { ts, gtid: ts === 0 ? '' : `0-1-${ts}` };
}

/** One reading of the history, chunk by chunk. */
class WorkloadStream {
  readonly #history: WorkloadHistory;
  readonly #clock: () => number;
  readonly #untilTs: number;
  #blocks: WorkloadBlocks;
  /** The last transaction that was handed over whole. */
  #resolvedTs: number;
  /** What the last chunk said; a new chunk must say more. */
  #saidTs = -1;
  #commitMs = 0;
  /** Where pacing counts from: first transaction and time. */
  #paceTs = -1;
  #paceStartMs = 0;
  #isStopped = false;
  #wake: (() => void) | null = null;

  constructor(parts: {
    readonly history: WorkloadHistory;
    readonly blocks: WorkloadBlocks;
    readonly clock: () => number;
    readonly untilTs: number;
  }) {
    this.#history = parts.history;
    this.#blocks = parts.blocks;
    this.#clock = parts.clock;
    this.#untilTs = parts.untilTs;
    this.#resolvedTs = parts.history.ts;
  }

  stop(): void {
    this.#isStopped = true;
    this.#wake?.();
  }

  route(blocks: WorkloadBlocks): void {
    this.#blocks = blocks;
  }

  async next(byteCountMax: number): Promise<UpstreamChunk> {
    // Lets the thread breathe between chunks of a workload that never waits.
    await new Promise((resolve) => void setImmediate(resolve));
    for (;;) {
      if (this.#isStopped) fail('INTERNAL_STOPPED', 'the workload was closed while waiting');
      const chunk = this.#chunk(byteCountMax);
      if (chunk !== undefined) return chunk;
      await this.#sleep();
    }
  }

  /** What there is to say now, or undefined. */
  #chunk(byteCountMax: number): UpstreamChunk | undefined {
    const blocks = this.#blocks;
    let transactionCount = 0;
    let rowCount = 0;
    let ddl: UpstreamChunk['ddl'];
    while (blocks.byteCount < byteCountMax && rowCount < chunkRowsMax) {
      if (!blocks.isOpen) {
        if (!this.#isDue(this.#history.ts + 1)) break;
        const statement = this.#history.ddl(this.#history.ts + 1);
        if (statement !== undefined) {
          // A DDL stands alone: what was before it goes first.
          if (transactionCount > 0) break;
          ddl = this.#takeDdl(statement);
          if (ddl !== undefined) break;
          continue;
        }
        this.#commitMs = this.#clock();
        const changes = this.#history.next();
        blocks.begin(this.#history.ts, this.#commitMs, positionAt(this.#history.ts).gtid, changes);
      }
      rowCount += blocks.writeEvent();
      if (!blocks.isOpen) {
        transactionCount++;
        this.#resolvedTs = this.#history.ts;
      }
    }
    const taken = blocks.take();
    const isEnd = ddl === undefined && this.#resolvedTs >= this.#untilTs;
    if (taken.length === 0 && ddl === undefined && !isEnd && this.#resolvedTs === this.#saidTs)
      return undefined;
    this.#saidTs = this.#resolvedTs;
    const resolvedTs = this.#resolvedTs;
    // The statement counts as handed over once the next chunk is asked for.
    if (ddl !== undefined) this.#resolvedTs = ddl.ts;
    return {
      kind: 'Chunk',
      blocks: taken,
      resolved: positionAt(resolvedTs),
      commitMs: this.#commitMs,
      ...(ddl === undefined ? {} : { ddl }),
      ...(isEnd ? { isEnd } : {}),
      byteCount: taken.reduce((sum, block) => sum + block.info.byteCount, 0),
      transactionCount,
    };
  }

  #takeDdl(
    statement: NonNullable<ReturnType<WorkloadHistory['ddl']>>,
  ): UpstreamChunk['ddl'] | undefined {
    this.#history.next();
    const { ts } = this.#history;
    if (!this.#blocks.isWanted(statement.schema, statement.table)) {
      this.#resolvedTs = ts;
      return undefined;
    }
    const { gtid } = positionAt(ts);
    return { ts, gtid, commitMs: this.#clock(), schema: '', sql: statement.sql };
  }

  /** True when transaction `ts` exists and its time has come. */
  #isDue(ts: number): boolean {
    const { rate } = this.#history.settings;
    if (ts > Math.min(this.#history.lastTs, this.#untilTs)) return false;
    if (rate === 0 || ts <= this.#history.setupTs) return true;
    if (this.#paceTs < 0) {
      this.#paceTs = ts;
      this.#paceStartMs = performance.now();
    }
    return performance.now() - this.#paceStartMs >= this.#dueMs(ts);
  }

  #dueMs(ts: number): number {
    return ((ts - this.#paceTs) * 1000) / this.#history.settings.rate;
  }

  async #sleep(): Promise<void> {
    assert(this.#wake === null, 'one Next at a time');
    const ts = this.#history.ts + 1;
    const dueMs =
      this.#paceTs >= 0 && ts <= this.#history.lastTs
        ? this.#dueMs(ts) - (performance.now() - this.#paceStartMs)
        : sleepMsMax;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.min(sleepMsMax, Math.max(1, Math.ceil(dueMs))));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = null;
  }
}
