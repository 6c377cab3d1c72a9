import { fail } from '#src/base/failure.ts';
import {
  type Compare,
  type CoordinationAnswer,
  type KeyValue,
  type Transact,
  absentKey,
  comparedKeys,
  coordinationLimits,
} from '#src/ports/coordination.ts';

/** What a transaction would do: writes of the next revision; empty when a comparison failed or it writes nothing. */
export interface Planned {
  readonly succeeded: boolean;
  readonly writes: readonly KeyValue[];
}

/** Events that are remembered for watchers; who is further behind is sent the whole list. */
const historyCountMax = 4_096;

/**
 * Keys with revisions in memory, as etcd keeps them: each transaction that writes is one revision, deletions too. Pure:
 * no clock, no I/O. Writing is two steps, `plan` and `apply`, so that its holder can make the writes durable between.
 */
export class KeyStore {
  #revision: number;
  #entries: Map<string, KeyValue>;
  /** Changes with revision > #compacted, oldest first. */
  #history: KeyValue[] = [];
  #compacted: number;

  constructor(revision = 0, entries: Iterable<KeyValue> = []) {
    this.#revision = revision;
    this.#compacted = revision;
    this.#entries = new Map([...entries].map((entry) => [entry.key, entry]));
  }

  /** Transactions that wrote, ever. */
  get revision(): number {
    return this.#revision;
  }

  /** Keys there are. */
  get size(): number {
    return this.#entries.size;
  }

  /** The key as it stands. */
  get(key: string): KeyValue {
    return this.#entries.get(key) ?? absentKey(key);
  }

  /** Keys below a prefix in key order; COORDINATION_TOO_LARGE beyond the port's bound. */
  list(prefix: string): readonly KeyValue[] {
    const found = [...this.#entries.values()].filter(({ key }) => key.startsWith(prefix));
    if (found.length > coordinationLimits.listCount)
      fail('COORDINATION_TOO_LARGE', `more than ${coordinationLimits.listCount} keys at ${prefix}`);
    return found.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** What a transaction would write. */
  plan(request: Transact): Planned {
    if (!request.compares.every((one) => this.#holds(one))) return { succeeded: false, writes: [] };
    const revision = this.#revision + 1;
    const puts = (request.puts ?? []).map(({ key, value, lease = '' }) => {
      const { createRevision } = this.get(key);
      return { key, value, revision, createRevision: createRevision || revision, lease };
    });
    return { succeeded: true, writes: [...puts, ...this.#deletions(request.deletes ?? [])] };
  }

  /** What the end of a session deletes. */
  planEnd(lease: string): readonly KeyValue[] {
    const bound = [...this.#entries.values()].filter((entry) => entry.lease === lease);
    return lease === '' ? [] : this.#deletions(bound.map(({ key }) => key));
  }

  /** Keys there would be after `writes`. */
  entriesWith(writes: readonly KeyValue[]): Map<string, KeyValue> {
    const entries = new Map(this.#entries);
    for (const write of writes) {
      if (write.value === null) entries.delete(write.key);
      else entries.set(write.key, write);
    }
    return entries;
  }

  /** Performs what was planned last. */
  apply(writes: readonly KeyValue[]): void {
    if (writes.length === 0) return;
    this.#entries = this.entriesWith(writes);
    this.#revision++;
    this.#history.push(...writes);
    while (this.#history.length > historyCountMax) this.compact(this.#history[0]!.revision);
  }

  /** Forgets the changes up to `revision`. */
  compact(revision: number): void {
    this.#compacted = Math.max(this.#compacted, Math.min(revision, this.#revision));
    this.#history = this.#history.filter((event) => event.revision > this.#compacted);
  }

  /** The compared keys of a transaction, each once. */
  compared(request: Transact): readonly KeyValue[] {
    return comparedKeys(request).map((key) => this.get(key));
  }

  /** What a watcher that has seen `after` hears next; null when nothing happened. */
  eventsAfter(prefix: string, after: number | null): CoordinationAnswer | null {
    if (after === null || after < this.#compacted || after > this.#revision)
      return { kind: 'Reset', entries: this.list(prefix), after: this.#revision };
    const events: KeyValue[] = [];
    for (const event of this.#history) {
      if (event.revision <= after || !event.key.startsWith(prefix)) continue;
      const last = events.at(-1);
      // A batch ends between two transactions, never inside one.
      if (events.length >= coordinationLimits.eventCount && last?.revision !== event.revision)
        return { kind: 'Events', events, after: last!.revision };
      events.push(event);
    }
    return events.length === 0 ? null : { kind: 'Events', events, after: this.#revision };
  }

  #deletions(keys: readonly string[]): KeyValue[] {
    return keys
      .filter((key) => this.#entries.has(key))
      .map((key) => absentKey(key, this.#revision + 1));
  }

  #holds(compare: Compare): boolean {
    const { value, revision, createRevision, lease } = this.get(compare.key);
    switch (compare.target) {
      case 'revision':
        // What a deletion left behind is no revision: an absent key compares as 0.
        return (value === null ? 0 : revision) === compare.equals;
      case 'createRevision':
        return createRevision === compare.equals;
      case 'value':
        return value === compare.equals;
      case 'lease':
        return lease === compare.equals;
    }
  }
}
