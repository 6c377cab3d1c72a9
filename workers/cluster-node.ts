/**
 * The life of a node of a cluster: one capture after another. A capture that lost its claim never gets it back (DESIGN §5): with `rejoin` it is
 * stopped with all its threads, and a new one joins under a fresh capture id; with `exit` the node ends.
 *
 *     starting ──▶ running ──fenced──▶ (capture stopped) ──rejoin──▶ running …
 *                     │                        └──exit──▶ fenced
 *                     ├──tree gave up──▶ gave up
 *                     └──stop──▶ stopped
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { failed, failure, type Failure, messageOf, type Outcome } from '#src/base/failure.ts';
import type { TreeOver } from '#src/kernel/tree-io.ts';
import type { Log } from '#src/ports/log.ts';
import type { ChangefeedStatus } from '#src/protocol/changefeed.ts';
import type { CoordinatorReply, CoordinatorRequest } from '#src/protocol/coordinator.ts';
import type { AskedNode } from './api/node-control-plane.ts';
import { Capture } from './capture.ts';
import type { FenceProof } from './fence-proof.ts';
import type { Inspection } from './inspection.ts';
import { openLog } from './log.ts';
import type { CaptureSettings, ClusterSettings } from './settings.ts';
import { overFailure } from './tree-over.ts';

/** How to run a node. */
export interface ClusterNodeOptions {
  /** Without capture id and API address: the first is fresh in each life, the second is known once the API listens. */
  readonly settings: Omit<CaptureSettings, 'captureId' | 'cluster'>;
  readonly cluster: Omit<ClusterSettings, 'apiAddress'>;
  readonly workThreadCount: number;
  readonly onFence: 'rejoin' | 'exit';
  readonly onStatus?: (status: ChangefeedStatus) => void;
}

/** How a node ended. */
export type NodeEnd =
  | { readonly kind: 'stopped' }
  /** It lost its claim, and was not to rejoin, or what was fenced could not be proven to have ended. */
  | { readonly kind: 'fenced' }
  | { readonly kind: 'gave-up'; readonly failure: Failure };

/** A capture that is being replaced is stopped within this time, or the node ends: its threads would go on beside the next. */
const stopWithinMs = 10_000;
/** Starts of a next capture that fail in a row end the node. */
const startCountMax = 10;
const startAgainMs = 1_000;

type LifeEnd =
  | { readonly kind: 'fenced'; readonly isProven: boolean }
  | { readonly kind: 'over'; readonly over: TreeOver };

/** See the top of this file. */
export class ClusterNode implements AskedNode {
  readonly #options: ClusterNodeOptions;
  readonly #ended = Promise.withResolvers<NodeEnd>();
  readonly #stopAsked = Promise.withResolvers<null>();
  #captureId = Capture.newId();
  #log: Log;
  #apiAddress = '';
  /** Null before the start, and while the next capture is on its way. */
  #capture: Capture | null = null;
  /** Of the capture that runs. */
  #lifeEnd: Promise<LifeEnd> = Promise.withResolvers<LifeEnd>().promise;
  #isStarted = false;
  #isStopping = false;

  constructor(options: ClusterNodeOptions) {
    this.#options = options;
    this.#log = this.#openLog();
  }

  /** Of the capture that runs, or starts now. */
  get captureId(): string {
    return this.#captureId;
  }

  /** Capture id of the coordinator's node; null while nobody is known to lead. */
  get leader(): string | null {
    return this.#capture?.leader ?? null;
  }

  /** Resolves once, when the node has ended and nothing of it runs. */
  get ended(): Promise<NodeEnd> {
    return this.#ended.promise;
  }

  /** Writes under the id of the capture that runs. */
  readonly log: Log = (level, event, detail) => this.#log(level, event, detail);

  /** Starts the first capture; others reach its API at `apiAddress`. FailureError when it cannot start. */
  async start(apiAddress: string): Promise<void> {
    this.#apiAddress = apiAddress;
    await this.#begin();
    this.#isStarted = true;
    void this.#live();
  }

  /** Why the node cannot be asked now; null when it is a member of its cluster, and well. */
  trouble(): Failure | null {
    if (this.#isStopping) return failure('INTERNAL_STOPPED', 'the server is stopping');
    if (this.#capture?.hasClaim === true) return this.#capture.leaderTrouble;
    const message = this.#isStarted
      ? 'this node has lost its session, or has none yet'
      : 'the server is starting';
    return failure('COORDINATION_SESSION_LOST', message, { retry: 'Again' });
  }

  /** See {@link Capture.ask}; answered at once while no capture runs. */
  async ask(request: CoordinatorRequest): Promise<Outcome<CoordinatorReply>> {
    const outcome = await this.#capture?.ask(request);
    const isAnswered = outcome?.ok === true || outcome?.failure.code !== 'COORDINATOR_ABSENT';
    // That nobody leads is no wonder then, and not what is wrong.
    if (outcome !== undefined && (isAnswered || this.#capture?.hasClaim === true)) return outcome;
    const message = 'this node has no session at the moment: its log says what etcd answers';
    return failed(failure('COORDINATOR_ABSENT', message, { retry: 'Again' }));
  }

  /** The supervision tree of the capture that runs; null while there is none. */
  async inspect(): Promise<Inspection | null> {
    return (await this.#capture?.inspect()) ?? null;
  }

  /** Leaves the cluster in order: the session says that this node has stopped writing. */
  async stop(): Promise<NodeEnd> {
    this.#isStopping = true;
    this.#stopAsked.resolve(null);
    if (!this.#isStarted) this.#ended.resolve({ kind: 'stopped' });
    return await this.#ended.promise;
  }

  async #live(): Promise<void> {
    for (;;) {
      const end = await Promise.race([this.#lifeEnd, this.#stopAsked.promise]);
      const capture = this.#capture;
      this.#capture = null;
      const isStopped = await within(stopWithinMs, capture?.stop());
      if (end === null) return this.#ended.resolve({ kind: 'stopped' });
      if (end.kind === 'over')
        return this.#ended.resolve({ kind: 'gave-up', failure: overFailure(end.over) });
      const isClean = end.isProven && isStopped;
      if (!isClean || this.#options.onFence === 'exit')
        return this.#ended.resolve({ kind: 'fenced' });
      if (!(await this.#rejoin())) return;
    }
  }

  /** Starts the next capture; false when the node has ended instead. */
  async #rejoin(): Promise<boolean> {
    for (let tries = 1; ; tries++) {
      if (this.#isStopping) {
        this.#ended.resolve({ kind: 'stopped' });
        return false;
      }
      const former = this.#captureId;
      this.#captureId = Capture.newId();
      this.#log = this.#openLog();
      try {
        await this.#begin();
        this.log('info', 'rejoined', { former });
        return true;
      } catch (error) {
        const why = messageOf(error);
        this.log('error', 'rejoin-failed', { message: why, tries });
        if (tries >= startCountMax) {
          const message = `no new capture could be started: ${why}`;
          this.#ended.resolve({ kind: 'gave-up', failure: failure('INTERNAL_FAULT', message) });
          return false;
        }
      }
      await Promise.race([sleep(startAgainMs), this.#stopAsked.promise]);
    }
  }

  async #begin(): Promise<void> {
    const { settings, cluster, workThreadCount, onStatus } = this.#options;
    const life = Promise.withResolvers<LifeEnd>();
    this.#capture = await Capture.start({
      settings: {
        ...settings,
        captureId: this.#captureId,
        cluster: { ...cluster, apiAddress: this.#apiAddress },
      },
      workThreadCount,
      onStatus: onStatus ?? (() => {}),
      onOver: (over) => life.resolve({ kind: 'over', over }),
      onFence: ({ isProven }: FenceProof) => life.resolve({ kind: 'fenced', isProven }),
    });
    this.#lifeEnd = life.promise;
  }

  #openLog(): Log {
    const { logLevel } = this.#options.settings;
    return openLog('main', { captureId: this.#captureId, logLevel });
  }
}

/** Whether `work` was done within `ms`. */
async function within(ms: number, work: Promise<void> | undefined): Promise<boolean> {
  return await new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(false), ms);
    Promise.resolve(work).then(() => {
      clearTimeout(timer);
      resolve(true);
    }, reject);
  });
}
