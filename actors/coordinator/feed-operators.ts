/**
 * The operator controller of the coordinator (spec/02): one operator per changefeed, a reservation while its epoch is being
 * persisted, stops of two kinds (spec/08 6134). Mutated in place by its coordinator alone.
 */
import {
  affectedNodes,
  isHandOff,
  requestOf,
  step,
  type FeedEvent,
  type FeedOperator,
  type FeedPlace,
  type FeedRequest,
  type MaintainerWord,
  type StopOperator,
} from './feed-operator.ts';

/** A request is sent again this often until it is answered, milliseconds. */
const sendAgainMs = 500;

/** An operator that ended, and where its changefeed is now. */
export interface FeedEnding {
  readonly operator: FeedOperator;
  readonly place: FeedPlace;
}

/** See the top of this file. */
export class FeedOperators {
  readonly #operators = new Map<string, FeedOperator>();
  readonly #reserved = new Set<string>();
  readonly #sentAtMs = new Map<string, number>();

  get size(): number {
    return this.#operators.size;
  }

  get(id: string): FeedOperator | undefined {
    return this.#operators.get(id);
  }

  /** The operators under way. */
  list(): readonly FeedOperator[] {
    return [...this.#operators.values()];
  }

  /** True when an ownership attempt may begin: no operator, no epoch being persisted (F4, F13). */
  isFree(id: string): boolean {
    return !this.#operators.has(id) && !this.#reserved.has(id);
  }

  /** Holds the place of an operator while its epoch is persisted; false when it is not free. */
  reserve(id: string): boolean {
    if (!this.isFree(id)) return false;
    this.#reserved.add(id);
    return true;
  }

  /** Gives the reservation up; the caller checks again before it pushes (F5). */
  release(id: string): void {
    this.#reserved.delete(id);
  }

  /** Starts an add or a move; null when the slot is taken. Nodes that are gone already are told to it first. */
  push(operator: FeedOperator, alive: ReadonlySet<string>): readonly FeedEnding[] | null {
    if (!this.isFree(operator.id)) return null;
    this.#operators.set(operator.id, operator);
    return this.#tellDead(operator, alive);
  }

  /**
   * Starts a stop. A removing one replaces everything but another removing one; a stop of the placement keeps the one
   * that is under way, with its node and epoch, and replaces a stop of a stale owner; a stop of a stale owner needs a
   * free slot, or is the same as the one there. What is replaced ends without any effect of its own. Null when refused:
   * a stale owner may then be told directly.
   */
  pushStop(operator: StopOperator, alive: ReadonlySet<string>): readonly FeedEnding[] | null {
    const known = this.#operators.get(operator.id);
    if (known !== undefined && !mayReplace(known, operator))
      return isKept(known, operator) ? [] : null;
    this.#sentAtMs.delete(operator.id);
    this.#operators.set(operator.id, operator);
    return this.#tellDead(operator, alive);
  }

  /** A maintainer's word, whatever else it is good for. `isFinal`: the hand-off of a move, whose checkpoint counts. */
  heard(word: MaintainerWord): {
    readonly endings: readonly FeedEnding[];
    readonly isFinal: boolean;
  } {
    const operator = this.#operators.get(word.id);
    if (operator === undefined) return { endings: [], isFinal: false };
    const isFinal = isHandOff(operator, word);
    return { endings: this.#step(word.id, { kind: 'word', word }), isFinal };
  }

  /** A node is lost; objects without an operator are the caller's, and come first. */
  nodeLost(node: string): readonly FeedEnding[] {
    const ids = [...this.#operators.keys()];
    return ids.flatMap((id) => this.#step(id, { kind: 'node-lost', node }));
  }

  /** What runs on a node for one changefeed is lost: its manager was started anew. */
  lostOn(node: string, id: string): readonly FeedEnding[] {
    return this.#step(id, { kind: 'node-lost', node });
  }

  /** The changefeed is gone. */
  taskRemoved(id: string): void {
    this.#step(id, { kind: 'task-removed' });
  }

  /** Stops that wait for an epoch of their own. */
  needEpoch(): readonly string[] {
    return this.list().flatMap((operator) =>
      operator.phase === 'needs-epoch' ? [operator.id] : [],
    );
  }

  /** The epoch a stop asked for is committed. */
  giveEpoch(id: string, epoch: number, node: string): void {
    this.#step(id, { kind: 'epoch', epoch, node });
  }

  /** What is to be sent now. */
  due(nowMs: number): readonly FeedRequest[] {
    const requests: FeedRequest[] = [];
    for (const id of this.#operators.keys()) {
      this.#step(id, { kind: 'tick' });
      const request = requestOf(this.#operators.get(id)!);
      const sentAtMs = this.#sentAtMs.get(id);
      if (request === null || (sentAtMs !== undefined && nowMs - sentAtMs < sendAgainMs)) continue;
      this.#sentAtMs.set(id, nowMs);
      requests.push(request);
    }
    return requests;
  }

  #tellDead(operator: FeedOperator, alive: ReadonlySet<string>): readonly FeedEnding[] {
    return affectedNodes(operator)
      .filter((node) => !alive.has(node))
      .flatMap((node) => this.#step(operator.id, { kind: 'node-lost', node }));
  }

  #step(id: string, event: FeedEvent): readonly FeedEnding[] {
    const operator = this.#operators.get(id);
    if (operator === undefined) return [];
    const next = step(operator, event);
    // A new phase asks something else, and at once.
    if (next.operator.phase !== operator.phase) this.#sentAtMs.delete(id);
    if (next.place === null) {
      this.#operators.set(id, next.operator);
      return [];
    }
    this.#operators.delete(id);
    return [{ operator, place: next.place }];
  }
}

function mayReplace(known: FeedOperator, by: StopOperator): boolean {
  if (known.kind === 'stop' && known.removed) return false;
  if (by.removed) return true;
  if (by.about === 'stale-owner') return false;
  return known.kind !== 'stop' || known.about === 'stale-owner';
}

/** The stop that is there already does what the new one asks. */
function isKept(known: FeedOperator, by: StopOperator): boolean {
  if (known.kind !== 'stop') return false;
  if (by.about === 'placement') return true;
  return known.about === 'stale-owner' && known.node === by.node && known.epoch === by.epoch;
}
