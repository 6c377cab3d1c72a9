/** A capture: one running node (DESIGN §2). The house plan on an actor system, with the embedder's handle on its changefeeds. */
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import type { Server } from 'node:net';
import { plan } from '#actors/plan.ts';
import { ok } from '#src/base/failure.ts';
import type { CellOverview } from '#src/kernel/shell.ts';
import type { TreeOver } from '#src/kernel/tree.ts';
import type { Log } from '#src/ports/log.ts';
import type { ReportRequest } from '#src/ports/report.ts';
import type { ChangefeedConfig, ChangefeedStatus } from '#src/protocol/changefeed.ts';
import type { CoordinatorMessage } from '#src/protocol/coordinator.ts';
import { ActorSystem } from './actor-system.ts';
import type { FenceProof } from './fence-proof.ts';
import { serveInspection } from './inspect-socket.ts';
import type { Inspection } from './inspection.ts';
import type { CaptureSettings } from './settings.ts';
import type { AnyPort } from './thread-host.ts';
import { world, worldUrl } from './world.ts';

/** What a capture is started with. */
export interface CaptureOptions {
  readonly settings: CaptureSettings;
  readonly workThreadCount: number;
  /** A session bounds this node's right to write: nothing is written before its first deadline is published. */
  readonly isLeased?: boolean;
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
  #socket: Server | null = null;

  private constructor(options: CaptureOptions, system: ActorSystem) {
    this.#options = options;
    this.#system = system;
  }

  /** Starts threads and tree. */
  static async start(options: CaptureOptions): Promise<Capture> {
    const { settings, workThreadCount, isLeased, onOver, onFence } = options;
    const system = await ActorSystem.start({
      plan,
      world,
      worldUrl,
      settings,
      workThreadCount,
      onOver,
      ...(isLeased === undefined ? {} : { isLeased }),
      ...(onFence === undefined ? {} : { onFence }),
      props: (path, running) => propsOf(path, running, settings),
      mainPorts: { report: () => reportPort(options.onStatus) },
    });
    const capture = new Capture(options, system);
    const { dataDirectory, isTemporary } = settings;
    if (!isTemporary)
      capture.#socket = await serveInspection(dataDirectory, () => capture.inspect(), system.log);
    return capture;
  }

  /** A fresh capture id, new at every start. */
  static newId(): string {
    return randomUUID();
  }

  get workThreads(): readonly string[] {
    return this.#system.workThreads;
  }

  get log(): Log {
    return this.#system.log;
  }

  /** Begins to replicate; status follows through `onStatus`. */
  startChangefeed(config: ChangefeedConfig): void {
    this.#toCoordinator({ kind: 'StartChangefeed', config });
  }

  /** Ends a changefeed with its checkpoint saved; its last status is `stopped`. */
  stopChangefeed(id: string): void {
    this.#toCoordinator({ kind: 'StopChangefeed', id });
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
    const { settings } = this.#options;
    if (settings.isTemporary) rmSync(settings.dataDirectory, { recursive: true, force: true });
  }

  #toCoordinator(message: CoordinatorMessage): void {
    this.#system.tell('capture/control/coordinator', message);
  }
}

function reportPort(onStatus: CaptureOptions['onStatus']): AnyPort {
  return {
    call: async (request) => {
      onStatus((request as ReportRequest<ChangefeedStatus>).status);
      return await Promise.resolve(ok({ kind: 'Reported' }));
    },
    close: () => Promise.resolve(),
  };
}

function propsOf(path: string, system: ActorSystem, settings: CaptureSettings): unknown {
  const { tree, workThreads } = system;
  const logPuller = tree.refOf('capture/source/log-puller');
  const eventService = tree.refOf('capture/source/event-service');
  switch (path) {
    case 'capture/source/log-puller':
      return { eventService };
    case 'capture/source/event-service':
      return { logPuller, storeBytesMax: settings.storeBytesMax };
    case 'capture/control/coordinator':
      return { clusterId: settings.clusterId, logPuller, eventService, workThreads };
    default:
      throw new Error(`no props for ${path}`);
  }
}
