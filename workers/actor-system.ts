/**
 * The actor system of one process: threads, shells, the supervision tree, the gate and its watchdog, under any plan and
 * world. Knows nothing of replication; {@link Capture} gives it the house plan.
 */
import { mkdirSync } from 'node:fs';
import type { Worker } from 'node:worker_threads';
import { assert } from '#src/base/assert.ts';
import type { Envelope, Message } from '#src/kernel/message.ts';
import { gatesOf, threadsOf } from '#src/kernel/plan.ts';
import type { Ref } from '#src/kernel/ref.ts';
import { Shell, type CellOverview } from '#src/kernel/shell.ts';
import type { TreeOver } from '#src/kernel/tree-io.ts';
import { Tree } from '#src/kernel/tree.ts';
import type { Log } from '#src/ports/log.ts';
import { Batch } from './batch.ts';
import { perform, type ThreadCommand, type ThreadStats } from './control.ts';
import { FeedDesk } from './feed-desk.ts';
import { FeedPorts, type OpenFeed } from './feed-ports.ts';
import { proveFence, type FenceProof } from './fence-proof.ts';
import { Gate } from './gate.ts';
import { inspectionOf, type Inspection } from './inspection.ts';
import { openLog } from './log.ts';
import { PeerLinks } from './peer-links.ts';
import { deadlineAwaited } from './shared-memory.ts';
import { startWatchdog } from './start-watchdog.ts';
import { faultsOf, type ActorSystemOptions } from './system-options.ts';
import { ThreadHost, type AnyPort } from './thread-host.ts';
import { ThreadLosses } from './thread-losses.ts';
import { watchThread } from './thread-watch.ts';
import { guardExit } from './uncut.ts';
import { Threads } from './threads.ts';
import { openFeedPort } from './world.ts';

const outside: Ref = { path: 'outside', thread: 'main', incarnation: 1 };
/** Milliseconds that inspection waits for a thread. */
const inspectWithinMs = 1_000;
/** Milliseconds that a thread has to open or close a changefeed's ports; one that is stuck is the watchdog's. */
const feedWithinMs = 5_000;

/** See the top of this file. */
export class ActorSystem {
  readonly workThreads: readonly string[];
  readonly log: Log;
  readonly gate = new Gate();
  readonly tree: Tree;
  readonly #options: ActorSystemOptions;
  readonly #gatePaths: readonly string[];
  readonly #host: ThreadHost;
  readonly #feeds: FeedPorts;
  readonly #peerLinks: PeerLinks;
  readonly #shell: Shell;
  readonly #threads: Threads;
  readonly #commands: Batch<ThreadCommand>;
  readonly #losses = new ThreadLosses();
  #watchdog: Worker | null = null;
  #unwatch: (() => void) | null = null;
  #unguard: (() => void) | null = null;
  #stopped: (() => void) | null = null;
  #isClosing = false;
  /** Fences of which `onFence` was told. */
  #toldFences = 0;

  private constructor(options: ActorSystemOptions) {
    const { settings, world, plan } = options;
    this.#options = options;
    this.#gatePaths = gatesOf(plan);
    this.log = openLog('main', settings);
    this.workThreads = Array.from({ length: options.workThreadCount }, (_, i) => `work-${i + 1}`);
    if (options.isLeased === true) Atomics.store(this.gate.words.deadline, 0, deadlineAwaited);
    const parts = { settings, gate: this.gate, log: this.log };
    this.#feeds = new FeedPorts((name, feed, life) =>
      openFeedPort(world, { name, feed, life }, parts),
    );
    this.#peerLinks = new PeerLinks({
      self: settings.captureId,
      deliver: (envelope) => this.#deliver(envelope),
      count: (name, value) => this.#host.count(name, value),
      log: this.log,
    });
    this.#threads = this.#makeThreads();
    const desk = this.#openDesk();
    this.#host = new ThreadHost({
      thread: 'main',
      log: this.log,
      post: (envelope) => this.#post(envelope),
      tree: (request) => this.tree.request(request),
      gate: this.gate,
      ports: {
        ...world.openPorts(settings, this.gate, this.log),
        feeds: () => desk.port() as AnyPort,
        peers: () => this.#peerLinks.port() as AnyPort,
        ...options.mainPorts,
      },
      feeds: this.#feeds,
    });
    this.#shell = new Shell(this.#host, world.roles, settings.epochMode);
    this.#commands = new Batch((commands) => {
      for (const command of commands)
        perform(this.#shell, command, (request) => this.tree.request(request));
    });
    this.tree = this.#makeTree();
  }

  /** Starts threads and tree. A wrong plan is an error that names every fault, before anything starts. */
  static async start(options: ActorSystemOptions): Promise<ActorSystem> {
    const faults = faultsOf(options);
    if (faults.length > 0) throw new Error(`the house plan is wrong:\n${faults.join('\n')}`);
    mkdirSync(options.settings.dataDirectory, { recursive: true });
    const system = new ActorSystem(options);
    try {
      await system.#boot();
    } catch (error) {
      // What was started by then would go on, and start threads again, for nobody.
      system.#isClosing = true;
      await system.#end();
      throw error;
    }
    return system;
  }

  async #boot(): Promise<void> {
    const { plan, openPeers } = this.#options;
    const peers = await openPeers?.(this.#peerLinks.events);
    if (peers !== undefined) this.#peerLinks.use(peers);
    const otherCount = threadsOf(plan).length + this.workThreads.length;
    this.#unguard = guardExit(this.gate, otherCount);
    await this.#threads.start();
    const gates = this.#gatePaths.map((_, gate) => gate);
    const watched = { gates, threadCount: 1 + otherCount };
    this.#watchdog = startWatchdog(this.gate, watched, (reason) =>
      this.log('warn', 'fence', { reason, team: plan.id }),
    );
    this.#unwatch = watchThread(this.gate, () => void this.#obeyFence());
    await new Promise<void>((resolve) => this.tree.boot(resolve));
  }

  /** `HOST:PORT` where other nodes reach this one; empty when it has no links. */
  get peerAddress(): string {
    return this.#peerLinks.address;
  }

  /** Sends a message of the embedder to a cell of main, under epoch 0. */
  tell(path: string, message: Message): void {
    const to = this.tree.refOf(path);
    this.#shell.deliver({ to, from: outside, epoch: 0, seq: 0, message });
  }

  /** Pictures of all cells of all threads that answer within a second. */
  async overview(): Promise<readonly CellOverview[]> {
    const remote = await this.#threads.ask((control) => control.overview(), inspectWithinMs);
    return [...this.#shell.overview(), ...[...remote.values()].flat()];
  }

  /** The supervision tree as it lives: statuses, mailboxes, restarts, refusals, states. Plain data. */
  async inspect(): Promise<Inspection> {
    const [stats, cells] = await Promise.all([
      this.#threads.ask((control) => control.stats(), inspectWithinMs),
      this.overview(),
    ]);
    const main: ThreadStats = {
      refusals: this.#shell.refusals(),
      counters: Object.fromEntries(this.#host.counters),
    };
    return inspectionOf({
      captureId: this.#options.settings.captureId,
      tree: this.tree.inspect(),
      cells,
      stats: new Map([['main', main], ...stats]),
    });
  }

  /** Stops everything in order and ends the threads. A fence on the way overtakes it. */
  async stop(): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    await new Promise<void>((resolve) => {
      this.#stopped = resolve;
      this.tree.shutdown();
    });
    this.#stopped = null;
    await this.#end();
  }

  /** Ends whatever runs, with no regard to order. */
  async #end(): Promise<void> {
    await this.#threads.close();
    this.#unguard?.();
    await this.#host.close();
    await this.#peerLinks.close();
    this.#unwatch?.();
    await this.#watchdog?.terminate();
  }

  /** Numbers of the gates that a fence of `team` shuts. */
  gatesBelow(team: string): readonly number[] {
    assert(this.#gatePaths.includes(team), `${team} has no gate`);
    return this.#gatePaths.flatMap((path, gate) =>
      path === team || path.startsWith(`${team}/`) ? [gate] : [],
    );
  }

  /**
   * Fences a subtree (default: all of it): from the first store on, no thread delivers or submits anything of it; the
   * answer comes when it is proven that nothing of it runs. Idempotent, callable at any time. Never un-fenced:
   * {@link revive} begins its next life.
   */
  async fence(reason: string, team = this.#options.plan.id): Promise<FenceProof> {
    if (this.gate.fence(this.gatesBelow(team))) this.log('warn', 'fence', { reason, team });
    return await this.#obeyFence();
  }

  /** Begins the next life of a fenced team; a Fault while its fence is not proven. */
  revive(team = this.#options.plan.id): void {
    const fenced = this.gate.fencedNow();
    const indices = [0, ...this.#threads.running().map(({ index }) => index)];
    const isProven = indices.every((index) => this.gate.hasConfirmed(index, fenced));
    assert(isProven, `the fence of ${team} is not proven`);
    this.tree.revive(team);
  }

  #makeThreads(): Threads {
    const { plan, settings, worldUrl } = this.#options;
    return new Threads({
      names: [...threadsOf(plan), ...this.workThreads],
      settings,
      worldUrl,
      gate: this.gate,
      feeds: () => this.#feeds.list(),
      request: (request) => this.tree.request(request),
      deliver: (envelope) => this.#arrived(envelope),
      callFailed: (thread, message) => {
        // The tree bounds the wait for what the call should have caused.
        if (!this.#isClosing) this.log('error', 'thread-call-failed', { thread, message });
      },
      lost: (thread, why, isAsked) => this.#threadLost(thread, why, isAsked),
    });
  }

  #post(envelope: Envelope): void {
    if (envelope.to.node === undefined) this.#threads.post(envelope);
    else this.#peerLinks.post(envelope);
  }

  /** From another thread: for a cell here, or on its way to another node. */
  #arrived(envelope: Envelope): void {
    if (envelope.to.node === undefined) this.#shell.deliver(envelope);
    else this.#peerLinks.post(envelope);
  }

  /** From another node, or addressed to this one by its id: false when it has no thread of that name. */
  #deliver(envelope: Envelope): boolean {
    if (envelope.to.thread !== 'main') return this.#threads.post(envelope);
    this.#shell.deliver(envelope);
    return true;
  }

  /** A thread that is down, or starts only now, has the changefeeds from its start on. */
  #openDesk(): FeedDesk {
    return new FeedDesk({
      open: async (feed: OpenFeed) => {
        await this.#host.openFeed(feed);
        await this.#threads.ask((control) => control.openFeed(feed), feedWithinMs);
      },
      close: async (id: string) => {
        // Everything closes; what is left belongs to whoever starts next on this directory.
        if (this.#isClosing) return;
        await this.#host.closeFeed(id);
        await this.#threads.ask((control) => control.closeFeed(id), feedWithinMs);
        await this.#options.world.feedClosed?.(this.#options.settings, id);
      },
    });
  }

  #makeTree(): Tree {
    return new Tree(this.#options.plan, {
      now: this.#host.now,
      random: this.#host.random,
      timer: this.#host.timer,
      begin: (gate) => this.gate.begin(gate),
      workThreads: this.workThreads,
      props: (path) => this.#options.props(path, this),
      start: (start) => this.#command(start.ref.thread, { kind: 'Start', start }),
      stop: (ref) => this.#command(ref.thread, { kind: 'Stop', ref }),
      kill: (ref) => this.#command(ref.thread, { kind: 'Kill', ref }),
      signal: (to, signal) => this.#command(to.thread, { kind: 'Signal', to, signal }),
      log: (level, event, detail) => this.log(level, event, detail),
      over: (over) => this.#over(over),
    });
  }

  /** What main does at each fence: its own cells first, then the tree, then proof of the other threads. */
  async #obeyFence(): Promise<FenceProof> {
    const startedMs = performance.now();
    const rung = Atomics.load(this.gate.words.bells, 0);
    this.#shell.sweep();
    this.tree.fenced(this.gate.words.fences);
    const proof = await proveFence(this.gate, this.#threads, startedMs);
    // Whoever fenced here and the bell that rang meet in one fence: it is told of once.
    if (rung <= this.#toldFences) return proof;
    this.#toldFences = rung;
    const { isProven, terminated, elapsedMs } = proof;
    const detail = { isProven, terminated: terminated.join(' '), elapsedMs };
    this.log(isProven ? 'warn' : 'error', 'fence-proven', detail);
    this.#options.onFence?.(proof);
    return proof;
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
    if (!isAsked) this.#losses.add(nowMs);
    if (this.#losses.areTooMany(nowMs)) {
      this.tree.giveUp({
        supervisor: 'threads',
        context: 'intensity exceeded',
        reason: why,
        offender: thread,
      });
    } else if (!this.#isClosing) this.#threads.restart(thread);
    this.tree.threadLost(thread);
  }

  #over(over: TreeOver): void {
    if (over.kind === 'shutdown') this.#stopped?.();
    else if (!this.#isClosing) this.#options.onOver(over);
  }
}
