/** A capture: one running node (DESIGN §2). The house plan on an actor system, with the embedder's handle on its changefeeds. */
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import type { Server } from 'node:net';
import { plan, planAlone } from '#actors/plan.ts';
import { failed, failure, ok, type Failure, type Outcome } from '#src/base/failure.ts';
import type { CellOverview } from '#src/kernel/shell.ts';
import type { TreeOver } from '#src/kernel/tree-io.ts';
import type { CoordinationPort } from '#src/ports/coordination.ts';
import type { Log } from '#src/ports/log.ts';
import type { ReportRequest } from '#src/ports/report.ts';
import type { ChangefeedConfig, ChangefeedStatus } from '#src/protocol/changefeed.ts';
import {
  patienceMsOf,
  type Answered,
  type Ask,
  type CoordinatorReply,
  type CoordinatorRequest,
} from '#src/protocol/coordinator.ts';
import { places } from '#src/protocol/nodes.ts';
import { ActorSystem } from './actor-system.ts';
import { claimProps } from './claim-props.ts';
import type { FenceProof } from './fence-proof.ts';
import { serveInspection } from './inspect-socket.ts';
import type { Inspection } from './inspection.ts';
import { openPeers } from './open-peers.ts';
import type { CaptureSettings } from './settings.ts';
import type { AnyPort } from './thread-host.ts';
import { world, worldUrl } from './world.ts';

/** What a capture is started with. */
export interface CaptureOptions {
  readonly settings: CaptureSettings;
  readonly workThreadCount: number;
  /** The store of a process without a cluster, where it was opened already; stays open. */
  readonly coordination?: CoordinationPort;
  /** Called at every report of a changefeed's status. */
  readonly onStatus: (status: ChangefeedStatus) => void;
  /** Called once when the supervision tree gave up. */
  readonly onOver: (over: TreeOver) => void;
  /** Called after every fence, from whichever thread it came, when it is proven that nothing fenced runs any more. */
  readonly onFence?: (proof: FenceProof) => void;
}

/** A running capture. */
export class Capture {
  readonly #options: CaptureOptions;
  readonly #system: ActorSystem;
  readonly #asks: Asks;
  readonly #leader: Leader;
  #socket: Server | null = null;

  private constructor(options: CaptureOptions, system: ActorSystem, asks: Asks, leader: Leader) {
    this.#options = options;
    this.#system = system;
    this.#asks = asks;
    this.#leader = leader;
  }

  /**
   * Starts threads and tree; with `settings.cluster` as a node of that cluster, which joins and may write once its session
   * stands. FailureError of what keeps it from listening to its peers.
   */
  static async start(options: CaptureOptions): Promise<Capture> {
    const { settings, workThreadCount, coordination, onOver, onFence } = options;
    const { cluster } = settings;
    const asks = new Asks();
    const leader: Leader = { captureId: null, trouble: null };
    const system = await ActorSystem.start({
      plan: cluster === undefined ? planAlone : plan,
      ...(cluster === undefined
        ? {}
        : { isLeased: true, openPeers: (events) => openPeers(settings, cluster, events) }),
      world,
      worldUrl,
      settings,
      workThreadCount,
      onOver,
      ...(onFence === undefined ? {} : { onFence }),
      props: (path, running) => propsOf(path, running, settings),
      mainPorts: {
        report: () => reportPort(options.onStatus, asks, leader),
        ...(coordination === undefined ? {} : { coordination: () => keptOpen(coordination) }),
      },
    });
    const capture = new Capture(options, system, asks, leader);
    const { dataDirectory, isTemporary } = settings;
    if (!isTemporary)
      capture.#socket = await serveInspection(dataDirectory, () => capture.inspect(), system.log);
    return capture;
  }

  /** A fresh capture id, new at every start. */
  static newId(): string {
    return randomUUID();
  }

  get id(): string {
    return this.#options.settings.captureId;
  }

  /** Capture id of the coordinator's node; null while nobody is known to lead. */
  get leader(): string | null {
    return this.#leader.captureId;
  }

  /** Why coordinators of this node break; null while they do not. */
  get leaderTrouble(): Failure | null {
    return this.#leader.trouble;
  }

  get workThreads(): readonly string[] {
    return this.#system.workThreads;
  }

  /** Whether it is a node of its cluster now: its session stands, or it needs none. */
  get hasClaim(): boolean {
    return this.#system.gate.hasClaim();
  }

  get log(): Log {
    return this.#system.log;
  }

  /** Begins to replicate; status follows through `onStatus`. */
  startChangefeed(config: ChangefeedConfig): Promise<Outcome<CoordinatorReply>> {
    return this.ask({ kind: 'StartChangefeed', config, createdMs: Date.now() });
  }

  /** Ends a changefeed with its checkpoint saved; its last status is `stopped`. */
  stopChangefeed(id: string): Promise<Outcome<CoordinatorReply>> {
    return this.ask({ kind: 'PauseChangefeed', id });
  }

  /** Asks the coordinator, wherever it is; answered within the patience of the request, one way or another. */
  ask(request: CoordinatorRequest): Promise<Outcome<CoordinatorReply>> {
    return this.#asks.ask(patienceMsOf(request) + graceMs, (requestId) => {
      const ask: Ask = { kind: 'Ask', requestId, request };
      this.#system.tell(places.elector, ask);
    });
  }

  /** Pictures of all cells of all threads that answer within a second. */
  overview(): Promise<readonly CellOverview[]> {
    return this.#system.overview();
  }

  /** The supervision tree as it lives. */
  inspect(): Promise<Inspection> {
    return this.#system.inspect();
  }

  /** See {@link ActorSystem.fence}. */
  fence(reason: string, team?: string): Promise<FenceProof> {
    return this.#system.fence(reason, team);
  }

  /** See {@link ActorSystem.revive}. Changefeeds do not come back by themselves. */
  revive(team?: string): void {
    this.#system.revive(team);
  }

  /** Stops everything in order, ends the threads, removes temporary data. A fence on the way overtakes it. */
  async stop(): Promise<void> {
    this.#socket?.close();
    await this.#system.stop();
    this.#asks.close();
    const { settings } = this.#options;
    if (settings.isTemporary) rmSync(settings.dataDirectory, { recursive: true, force: true });
  }
}

/** The elector speaks first. */
const graceMs = 2_000;
/** Changefeeds of a process that says nothing else. */
const changefeedCountMax = 64;

/** What was asked and not answered yet. */
class Asks {
  readonly #waiting = new Map<number, (outcome: Outcome<CoordinatorReply>) => void>();
  #count = 0;

  ask(withinMs: number, send: (requestId: number) => void): Promise<Outcome<CoordinatorReply>> {
    const requestId = ++this.#count;
    return new Promise((resolve) => {
      // The elector answers in time, unless it was started anew meanwhile.
      const absent = failure('COORDINATOR_ABSENT', 'no coordinator answered', { retry: 'Again' });
      const timer = setTimeout(
        () => this.answered({ kind: 'Answered', requestId, outcome: failed(absent) }),
        withinMs,
      );
      this.#waiting.set(requestId, (outcome) => {
        clearTimeout(timer);
        resolve(outcome);
      });
      send(requestId);
    });
  }

  answered({ requestId, outcome }: Answered): void {
    this.#waiting.get(requestId)?.(outcome);
    this.#waiting.delete(requestId);
  }

  close(): void {
    const stopped = failed(failure('INTERNAL_STOPPED', 'this node stops'));
    for (const answer of this.#waiting.values()) answer(stopped);
    this.#waiting.clear();
  }
}

/** Who leads, as the elector of this node knows. */
interface Leader {
  captureId: string | null;
  trouble: Failure | null;
}

/** A life of a subtree ends, its store does not. */
function keptOpen(port: CoordinationPort): AnyPort {
  return { call: (request) => port.call(request as never), close: () => Promise.resolve() };
}

function reportPort(onStatus: CaptureOptions['onStatus'], asks: Asks, leader: Leader): AnyPort {
  return {
    call: async (request) => {
      const report = request as ReportRequest<ChangefeedStatus, Answered>;
      if (report.kind === 'Status') onStatus(report.status);
      else if (report.kind === 'Answer') asks.answered(report.answer);
      else if (report.kind === 'Leader') leader.captureId = report.leader;
      else leader.trouble = report.failure;
      return await Promise.resolve(ok({ kind: 'Reported' }));
    },
    close: () => Promise.resolve(),
  };
}

function propsOf(path: string, system: ActorSystem, settings: CaptureSettings): unknown {
  const { tree, workThreads } = system;
  const { clusterId, captureId: self, storeBytesMax } = settings;
  switch (path) {
    case 'capture/claim/session':
    case 'capture/claim/membership':
    case 'capture/claim/peer-keeper':
      return claimProps(path.slice('capture/claim/'.length) as 'session', settings, {
        peerAddress: system.peerAddress,
        session: tree.refOf('capture/claim/session'),
        membership: tree.refOf('capture/claim/membership'),
        followers: [tree.refOf(places.maintainerManager), tree.refOf(places.elector)],
      });
    case places.orchestrator:
      return { workThreads, storeBytesMax };
    case places.maintainerManager:
      return { self, workThreads };
    case places.elector:
      return {
        clusterId,
        self,
        isPrompt: settings.cluster === undefined && settings.server === undefined,
        feedCountMax: settings.server?.changefeedCountMax ?? changefeedCountMax,
      };
    default:
      throw new Error(`no props for ${path}`);
  }
}
