/**
 * The address of a cell: its place in the supervision tree, the thread it lives on, and which of its lives is meant.
 * `incarnation` rises with every start of the tree and is never given twice; 0 addresses whichever life is current.
 */
export interface Ref {
  readonly path: string;
  readonly thread: string;
  readonly incarnation: number;
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
