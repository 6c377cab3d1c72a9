/**
 * The house plan as data (STYLE §8): who lives where, under whom, restarted how. OTP's words: strategy, restart,
 * intensity and period; children start left to right and stop right to left.
 */

/** What a team does with its other children when one exits. */
export type Strategy = 'one_for_one' | 'one_for_all' | 'rest_for_one';

/** When a child is started again: always, after an abnormal exit, never. */
export type Restart = 'permanent' | 'transient' | 'temporary';

/** An actor. `thread` is a thread name, or `work` for any work thread. */
export interface CellPlan {
  readonly kind: 'cell';
  readonly id: string;
  readonly role: string;
  readonly thread: string;
  readonly restart: Restart;
  /** Milliseconds between StopAsked and being killed; `brutal`: killed without being asked. */
  readonly stopWithinMs: number | 'brutal';
  /** Messages its mailbox holds. */
  readonly mailbox: number;
  /** How many: one; one per work thread, started with the plan; or started on demand, named by what they are per. */
  readonly many?: { readonly per: string; readonly dynamic: boolean };
  readonly why: string;
}

/** A supervisor with its children in start order. */
export interface TeamPlan {
  readonly kind: 'team';
  readonly id: string;
  readonly strategy: Strategy;
  /** More restarts than this within `periodMs` end the team, which exits to its own supervisor. */
  readonly intensity: number;
  readonly periodMs: number;
  /** Set: the subtree can be fenced by itself (DESIGN §5). The root always can. */
  readonly gate?: true;
  readonly children: readonly PlanNode[];
  readonly why: string;
}

/** A node of the plan. */
export type PlanNode = CellPlan | TeamPlan;

/** Paths of all teams that can be fenced, the root first; the index of a path is its gate's number. */
export function gatesOf(root: TeamPlan): readonly string[] {
  const below = (node: PlanNode, path: string): readonly string[] => {
    if (node.kind === 'cell') return [];
    const inner = node.children.flatMap((child) => below(child, `${path}/${child.id}`));
    return node.gate === true || node === root ? [path, ...inner] : inner;
  };
  return below(root, root.id);
}

/** Names of the threads the plan places cells on, besides `main` and the work threads; each once, in order of the plan. */
export function threadsOf(root: TeamPlan): readonly string[] {
  const named = (node: PlanNode): readonly string[] =>
    node.kind === 'cell' ? [node.thread] : node.children.flatMap(named);
  const others = named(root).filter((thread) => thread !== 'main' && thread !== 'work');
  return [...new Set(others)];
}

/** Every fault of a plan, one message each; empty when it may be started. */
export function checkPlan(root: TeamPlan, roles: readonly string[]): readonly string[] {
  const faults: string[] = [];
  const visit = (node: PlanNode, path: string): void => {
    if (!/^[a-z][a-z0-9-]*$/.test(node.id)) faults.push(`${path}: id must be lower-case kebab`);
    if (node.why.length === 0) faults.push(`${path}: say why it exists`);
    if (node.kind === 'cell') return checkCell(node, path, roles, faults);
    if (!(node.intensity >= 0)) faults.push(`${path}: intensity must be 0 or more`);
    if (!(node.periodMs > 0)) faults.push(`${path}: period must be above 0`);
    if (node.children.length === 0) faults.push(`${path}: a team needs children`);
    const seen = new Set<string>();
    for (const child of node.children) {
      if (seen.has(child.id)) faults.push(`${path}: two children called ${child.id}`);
      seen.add(child.id);
      visit(child, `${path}/${child.id}`);
    }
  };
  visit(root, root.id);
  return faults;
}

function checkCell(node: CellPlan, path: string, roles: readonly string[], faults: string[]): void {
  if (!roles.includes(node.role)) faults.push(`${path}: unknown role ${node.role}`);
  if (!(node.mailbox > 0 && node.mailbox <= 1_000_000))
    faults.push(`${path}: mailbox must be 1 to 1,000,000`);
  if (node.stopWithinMs !== 'brutal' && !(node.stopWithinMs > 0))
    faults.push(`${path}: shutdown time must be above 0`);
  if (node.many?.dynamic === true && node.restart === 'permanent') {
    faults.push(`${path}: a dynamic child is started by its owner: temporary or transient`);
  }
}

/** The plan as a tree drawing, one line a node. */
export function printPlan(root: TeamPlan): string {
  const rows: { tree: string; note: string }[] = [];
  const visit = (node: PlanNode, lead: string, branch: string): void => {
    const many = node.kind === 'cell' && node.many !== undefined ? ` × ${node.many.per}` : '';
    const thread = node.kind === 'cell' ? ` [${node.thread}]` : '';
    const policy =
      node.kind === 'team'
        ? `${node.strategy}, ${node.intensity} in ${node.periodMs / 1000} s`
        : node.restart;
    rows.push({
      tree: `${lead}${branch}${node.id}${many}${thread}`,
      note: `${policy}: ${node.why}`,
    });
    if (node.kind === 'cell') return;
    const below = branch === '' ? '' : `${lead}${branch === '└─ ' ? '   ' : '│  '}`;
    for (const [index, child] of node.children.entries()) {
      visit(child, below, index === node.children.length - 1 ? '└─ ' : '├─ ');
    }
  };
  visit(root, '', '');
  const width = Math.max(...rows.map((row) => row.tree.length)) + 2;
  return rows.map((row) => `${row.tree.padEnd(width)}${row.note}`).join('\n');
}
