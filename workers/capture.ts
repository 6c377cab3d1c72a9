/**
 * A capture: one running node (DESIGN §2). Starts the threads, boots the supervision tree, and is the embedder's handle
 * on both. Nothing here knows what the actors do.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import type { Remote } from 'comlink';
import { plan } from '#actors/plan.ts';
import { roles } from '#actors/roles.ts';
import { must } from '#src/base/assert.ts';
import { ok } from '#src/base/failure.ts';
import type { Message } from '#src/kernel/message.ts';
import { checkPlan, gatesOf } from '#src/kernel/plan.ts';
import type { Ref } from '#src/kernel/ref.ts';
import { Shell, type CellOverview } from '#src/kernel/shell.ts';
import { Tree, type TreeOver } from '#src/kernel/tree.ts';
import type { Log } from '#src/ports/log.ts';
import type { ReportRequest } from '#src/ports/report.ts';
import type { ChangefeedConfig, ChangefeedStatus } from '#src/protocol/changefeed.ts';
import type { CoordinatorMessage } from '#src/protocol/coordinator.ts';
import type { ThreadControl } from './control.ts';
import { Gate } from './gate.ts';
import { Link } from './link.ts';
import { openLog } from './log.ts';
import { openPorts } from './ports.ts';
import type { CaptureSettings } from './settings.ts';
import { ThreadHost, type AnyPort } from './thread-host.ts';
import { startThreads, type RunningThread } from './threads.ts';

/** What a capture is started with. */
export interface CaptureOptions {
  readonly settings: CaptureSettings;
  readonly workThreadCount: number;
  /** Called at every report of a changefeed's status. */
  readonly onStatus: (status: ChangefeedStatus) => void;
  /** Called once when the supervision tree gave up or a worker thread died for good. */
  readonly onOver: (over: TreeOver) => void;
}

const outside: Ref = { path: 'outside', thread: 'main', incarnation: 1 };

/** A running capture. */
export class Capture {
  readonly workThreads: readonly string[];
  readonly log: Log;
  readonly #options: CaptureOptions;
  readonly #gate = new Gate();
  readonly #host: ThreadHost;
  readonly #shell: Shell;
  readonly #tree: Tree;
  readonly #threads = new Map<string, RunningThread>();
  readonly #links = new Map<string, Link>();
  #stopped: (() => void) | null = null;
  #isClosing = false;

  private constructor(options: CaptureOptions) {
    const { settings } = options;
    this.#options = options;
    this.log = openLog('main', settings);
    this.workThreads = Array.from({ length: options.workThreadCount }, (_, i) => `work-${i + 1}`);
    const report: AnyPort = {
      call: async (request) => {
        options.onStatus((request as ReportRequest<ChangefeedStatus>).status);
        return await Promise.resolve(ok({ kind: 'Reported' }));
      },
      close: () => Promise.resolve(),
    };
    this.#host = new ThreadHost({
      thread: 'main',
      log: this.log,
      post: (envelope) =>
        must(this.#links.get(envelope.to.thread), `link to ${envelope.to.thread}`).post(envelope),
      tree: (request) => this.#tree.request(request),
      gate: this.#gate,
      ports: { ...openPorts(settings, this.#gate, this.log), report: () => report },
    });
    this.#shell = new Shell(this.#host, roles);
    this.#tree = new Tree(plan, {
      now: this.#host.now,
      random: this.#host.random,
      timer: this.#host.timer,
      begin: (gate) => this.#gate.begin(gate),
      workThreads: this.workThreads,
      props: (path) => this.#propsOf(path),
      start: (start) => this.#on(start.ref.thread, (control) => control.start(start)),
      stop: (ref) => this.#on(ref.thread, (control) => control.stop(ref)),
      kill: (ref) => this.#on(ref.thread, (control) => control.kill(ref, { kind: 'killed' })),
      signal: (to, signal) => this.#on(to.thread, (control) => control.signal(to, signal)),
      log: (level, event, detail) => this.log(level, event, detail),
      over: (over) => this.#over(over),
    });
  }

  /** Starts threads and tree. */
  static async start(options: CaptureOptions): Promise<Capture> {
    const faults = checkPlan(plan, Object.keys(roles));
    if (faults.length > 0) throw new Error(`the house plan is wrong:\n${faults.join('\n')}`);
    mkdirSync(options.settings.dataDirectory, { recursive: true });
    const capture = new Capture(options);
    const threads = await startThreads(
      ['ingest', ...capture.workThreads],
      options.settings,
      capture.#gate.memory,
      {
        request: (request) => capture.#tree.request(request),
        lost: (thread, why) => capture.#threadLost(thread, why),
      },
    );
    for (const thread of threads) {
      capture.#threads.set(thread.name, thread);
      capture.#links.set(
        thread.name,
        new Link(thread.port, (envelope) => capture.#shell.deliver(envelope)),
      );
    }
    await new Promise<void>((resolve) => capture.#tree.boot(resolve));
    return capture;
  }

  /** A fresh capture id, new at every start. */
  static newId(): string {
    return randomUUID();
  }

  /** Begins to replicate; status follows through `onStatus`. */
  startChangefeed(config: ChangefeedConfig): void {
    this.#toCoordinator({ kind: 'StartChangefeed', config });
  }

  /** Ends a changefeed with its checkpoint saved; its last status is `stopped`. */
  stopChangefeed(id: string): void {
    this.#toCoordinator({ kind: 'StopChangefeed', id });
  }

  /** Pictures of all cells of all threads. */
  async overview(): Promise<readonly CellOverview[]> {
    const remote = await Promise.all(
      [...this.#threads.values()].map((thread) => thread.control.overview()),
    );
    return [...this.#shell.overview(), ...remote.flat()];
  }

  /** Stops everything in order, ends the threads, removes temporary data. */
  async stop(): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    await new Promise<void>((resolve) => {
      this.#stopped = resolve;
      this.#tree.shutdown();
    });
    await this.#end();
  }

  /** Fences the capture: nothing is submitted from now on, the threads are terminated at once. */
  async fence(reason: string): Promise<void> {
    this.#gate.fence(gatesOf(plan).map((_, gate) => gate));
    this.log('warn', 'fence', { reason });
    this.#isClosing = true;
    await Promise.all([...this.#threads.values()].map((thread) => thread.worker.terminate()));
    await this.#host.close();
  }

  #propsOf(path: string): unknown {
    const logPuller = this.#tree.refOf('capture/source/log-puller');
    const eventService = this.#tree.refOf('capture/source/event-service');
    switch (path) {
      case 'capture/source/log-puller':
        return { eventService };
      case 'capture/source/event-service':
        return { logPuller, storeBytesMax: this.#options.settings.storeBytesMax };
      case 'capture/control/coordinator':
        return {
          clusterId: this.#options.settings.clusterId,
          logPuller,
          eventService,
          workThreads: this.workThreads,
        };
      default:
        throw new Error(`no props for ${path}`);
    }
  }

  #toCoordinator(message: CoordinatorMessage): void {
    const to = this.#tree.refOf('capture/control/coordinator');
    this.#shell.deliver({
      to,
      from: outside,
      epoch: 0,
      seq: 0,
      message: message satisfies Message,
    });
  }

  #on(thread: string, run: (control: Remote<ThreadControl> | ThreadControl) => unknown): void {
    const control = thread === 'main' ? this.#mainControl : this.#threads.get(thread)?.control;
    if (control === undefined) return;
    // A call that fails leaves the tree waiting for its report, which it bounds itself.
    Promise.resolve(run(control)).catch((error: unknown) => {
      if (!this.#isClosing)
        this.log('error', 'thread-call-failed', { thread, message: textOf(error) });
    });
  }

  readonly #mainControl: ThreadControl = {
    start: (start) => this.#shell.start(start),
    stop: (ref) => this.#shell.stop(ref),
    kill: (ref, exit) => this.#shell.kill(ref, exit),
    signal: (to, signal) => this.#shell.signal(to, signal),
    overview: () => this.#shell.overview(),
    stats: () => ({
      refusals: this.#shell.refusals(),
      counters: Object.fromEntries(this.#host.counters),
    }),
    close: () => this.#host.close(),
  };

  #threadLost(thread: string, why: string): void {
    if (this.#isClosing) return;
    this.log('error', 'thread-lost', { thread, why });
    this.#threads.delete(thread);
    // Without its thread a cell cannot be started again here: this node ends, and a new process takes over.
    this.#tree.threadLost(thread);
  }

  #over(over: TreeOver): void {
    if (over.kind === 'shutdown') this.#stopped?.();
    else if (!this.#isClosing) this.#options.onOver(over);
  }

  async #end(): Promise<void> {
    await Promise.allSettled([...this.#threads.values()].map((thread) => thread.control.close()));
    await this.#host.close();
    for (const link of this.#links.values()) link.close();
    await Promise.all([...this.#threads.values()].map((thread) => thread.worker.terminate()));
    const { settings } = this.#options;
    if (settings.isTemporary) rmSync(settings.dataDirectory, { recursive: true, force: true });
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
