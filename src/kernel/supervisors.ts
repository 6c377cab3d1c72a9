import { must } from '../base/assert.ts';
import type { CellLives } from './cell-lives.ts';
import { exitText, type Exit } from './exit.ts';
import { restartPauseMs } from './restart-pause.ts';
import type { Roster } from './roster.ts';
import { supervise, type Decision } from './supervise.ts';
import type { SupervisorReport, TreeIo } from './tree-io.ts';
import {
  childOf,
  childrenOf,
  dropStarts,
  dropTimer,
  hasStartAhead,
  isDone,
  isUp,
  type CellNode,
  type Step,
  type TeamNode,
  type TreeNode,
} from './tree-node.ts';

/** What the supervisors tell the tree of its root. */
export interface RootEvents {
  /** All of its children have been started, or will not be any more. */
  readonly up: () => void;
  readonly down: () => void;
  /** Above its intensity. It has stopped nothing: that is for whoever owns the tree. */
  readonly gaveUp: (report: SupervisorReport) => void;
}

/**
 * The supervisors of the tree: each does one step after the other, so children start left to right and stop right to left;
 * supervisors do not wait for each other. What to do after an exit is {@link supervise}'s decision, performed here.
 */
export class Supervisors {
  readonly #io: TreeIo;
  readonly #roster: Roster;
  readonly #lives: CellLives;
  readonly #root: RootEvents;
  #isClosing = false;

  constructor(io: TreeIo, roster: Roster, lives: CellLives, root: RootEvents) {
    this.#io = io;
    this.#roster = roster;
    this.#lives = lives;
    this.#root = root;
  }

  /** Nothing is started any more, and nothing decided. */
  get isClosing(): boolean {
    return this.#isClosing;
  }

  /** From now on nothing is started. */
  close(): void {
    this.#isClosing = true;
  }

  /** Starts a cell, or a team with all children of its plan, unless it is up or fenced. */
  start(node: TreeNode): void {
    if (this.#isClosing) return;
    if (node.kind === 'cell') this.#lives.start(node);
    else this.#startTeam(node);
  }

  /** Stops a cell, or a team with all that runs below it. */
  stop(node: TreeNode): void {
    if (node.status === 'stopped') return;
    if (node.kind === 'cell') this.#lives.stop(node);
    else this.#stopTeam(node);
  }

  /** Stops a cell for good, whatever its supervisor had in mind with it. */
  stopAsked(node: CellNode): void {
    dropStarts(node.team, [node]);
    this.#lives.stop(node);
    if (node.status === 'stopped') this.#roster.forget(node);
    // It may have been down already, and its team waiting for it.
    this.advance(node.team);
  }

  /** A cell that was `former` has ended: tells of it, decides, goes on. */
  exited(node: CellNode, former: CellNode['status'], exit: Exit): void {
    this.#lives.tell(node, exit);
    const { team } = node;
    const isAsked = former === 'stopping' || this.#isClosing || team.status === 'stopping';
    if (!hasStartAhead(team, node)) {
      if (isAsked) this.#roster.forget(node);
      else this.#decide(team, node, exit);
    }
    this.advance(team);
  }

  /** Goes on with a team's steps until one of them must be waited for. */
  advance(team: TeamNode): void {
    if (team.current !== null && isDone(team.current)) team.current = null;
    while (team.current === null) {
      const step = team.steps.shift();
      if (step === undefined) return this.#settled(team);
      if (this.#isClosing && step.kind !== 'stop') continue;
      team.current = step;
      this.#perform(team, step);
      // What was called may have gone on with the steps itself.
      if (team.current === step && isDone(step)) team.current = null;
      else if (team.current !== null) return;
    }
  }

  #perform(team: TeamNode, step: Step): void {
    switch (step.kind) {
      case 'start':
        return this.start(step.child);
      case 'stop':
        for (const child of step.children) this.stop(child);
        return;
      case 'pause':
        team.cancel = this.#io.timer(step.ms, () => {
          team.cancel = null;
          team.current = null;
          this.advance(team);
        });
    }
  }

  #startTeam(team: TeamNode): void {
    if (isUp(team) || team.isFenced) return;
    team.status = 'starting';
    team.restarts = [];
    team.steps = team.children.map((child) => ({ kind: 'start', child }));
    this.advance(team);
  }

  #stopTeam(team: TeamNode): void {
    if (team.status === 'stopping') return;
    // The pause before its own restart, or before that of its children.
    dropTimer(team);
    team.status = 'stopping';
    team.current = null;
    // Dynamic children started last, and side by side: so they stop.
    team.steps = [
      { kind: 'stop', children: [...team.dynamic.values()] },
      ...team.children.toReversed().map((child): Step => ({ kind: 'stop', children: [child] })),
    ];
    this.advance(team);
  }

  /** A team has nothing to do any more: it is up, or down. */
  #settled(team: TeamNode): void {
    if (team.status === 'starting') {
      team.status = 'running';
      if (team.team === null) this.#root.up();
      else this.advance(team.team);
    } else if (team.status === 'stopping') {
      team.status = 'stopped';
      this.#stopped(team);
    }
  }

  #stopped(team: TeamNode): void {
    // Left is who made it give up: nobody starts that one again but its owner.
    this.#roster.forgetDynamic(team);
    const { team: above, escalation } = team;
    team.escalation = null;
    if (above === null) return this.#root.down();
    const isNews = escalation !== null && !this.#isClosing && above.status !== 'stopping';
    if (isNews && !hasStartAhead(above, team)) this.#decide(above, team, escalation);
    this.advance(above);
  }

  #decide(team: TeamNode, child: TreeNode, exit: Exit): void {
    const decision = this.#decisionOf(team, child, exit);
    team.restarts = decision.restarts;
    const isQuiet = decision.start.length === 0 && !decision.giveUp;
    const context = decision.giveUp ? 'intensity exceeded' : 'child terminated';
    const report = { supervisor: team.path, context, reason: exitText(exit), offender: child.path };
    this.#io.log(isQuiet ? 'info' : 'warn', 'child-exited', report);
    if (decision.giveUp) this.#giveUp(team, exit, report);
    else if (decision.start.length > 0) this.#restart(team, child, decision);
    else if (child.kind === 'cell') this.#roster.forget(child);
  }

  #decisionOf(team: TeamNode, child: TreeNode, exit: Exit): Decision {
    const { strategy, intensity, periodMs } = team.plan;
    // Only this child counts under one_for_one: ten thousand siblings are not looked at.
    const affected = strategy === 'one_for_one' ? [child] : childrenOf(team);
    const children = affected.map((other) => ({
      id: other.id,
      restart: other.kind === 'cell' ? other.plan.restart : ('permanent' as const),
      running: other.status !== 'stopped',
    }));
    const facts = { strategy, intensity, periodMs, restarts: team.restarts, children };
    return supervise(facts, child.id, exit, this.#io.now());
  }

  #giveUp(team: TeamNode, exit: Exit, report: SupervisorReport): void {
    if (team.team === null) return this.#root.gaveUp(report);
    team.escalation = exit;
    this.#stopTeam(team);
  }

  #restart(team: TeamNode, child: TreeNode, decision: Decision): void {
    team.restartCount++;
    const pauseMs = restartPauseMs(team.plan, team.restarts.length, this.#io.random());
    if (team.plan.strategy === 'one_for_one') this.#restartAlone(child, pauseMs);
    else this.#restartGroup(team, decision, pauseMs);
  }

  /** Starts one child again without touching what its team is doing. */
  #restartAlone(node: TreeNode, pauseMs: number): void {
    if (pauseMs === 0) return this.start(node);
    node.status = 'waiting';
    node.cancel = this.#io.timer(pauseMs, () => {
      node.cancel = null;
      this.start(node);
    });
  }

  #restartGroup(team: TeamNode, decision: Decision, pauseMs: number): void {
    const find = (id: string): TreeNode => must(childOf(team, id), id);
    const start = decision.start.map(find);
    // Starts that a former decision left for later would come before their left neighbours.
    dropStarts(team, start);
    for (const child of decision.stop.map(find))
      team.steps.push({ kind: 'stop', children: [child] });
    if (pauseMs > 0) team.steps.push({ kind: 'pause', ms: pauseMs });
    for (const child of start) team.steps.push({ kind: 'start', child });
  }
}
