/** What a running capture shows of itself (`Capture.inspect`, `sluice plan --live`): plain data, no credentials. */
import type { CellOverview } from '#src/kernel/shell.ts';
import type { NodePicture } from '#src/kernel/tree-picture.ts';
import type { ThreadStats } from './control.ts';

/** A node of the live tree: its picture, and for a cell what its thread knows of it. */
export interface LiveNode extends Omit<NodePicture, 'children'> {
  readonly epoch?: number;
  /** Mail waiting. */
  readonly mailbox?: number;
  readonly refusals?: number;
  /** The behaviour's own overview. */
  readonly state?: CellOverview['state'];
  readonly children?: readonly LiveNode[];
}

/** Everything. `threads` holds counters and refusals (`kind reason` → count) of each thread that answered. */
export interface Inspection {
  readonly captureId: string;
  readonly tree: LiveNode;
  readonly threads: Readonly<Record<string, ThreadStats>>;
}

/** Puts together what the tree and the threads know. */
export function inspectionOf(parts: {
  readonly captureId: string;
  readonly tree: NodePicture;
  readonly cells: readonly CellOverview[];
  readonly stats: ReadonlyMap<string, ThreadStats>;
}): Inspection {
  const cells = new Map(parts.cells.map((cell) => [cell.path, cell]));
  const live = (node: NodePicture): LiveNode => {
    const { children, ...own } = node;
    const cell = cells.get(node.path);
    // A thread may be a life ahead of the tree, or behind it.
    const known = cell?.incarnation === node.incarnation ? cell : undefined;
    return {
      ...own,
      ...(known === undefined
        ? {}
        : {
            epoch: known.epoch,
            mailbox: known.mailbox,
            refusals: known.refusals,
            state: known.state,
          }),
      ...(children === undefined ? {} : { children: children.map(live) }),
    };
  };
  return {
    captureId: parts.captureId,
    tree: live(parts.tree),
    threads: Object.fromEntries(parts.stats),
  };
}
