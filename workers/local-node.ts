/**
 * A node without a cluster: one capture whose coordination store is a file in the data directory. It holds that directory
 * alone; what runs is stored there by the coordinator, and goes on at the next start.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { openEmbeddedCoordination } from '#src/adapters/embedded-coordination/embedded-coordination.ts';
import { failure, FailureError, type Failure, type Outcome } from '#src/base/failure.ts';
import type { CoordinationPort } from '#src/ports/coordination.ts';
import type { CoordinatorReply, CoordinatorRequest } from '#src/protocol/coordinator.ts';
import type { AskedNode } from './api/node-control-plane.ts';
import { Capture } from './capture.ts';
import type { Inspection } from './inspection.ts';
import type { CaptureSettings } from './settings.ts';
import { overFailure } from './tree-over.ts';

/** Changefeeds of one process. */
const changefeedCountMax = 64;

/** How to start it. */
export interface LocalNodeOptions {
  readonly settings: Omit<CaptureSettings, 'cluster' | 'server'>;
  readonly secretKey: string;
  readonly workThreadCount: number;
}

/** See the top of this file. */
export class LocalNode implements AskedNode {
  readonly captureId: string;
  /** Resolves when it cannot go on. */
  readonly over: Promise<Failure>;
  readonly #coordination: CoordinationPort;
  readonly #capture: Capture;
  #isClosing = false;

  private constructor(
    captureId: string,
    parts: {
      readonly coordination: CoordinationPort;
      readonly capture: Capture;
      readonly over: Promise<Failure>;
    },
  ) {
    this.captureId = captureId;
    this.over = parts.over;
    this.#coordination = parts.coordination;
    this.#capture = parts.capture;
  }

  /** Starts it; COORDINATION_FAILED when another process holds the data directory. */
  static async start(options: LocalNodeOptions): Promise<LocalNode> {
    const { settings, secretKey, workThreadCount } = options;
    const { dataDirectory, captureId } = settings;
    const coordination = openEmbeddedCoordination({
      directory: join(dataDirectory, 'coordination'),
    });
    // Events of changefeeds that a process before this one had; nobody reads them any more.
    rmSync(join(dataDirectory, 'feed-events'), { recursive: true, force: true });
    const over = Promise.withResolvers<Failure>();
    try {
      const capture = await Capture.start({
        settings: { ...settings, server: { changefeedCountMax, secretKey } },
        workThreadCount,
        coordination,
        onStatus: () => undefined,
        onOver: (end) => over.resolve(overFailure(end)),
      });
      const node = new LocalNode(captureId, { coordination, capture, over: over.promise });
      const first = await capture.ask({ kind: 'ListCaptures' });
      if (!first.ok) {
        await node.close();
        throw new FailureError(first.failure);
      }
      return node;
    } catch (error) {
      await coordination.close();
      throw error;
    }
  }

  get leader(): string | null {
    return this.#capture.leader;
  }

  trouble(): Failure | null {
    if (this.#isClosing) return failure('INTERNAL_STOPPED', 'the server is stopping');
    return this.#capture.leaderTrouble;
  }

  ask(request: CoordinatorRequest): Promise<Outcome<CoordinatorReply>> {
    return this.#capture.ask(request);
  }

  inspect(): Promise<Inspection> {
    return this.#capture.inspect();
  }

  /** Ends every changefeed with its checkpoint saved; they run again at the next start. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#capture.stop();
    await this.#coordination.close();
  }
}
