/** What the supervision tree keeps of each node; the roster makes it, and the rooms of the tree beside it change it. */
import type { Exit } from './exit.ts';
import type { CellPlan, TeamPlan } from './plan.ts';
import type { Ref } from './ref.ts';

/** A cell of the tree, running or not. */
export interface CellNode {
  readonly kind: 'cell';
  readonly id: string;
  readonly path: string;
  readonly team: TeamNode;
  readonly plan: CellPlan;
  /** The nearest fenceable team above: a fence of it ends this cell. */
  readonly gated: TeamNode;
  readonly thread: string;
  readonly role: string;
  readonly isDynamic: boolean;
  props: unknown;
  epoch: number;
  owner: string | null;
  requester: Ref | null;
  incarnation: number;
  /** `waiting`: until its restart pause is over. */
  status: 'stopped' | 'waiting' | 'starting' | 'running' | 'stopping';
  /** Starts so far. */
  startCount: number;
  /** Who asked for it has been told that it runs; else its end is told as a refusal, so that each spawn is answered. */
  isTold: boolean;
  readonly watchers: Ref[];
  /** Drops the timer that bounds its present status. */
  cancel: (() => void) | null;
}

/** A supervisor of the tree. */
export interface TeamNode {
  readonly kind: 'team';
  readonly id: string;
  readonly path: string;
  readonly team: TeamNode | null;
  readonly plan: TeamPlan;
  /** Its own gate, or -1 when it has none. */
  readonly gate: number;
  /** With a gate: which life of its subtree this is. */
  generation: number;
  /** Children of the plan, in start order. */
  readonly children: TreeNode[];
  /** Children started on demand, in start order. */
  readonly dynamic: Map<string, CellNode>;
  status: 'stopped' | 'waiting' | 'starting' | 'running' | 'stopping';
  /** Fenced: nothing below it runs or starts until the tree revives it. */
  isFenced: boolean;
  /** What it does one after the other; start order and stop order hold within one team only. */
  steps: Step[];
  current: Step | null;
  restarts: readonly number[];
  restartCount: number;
  /** Set while it stops because it gave up: it exits to its own supervisor then. */
  escalation: Exit | null;
  /** Drops the timer of the pause before its own restart, or before that of its children. */
  cancel: (() => void) | null;
}

/** Any node. */
export type TreeNode = CellNode | TeamNode;

/** One thing a supervisor does, and waits for. */
export type Step =
  | { readonly kind: 'start'; readonly child: TreeNode }
  | { readonly kind: 'stop'; readonly children: readonly TreeNode[] }
  | { readonly kind: 'pause'; readonly ms: number };

/** Children in start order, the dynamic ones last. */
export function childrenOf(team: TeamNode): readonly TreeNode[] {
  return team.dynamic.size === 0 ? team.children : [...team.children, ...team.dynamic.values()];
}

/** All cells at or below a node, in start order. */
export function cellsOf(node: TreeNode): readonly CellNode[] {
  return node.kind === 'cell' ? [node] : childrenOf(node).flatMap(cellsOf);
}

/** All teams at or below a team, itself first. */
export function teamsOf(team: TeamNode): readonly TeamNode[] {
  return [team, ...team.children.flatMap((child) => (child.kind === 'team' ? teamsOf(child) : []))];
}

/** The nearest fenceable team that a child of `team` lives under; the root always is one. */
export function gatedAbove(team: TeamNode): TeamNode {
  return team.gate >= 0 || team.team === null ? team : gatedAbove(team.team);
}

/** The child of a team with that id. */
export function childOf(team: TeamNode, id: string): TreeNode | undefined {
  return team.dynamic.get(id) ?? team.children.find((child) => child.id === id);
}

/** Whether it was started and has not come to its end. */
export function isUp(node: TreeNode): boolean {
  return node.status !== 'stopped' && node.status !== 'waiting';
}

/** Whether `ref` means the present life of `node`. */
export function isLife(node: CellNode, ref: Ref): boolean {
  return ref.incarnation === 0 || ref.incarnation === node.incarnation;
}

/** The address of the present life. */
export function refOfNode(node: CellNode): Ref {
  return { path: node.path, thread: node.thread, incarnation: node.incarnation };
}

/** Whether a step has nothing left to wait for. */
export function isDone(step: Step): boolean {
  switch (step.kind) {
    case 'start':
      return step.child.status === 'running' || step.child.status === 'stopped';
    case 'stop':
      return step.children.every((child) => child.status === 'stopped');
    case 'pause':
      return false;
  }
}

/** Whether a decision taken before will start the child anyway. */
export function hasStartAhead(team: TeamNode, child: TreeNode): boolean {
  return team.steps.some((step) => step.kind === 'start' && step.child === child);
}

/** Takes back starts of these children that are still ahead. */
export function dropStarts(team: TeamNode, children: readonly TreeNode[]): void {
  team.steps = team.steps.filter((step) => step.kind !== 'start' || !children.includes(step.child));
}

/** Drops what a node waits for. */
export function dropTimer(node: TreeNode): void {
  node.cancel?.();
  node.cancel = null;
}
