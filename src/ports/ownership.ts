/**
 * Ownership of a key, built on transactions: who creates the key owns it until the key ends, and the revision of its
 * creation is the proof that the owner shows in every later write (FENCE §1.11). A key that expired and was created by
 * another has another revision, so a paused owner's next write is refused.
 */
import type { Compare, CoordinationAnswer, KeyValue, Transact } from './coordination.ts';

/** Who owns a key, under which revision. */
export interface Ownership {
  readonly key: string;
  /** The key's value: who the owner says it is. */
  readonly owner: string;
  /** createRevision of the key: rises with every change of owner. */
  readonly revision: number;
  readonly lease: string;
}

/** Tries to become owner under a session; succeeds only when nobody is. */
export function campaign(key: string, owner: string, lease: string): Transact {
  return {
    kind: 'Transact',
    compares: [absent(key)],
    puts: [{ key, value: owner, lease }],
  };
}

/** Gives ownership up; does nothing when it was lost meanwhile. */
export function resign(held: Ownership): Transact {
  return { kind: 'Transact', compares: [stillOwner(held)], deletes: [held.key] };
}

/** The condition that every write of an owner carries. */
export function stillOwner(held: Ownership): Compare {
  return { key: held.key, target: 'createRevision', equals: held.revision };
}

/** The condition that a key is not there. */
export function absent(key: string): Compare {
  return { key, target: 'createRevision', equals: 0 };
}

/** The condition that a key was not changed since it was read. */
export function unchanged(entry: KeyValue): Compare {
  return { key: entry.key, target: 'revision', equals: entry.revision };
}

/** The owner an entry tells of; null when the key is not there. */
export function ownershipIn(entry: KeyValue): Ownership | null {
  if (entry.value === null) return null;
  const { key, value, createRevision, lease } = entry;
  return { key, owner: value, revision: createRevision, lease };
}

/** Who owns the key after a campaign, be it the candidate or somebody else. */
export function ownershipAfter(
  answer: Extract<CoordinationAnswer, { kind: 'Transacted' }>,
): Ownership | null {
  const [entry] = answer.entries;
  return entry === undefined ? null : ownershipIn(entry);
}
