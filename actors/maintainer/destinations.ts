/** Nodes a maintainer counts on. */
import type { MaintainerState } from './maintainer-state.ts';

/** Nodes whose stream runs, without the one that is being emptied, unless it is the only one. */
export function destinations(state: MaintainerState): readonly string[] {
  const running = [...state.nodes.values()]
    .filter((node) => node.isAdopted && node.isStreaming && !node.isClosed)
    .map(({ node }) => node);
  const kept = running.filter((node) => node !== state.drain.node);
  return kept.length > 0 ? kept : running;
}

/** Nodes that have taken us on. */
export function alive(state: MaintainerState): ReadonlySet<string> {
  return new Set([...state.nodes.values()].flatMap((node) => (node.isAdopted ? [node.node] : [])));
}
