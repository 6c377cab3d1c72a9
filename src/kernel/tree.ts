/**
 * The supervision tree at work: keeps what runs, performs the decisions of {@link supervise}, starts and stops cells on
 * their threads. It lives on the main thread; cells live anywhere.
 *
 * Each supervisor does one step after the other, so children start left to right and stop right to left; supervisors do
 * not wait for each other, and dynamic children not for their siblings. Every wait is bounded by a shutdown time.
 */
import { assert, must } from '../base/assert.ts';
import { exitText, type Exit } from './exit.ts';
import type { CellStart, TreeRequest } from './host.ts';
import type { Signal } from './message.ts';
import { gatesOf, type CellPlan, type PlanNode, type TeamPlan } from './plan.ts';
import type { Ref } from './ref.ts';
import { restartPauseMs } from './restart-pause.ts';
import { supervise } from './supervise.ts';
import { pictureOf, type TreePicture } from './tree-picture.ts';
import {
  cellsOf,
  childrenOf,
  gateAbove,
  isDone,
  isLife,
  refOfNode,
  teamsOf,
  type CellNode,
  type Step,
  type TeamNode,
  type TreeNode,
} from './tree-node.ts';

/** How the tree reaches the threads. None of these waits. */
export interface TreeIo {
  readonly now: () => number;
  /** Uniform in [0, 1), for the jitter of restart pauses. */
  readonly random: () => number;
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

/** The four facts of OTP's supervisor report. */
export interface SupervisorReport {
  readonly supervisor: string;
  readonly context: string;
  readonly reason: string;
  readonly offender: string;
}

/** Why the tree ended: asked to, or given up. */
export type TreeOver =
  | { readonly kind: 'shutdown' }
  | ({ readonly kind: 'gave-up' } & SupervisorReport);

/** Dynamic children of one team; a feed of more tables than this is refused. */
const dynamicChildCountMax = 100_000;
/** Bounds the wait for a start, and for the report of a brutal kill. */
const startWithinMs = 10_000;
const killWithinMs = 1_000;

const fencedExit: Exit = { kind: 'fenced' };

/** The supervision tree of one capture. */
export class Tree {
  readonly #io: TreeIo;
  readonly #root: TeamNode;
  readonly #cells = new Map<string, CellNode>();
  readonly #teams = new Map<string, TeamNode>();
  readonly #gates: readonly string[];
  /** Generation of each gate. */
  readonly #generations: number[];
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
    this.#root = this.#team(plan, plan.id, null);
  }

  /** Starts all cells of the plan; `booted` is called once they have been started, or will not be any more. */
  boot(booted: () => void): void {
    this.#booted = booted;
    this.#startTeam(this.#root);
  }

  /** Stops everything, right to left; `over` is called when nothing runs any more. */
  shutdown(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#closing = true;
    if (this.#root.status === 'stopped') this.#settled(this.#root);
    else this.#stopTeam(this.#root);
  }

  /**
   * Ends, without waiting for any of them, all cells whose gate's word in `fences` has reached their generation: the tree's
   * side of a fence, called whenever a fence was seen. What it was doing with them (boot, graceful stop, restart) is
   * overtaken. Watchers outside are told; nothing below is started until {@link revive}.
   */
  fenced(fences: Int32Array): void {
    for (const [gate, path] of this.#gates.entries()) {
      const team = must(this.#teams.get(path), 'a gated team');
      if (!team.isFenced && fences[gate]! >= this.#generations[gate]!) this.#fence(team);
    }
  }

  /**
   * Begins the next life of a fenced team, and of all fenceable teams below it. The caller has proof that nothing of the
   * former life runs on any thread. A Fault when it is not fenced, or lives under a team that is.
   */
  revive(path: string): void {
    const team = must(this.#teams.get(path), `team ${path}`);
    assert(team.isFenced && team.gate >= 0, `${path} is not fenced`);
    assert(team.team?.isFenced !== true, `a team above ${path} is fenced`);
    for (const one of teamsOf(team)) {
      one.isFenced = false;
      if (one.gate >= 0) this.#generations[one.gate] = this.#io.begin(one.gate);
    }
    const { team: above } = team;
    const isUp =
      above === null ||
      ((above.status === 'running' || above.status === 'starting') && !hasStartAhead(above, team));
    if (isUp) this.#startTeam(team);
  }

  /** Ends the tree for a reason outside of it, e.g. a thread that cannot be kept running. */
  giveUp(report: SupervisorReport): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#io.over({ kind: 'gave-up', ...report });
    this.#bootedOnce();
  }

  /** The address of a cell of the plan, whichever life is current; a Fault when the plan has none. */
  refOf(path: string): Ref {
    return { ...refOfNode(must(this.#cells.get(path), `cell ${path}`)), incarnation: 0 };
  }

  /** The tree as plain data, for inspection. */
  inspect(): TreePicture {
    return pictureOf(this.#root, this.#generations);
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
      case 'StopCell':
        return this.#stopAsked(request.target);
      case 'Watch':
        return this.#watch(request.watcher, request.target);
    }
  }

  /** A thread died: each of its cells exits with ThreadLost, and the ordinary rules apply. */
  threadLost(thread: string): void {
    const exit: Exit = { kind: 'thread-lost', thread };
    const lost = cellsOf(this.#root).filter(
      (node) => node.thread === thread && node.status !== 'stopped' && node.status !== 'waiting',
    );
    // All are down before the first decision, so that none of them is asked to stop.
    const former = lost.map((node) => this.#down(node));
    for (const [i, node] of lost.entries()) this.#afterExit(node, former[i]!, exit);
  }

  // ── building ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #team(plan: TeamPlan, path: string, parent: TeamNode | null): TeamNode {
    const team: TeamNode = {
      kind: 'team',
      id: plan.id,
      path,
      team: parent,
      plan,
      gate: this.#gates.indexOf(path),
      children: [],
      dynamic: new Map(),
      status: 'stopped',
      isFenced: false,
      steps: [],
      current: null,
      restarts: [],
      restartCount: 0,
      escalation: null,
      cancel: null,
    };
    this.#teams.set(path, team);
    for (const child of plan.children) this.#add(child, team);
    return team;
  }

  #add(plan: PlanNode, team: TeamNode): void {
    if (plan.kind === 'team') {
      team.children.push(this.#team(plan, `${team.path}/${plan.id}`, team));
    } else if (plan.many === undefined) {
      team.children.push(this.#cell(plan, team, { id: plan.id, thread: plan.thread }));
    } else if (!plan.many.dynamic) {
      for (const thread of this.#io.workThreads)
        team.children.push(this.#cell(plan, team, { id: `${plan.id}:${thread}`, thread }));
    }
  }

  #cell(
    plan: CellPlan,
    team: TeamNode,
    { id, path = `${team.path}/${id}`, thread }: { id: string; path?: string; thread: string },
  ): CellNode {
    const node: CellNode = {
      kind: 'cell',
      id,
      path,
      team,
      plan,
      gate: gateAbove(team),
      thread: thread === 'work' ? must(this.#io.workThreads[0], 'a work thread') : thread,
      role: plan.role,
      isDynamic: plan.many?.dynamic === true,
      props: undefined,
      epoch: 0,
      owner: null,
      requester: null,
      incarnation: 0,
      status: 'stopped',
      startCount: 0,
      isTold: false,
      watchers: [],
      cancel: null,
    };
    this.#cells.set(path, node);
    return node;
  }

  // ── requests ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #spawn(request: Extract<TreeRequest, { kind: 'Spawn' }>): void {
    const team = this.#teams.get(request.team);
    const plan = team?.plan.children.find(
      (child): child is CellPlan =>
        child.kind === 'cell' && child.role === request.role && child.many?.dynamic === true,
    );
    const refuse = (exit: Exit): void =>
      this.#io.signal(request.requester, { kind: 'ChildRefused', id: request.id, exit });
    const fault = (message: string): void => refuse({ kind: 'fault', message, stack: '' });
    if (team === undefined || plan === undefined)
      return fault(`no place for ${request.role} under ${request.team}`);
    if (this.#closing) return fault('the tree is stopping');
    if (team.isFenced) return refuse({ kind: 'fenced' });
    if (team.status !== 'running' && team.status !== 'starting')
      return fault(`${team.path} is ${team.status}`);
    const path = `${team.path}/${request.id}`;
    if (this.#cells.has(path)) return fault(`${path} runs already`);
    if (team.dynamic.size >= dynamicChildCountMax) return fault(`${team.path} is full`);
    const node = this.#cell(plan, team, { id: request.id, path, thread: request.thread });
    node.props = request.props;
    node.epoch = request.epoch;
    node.owner = request.owner;
    node.requester = request.requester;
    team.dynamic.set(node.id, node);
    this.#startCell(node);
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

  #stopAsked(target: Ref): void {
    const node = this.#cells.get(target.path);
    if (node === undefined || !isLife(node, target)) return;
    const { team } = node;
    team.steps = team.steps.filter((step) => step.kind !== 'start' || step.child !== node);
    this.#stopCell(node);
    if (node.status === 'stopped') this.#forgetDynamic(node);
    // It may have been down already, and its team waiting for it.
    this.#advance(team);
  }

  #started(ref: Ref): void {
    const node = this.#cells.get(ref.path);
    if (node === undefined || !isLife(node, ref) || node.status !== 'starting') return;
    node.status = 'running';
    node.isTold = true;
    this.#dropTimer(node);
    if (node.requester !== null)
      this.#io.signal(node.requester, { kind: 'ChildStarted', id: node.id, ref });
    this.#advance(node.team);
  }

  #exited(ref: Ref, exit: Exit): void {
    const node = this.#cells.get(ref.path);
    if (node === undefined || !isLife(node, ref)) return;
    if (node.status === 'stopped' || node.status === 'waiting') return;
    this.#afterExit(node, this.#down(node), exit);
  }

  // ── one node ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #start(node: TreeNode): void {
    if (node.kind === 'cell') this.#startCell(node);
    else this.#startTeam(node);
  }

  #startCell(node: CellNode): void {
    const mayStart = node.status === 'stopped' || node.status === 'waiting';
    if (!mayStart || this.#closing || this.#cells.get(node.path) !== node) return;
    node.status = 'starting';
    node.incarnation = ++this.#lives;
    node.startCount++;
    node.isTold = false;
    this.#bound(node, startWithinMs);
    this.#io.start({
      ref: refOfNode(node),
      role: node.role,
      props: node.requester === null ? this.#io.props(node.path) : node.props,
      mailbox: node.plan.mailbox,
      epoch: node.epoch,
      owner: node.owner,
      life: { gate: node.gate, generation: must(this.#generations[node.gate], 'a gate') },
    });
  }

  #startTeam(team: TeamNode): void {
    const mayStart = team.status === 'stopped' || team.status === 'waiting';
    if (!mayStart || this.#closing || team.isFenced) return;
    team.status = 'starting';
    team.restarts = [];
    team.steps = team.children.map((child) => ({ kind: 'start', child }));
    this.#advance(team);
  }

  #stopCell(node: CellNode): void {
    if (node.status === 'waiting') this.#down(node);
    if (node.status !== 'starting' && node.status !== 'running') return;
    node.status = 'stopping';
    const { stopWithinMs } = node.plan;
    this.#bound(node, stopWithinMs === 'brutal' ? killWithinMs : stopWithinMs);
    if (stopWithinMs === 'brutal') this.#io.kill(refOfNode(node));
    else this.#io.stop(refOfNode(node));
  }

  #stopTeam(team: TeamNode): void {
    if (team.status === 'stopping') return;
    if (team.status === 'waiting') this.#dropTimer(team);
    if (team.current?.kind === 'pause') this.#dropTimer(team);
    team.status = 'stopping';
    team.current = null;
    // Dynamic children started last, and side by side: so they stop.
    team.steps = [
      { kind: 'stop', children: [...team.dynamic.values()] },
      ...team.children.toReversed().map((child): Step => ({ kind: 'stop', children: [child] })),
    ];
    this.#advance(team);
  }

  #bound(node: CellNode, withinMs: number): void {
    this.#dropTimer(node);
    node.cancel = this.#io.timer(withinMs, () => {
      node.cancel = null;
      this.#io.log('warn', 'cell-killed', { path: node.path, status: node.status, withinMs });
      this.#io.kill(refOfNode(node));
      // Its thread may be stuck: do not wait for the report.
      this.#afterExit(node, this.#down(node), { kind: 'killed' });
    });
  }

  #dropTimer(node: TreeNode): void {
    node.cancel?.();
    node.cancel = null;
  }

  /** Marks a cell stopped; answers what it was. */
  #down(node: CellNode): CellNode['status'] {
    const former = node.status;
    node.status = 'stopped';
    this.#dropTimer(node);
    return former;
  }

  #afterExit(node: CellNode, former: CellNode['status'], exit: Exit): void {
    this.#tellOfEnd(node, exit);
    const { team } = node;
    const isAsked = former === 'stopping' || this.#closing || team.status === 'stopping';
    if (!hasStartAhead(team, node)) {
      if (isAsked) this.#forgetDynamic(node);
      else this.#supervise(team, node, exit);
    }
    this.#advance(team);
  }

  #tellOfEnd(node: CellNode, exit: Exit): void {
    const ref = refOfNode(node);
    for (const watcher of node.watchers.splice(0)) {
      this.#io.signal(watcher, { kind: 'Terminated', ref, exit });
    }
    if (!node.isTold && node.requester !== null)
      this.#io.signal(node.requester, { kind: 'ChildRefused', id: node.id, exit });
  }

  #forgetDynamic(node: CellNode): void {
    if (!node.isDynamic) return;
    this.#cells.delete(node.path);
    node.team.dynamic.delete(node.id);
  }

  // ── one team ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Goes on with a team's steps until one of them must be waited for. */
  #advance(team: TeamNode): void {
    if (team.current !== null && isDone(team.current)) team.current = null;
    while (team.current === null) {
      const step = team.steps.shift();
      if (step === undefined) return this.#settled(team);
      if (this.#closing && step.kind !== 'stop') continue;
      team.current = step;
      if (step.kind === 'start') this.#start(step.child);
      else if (step.kind === 'stop') for (const child of step.children) this.#stopNode(child);
      else this.#pause(team, step.ms);
      // What was called may have gone on with the steps itself.
      if (team.current === step && isDone(step)) team.current = null;
      else if (team.current !== null) return;
    }
  }

  #stopNode(node: TreeNode): void {
    if (node.status === 'stopped') return;
    if (node.kind === 'cell') this.#stopCell(node);
    else this.#stopTeam(node);
  }

  #pause(team: TeamNode, ms: number): void {
    team.cancel = this.#io.timer(ms, () => {
      team.cancel = null;
      team.current = null;
      this.#advance(team);
    });
  }

  /** A team has nothing to do any more: it is up, or down. */
  #settled(team: TeamNode): void {
    if (team.status === 'starting') {
      team.status = 'running';
      if (team.team === null) this.#bootedOnce();
      else this.#advance(team.team);
      return;
    }
    if (team.status !== 'stopping' && !(team.status === 'stopped' && team === this.#root)) return;
    team.status = 'stopped';
    // Left is who made it give up; nobody asks for that one in its next life but its owner.
    for (const node of team.dynamic.values()) this.#forgetDynamic(node);
    const { team: above, escalation } = team;
    team.escalation = null;
    if (above === null) return this.#rootStopped();
    const isNews = escalation !== null && !this.#closing && above.status !== 'stopping';
    if (isNews && !hasStartAhead(above, team)) this.#supervise(above, team, escalation);
    this.#advance(above);
  }

  #rootStopped(): void {
    this.#bootedOnce();
    if (!this.#stopping || this.#isOver) return;
    this.#isOver = true;
    this.#io.over({ kind: 'shutdown' });
  }

  #bootedOnce(): void {
    const booted = this.#booted;
    this.#booted = null;
    booted?.();
  }

  // ── decisions ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #supervise(team: TeamNode, child: TreeNode, exit: Exit): void {
    const isAlone = team.plan.strategy === 'one_for_one';
    const decision = supervise(
      {
        strategy: team.plan.strategy,
        intensity: team.plan.intensity,
        periodMs: team.plan.periodMs,
        restarts: team.restarts,
        // Only this child counts under one_for_one: ten thousand siblings are not looked at.
        children: (isAlone ? [child] : childrenOf(team)).map((other) => ({
          id: other.id,
          restart: other.kind === 'cell' ? other.plan.restart : 'permanent',
          running: other.status !== 'stopped',
        })),
      },
      child.id,
      exit,
      this.#io.now(),
    );
    team.restarts = decision.restarts;
    this.#io.log(decision.start.length > 0 || decision.giveUp ? 'warn' : 'info', 'child-exited', {
      ...reportOf(team, child, exit),
      context: decision.giveUp ? 'intensity exceeded' : 'child terminated',
    });
    if (decision.giveUp) return this.#giveUp(team, child, exit);
    const find = (id: string): TreeNode => must(childOf(team, id), id);
    const [stop, start] = [decision.stop.map(find), decision.start.map(find)];
    if (start.length === 0) {
      if (child.kind === 'cell') this.#forgetDynamic(child);
      return;
    }
    team.restartCount++;
    const pauseMs = restartPauseMs(team.plan, team.restarts.length, this.#io.random());
    if (isAlone) this.#restart(must(start[0], 'the child'), pauseMs);
    else this.#replace(team, { stop, start, pauseMs });
  }

  /** Starts one child again without touching what its team is doing. */
  #restart(node: TreeNode, pauseMs: number): void {
    if (pauseMs === 0) return this.#start(node);
    node.status = 'waiting';
    node.cancel = this.#io.timer(pauseMs, () => {
      node.cancel = null;
      this.#start(node);
    });
  }

  #replace(
    team: TeamNode,
    plan: {
      readonly stop: readonly TreeNode[];
      readonly start: readonly TreeNode[];
      readonly pauseMs: number;
    },
  ): void {
    const { stop, start, pauseMs } = plan;
    // Starts that a former decision left for later would come before their left neighbours.
    team.steps = team.steps.filter((step) => step.kind !== 'start' || !start.includes(step.child));
    for (const child of stop) team.steps.push({ kind: 'stop', children: [child] });
    if (pauseMs > 0) team.steps.push({ kind: 'pause', ms: pauseMs });
    for (const child of start) team.steps.push({ kind: 'start', child });
  }

  #giveUp(team: TeamNode, child: TreeNode, exit: Exit): void {
    if (team === this.#root) {
      this.giveUp({ ...reportOf(team, child, exit), context: 'intensity exceeded' });
      return;
    }
    team.escalation = exit;
    this.#stopTeam(team);
  }

  // ── fences ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  #fence(fenced: TeamNode): void {
    const inside = `${fenced.path}/`;
    for (const team of teamsOf(fenced)) {
      this.#dropTimer(team);
      team.status = 'stopped';
      team.isFenced = true;
      team.steps = [];
      team.current = null;
      team.restarts = [];
      team.escalation = null;
      for (const child of team.children) if (child.kind === 'cell') this.#fenceCell(child, inside);
      for (const node of team.dynamic.values()) {
        this.#fenceCell(node, inside);
        this.#cells.delete(node.path);
      }
      team.dynamic.clear();
    }
    if (fenced.team === null) this.#rootStopped();
    else this.#advance(fenced.team);
  }

  /** Ten thousand of these are one fence: nothing is made that is not needed. */
  #fenceCell(node: CellNode, inside: string): void {
    const former = this.#down(node);
    if (former === 'stopped') return;
    if (node.watchers.length > 0) {
      // Who was fenced too hears nothing.
      const outside = node.watchers.filter((watcher) => !watcher.path.startsWith(inside));
      node.watchers.splice(0, Infinity, ...outside);
    }
    if (node.watchers.length > 0 || !node.isTold) this.#tellOfEnd(node, fencedExit);
  }
}

function childOf(team: TeamNode, id: string): TreeNode | undefined {
  return team.dynamic.get(id) ?? team.children.find((child) => child.id === id);
}

/** Whether a decision taken before will start the child anyway. */
function hasStartAhead(team: TeamNode, child: TreeNode): boolean {
  return team.steps.some((step) => step.kind === 'start' && step.child === child);
}

function reportOf(team: TeamNode, child: TreeNode, exit: Exit): SupervisorReport {
  return {
    supervisor: team.path,
    context: 'child terminated',
    reason: exitText(exit),
    offender: child.path,
  };
}
