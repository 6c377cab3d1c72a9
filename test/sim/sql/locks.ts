/**
 * Locks in two modes with one queue each, first come first served, as InnoDB has them for records and the server for
 * definitions: also who holds S and asks for X queues behind those who wait. A cycle of waiters costs one of them its wait.
 */

/** Shared or exclusive. */
export type LockMode = 'S' | 'X';

/** Somebody who holds locks and waits for at most one. */
export interface LockOwner {
  /** What is lost when this owner has to give way in a deadlock; the least loses. */
  readonly weight: number;
}

/** A lock that is waited for. */
export class LockRequest {
  readonly owner: LockOwner;
  readonly key: string;
  readonly mode: LockMode;
  /** Called once, when the wait ends other than by {@link LockManager.cancel}. */
  settle: (outcome: 'granted' | 'deadlock') => void = () => {};

  constructor(owner: LockOwner, key: string, mode: LockMode) {
    this.owner = owner;
    this.key = key;
    this.mode = mode;
  }
}

interface Lock {
  readonly holders: Map<LockOwner, LockMode>;
  readonly queue: LockRequest[];
}

/** Weights nearer to each other than this are not told apart: servers count what this model does not have. */
const weightStep = 3;

/** All locks of one kind. */
export class LockManager {
  /** Called when a deadlock's victim was chosen by too little. */
  closeCall: () => void = () => {};
  readonly #locks = new Map<string, Lock>();
  readonly #held = new Map<LockOwner, Set<string>>();
  readonly #waiting = new Map<LockOwner, LockRequest>();

  /** Whether `owner` holds `key` in `mode` or stronger. */
  holds(owner: LockOwner, key: string, mode: LockMode): boolean {
    const held = this.#locks.get(key)?.holders.get(owner);
    return held === 'X' || (held === 'S' && mode === 'S');
  }

  /** Who holds `key` exclusively. */
  holderOf(key: string): LockOwner | null {
    for (const [owner, mode] of this.#locks.get(key)?.holders ?? []) if (mode === 'X') return owner;
    return null;
  }

  /** Whether a request would have to wait. */
  isBlocked(owner: LockOwner, key: string, mode: LockMode): boolean {
    const lock = this.#locks.get(key);
    if (lock === undefined || this.holds(owner, key, mode)) return false;
    return this.#blockers(lock, { owner, mode }, lock.queue.length).length > 0;
  }

  /**
   * Takes the lock, or queues for it. `granted` and `deadlock` are answered at once; a deadlock whose victim is another
   * owner ends that owner's wait and leaves this request in the queue.
   */
  ask(owner: LockOwner, key: string, mode: LockMode): 'granted' | 'deadlock' | LockRequest {
    if (this.holds(owner, key, mode)) return 'granted';
    let lock = this.#locks.get(key);
    if (lock === undefined) {
      lock = { holders: new Map(), queue: [] };
      this.#locks.set(key, lock);
    }
    if (this.#blockers(lock, { owner, mode }, lock.queue.length).length === 0) {
      this.#grant(lock, owner, key, mode);
      return 'granted';
    }
    const request = new LockRequest(owner, key, mode);
    lock.queue.push(request);
    this.#waiting.set(owner, request);
    for (let cycle = this.#cycle(owner); cycle !== null; cycle = this.#cycle(owner)) {
      // Of equals, the one that closed the circle gives way.
      const victim = cycle.reduce(
        (least, other) => (other.weight < least.weight ? other : least),
        owner,
      );
      const isClose = cycle.some(
        (other) => other !== victim && other.weight < victim.weight + weightStep,
      );
      if (isClose) this.closeCall();
      const lost = this.#waiting.get(victim)!;
      this.cancel(lost);
      if (victim === owner) return 'deadlock';
      lost.settle('deadlock');
    }
    // Perhaps only a victim's place in the queue was in the way.
    return this.#waiting.get(owner) === request ? request : 'granted';
  }

  /** Ends a wait. */
  cancel(request: LockRequest): void {
    if (this.#waiting.get(request.owner) !== request) return;
    this.#waiting.delete(request.owner);
    const lock = this.#locks.get(request.key)!;
    lock.queue.splice(lock.queue.indexOf(request), 1);
    this.#wake(request.key, lock);
  }

  /** Gives up one lock. */
  release(owner: LockOwner, key: string): void {
    const lock = this.#locks.get(key);
    if (lock === undefined || !lock.holders.delete(owner)) return;
    this.#held.get(owner)?.delete(key);
    this.#wake(key, lock);
  }

  /** Keeps only the shared lock of one that is held exclusively. */
  downgrade(owner: LockOwner, key: string): void {
    const lock = this.#locks.get(key);
    if (lock?.holders.get(owner) !== 'X') return;
    lock.holders.set(owner, 'S');
    this.#wake(key, lock);
  }

  /** Gives up everything whose key `which` selects. */
  releaseAll(owner: LockOwner, which: (key: string) => boolean = () => true): void {
    for (const key of this.#held.get(owner) ?? []) if (which(key)) this.release(owner, key);
    if (this.#held.get(owner)?.size === 0) this.#held.delete(owner);
  }

  #grant(lock: Lock, owner: LockOwner, key: string, mode: LockMode): void {
    lock.holders.set(owner, mode);
    let held = this.#held.get(owner);
    if (held === undefined) {
      held = new Set();
      this.#held.set(owner, held);
    }
    held.add(key);
  }

  #wake(key: string, lock: Lock): void {
    for (let at = 0; at < lock.queue.length;) {
      const request = lock.queue[at]!;
      if (this.#blockers(lock, request, at).length > 0) {
        at++;
        continue;
      }
      lock.queue.splice(at, 1);
      this.#waiting.delete(request.owner);
      this.#grant(lock, request.owner, key, request.mode);
      request.settle('granted');
    }
    if (lock.holders.size === 0 && lock.queue.length === 0) this.#locks.delete(key);
  }

  /** Who keeps a request at place `at` of the queue waiting. */
  #blockers(
    lock: Lock,
    asked: { readonly owner: LockOwner; readonly mode: LockMode },
    at: number,
  ): LockOwner[] {
    const { owner, mode } = asked;
    const blockers: LockOwner[] = [];
    for (const [holder, held] of lock.holders) {
      if (holder !== owner && (mode === 'X' || held === 'X')) blockers.push(holder);
    }
    for (const earlier of lock.queue.slice(0, at)) {
      if (earlier.owner !== owner && (mode === 'X' || earlier.mode === 'X')) {
        blockers.push(earlier.owner);
      }
    }
    return blockers;
  }

  /** The owners of a circle of waits through `start`, or null. */
  #cycle(start: LockOwner): LockOwner[] | null {
    const seen = new Set<LockOwner>();
    const visit = (owner: LockOwner, path: LockOwner[]): LockOwner[] | null => {
      const request = this.#waiting.get(owner);
      if (request === undefined) return null;
      const lock = this.#locks.get(request.key)!;
      for (const blocker of this.#blockers(lock, request, lock.queue.indexOf(request))) {
        if (blocker === start) return [...path, owner];
        if (seen.has(blocker)) continue;
        seen.add(blocker);
        const found = visit(blocker, [...path, owner]);
        if (found !== null) return found;
      }
      return null;
    };
    return visit(start, []);
  }
}
