/**
 * The address of a cell: its place in the supervision tree, the thread it lives on, and which of its lives is meant.
 * `incarnation` rises with every start of the tree and is never given twice; 0 addresses whichever life is current.
 * `node` is the capture id of another node; absent: this process. What arrives from a peer carries the peer's id here, so
 * that the same path on two nodes is never taken for one sender.
 */
export interface Ref {
  readonly path: string;
  readonly thread: string;
  readonly incarnation: number;
  readonly node?: string;
}

/** What ownership is compared by (spec/04 E3): the path, with its node when that is another one. */
export function addressOf(ref: Ref): string {
  return ref.node === undefined ? ref.path : `${ref.node}!${ref.path}`;
}

/** The last part of a path: the id a cell has under its supervisor. */
export function idOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** The path of the supervisor above; empty for the root. */
export function parentOf(path: string): string {
  const cut = path.lastIndexOf('/');
  return cut < 0 ? '' : path.slice(0, cut);
}
