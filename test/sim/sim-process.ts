/**
 * One life of a process of Sluice in virtual time: the real plan, tree, shells and actors over simulated threads and
 * ports. Links between threads, control calls and tree reports each keep their own order and overtake each other, as
 * they do for real.
 */
import { plan as clusterPlan, planAlone } from '#actors/plan.ts';
import { roles } from '#actors/roles.ts';
import { assert, must } from '#src/base/assert.ts';
import { failed, failure, ok, type Outcome } from '#src/base/failure.ts';
import type { GateLife, TreeRequest } from '#src/kernel/host.ts';
import type { CellOverview } from '#src/kernel/shell.ts';
import type { Envelope } from '#src/kernel/message.ts';
import { gatesOf, type TeamPlan } from '#src/kernel/plan.ts';
import type { TreeOver } from '#src/kernel/tree-io.ts';
import { Tree } from '#src/kernel/tree.ts';
import type { ChangefeedConfig, ChangefeedStatus } from '#src/protocol/changefeed.ts';
import type {
  Answered,
  Ask,
  CoordinatorReply,
  CoordinatorRequest,
} from '#src/protocol/coordinator.ts';
import { places } from '#src/protocol/nodes.ts';
import type { ReportRequest } from '#src/ports/report.ts';
import { perform, type ThreadCommand } from '#workers/control.ts';
import { confirmWithinMs } from '#workers/fence-proof.ts';
import { ThreadLosses } from '#workers/thread-losses.ts';
import type { Dice } from './dice.ts';
import { observed, type StepWatch } from './observe.ts';
import { overTheWire, SimLink } from './sim-link.ts';
import type { LivingPort } from './sim-port.ts';
import { SimThread } from './sim-thread.ts';
import type { World } from './world.ts';

/** What a process is started with. */
export interface SimProcessParts {
  readonly world: World;
  /** Unique among all lives of a run. */
  readonly name: string;
  readonly config: ChangefeedConfig;
  readonly clockRate: number;
  readonly linkDelayMs: number;
  /** Opens a port of one thread; `report` is the process's own. */
  readonly openPort: (
    process: SimProcess,
    thread: string,
    name: string,
    life: GateLife,
  ) => LivingPort;
  readonly onStatus: (status: ChangefeedStatus) => void;
  /** The tree is over: the process ends. */
  readonly onOver: (over: TreeOver) => void;
  /** It is a node of a cluster; absent: a process alone. */
  readonly node?: NodeParts;
}

/** What a process of a cluster has that one alone has not. */
export interface NodeParts {
  readonly ttlMs: number;
  readonly isPrompt: boolean;
  /** The write deadline of its session, asked immediately before anything is sent. */
  readonly mayWrite: () => boolean;
  /** Takes an envelope for another node to the network, from main. */
  readonly abroad: (envelope: Envelope) => void;
  readonly watch: StepWatch;
}

/** Work threads of every process. */
export const workThreads = ['work-1', 'work-2'];

/** Teams that can be fenced, by the number of their gate; the same in a cluster and alone. */
export const gatePaths = gatesOf(planAlone);

/** What was not heard, or could not be done, is asked for again after this time. */
const askAgainMs = 5_000;

/** A thread is up again after this time at most. */
const threadStartMs = 40;

/** All threads of a process alone. */
export const threadNames = ['main', 'ingest', ...workThreads];

/** All threads of a node of a cluster. */
export const nodeThreadNames = ['main', 'lease', 'ingest', ...workThreads];

/** See the top of this file. */
export class SimProcess {
  readonly name: string;
  readonly threads = new Map<string, SimThread>();
  status: ChangefeedStatus | null = null;
  #isDead = false;
  readonly #fences = new Int32Array(gatePaths.length);
  readonly #generations = new Int32Array(gatePaths.length);
  /** Cells of fenced lives, as path and incarnation: none of them may receive anything. */
  readonly #fencedCells = new Set<string>();
  readonly #losses = new ThreadLosses();
  /** Teams of fences that are not proven yet. */
  readonly #unproven: string[] = [];
  #threadLives = 0;
  readonly #asked = new Map<number, (outcome: Outcome<CoordinatorReply>) => void>();
  #askCount = 0;
  readonly #parts: SimProcessParts;
  readonly #plan: TeamPlan;
  readonly #tree: Tree;
  readonly #links = new Map<string, SimLink>();

  constructor(parts: SimProcessParts) {
    this.#parts = parts;
    this.name = parts.name;
    this.#plan = parts.node === undefined ? planAlone : clusterPlan;
    for (const name of parts.node === undefined ? threadNames : nodeThreadNames)
      this.threads.set(name, this.#thread(name));
    this.#tree = this.#makeTree();
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  /** Boots the tree; `booted` is called when it stands. */
  boot(booted: () => void): void {
    this.#tree.boot(booted);
  }

  /** Boots the tree and starts the changefeed. */
  start(): void {
    this.boot(() => this.startChangefeed());
  }

  /** Tells the coordinator to start the changefeed; it may run already. */
  startChangefeed(): void {
    this.ask({ kind: 'StartChangefeed', config: this.#parts.config, createdMs: 0 });
  }

  /** Asks the changefeed to stop, until it was heard. */
  stopChangefeed(): void {
    const request: CoordinatorRequest = { kind: 'PauseChangefeed', id: this.#parts.config.id };
    this.ask(request, (outcome) => {
      if (!outcome.ok) this.#main.timer(askAgainMs, () => this.stopChangefeed());
    });
  }

  /** Asks the coordinator, wherever it is; `answered` is called once, unless the process ends before. */
  ask(
    request: CoordinatorRequest,
    answered: (outcome: Outcome<CoordinatorReply>) => void = () => {},
  ): void {
    const to = this.#tree.refOf(places.elector);
    const from = { path: 'outside', thread: 'main', incarnation: 1 };
    const requestId = ++this.#askCount;
    const message: Ask = { kind: 'Ask', requestId, request };
    this.#asked.set(requestId, answered);
    // An elector that crashes forgets what it was asked.
    this.#main.timer(12_000, () => this.#answered(requestId, failed(absent)));
    this.#main.enter(() => this.#main.shell.deliver({ to, from, epoch: 0, seq: 0, message }));
  }

  /** Asks the whole tree to stop. */
  shutdown(): void {
    this.#tree.shutdown();
  }

  /** The process is gone, with everything that only it knew. */
  kill(): void {
    this.#isDead = true;
    for (const thread of this.threads.values()) thread.die();
  }

  /** Nothing of it runs until `resume`. */
  pause(): void {
    for (const thread of this.threads.values()) thread.pause();
  }

  resume(): void {
    for (const thread of this.threads.values()) thread.resume();
  }

  /** Ends every pause. */
  wake(): void {
    for (const thread of this.threads.values()) thread.wake();
  }

  /** A thread dies; main learns of it a little later, and starts it again. */
  killThread(name: string): void {
    const thread = must(this.threads.get(name), name);
    if (thread.isDead || this.#isDead) return;
    thread.die();
    this.#parts.world.mark('thread lost');
    this.#parts.world.after(1, () => this.#main.enter(() => this.#threadLost(name)));
  }

  /**
   * Fences a subtree: from here on nothing of it is delivered or submitted. `proven` is called once every thread has
   * swept, or is gone.
   */
  fence(team: string, proven: () => void): void {
    const { world } = this.#parts;
    for (const cell of this.overview()) {
      if (cell.path.startsWith(`${team}/`)) this.#fencedCells.add(cellName(cell));
    }
    for (const [gate, path] of gatePaths.entries()) {
      if (path === team || path.startsWith(`${team}/`))
        this.#fences[gate] = this.#generations[gate]!;
    }
    world.mark(`fence ${team}`);
    const open = new Set(this.threads.values());
    const sweep = (thread: SimThread): void => {
      thread.shell.sweep();
      if (thread === this.#main) this.#tree.fenced(this.#fences);
      open.delete(thread);
    };
    for (const thread of open)
      world.after(this.#fenceDice.next(), () => thread.enter(() => sweep(thread)));
    this.#unproven.push(team);
    const prove = (): void => {
      for (const thread of open) {
        // One that died meanwhile proves it by that; its successor never had anything of the fenced life.
        if (thread === this.#main || this.threads.get(thread.name) !== thread) continue;
        this.killThread(thread.name);
      }
      // A main that sleeps proves nothing: whoever asks waits.
      this.#main.enter(() => {
        this.#unproven.splice(this.#unproven.indexOf(team), 1);
        if (!this.#isDead) proven();
      });
    };
    world.after(confirmWithinMs, prove);
  }

  /** Begins the next life of a fenced team, whose fence is proven; nothing when it lives already. */
  revive(team: string): void {
    const gate = gatePaths.indexOf(team);
    assert(gate >= 0, `${team} has no gate`);
    if (this.#isDead || this.#fences[gate]! < this.#generations[gate]!) return;
    // It was fenced once more meanwhile: whoever did that begins its next life.
    if (this.#unproven.some((path) => team === path || team.startsWith(`${path}/`))) return;
    // A subtree of a fenced one comes back with it.
    if (team !== this.#plan.id && this.#fences[0]! >= this.#generations[0]!) return;
    this.#tree.revive(team);
  }

  /** Whether the cell belongs to a life that was fenced. */
  isFenced(cell: { readonly path: string; readonly incarnation: number }): boolean {
    return this.#fencedCells.has(cellName(cell));
  }

  /** Ends a cell of a role as a fault would; `pick` chooses among them. False when none runs. */
  crash(role: string, pick: number): boolean {
    const cells = [...this.threads.values()]
      .filter((thread) => !thread.isDead && !thread.isPaused)
      .flatMap(({ shell }) => shell.overview().map((cell) => ({ shell, cell })))
      .filter(({ cell }) => cell.role === role);
    const victim = cells[pick % Math.max(1, cells.length)];
    if (victim === undefined) return false;
    const { path, thread, incarnation } = victim.cell;
    const exit = { kind: 'fault', message: crashText, stack: '' } as const;
    victim.shell.kill({ path, thread, incarnation }, exit);
    return true;
  }

  /** Whether a life of a subtree may still submit: asked immediately before anything is sent. */
  mayWrite(life: GateLife): boolean {
    if (this.isShut(life)) return false;
    return this.#parts.node?.mayWrite() ?? true;
  }

  /** Whether a life of a subtree was fenced. */
  isShut(life: GateLife): boolean {
    return this.#fences[life.gate]! >= life.generation;
  }

  /** Takes an envelope from another node. */
  arrive(envelope: Envelope): void {
    this.#main.enter(() => {
      if (envelope.to.thread === 'main') this.#main.shell.deliver(envelope);
      else this.#post('main', envelope);
    });
  }

  /** True when a cell of the role is in this phase or stage. */
  isDoing(role: string, phase: string): boolean {
    return this.overview().some(
      (cell) => cell.role === role && (cell.state['phase'] ?? cell.state['stage']) === phase,
    );
  }

  /** False when the coordinator has started again and knows of none. */
  hasFeed(): boolean {
    const coordinator = this.#main.shell.overview().find((cell) => cell.role === 'coordinator');
    const feeds = coordinator?.state['changefeeds'] as readonly unknown[] | undefined;
    return feeds !== undefined && feeds.length > 0;
  }

  /** Multiplies the delay of everything sent from one thread to another. */
  slowLink(from: string, to: string, factor: number): void {
    this.#link(`${from} ${to}`).slow = factor;
  }

  /** Pictures of all cells. */
  overview(): readonly CellOverview[] {
    return [...this.threads.values()]
      .filter((thread) => !thread.isDead)
      .flatMap(({ shell }) => shell.overview());
  }

  get #fenceDice(): Dice {
    return this.#parts.world.dice(`threads ${this.name}`);
  }

  get #main(): SimThread {
    return must(this.threads.get('main'), 'main');
  }

  #link(name: string): SimLink {
    let link = this.#links.get(name);
    if (link === undefined) {
      const { world, linkDelayMs } = this.#parts;
      link = new SimLink(world, world.dice(`link ${this.name} ${name}`), linkDelayMs);
      this.#links.set(name, link);
    }
    return link;
  }

  #makeTree(): Tree {
    const { world, clockRate } = this.#parts;
    const command = (name: string, what: ThreadCommand): void => {
      const thread = must(this.threads.get(name), name);
      this.#link(`control ${name}`).send(() =>
        thread.enter(() => perform(thread.shell, what, (request) => this.#request(name, request))),
      );
    };
    return new Tree(this.#plan, {
      now: () => world.now * clockRate,
      random: world.dice(`tree ${this.name}`).next,
      timer: (afterMs, due) => this.#main.timer(afterMs, due),
      begin: (gate) => {
        const generation = Math.max(this.#generations[gate]!, this.#fences[gate]!) + 1;
        this.#generations[gate] = generation;
        return generation;
      },
      workThreads,
      props: (path) => this.#propsOf(path),
      start: (start) => command(start.ref.thread, { kind: 'Start', start }),
      stop: (ref) => command(ref.thread, { kind: 'Stop', ref }),
      kill: (ref) => command(ref.thread, { kind: 'Kill', ref }),
      signal: (to, signal) => command(to.thread, { kind: 'Signal', to, signal }),
      log: (_level, event, detail) => this.#supervised(event, detail),
      over: (over) => {
        if (!this.#isDead) this.#parts.onOver(over);
      },
    });
  }

  #supervised(event: string, detail: Readonly<Record<string, string | number>>): void {
    const { world } = this.#parts;
    const reason = String(detail['reason'] ?? '');
    world.trace.note(world.now, `${this.name} tree`, event, 0);
    if (reason.startsWith('fault') && !reason.endsWith(crashText))
      world.violate(`${String(detail['offender'])} ended with ${reason}`);
    if (event === 'cell-killed') world.mark('cell killed for being slow');
  }

  /** After too many losses the process gives up; else the thread starts anew, and its cells by the ordinary rules. */
  #threadLost(name: string): void {
    const { world } = this.#parts;
    this.#losses.add(world.now);
    if (this.#losses.areTooMany(world.now)) {
      const context = 'intensity exceeded';
      const reason = 'killed by the simulation';
      this.#tree.giveUp({ supervisor: 'threads', context, reason, offender: name });
    } else {
      const thread = this.#thread(name);
      this.threads.set(name, thread);
      // What it is told waits in its ports until it is up.
      thread.pause();
      world.after(this.#fenceDice.next() * threadStartMs, () => thread.resume());
    }
    this.#tree.threadLost(name);
  }

  #request(from: string, request: TreeRequest): void {
    if (from === 'main') this.#tree.request(request);
    else
      this.#link(`reports ${from}`).send(() => this.#main.enter(() => this.#tree.request(request)));
  }

  #thread(name: string): SimThread {
    const { world, clockRate } = this.#parts;
    const life = `${this.name} ${name} ${++this.#threadLives}`;
    return new SimThread({
      world,
      name,
      dice: world.dice(`thread ${life}`),
      roles: observed(world, roles, this, this.#parts.node?.watch),
      fences: this.#fences,
      openPort: (port, life) =>
        port === 'report' ? this.#report() : this.#parts.openPort(this, name, port, life),
      clockRate,
      post: (envelope) => this.#post(name, envelope),
      tree: (request) => this.#request(name, request),
      log: (_level, event) => {
        world.mark(`log ${event}`);
      },
    });
  }

  /** From a thread to another one, or by way of main to another node. */
  #post(from: string, envelope: Envelope): void {
    const { node } = envelope.to;
    if (node !== undefined && node !== this.name) return this.#abroad(from, envelope);
    const to = this.threads.get(envelope.to.thread);
    // Another node may name a thread that is not here.
    if (to === undefined) return;
    const arrived = overTheWire(envelope);
    this.#link(`${from} ${to.name}`).send(() => to.enter(() => to.shell.deliver(arrived)));
  }

  /** Alone there are no other nodes: other lives are told apart in the common store only. */
  #abroad(from: string, envelope: Envelope): void {
    const { node } = this.#parts;
    if (node === undefined) return;
    if (from === 'main') return node.abroad(envelope);
    // The codec of links keeps the node.
    const leaving = overTheWire(envelope);
    this.#link(`${from} main`).send(() => this.#main.enter(() => node.abroad(leaving)));
  }

  #report(): LivingPort {
    const { world } = this.#parts;
    return {
      call: (request, answered) => {
        const report = request as ReportRequest<ChangefeedStatus, Answered>;
        if (report.kind === 'Status') {
          this.status = report.status;
          this.#parts.onStatus(report.status);
        } else if (report.kind === 'Answer') {
          this.#answered(report.answer.requestId, report.answer.outcome);
        }
        world.after(0, () => answered(ok({ kind: 'Reported' })));
      },
      close: () => {},
    };
  }

  #propsOf(path: string): unknown {
    const clusterId = 'c';
    const self = this.name;
    switch (path) {
      case 'capture/claim/session':
        return {
          clusterId,
          captureId: self,
          ttlMs: this.#parts.node?.ttlMs ?? 10_000,
          apiAddress: '',
          peerAddress: '',
          version: '',
        };
      case 'capture/claim/membership':
        return {
          clusterId,
          captureId: self,
          session: this.#tree.refOf('capture/claim/session'),
          followers: [places.maintainerManager, places.elector].map((follower) =>
            this.#tree.refOf(follower),
          ),
        };
      case 'capture/claim/peer-keeper':
        return { membership: this.#tree.refOf('capture/claim/membership') };
      case places.orchestrator:
        return { workThreads, storeBytesMax: 1 << 20 };
      case places.maintainerManager:
        return { self, workThreads };
      default:
        return { clusterId, self, isPrompt: this.#parts.node?.isPrompt ?? true, feedCountMax: 64 };
    }
  }

  #answered(requestId: number, outcome: Outcome<CoordinatorReply>): void {
    const answered = this.#asked.get(requestId);
    this.#asked.delete(requestId);
    answered?.(outcome);
  }
}

const absent = failure('COORDINATOR_ABSENT', 'no coordinator answered', { retry: 'Again' });

const crashText = 'crashed by the simulation';

function cellName(cell: { readonly path: string; readonly incarnation: number }): string {
  return `${cell.path} ${cell.incarnation}`;
}
