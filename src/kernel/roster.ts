import { must } from '../base/assert.ts';
import type { TreeRequest } from './host.ts';
import { gatesOf, type CellPlan, type PlanNode, type TeamPlan } from './plan.ts';
import type { Ref } from './ref.ts';
import { gatedAbove, isLife, type CellNode, type TeamNode } from './tree-node.ts';

/** Everyone of a supervision tree by path: the nodes of its plan, and the cells started on demand. */
export class Roster {
  readonly root: TeamNode;
  /** Paths of the teams that can be fenced; the index of a path is its gate's number. */
  readonly gates: readonly string[];
  readonly #workThreads: readonly string[];
  readonly #cells = new Map<string, CellNode>();
  readonly #teams = new Map<string, TeamNode>();

  constructor(plan: TeamPlan, workThreads: readonly string[]) {
    this.#workThreads = workThreads;
    this.gates = gatesOf(plan);
    this.root = this.#addTeam(plan, plan.id, null);
  }

  /** The cell at a path, running or not. */
  cell(path: string): CellNode | undefined {
    return this.#cells.get(path);
  }

  /** The cell whose present life `ref` means; undefined when it means an earlier one, or nobody. */
  cellOf(ref: Ref): CellNode | undefined {
    const node = this.#cells.get(ref.path);
    return node !== undefined && isLife(node, ref) ? node : undefined;
  }

  /** The supervisor at a path. */
  team(path: string): TeamNode | undefined {
    return this.#teams.get(path);
  }

  /** Takes in a cell asked for on demand, last in start order; `path` is free. */
  add(
    team: TeamNode,
    plan: CellPlan,
    path: string,
    spawn: Extract<TreeRequest, { kind: 'Spawn' }>,
  ): CellNode {
    const node = this.#addCell(plan, team, { id: spawn.id, path, thread: spawn.thread });
    node.props = spawn.props;
    node.epoch = spawn.epoch;
    node.owner = spawn.owner;
    node.requester = spawn.requester;
    team.dynamic.set(node.id, node);
    return node;
  }

  /** A cell started on demand has ended for good: its name is free. Cells of the plan stay. */
  forget(node: CellNode): void {
    if (!node.isDynamic) return;
    this.#cells.delete(node.path);
    node.team.dynamic.delete(node.id);
  }

  /** The same for all of a team that is down. */
  forgetDynamic(team: TeamNode): void {
    for (const { path } of team.dynamic.values()) this.#cells.delete(path);
    team.dynamic.clear();
  }

  #addTeam(plan: TeamPlan, path: string, above: TeamNode | null): TeamNode {
    const team: TeamNode = {
      kind: 'team',
      id: plan.id,
      path,
      team: above,
      plan,
      gate: this.gates.indexOf(path),
      generation: 0,
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
    for (const child of plan.children) this.#addChildren(child, team);
    return team;
  }

  #addChildren(plan: PlanNode, team: TeamNode): void {
    const path = `${team.path}/${plan.id}`;
    if (plan.kind === 'team') team.children.push(this.#addTeam(plan, path, team));
    else if (plan.many === undefined)
      team.children.push(this.#addCell(plan, team, { id: plan.id, path, thread: plan.thread }));
    else if (!plan.many.dynamic) {
      for (const thread of this.#workThreads) {
        const one = { id: `${plan.id}:${thread}`, path: `${path}:${thread}`, thread };
        team.children.push(this.#addCell(plan, team, one));
      }
    }
  }

  #addCell(
    plan: CellPlan,
    team: TeamNode,
    { id, path, thread }: { readonly id: string; readonly path: string; readonly thread: string },
  ): CellNode {
    const node: CellNode = {
      kind: 'cell',
      id,
      path,
      team,
      plan,
      gated: gatedAbove(team),
      thread: thread === 'work' ? must(this.#workThreads[0], 'a work thread') : thread,
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
}
