import { childrenOf, type TeamNode, type TreeNode } from './tree-node.ts';

/** One node of the tree as inspection shows it: plain data. */
export interface NodePicture {
  readonly id: string;
  readonly path: string;
  readonly status: string;
  /** Set for a cell. */
  readonly role?: string;
  readonly thread?: string;
  readonly incarnation?: number;
  /** Times a cell was started, or a team restarted children. */
  readonly restarts: number;
  /** Set for a team with a gate: which life of the subtree this is, and whether that one is fenced. */
  readonly generation?: number;
  readonly fenced?: boolean;
  readonly children?: readonly NodePicture[];
}

/** The picture of the root. */
export type TreePicture = NodePicture;

/** The tree at `node` as plain data. */
export function pictureOf(node: TreeNode): NodePicture {
  const { id, path, status } = node;
  if (node.kind === 'cell') {
    const { role, thread, incarnation } = node;
    const restarts = Math.max(0, node.startCount - 1);
    return { id, path, status, role, thread, incarnation, restarts };
  }
  return {
    id,
    path,
    status,
    restarts: node.restartCount,
    ...gateOf(node),
    children: childrenOf(node).map(pictureOf),
  };
}

function gateOf({ gate, generation, isFenced }: TeamNode): object {
  return gate < 0 ? {} : { generation, fenced: isFenced };
}
