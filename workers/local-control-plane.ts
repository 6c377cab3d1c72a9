/**
 * The control plane of one process without a cluster: each changefeed is a replication of its own, with its own threads and
 * supervision tree, so that one's trouble is never another's. What runs is kept in the embedded coordination store, and
 * goes on after a restart from the downstream's own positions.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fail, failure, FailureError, type Failure, messageOf } from '#src/base/failure.ts';
import { openEmbeddedCoordination } from '#src/adapters/embedded-coordination/embedded-coordination.ts';
import { maskUri } from '#src/config/uri.ts';
import { compileTableFilter } from '#src/model/table-filter.ts';
import { startOf, type StartAt } from '#src/model/start-at.ts';
import type { Log } from '#src/ports/log.ts';
import { blankStatus, type ChangefeedStatus } from '#src/protocol/changefeed.ts';
import type {
  CaptureView,
  ChangefeedChange,
  ChangefeedRequest,
  ChangefeedView,
  ControlPlane,
  NodeInspection,
  PlacedSpans,
  TableMove,
} from './api/control-plane.ts';
import { demandChangefeedId } from './changefeed-id.ts';
import type { ChangefeedRecord } from './changefeed-record.ts';
import { ChangefeedStore } from './changefeed-store.ts';
import { preflight, type PreflightResult } from './preflight.ts';
import { Replication } from './replication.ts';
import type { CaptureSettings } from './settings.ts';

/** How to open it. */
export interface LocalControlPlaneOptions {
  readonly clusterId: string;
  readonly captureId: string;
  /** `HOST:PORT` of this node's API, once it listens. */
  readonly address: () => string;
  readonly dataDirectory: string;
  readonly workThreadCount?: number;
  readonly logLevel: CaptureSettings['logLevel'];
  readonly log: Log;
}

interface Feed {
  record: ChangefeedRecord;
  revision: number;
  replication: Replication | null;
  status: ChangefeedStatus;
  warnings: readonly string[];
}

/** Changefeeds of one process; each has threads of its own. */
const changefeedCountMax = 64;

/** See the top of this file. */
export class LocalControlPlane implements ControlPlane {
  readonly captureId: string;
  readonly clusterId: string;
  readonly #options: LocalControlPlaneOptions;
  readonly #store: ChangefeedStore;
  readonly #feeds = new Map<string, Feed>();
  /** Changes of one changefeed come one after another. */
  readonly #turns = new Map<string, Promise<unknown>>();
  #isClosing = false;

  private constructor(options: LocalControlPlaneOptions, store: ChangefeedStore) {
    this.captureId = options.captureId;
    this.clusterId = options.clusterId;
    this.#options = options;
    this.#store = store;
  }

  /** Opens the data directory and starts what is to run; COORDINATION_FAILED when another process holds it. */
  static async open(options: LocalControlPlaneOptions): Promise<LocalControlPlane> {
    const directory = join(options.dataDirectory, 'coordination');
    const store = new ChangefeedStore(openEmbeddedCoordination({ directory }), options.clusterId);
    try {
      const plane = new LocalControlPlane(options, store);
      for (const { record, revision } of await store.list()) {
        plane.#feeds.set(record.id, feedOf(record, revision));
      }
      await Promise.all([...plane.#feeds.values()].map((feed) => plane.#restart(feed)));
      return plane;
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  /** Ends every changefeed with its checkpoint saved; they run again at the next start. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await Promise.all([...this.#feeds.keys()].map((id) => this.#turn(id, () => this.#end(id))));
    await this.#store.close();
  }

  readonly isCoordinator = (): boolean => true;
  readonly coordinatorAddress = (): null => null;
  readonly trouble = (): Failure | null =>
    this.#isClosing ? failure('INTERNAL_STOPPED', 'the server is stopping') : null;

  readonly captures = (): Promise<readonly CaptureView[]> =>
    Promise.resolve([
      {
        id: this.captureId,
        address: this.#options.address(),
        isCoordinator: true,
        clusterId: this.clusterId,
        state: 'alive',
      },
    ]);

  readonly list = (): Promise<readonly ChangefeedView[]> => {
    const views = [...this.#feeds.values()].map((feed) => this.#viewOf(feed));
    return Promise.resolve(views.sort((a, b) => (a.id < b.id ? -1 : 1)));
  };

  readonly query = async (id: string): Promise<ChangefeedView> =>
    await Promise.resolve(this.#viewOf(this.#feed(id)));

  readonly create = (request: ChangefeedRequest): Promise<ChangefeedView> => {
    demandChangefeedId(request.id);
    return this.#turn(request.id, async () => {
      const { id, upstreamUri, sinkUri, config } = request;
      if (this.#feeds.has(id)) fail('CHANGEFEED_EXISTS', `changefeed ${id} exists`);
      if (this.#feeds.size >= changefeedCountMax) {
        fail('CHANGEFEED_STATE', `this process already has ${changefeedCountMax} changefeeds`);
      }
      const startAt = startOf(request.start);
      const { start, timeline, warnings } = await this.#check(
        { id, upstreamUri, sinkUri, config },
        startAt,
      );
      const record: ChangefeedRecord = {
        version: 1,
        id,
        upstreamUri,
        sinkUri,
        start: { position: start, timeline: [...timeline] },
        config: { ...config, rules: [...config.rules] },
        createdMs: Date.now(),
        state: 'normal',
        checkpoint: null,
        failure: null,
      };
      const revision = await this.#store.put(record, 0);
      const feed = { ...feedOf(record, revision), warnings };
      this.#feeds.set(id, feed);
      await this.#start(feed);
      return this.#viewOf(feed);
    });
  };

  readonly update = (id: string, change: ChangefeedChange): Promise<ChangefeedView> =>
    this.#turn(id, async () => {
      const feed = this.#feed(id);
      this.#demandState(feed, ['stopped', 'failed'], 'updated');
      const { record } = feed;
      const { rules, ...config } = change.config ?? record.config;
      const next: ChangefeedRecord = {
        ...record,
        sinkUri: change.sinkUri ?? record.sinkUri,
        config: { ...config, rules: [...rules] },
      };
      feed.warnings = (await this.#check(next, storedStart(next))).warnings;
      await this.#save(feed, next);
      return this.#viewOf(feed);
    });

  readonly pause = (id: string): Promise<void> =>
    this.#turn(id, async () => {
      const feed = this.#feed(id);
      this.#demandState(feed, ['starting', 'normal', 'warning'], 'paused');
      await this.#end(id);
      await this.#save(feed, { ...feed.record, state: 'stopped' });
      feed.status = { ...feed.status, state: 'stopped', stage: 'paused' };
    });

  readonly resume = (id: string): Promise<void> =>
    this.#turn(id, async () => {
      const feed = this.#feed(id);
      this.#demandState(feed, ['stopped', 'failed', 'finished'], 'resumed');
      await this.#end(id);
      await this.#save(feed, { ...feed.record, state: 'normal', failure: null });
      feed.status = { ...feed.status, state: 'starting', stage: 'starting', failure: null };
      await this.#start(feed);
    });

  readonly remove = (id: string): Promise<void> =>
    this.#turn(id, async () => {
      const feed = this.#feed(id);
      await this.#end(id);
      await this.#store.remove(id, feed.revision);
      this.#feeds.delete(id);
      await rm(this.#directoryOf(id), { recursive: true, force: true });
    });

  readonly tables = async (id: string): Promise<readonly PlacedSpans[]> => {
    const cells = (await this.#feed(id).replication?.capture.overview()) ?? [];
    const spans = cells
      .filter(({ role }) => role === 'dispatcher')
      .map(({ state }) => String(state['span']))
      .sort();
    return [{ captureId: this.captureId, spans }];
  };

  readonly moveTable = (id: string, { captureId }: TableMove): Promise<void> =>
    refused(() => {
      this.#feed(id);
      this.#demandCapture(captureId);
      needsCluster('moving a table');
    });

  readonly splitTable = (id: string): Promise<void> =>
    refused(() => {
      this.#feed(id);
      needsCluster('splitting a table');
    });

  readonly mergeTable = (id: string): Promise<void> =>
    refused(() => {
      this.#feed(id);
      needsCluster('merging a table');
    });

  readonly drain = (captureId: string): Promise<void> =>
    refused(() => {
      this.#demandCapture(captureId);
      needsCluster('draining a node');
    });

  readonly resign = (): Promise<void> => refused(() => needsCluster('resigning'));

  readonly inspect = async (): Promise<readonly NodeInspection[]> => {
    const inspections = [...this.#feeds.values()].flatMap(({ record, replication }) =>
      replication === null
        ? []
        : [
            replication.capture
              .inspect()
              .then((one) => ({ changefeed: record.id, inspection: one })),
          ],
    );
    return await Promise.all(inspections);
  };

  // ── running ───────────────────────────────────────────────────────────────────────────────────────────────────────

  async #start(feed: Feed): Promise<void> {
    const { record } = feed;
    const { workThreadCount } = this.#options;
    let replication: Replication;
    try {
      replication = await Replication.start({
        upstreamUri: record.upstreamUri,
        sinkUri: record.sinkUri,
        changefeedId: record.id,
        startAt: storedStart(record),
        rules: record.config.rules,
        memoryQuota: record.config.memoryQuota,
        stuckAfterMs: record.config.stuckAfterMs,
        laneCount: record.config.laneCount,
        dataDirectory: this.#directoryOf(record.id),
        logLevel: this.#options.logLevel,
        ...(workThreadCount === undefined ? {} : { workThreadCount }),
        onStatus: (status) => (feed.status = status),
      });
    } catch (error) {
      const why = error instanceof FailureError ? error.failure : faultOf(error);
      await this.#failed(feed, why);
      return;
    }
    feed.replication = replication;
    void replication.result.then(({ status }) => {
      void this.#turn(record.id, () => this.#over(feed, replication, status)).catch(
        (error: unknown) =>
          this.#options.log('error', 'changefeed-not-saved', { message: faultOf(error).message }),
      );
    });
  }

  /** At the start of the process: one that cannot be started stays visible, with the reason, and the others run. */
  async #restart(feed: Feed): Promise<void> {
    if (feed.record.state === 'normal') await this.#start(feed);
  }

  /** One that was ended meanwhile, or followed by the next, is no news. */
  async #over(feed: Feed, replication: Replication, status: ChangefeedStatus): Promise<void> {
    if (feed.replication !== replication || this.#feeds.get(feed.record.id) !== feed) return;
    feed.replication = null;
    const { state } = status;
    const ended = state === 'finished' || state === 'stopped' ? state : 'failed';
    feed.status = { ...status, state: ended };
    await this.#save(feed, { ...feed.record, state: ended, failure: status.failure });
  }

  async #failed(feed: Feed, why: Failure): Promise<void> {
    feed.replication = null;
    feed.status = { ...feed.status, state: 'failed', stage: 'not started', failure: why };
    await this.#save(feed, { ...feed.record, state: 'failed', failure: why });
  }

  async #end(id: string): Promise<void> {
    const feed = this.#feeds.get(id);
    if (feed?.replication === null || feed === undefined) return;
    feed.replication.stop();
    const { status } = await feed.replication.result;
    feed.replication = null;
    feed.status = status;
  }

  // ── records ───────────────────────────────────────────────────────────────────────────────────────────────────────

  async #save(feed: Feed, record: ChangefeedRecord): Promise<void> {
    const checkpoint = feed.status.checkpoint ?? record.checkpoint;
    const next = { ...record, checkpoint };
    feed.revision = await this.#store.put(next, feed.revision);
    feed.record = next;
  }

  #check(
    {
      id,
      upstreamUri,
      sinkUri,
      config,
    }: Pick<ChangefeedRequest, 'id' | 'upstreamUri' | 'sinkUri' | 'config'>,
    startAt: StartAt,
  ): Promise<PreflightResult> {
    compileTableFilter(config.rules);
    const { log } = this.#options;
    const { rules, laneCount } = config;
    return preflight({ id, upstreamUri, sinkUri, startAt, rules, laneCount, log });
  }

  #feed(id: string): Feed {
    return this.#feeds.get(id) ?? fail('CHANGEFEED_UNKNOWN', `there is no changefeed ${id}`);
  }

  #demandCapture(captureId: string): void {
    if (captureId !== this.captureId) {
      fail('CAPTURE_UNKNOWN', `there is no capture ${captureId}`);
    }
  }

  #demandState(feed: Feed, states: readonly ChangefeedStatus['state'][], what: string): void {
    const { state } = feed.status;
    if (states.includes(state)) return;
    fail(
      'CHANGEFEED_STATE',
      `changefeed ${feed.record.id} is ${state}: only ${states.filter((one) => one !== 'starting').join(' or ')} can be ${what}`,
    );
  }

  #viewOf({ record, status, warnings, replication }: Feed): ChangefeedView {
    return {
      id: record.id,
      upstreamUri: maskUri(record.upstreamUri),
      sinkUri: maskUri(record.sinkUri),
      start: record.start.position.gtid,
      createdMs: record.createdMs,
      config: record.config,
      status: { ...status, warnings: [...new Set([...warnings, ...status.warnings])] },
      maintainer: replication === null ? null : this.captureId,
    };
  }

  #directoryOf(id: string): string {
    return join(this.#options.dataDirectory, 'changefeed', id);
  }

  #turn<T>(id: string, run: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(id) ?? Promise.resolve();
    const turn = before.then(run, run);
    this.#turns.set(id, turn);
    const done = (): void => {
      if (this.#turns.get(id) === turn) this.#turns.delete(id);
    };
    turn.then(done, done);
    return turn;
  }
}

function feedOf(record: ChangefeedRecord, revision: number): Feed {
  const blank = blankStatus(record.id);
  const { checkpoint, failure: why } = record;
  return {
    record,
    revision,
    replication: null,
    status: {
      ...blank,
      ...(record.state === 'normal' ? {} : { state: record.state, stage: 'not running' }),
      checkpoint: checkpoint === null ? null : { ts: checkpoint.ts, gtid: checkpoint.gtid },
      failure: why,
    },
    warnings: [],
  };
}

/** `file` and `offset` are there or not, never undefined. */
function storedStart({ start }: ChangefeedRecord): StartAt {
  const { ts, gtid, file, offset } = start.position;
  const place = {
    ...(file === undefined ? {} : { file }),
    ...(offset === undefined ? {} : { offset }),
  };
  return { kind: 'position', position: { ts, gtid, ...place }, timeline: start.timeline };
}

/** What one process alone cannot do, as a rejected promise. */
function refused(run: () => void): Promise<void> {
  return new Promise((resolve) => {
    run();
    resolve();
  });
}

function needsCluster(what: string): never {
  return fail('CLUSTER_NEEDED', `${what} takes several nodes, and this is one`);
}

function faultOf(error: unknown): Failure {
  return failure('INTERNAL_FAULT', messageOf(error));
}
