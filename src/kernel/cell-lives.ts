import type { Exit } from './exit.ts';
import { dropTimer, isUp, refOfNode, type CellNode } from './tree-node.ts';
import type { Ref } from './ref.ts';
import type { TreeIo } from './tree-io.ts';

/** Bounds the wait for a start, and for the report of a brutal kill. */
const startWithinMs = 10_000;
const killWithinMs = 1_000;

/**
 * Starts and ends the lives of single cells on their threads, and tells whoever asked for one or watches it. Every wait is
 * bounded; what follows from an end is the supervisor's business.
 */
export class CellLives {
  readonly #io: TreeIo;
  /** A cell neither started nor ended in time: it has been killed. Says what it was. */
  readonly #overdue: (node: CellNode, former: CellNode['status']) => void;
  /** Starts so far: no two lives ever share an incarnation, so what was sent to one never reaches the next. */
  #count = 0;

  constructor(io: TreeIo, overdue: (node: CellNode, former: CellNode['status']) => void) {
    this.#io = io;
    this.#overdue = overdue;
  }

  /** Begins the next life of a cell that is down. */
  start(node: CellNode): void {
    if (isUp(node)) return;
    node.status = 'starting';
    node.incarnation = ++this.#count;
    node.startCount++;
    node.isTold = false;
    this.#bound(node, startWithinMs);
    this.#io.start({
      ref: refOfNode(node),
      role: node.role,
      props: node.requester === null ? this.#io.props(node.path) : node.props,
      mailbox: node.plan.mailbox,
      epoch: node.epoch,
      owner: node.owner,
      life: { gate: node.gated.gate, generation: node.gated.generation },
    });
  }

  /** A thread has started the cell. */
  started(node: CellNode): void {
    node.status = 'running';
    node.isTold = true;
    dropTimer(node);
    if (node.requester === null) return;
    const ref = refOfNode(node);
    this.#io.signal(node.requester, { kind: 'ChildStarted', id: node.id, ref });
  }

  /** Asks a cell to end within its shutdown time, or kills it, as its plan says; at once when it only waits to start. */
  stop(node: CellNode): void {
    if (node.status === 'waiting') this.end(node);
    if (node.status !== 'starting' && node.status !== 'running') return;
    node.status = 'stopping';
    const { stopWithinMs } = node.plan;
    this.#bound(node, stopWithinMs === 'brutal' ? killWithinMs : stopWithinMs);
    if (stopWithinMs === 'brutal') this.#io.kill(refOfNode(node));
    else this.#io.stop(refOfNode(node));
  }

  /** Marks a cell as down; answers what it was. */
  end(node: CellNode): CellNode['status'] {
    const former = node.status;
    node.status = 'stopped';
    dropTimer(node);
    return former;
  }

  /** Keeps a watcher until the end of the target, or tells it at once that nobody is there. */
  watch(watcher: Ref, target: Ref, node: CellNode | undefined): void {
    if (node === undefined || !isUp(node)) {
      this.#io.signal(watcher, { kind: 'Terminated', ref: target, exit: { kind: 'no-process' } });
      return;
    }
    // An earlier life of the watcher hears nothing any more.
    const known = node.watchers.findIndex((other) => other.path === watcher.path);
    if (known < 0) node.watchers.push(watcher);
    else node.watchers[known] = watcher;
  }

  /** Tells of an end: whoever watches, and whoever asked for a cell that never came up. */
  tell(node: CellNode, exit: Exit): void {
    const ref = refOfNode(node);
    for (const watcher of node.watchers.splice(0)) {
      this.#io.signal(watcher, { kind: 'Terminated', ref, exit });
    }
    if (!node.isTold && node.requester !== null)
      this.#io.signal(node.requester, { kind: 'ChildRefused', id: node.id, exit });
  }

  #bound(node: CellNode, withinMs: number): void {
    dropTimer(node);
    node.cancel = this.#io.timer(withinMs, () => {
      node.cancel = null;
      this.#io.log('warn', 'cell-killed', { path: node.path, status: node.status, withinMs });
      this.#io.kill(refOfNode(node));
      // Its thread may be stuck: do not wait for the report.
      this.#overdue(node, this.end(node));
    });
  }
}
