/** Where the cells of the control plane stand on every node, and how to address them there. */
import type { Ref } from '../kernel/ref.ts';

/** Where a cell of main stands on every node. */
export const places = {
  elector: 'capture/control/elector',
  coordinator: 'capture/control/coordinators/coordinator',
  maintainerManager: 'capture/control/maintainer-manager',
  orchestrator: 'capture/write-path/dispatcher-orchestrator',
} as const;

/** The address of a cell of main at `path` on `node`, seen from `self`. */
export function mainRef(path: string, node: string, self: string): Ref {
  const here: Ref = { path, thread: 'main', incarnation: 0 };
  return node === self ? here : { ...here, node };
}

/** The node a message came from, seen from `self`. */
export function nodeOf(from: Ref, self: string): string {
  return from.node ?? self;
}
