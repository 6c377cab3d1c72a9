/**
 * The supervision tree at work: keeps what runs, performs the decisions of {@link supervise}, starts and stops cells on
 * their threads. It lives on the main thread; cells live anywhere. One queue of steps per tree keeps start order and
 * stop order exact; every wait in it is bounded by a shutdown time.
 */
import { assert, must } from '../base/assert.ts';
import { Queue } from '../base/queue.ts';
import { exitText, type Exit } from './exit.ts';
import type { CellStart, GateLife, TreeRequest } from './host.ts';
import type { Signal } from './message.ts';
import { gatesOf, type CellPlan, type PlanNode, type TeamPlan } from './plan.ts';
import { idOf, parentOf, type Ref } from './ref.ts';
import { supervise } from './supervise.ts';

/** How the tree reaches the threads. None of these waits. */
export interface TreeIo {
  readonly now: () => number;
  readonly timer: (afterMs: number, due: () => void) => () => void;
  readonly start: (start: CellStart) => void;
  readonly stop: (ref: Ref) => void;
  readonly kill: (ref: Ref) => void;
  readonly signal: (to: Ref, signal: Signal) => void;
  readonly log: (
    level: 'info' | 'warn' | 'error',
    event: string,
    detail: Record<string, string | number>,
  ) => void;
  /** The root gave up (once at most), or everything stopped after `shutdown` (once, also after giving up). */
  readonly over: (reason: TreeOver) => void;
  /** Props of a cell of the plan, given at each start. */
  readonly props: (path: string) => unknown;
  /** Begins the next life of a gate's subtree; answers its generation, above every fenced one. */
  readonly begin: (gate: number) => number;
  /** Names of the work threads, for cells that live on each. */
  readonly workThreads: readonly string[];
}

/** Why the tree ended: asked to, or the four facts of OTP's supervisor report. */
export type TreeOver =
  | { readonly kind: 'shutdown' }
  | {
      readonly kind: 'gave-up';
      readonly supervisor: string;
      readonly context: string;
      readonly reason: string;
      readonly offender: string;
    };

interface CellNode {
  readonly kind: 'cell';
  readonly id: string;
  readonly path: string;
  readonly plan: CellPlan;
  readonly gate: number;
  readonly thread: string;
  readonly role: string;
  props: unknown;
  epoch: number;
  owner: string | null;
  incarnation: number;
  status: 'stopped' | 'starting' | 'running' | 'stopping';
  requester: Ref | null;
  readonly watchers: Ref[];
}

interface TeamNode {
  readonly kind: 'team';
  readonly id: string;
  readonly path: string;
  readonly plan: TeamPlan;
  readonly children: (CellNode | TeamNode)[];
  restarts: readonly number[];
}

type Work =
  | { readonly kind: 'start'; readonly node: CellNode }
  | { readonly kind: 'stop'; readonly node: CellNode };

/** Dynamic children of one team; a feed of more tables than this is refused. */
const dynamicChildCountMax = 100_000;

/** The supervision tree of one capture. */
export class Tree {
  readonly #io: TreeIo;
  readonly #root: TeamNode;
  readonly #cells = new Map<string, CellNode>();
  readonly #teams = new Map<string, TeamNode>();
  readonly #gates: readonly string[];
  /** Generation of each gate. */
  readonly #generations: number[];
  readonly #work = new Queue<Work>();
  #waitingFor: CellNode | null = null;
  #cancelWait: (() => void) | null = null;
  #booted: (() => void) | null = null;
  /** Nothing is started any more. */
  #closing = false;
  #stopping = false;
  #isOver = false;
  /** Starts so far: no two lives ever share an incarnation, so what was sent to one never reaches the next. */
  #lives = 0;

  constructor(plan: TeamPlan, io: TreeIo) {
    this.#io = io;
    this.#gates = gatesOf(plan);
    this.#generations = this.#gates.map((_, gate) => io.begin(gate));
    this.#root = this.#build(plan, plan.id) as TeamNode;
  }

  /** Starts all cells of the plan, left to right; `booted` is called once they have been started. */
  boot(booted: () => void): void {
    this.#booted = booted;
    for (const node of cellsOf(this.#root)) this.#push({ kind: 'start', node });
  }

  /** Stops everything, right to left; `over` is called when nothing runs any more. */
  shutdown(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#closing = true;
    this.#work.clear();
    for (const node of cellsOf(this.#root).toReversed()) this.#push({ kind: 'stop', node });
    this.#advance();
  }

  /** The current address of a cell of the plan; a Fault when it has never been started. */
  refOf(path: string): Ref {
    const node = must(this.#cells.get(path), `cell ${path}`);
    return { path, thread: node.thread, incarnation: 0 };
  }

  /** Paths and statuses of all cells, in start order. */
  list(): readonly {
    readonly path: string;
    readonly thread: string;
    readonly incarnation: number;
    readonly status: string;
  }[] {
    return cellsOf(this.#root).map(({ path, thread, incarnation, status }) => ({
      path,
      thread,
      incarnation,
      status,
    }));
  }

  /** Takes a request from a shell. */
  request(request: TreeRequest): void {
    switch (request.kind) {
      case 'Started':
        return this.#started(request.ref);
      case 'Exited':
        return this.#exited(request.ref, request.exit);
      case 'Spawn':
        return this.#spawn(request);
      case 'StopCell': {
        const node = this.#cells.get(request.target.path);
        if (node !== undefined && isLife(node, request.target)) this.#push({ kind: 'stop', node });
        return;
      }
      case 'Watch':
        return this.#watch(request.watcher, request.target);
    }
  }

  /** A worker thread died: each of its cells exits with ThreadLost. They have nowhere to start again: the root gives up. */
  threadLost(thread: string, why: string): void {
    const isNews = !this.#closing;
    this.#closing = true;
    for (const node of cellsOf(this.#root)) {
      if (node.thread !== thread || node.status === 'stopped') continue;
      this.#exited(
        { path: node.path, thread, incarnation: node.incarnation },
        { kind: 'thread-lost', thread },
      );
    }
    if (!isNews) return;
    this.#gaveUp({
      supervisor: this.#root.path,
      context: 'thread lost',
      reason: why,
      offender: thread,
    });
  }

  #build(plan: PlanNode, path: string): CellNode | TeamNode {
    if (plan.kind === 'cell') return this.#cell(plan, plan.id, path, plan.thread);
    const team: TeamNode = { kind: 'team', id: plan.id, path, plan, children: [], restarts: [] };
    this.#teams.set(path, team);
    for (const child of plan.children) {
      if (child.kind === 'cell' && child.many?.dynamic === true) continue;
      if (child.kind === 'cell' && child.many !== undefined) {
        for (const thread of this.#io.workThreads) {
          const id = `${child.id}:${thread}`;
          team.children.push(this.#cell(child, id, `${path}/${id}`, thread));
        }
        continue;
      }
      team.children.push(this.#build(child, `${path}/${child.id}`));
    }
    return team;
  }

  #cell(plan: CellPlan, id: string, path: string, thread: string): CellNode {
    const node: CellNode = {
      kind: 'cell',
      id,
      path,
      plan,
      gate: this.#gateOf(path),
      thread: thread === 'work' ? must(this.#io.workThreads[0], 'a work thread') : thread,
      role: plan.role,
      props: undefined,
      epoch: 0,
      owner: null,
      incarnation: 0,
      status: 'stopped',
      requester: null,
      watchers: [],
    };
    this.#cells.set(path, node);
    return node;
  }

  /** The nearest gated team above `path`. */
  #gateOf(path: string): number {
    return this.#gates.findLastIndex((team) => path.startsWith(`${team}/`));
  }

  #lifeOf(node: CellNode): GateLife {
    return { gate: node.gate, generation: must(this.#generations[node.gate], 'a gate') };
  }

  #spawn(request: Extract<TreeRequest, { kind: 'Spawn' }>): void {
    const team = this.#teams.get(request.team);
    const plan = team?.plan.children.find(
      (child): child is CellPlan =>
        child.kind === 'cell' && child.role === request.role && child.many?.dynamic === true,
    );
    const path = `${request.team}/${request.id}`;
    const refuse = (why: string): void => {
      const exit: Exit = { kind: 'fault', message: why, stack: '' };
      this.#io.signal(request.requester, { kind: 'ChildRefused', id: request.id, exit });
    };
    if (team === undefined || plan === undefined)
      return refuse(`no place for ${request.role} under ${request.team}`);
    if (this.#closing) return refuse('the tree is stopping');
    if (this.#cells.has(path)) return refuse(`${path} runs already`);
    if (team.children.length >= dynamicChildCountMax) return refuse(`${request.team} is full`);
    const node = this.#cell(plan, request.id, path, request.thread);
    node.props = request.props;
    node.epoch = request.epoch;
    node.owner = request.owner;
    node.requester = request.requester;
    team.children.push(node);
    this.#push({ kind: 'start', node });
  }

  #watch(watcher: Ref, target: Ref): void {
    const node = this.#cells.get(target.path);
    if (node === undefined || node.status === 'stopped' || !isLife(node, target)) {
      this.#io.signal(watcher, { kind: 'Terminated', ref: target, exit: { kind: 'no-process' } });
      return;
    }
    // An earlier life of the watcher hears nothing any more.
    const known = node.watchers.findIndex((other) => other.path === watcher.path);
    if (known < 0) node.watchers.push(watcher);
    else node.watchers[known] = watcher;
  }

  #push(work: Work): void {
    this.#work.push(work);
    this.#advance();
  }

  /** Performs the next steps until one of them must be waited for. */
  #advance(): void {
    while (this.#waitingFor === null) {
      const work = this.#work.shift();
      if (work === undefined) {
        if (this.#stopping && !this.#isOver) {
          this.#isOver = true;
          this.#io.over({ kind: 'shutdown' });
        }
        this.#booted?.();
        this.#booted = null;
        return;
      }
      if (work.kind === 'start') this.#startNode(work.node);
      else this.#stopNode(work.node);
    }
  }

  #startNode(node: CellNode): void {
    if (node.status !== 'stopped' || this.#cells.get(node.path) !== node) return;
    node.status = 'starting';
    node.incarnation = ++this.#lives;
    this.#waitFor(node, 10_000);
    this.#io.start({
      ref: { path: node.path, thread: node.thread, incarnation: node.incarnation },
      role: node.role,
      props: node.requester === null ? this.#io.props(node.path) : node.props,
      mailbox: node.plan.mailbox,
      epoch: node.epoch,
      owner: node.owner,
      life: this.#lifeOf(node),
    });
  }

  #stopNode(node: CellNode): void {
    if (node.status !== 'running') return;
    node.status = 'stopping';
    this.#waitFor(node, node.plan.stopWithinMs);
    this.#io.stop({ path: node.path, thread: node.thread, incarnation: node.incarnation });
  }

  /** Bounds the wait for a start or a stop; a cell that takes longer is killed. */
  #waitFor(node: CellNode, withinMs: number): void {
    this.#waitingFor = node;
    this.#cancelWait = this.#io.timer(withinMs, () => {
      this.#io.log('warn', 'cell-killed', { path: node.path, status: node.status, withinMs });
      const ref = { path: node.path, thread: node.thread, incarnation: node.incarnation };
      this.#io.kill(ref);
      // Its thread may be stuck: do not wait for the report.
      this.#exited(ref, { kind: 'killed' });
    });
  }

  #waited(node: CellNode): void {
    if (this.#waitingFor !== node) return;
    this.#cancelWait?.();
    this.#waitingFor = null;
    this.#cancelWait = null;
  }

  #started(ref: Ref): void {
    const node = this.#cells.get(ref.path);
    if (node === undefined || !isLife(node, ref) || node.status !== 'starting') return;
    node.status = 'running';
    this.#waited(node);
    if (node.requester !== null)
      this.#io.signal(node.requester, { kind: 'ChildStarted', id: node.id, ref });
    this.#advance();
  }

  #exited(ref: Ref, exit: Exit): void {
    const node = this.#cells.get(ref.path);
    if (node === undefined || !isLife(node, ref) || node.status === 'stopped') return;
    const asked = node.status === 'stopping';
    const isStillborn = node.status === 'starting';
    node.status = 'stopped';
    this.#waited(node);
    for (const watcher of node.watchers.splice(0)) {
      this.#io.signal(watcher, { kind: 'Terminated', ref, exit });
    }
    if (isStillborn && node.requester !== null)
      this.#io.signal(node.requester, { kind: 'ChildRefused', id: node.id, exit });
    if (asked || this.#closing) {
      if (node.plan.many?.dynamic === true) this.#forget(node);
    } else this.#supervise(must(this.#teams.get(parentOf(ref.path)), 'team'), node, exit);
    this.#advance();
  }

  #supervise(team: TeamNode, child: CellNode | TeamNode, exit: Exit): void {
    const decision = supervise(
      {
        strategy: team.plan.strategy,
        intensity: team.plan.intensity,
        periodMs: team.plan.periodMs,
        restarts: team.restarts,
        children: team.children.map((other) => ({
          id: other.id,
          restart: other.kind === 'cell' ? other.plan.restart : 'permanent',
          running: cellsOf(other).some((cell) => cell.status !== 'stopped'),
        })),
      },
      child.id,
      exit,
      this.#io.now(),
    );
    team.restarts = decision.restarts;
    this.#io.log(decision.start.length > 0 ? 'warn' : 'info', 'child-exited', {
      supervisor: team.path,
      context: decision.giveUp ? 'intensity exceeded' : 'child terminated',
      reason: exitText(exit),
      offender: child.path,
    });
    if (decision.giveUp) return this.#giveUp(team, child, exit);
    this.#replace(team, decision.stop, decision.start);
    for (const id of decision.forget) {
      const node = team.children.find((other) => other.id === id);
      if (node?.kind === 'cell' && node.status === 'stopped') this.#forget(node);
    }
  }

  #replace(team: TeamNode, stop: readonly string[], start: readonly string[]): void {
    for (const id of stop) {
      for (const node of cellsOf(must(childOf(team, id), id)).toReversed())
        this.#work.push({ kind: 'stop', node });
    }
    for (const id of start) {
      const child = must(childOf(team, id), id);
      // Dynamic children below a restarted team are started again by their owners, not by us.
      for (const node of cellsOf(child)) {
        if (node.plan.many?.dynamic !== true || node === child)
          this.#work.push({ kind: 'start', node });
      }
    }
  }

  #giveUp(team: TeamNode, child: CellNode | TeamNode, exit: Exit): void {
    if (team === this.#root) {
      return this.#gaveUp({
        supervisor: team.path,
        context: 'intensity exceeded',
        reason: exitText(exit),
        offender: child.path,
      });
    }
    for (const node of cellsOf(team).toReversed()) this.#work.push({ kind: 'stop', node });
    team.restarts = [];
    const above = must(this.#teams.get(parentOf(team.path)), 'parent team');
    this.#supervise(above, team, exit);
  }

  /** The cells that still run are stopped by `shutdown`. */
  #gaveUp(facts: Omit<Extract<TreeOver, { kind: 'gave-up' }>, 'kind'>): void {
    this.#closing = true;
    this.#work.clear();
    this.#io.over({ kind: 'gave-up', ...facts });
  }

  #forget(node: CellNode): void {
    assert(node.status === 'stopped', 'only a stopped cell is forgotten');
    this.#cells.delete(node.path);
    const team = must(this.#teams.get(parentOf(node.path)), 'team');
    const index = team.children.indexOf(node);
    if (index >= 0) team.children.splice(index, 1);
  }
}

function isLife(node: CellNode, ref: Ref): boolean {
  return ref.incarnation === 0 || ref.incarnation === node.incarnation;
}

function childOf(team: TeamNode, id: string): CellNode | TeamNode | undefined {
  return team.children.find((child) => child.id === idOf(id));
}

function cellsOf(node: CellNode | TeamNode): CellNode[] {
  return node.kind === 'cell' ? [node] : node.children.flatMap(cellsOf);
}
