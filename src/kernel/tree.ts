/**
 * The supervision tree at work. It lives on the main thread; cells live anywhere, and it reaches them through a
 * {@link TreeIo}. Every wait is bounded by a shutdown time.
 *
 * Its rooms: {@link Roster}, who belongs to it · {@link CellLives}, starting and ending one cell · {@link Supervisors}, the order in
 * which a team does it and what it decides after an exit · {@link Fences}, subtrees that end at once. Here the doors: what the
 * owner of the tree asks, and what the threads report.
 */
import { must } from '../base/assert.ts';
import { CellLives } from './cell-lives.ts';
import type { Exit } from './exit.ts';
import { Fences } from './fences.ts';
import type { TreeRequest } from './host.ts';
import type { CellPlan, TeamPlan } from './plan.ts';
import type { Ref } from './ref.ts';
import { Roster } from './roster.ts';
import { Supervisors } from './supervisors.ts';
import type { SupervisorReport, TreeIo } from './tree-io.ts';
import { cellsOf, hasStartAhead, isUp, refOfNode, type TeamNode } from './tree-node.ts';
import { pictureOf, type TreePicture } from './tree-picture.ts';

/** Dynamic children of one team; a feed of more tables than this is refused. */
const dynamicChildCountMax = 100_000;

/** The supervision tree of one capture. */
export class Tree {
  readonly #io: TreeIo;
  readonly #roster: Roster;
  readonly #lives: CellLives;
  readonly #supervisors: Supervisors;
  readonly #fences: Fences;
  #booted: (() => void) | null = null;
  #isStopping = false;
  #isOver = false;

  constructor(plan: TeamPlan, io: TreeIo) {
    this.#io = io;
    this.#roster = new Roster(plan, io.workThreads);
    this.#lives = new CellLives(io, (node, former) =>
      this.#supervisors.exited(node, former, { kind: 'killed' }),
    );
    this.#supervisors = new Supervisors(io, this.#roster, this.#lives, {
      up: () => this.#bootedOnce(),
      down: () => this.#rootDown(),
      gaveUp: (report) => this.giveUp(report),
    });
    this.#fences = new Fences(this.#roster, this.#lives, io.begin);
  }

  // ── asked by the owner ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Starts all cells of the plan; `booted` is called once they have been started, or will not be any more. */
  boot(booted: () => void): void {
    this.#booted = booted;
    this.#supervisors.start(this.#roster.root);
  }

  /** Stops everything, right to left; `over` is called when nothing runs any more. */
  shutdown(): void {
    if (this.#isStopping) return;
    this.#isStopping = true;
    this.#supervisors.close();
    if (this.#roster.root.status === 'stopped') this.#rootDown();
    else this.#supervisors.stop(this.#roster.root);
  }

  /**
   * Ends, without waiting for any of them, all cells whose gate's word in `fences` has reached their generation: the tree's
   * side of a fence, called whenever a fence was seen. What it was doing with them (boot, graceful stop, restart) is
   * overtaken. Watchers outside are told; nothing below is started until {@link revive}.
   */
  fenced(fences: Int32Array): void {
    for (const { team: above } of this.#fences.see(fences)) {
      if (above === null) this.#rootDown();
      else this.#supervisors.advance(above);
    }
  }

  /**
   * Begins the next life of a fenced team, and of all fenceable teams below it. The caller has proof that nothing of the
   * former life runs on any thread. A Fault when it is not fenced, or lives under a team that is.
   */
  revive(path: string): void {
    const team = this.#fences.lift(path);
    const { team: above } = team;
    // Else whoever starts the team above starts it too.
    const isAlone =
      above === null ||
      ((above.status === 'running' || above.status === 'starting') && !hasStartAhead(above, team));
    if (isAlone) this.#supervisors.start(team);
  }

  /** Ends the tree for a reason outside of it, e.g. a thread that cannot be kept running. */
  giveUp(report: SupervisorReport): void {
    if (this.#supervisors.isClosing) return;
    this.#supervisors.close();
    this.#io.over({ kind: 'gave-up', ...report });
    this.#bootedOnce();
  }

  /** The address of a cell of the plan, whichever life is current; a Fault when the plan has none. */
  refOf(path: string): Ref {
    return { ...refOfNode(must(this.#roster.cell(path), `cell ${path}`)), incarnation: 0 };
  }

  /** The tree as plain data, for inspection. */
  inspect(): TreePicture {
    return pictureOf(this.#roster.root);
  }

  // ── reported and asked by threads ───────────────────────────────────────────────────────────────────────────────────

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
        const node = this.#roster.cellOf(request.target);
        if (node !== undefined) this.#supervisors.stopAsked(node);
        return;
      }
      case 'Watch': {
        const { watcher, target } = request;
        return this.#lives.watch(watcher, target, this.#roster.cellOf(target));
      }
    }
  }

  /** A thread died: each of its cells exits with ThreadLost, and the ordinary rules apply. */
  threadLost(thread: string): void {
    const exit: Exit = { kind: 'thread-lost', thread };
    const lost = cellsOf(this.#roster.root).filter((node) => node.thread === thread && isUp(node));
    // All are down before the first decision, so that none of them is asked to stop.
    const former = lost.map((node) => this.#lives.end(node));
    for (const [i, node] of lost.entries()) this.#supervisors.exited(node, former[i]!, exit);
  }

  #started(ref: Ref): void {
    const node = this.#roster.cellOf(ref);
    if (node?.status !== 'starting') return;
    this.#lives.started(node);
    this.#supervisors.advance(node.team);
  }

  #exited(ref: Ref, exit: Exit): void {
    const node = this.#roster.cellOf(ref);
    if (node !== undefined && isUp(node))
      this.#supervisors.exited(node, this.#lives.end(node), exit);
  }

  #spawn(request: Extract<TreeRequest, { kind: 'Spawn' }>): void {
    const team = this.#roster.team(request.team);
    const plan = team?.plan.children.find(
      (child): child is CellPlan =>
        child.kind === 'cell' && child.role === request.role && child.many?.dynamic === true,
    );
    const refuse = (exit: Exit): void =>
      this.#io.signal(request.requester, { kind: 'ChildRefused', id: request.id, exit });
    if (team === undefined || plan === undefined)
      return refuse(fault(`no place for ${request.role} under ${request.team}`));
    const path = `${request.team}/${request.id}`;
    const refusal = this.#refusalOf(team, path);
    if (refusal !== null) return refuse(refusal);
    this.#supervisors.start(this.#roster.add(team, plan, path, request));
  }

  #refusalOf(team: TeamNode, path: string): Exit | null {
    if (this.#supervisors.isClosing) return fault('the tree is stopping');
    if (team.isFenced) return { kind: 'fenced' };
    if (team.status !== 'running' && team.status !== 'starting')
      return fault(`${team.path} is ${team.status}`);
    if (this.#roster.cell(path) !== undefined) return fault(`${path} runs already`);
    if (team.dynamic.size >= dynamicChildCountMax) return fault(`${team.path} is full`);
    return null;
  }

  // ── the root ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #rootDown(): void {
    this.#bootedOnce();
    if (!this.#isStopping || this.#isOver) return;
    this.#isOver = true;
    this.#io.over({ kind: 'shutdown' });
  }

  #bootedOnce(): void {
    const booted = this.#booted;
    this.#booted = null;
    booted?.();
  }
}

function fault(message: string): Exit {
  return { kind: 'fault', message, stack: '' };
}
