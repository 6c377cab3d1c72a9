/**
 * A capture: one running node (DESIGN §2). Starts the threads, boots the supervision tree, and is the embedder's handle
 * on both. Nothing here knows what the actors do.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { plan } from '#actors/plan.ts';
import { roles } from '#actors/roles.ts';
import { assert } from '#src/base/assert.ts';
import { ok } from '#src/base/failure.ts';
import type { Message } from '#src/kernel/message.ts';
import { checkPlan, gatesOf, threadsOf } from '#src/kernel/plan.ts';
import type { Ref } from '#src/kernel/ref.ts';
import { Shell, type CellOverview } from '#src/kernel/shell.ts';
import { Tree, type TreeOver } from '#src/kernel/tree.ts';
import type { Log } from '#src/ports/log.ts';
import type { ReportRequest } from '#src/ports/report.ts';
import type { ChangefeedConfig, ChangefeedStatus } from '#src/protocol/changefeed.ts';
import type { CoordinatorMessage } from '#src/protocol/coordinator.ts';
import { Batch } from './batch.ts';
import { perform, type ThreadCommand, type ThreadStats } from './control.ts';
import { proveFence, type FenceProof } from './fence-proof.ts';
import { Gate } from './gate.ts';
import { inspectionOf, type Inspection } from './inspection.ts';
import { openLog } from './log.ts';
import { openPorts } from './ports.ts';
import type { CaptureSettings } from './settings.ts';
import { ThreadHost, type AnyPort } from './thread-host.ts';
import { watchThread } from './thread-watch.ts';
import { Threads } from './threads.ts';
import { deadlineAwaited } from './shared-memory.ts';
import type { WatchdogStart } from './watchdog.ts';

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

const outside: Ref = { path: 'outside', thread: 'main', incarnation: 1 };
const gatePaths = gatesOf(plan);
/** Dead threads within {@link lossPeriodMs} above which the capture gives up (RELIABILITY I-31). */
const lossCountMax = 5;
const lossPeriodMs = 60_000;
/** Milliseconds that inspection waits for a thread. */
const inspectWithinMs = 1_000;

/** A running capture. */
export class Capture {
  readonly workThreads: readonly string[];
  readonly log: Log;
  readonly #options: CaptureOptions;
  readonly #gate = new Gate();
  readonly #host: ThreadHost;
  readonly #shell: Shell;
  readonly #tree: Tree;
  readonly #threads: Threads;
  readonly #commands: Batch<ThreadCommand>;
  readonly #losses: number[] = [];
  #watchdog: Worker | null = null;
  #unwatch: (() => void) | null = null;
  #stopped: (() => void) | null = null;
  #isClosing = false;

  private constructor(options: CaptureOptions) {
    const { settings } = options;
    this.#options = options;
    this.log = openLog('main', settings);
    this.workThreads = Array.from({ length: options.workThreadCount }, (_, i) => `work-${i + 1}`);
    if (options.isLeased === true) Atomics.store(this.#gate.words.deadline, 0, deadlineAwaited);
    this.#threads = new Threads({
      names: [...threadsOf(plan), ...this.workThreads],
      settings,
      gate: this.#gate,
      request: (request) => this.#tree.request(request),
      deliver: (envelope) => this.#shell.deliver(envelope),
      callFailed: (thread, message) => {
        // The tree bounds the wait for what the call should have caused.
        if (!this.#isClosing) this.log('error', 'thread-call-failed', { thread, message });
      },
      lost: (thread, why, isAsked) => this.#threadLost(thread, why, isAsked),
    });
    this.#host = new ThreadHost({
      thread: 'main',
      log: this.log,
      post: (envelope) => this.#threads.post(envelope),
      tree: (request) => this.#tree.request(request),
      gate: this.#gate,
      ports: { ...openPorts(settings, this.#gate, this.log), report: () => this.#reportPort() },
    });
    this.#shell = new Shell(this.#host, roles, settings.epochMode);
    this.#commands = new Batch((commands) => {
      for (const command of commands)
        perform(this.#shell, command, (request) => this.#tree.request(request));
    });
    this.#tree = this.#makeTree();
  }

  /** Starts threads and tree. */
  static async start(options: CaptureOptions): Promise<Capture> {
    const faults = checkPlan(plan, Object.keys(roles));
    if (faults.length > 0) throw new Error(`the house plan is wrong:\n${faults.join('\n')}`);
    mkdirSync(options.settings.dataDirectory, { recursive: true });
    const capture = new Capture(options);
    await capture.#threads.start();
    capture.#watchdog = capture.#startWatchdog();
    capture.#unwatch = watchThread(capture.#gate, () => void capture.#obeyFence());
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

  /** Pictures of all cells of all threads that answer within a second. */
  async overview(): Promise<readonly CellOverview[]> {
    const remote = await this.#threads.ask((control) => control.overview(), inspectWithinMs);
    return [...this.#shell.overview(), ...[...remote.values()].flat()];
  }

  /** The supervision tree as it lives: statuses, mailboxes, restarts, refusals, states. Plain data. */
  async inspect(): Promise<Inspection> {
    const stats = await this.#threads.ask((control) => control.stats(), inspectWithinMs);
    const main: ThreadStats = {
      refusals: this.#shell.refusals(),
      counters: Object.fromEntries(this.#host.counters),
    };
    return inspectionOf({
      captureId: this.#options.settings.captureId,
      tree: this.#tree.inspect(),
      cells: await this.overview(),
      stats: new Map([['main', main], ...stats]),
    });
  }

  /** Stops everything in order, ends the threads, removes temporary data. A fence on the way overtakes it. */
  async stop(): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    await new Promise<void>((resolve) => {
      this.#stopped = resolve;
      this.#tree.shutdown();
    });
    await this.#end();
  }

  /**
   * Fences a subtree (default: the capture whole): from the first store on, no thread delivers or submits anything of it; the
   * answer comes when it is proven that nothing of it runs. Idempotent, callable at any time. Never un-fenced:
   * {@link revive} begins its next life.
   */
  async fence(reason: string, team = plan.id): Promise<FenceProof> {
    const gates = gatePaths.flatMap((path, gate) =>
      path === team || path.startsWith(`${team}/`) ? [gate] : [],
    );
    assert(gatePaths.includes(team), `${team} has no gate`);
    if (this.#gate.fence(gates)) this.log('warn', 'fence', { reason, team });
    return await this.#obeyFence();
  }

  /** Begins the next life of a fenced team; its fence must be proven. */
  revive(team = plan.id): void {
    assert(
      this.#gate.hasConfirmed(0, this.#gate.fencedNow()) &&
        this.#threads
          .running()
          .every(({ index }) => this.#gate.hasConfirmed(index, this.#gate.fencedNow())),
      `the fence of ${team} is not proven`,
    );
    this.#tree.revive(team);
  }

  #makeTree(): Tree {
    return new Tree(plan, {
      now: this.#host.now,
      random: this.#host.random,
      timer: this.#host.timer,
      begin: (gate) => this.#gate.begin(gate),
      workThreads: this.workThreads,
      props: (path) => this.#propsOf(path),
      start: (start) => this.#command(start.ref.thread, { kind: 'Start', start }),
      stop: (ref) => this.#command(ref.thread, { kind: 'Stop', ref }),
      kill: (ref) => this.#command(ref.thread, { kind: 'Kill', ref }),
      signal: (to, signal) => this.#command(to.thread, { kind: 'Signal', to, signal }),
      log: (level, event, detail) => this.log(level, event, detail),
      over: (over) => this.#over(over),
    });
  }

  #reportPort(): AnyPort {
    return {
      call: async (request) => {
        this.#options.onStatus((request as ReportRequest<ChangefeedStatus>).status);
        return await Promise.resolve(ok({ kind: 'Reported' }));
      },
      close: () => Promise.resolve(),
    };
  }

  #startWatchdog(): Worker {
    const workerData: WatchdogStart = {
      gate: this.#gate.memory,
      gates: gatePaths.map((_, gate) => gate),
      threadCount: 1 + threadsOf(plan).length + this.workThreads.length,
    };
    const worker = new Worker(new URL('./watchdog.ts', import.meta.url), {
      workerData,
      name: 'watchdog',
      resourceLimits: { maxYoungGenerationSizeMb: 1 },
    });
    worker.on('message', (reason: string) => this.log('warn', 'fence', { reason, team: plan.id }));
    worker.unref();
    return worker;
  }

  /** What main does at each fence: its own cells first, then the tree, then proof of the other threads. */
  async #obeyFence(): Promise<FenceProof> {
    this.#shell.sweep();
    this.#tree.fenced(this.#gate.words.fences);
    const proof = await proveFence(this.#gate, this.#threads);
    const { isProven, terminated, elapsedMs } = proof;
    const detail = { isProven, terminated: terminated.join(' '), elapsedMs };
    this.log(isProven ? 'warn' : 'error', 'fence-proven', detail);
    return proof;
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

  #command(thread: string, command: ThreadCommand): void {
    if (thread === 'main') this.#commands.push(command);
    else this.#threads.command(thread, command);
  }

  /** A dead thread is started again before its cells are: their start waits in its ports. */
  #threadLost(thread: string, why: string, isAsked: boolean): void {
    if (this.#isClosing && this.#stopped === null) return;
    this.log(isAsked ? 'warn' : 'error', 'thread-lost', { thread, why });
    const nowMs = this.#host.now();
    if (!isAsked) this.#losses.push(nowMs);
    const recent = this.#losses.filter((at) => nowMs - at < lossPeriodMs);
    this.#losses.splice(0, Infinity, ...recent);
    if (recent.length > lossCountMax) {
      this.#tree.giveUp({
        supervisor: 'threads',
        context: 'intensity exceeded',
        reason: why,
        offender: thread,
      });
    } else if (!this.#isClosing) this.#threads.restart(thread);
    this.#tree.threadLost(thread);
  }

  #over(over: TreeOver): void {
    if (over.kind === 'shutdown') this.#stopped?.();
    else if (!this.#isClosing) this.#options.onOver(over);
  }

  async #end(): Promise<void> {
    this.#stopped = null;
    await this.#threads.close();
    await this.#host.close();
    this.#unwatch?.();
    await this.#watchdog?.terminate();
    const { settings } = this.#options;
    if (settings.isTemporary) rmSync(settings.dataDirectory, { recursive: true, force: true });
  }
}
