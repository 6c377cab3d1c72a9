/**
 * The coordination port (DESIGN §12): the judge of ownership. Keys with revisions, transactions, watches, and sessions that
 * end when their holder stops renewing them. There is no blind put (DESIGN §10): whatever is written is conditioned on
 * what its writer has seen. Every call is answered within its bound; what is read is the newest committed state.
 */
import type { Port } from './port.ts';

/** A key as it stands after `revision`; a key that is not there has value null and createRevision 0. */
export interface KeyValue {
  readonly key: string;
  readonly value: string | null;
  /** The store's revision at the last change of the key (0: never there); of its deletion, in an event. */
  readonly revision: number;
  /** The store's revision when the key came to be; the same until it is deleted (0: absent). */
  readonly createRevision: number;
  /** The session the key ends with; empty when it stays. */
  readonly lease: string;
}

/** A key that is not there; `revision`: that of its deletion, in an event. */
export function absentKey(key: string, revision = 0): KeyValue {
  return { key, value: null, revision, createRevision: 0, lease: '' };
}

/** One condition of a transaction. An absent key has revision 0, createRevision 0, lease '' and never equals a value. */
export type Compare =
  | { readonly key: string; readonly target: 'revision'; readonly equals: number }
  | { readonly key: string; readonly target: 'createRevision'; readonly equals: number }
  | { readonly key: string; readonly target: 'value'; readonly equals: string }
  | { readonly key: string; readonly target: 'lease'; readonly equals: string };

/** A value to put; with `lease` the key ends with that session, else it stays. */
export interface Put {
  readonly key: string;
  readonly value: string;
  readonly lease?: string;
}

/** Bounds of what one call carries; a call beyond them is refused with COORDINATION_TOO_LARGE. */
export const coordinationLimits = {
  /** UTF-8 bytes of a key and of a value. */
  keyBytes: 1024,
  valueBytes: 1 << 20,
  /** Conditions, and puts with deletes, of one transaction. */
  compareCount: 32,
  writeCount: 64,
  /** Keys below one prefix that `List` and a watch can hold. */
  listCount: 10_000,
  /** Events of one batch; a transaction is never cut, so a batch may be larger by one. */
  eventCount: 512,
  /** Longest wait of `NextEvents`, milliseconds. */
  waitMs: 60_000,
} as const;

/** Requests of the port. */
export type CoordinationRequest =
  | { readonly kind: 'Get'; readonly key: string }
  /** All keys that begin with `prefix`, in key order, of one revision. */
  | { readonly kind: 'List'; readonly prefix: string }
  /** All puts and deletes when every comparison holds, else none; a key is written at most once. */
  | {
      readonly kind: 'Transact';
      readonly compares: readonly [Compare, ...Compare[]];
      readonly puts?: readonly Put[];
      readonly deletes?: readonly string[];
    }
  /**
   * What happened to the keys below `prefix` since revision `after`: answered as soon as there is something, with nothing
   * after `waitMs`. `after` null, or too old for the store to tell, is answered with the whole list (`Reset`). Asking
   * again with the answer's `after` loses and repeats nothing, over reconnections and compactions too.
   */
  | {
      readonly kind: 'NextEvents';
      readonly prefix: string;
      readonly after: number | null;
      readonly waitMs: number;
    }
  /** A new session of at least `ttlMs`, which ends unless it is renewed in time. */
  | { readonly kind: 'OpenSession'; readonly ttlMs: number }
  /** Renews a session once. COORDINATION_SESSION_LOST when the store says that it is over. */
  | { readonly kind: 'KeepAlive'; readonly lease: string }
  /** Ends a session and deletes the keys bound to it; one that is over already is no failure. */
  | { readonly kind: 'CloseSession'; readonly lease: string };

/** A request that writes. */
export type Transact = Extract<CoordinationRequest, { readonly kind: 'Transact' }>;

/** The compared keys of a transaction, each once: those that its answer tells of. */
export function comparedKeys({ compares }: Transact): readonly string[] {
  return [...new Set(compares.map(({ key }) => key))];
}

/** Answers of the port. */
export type CoordinationAnswer =
  | { readonly kind: 'Got'; readonly entry: KeyValue }
  | { readonly kind: 'Listed'; readonly entries: readonly KeyValue[]; readonly revision: number }
  /** `entries`: the compared keys, each once, in the order given, after the transaction; `revision` that of its writes. */
  | {
      readonly kind: 'Transacted';
      readonly succeeded: boolean;
      readonly entries: readonly KeyValue[];
      readonly revision: number;
    }
  /** Changes in order; a deletion has value null. */
  | { readonly kind: 'Events'; readonly events: readonly KeyValue[]; readonly after: number }
  | { readonly kind: 'Reset'; readonly entries: readonly KeyValue[]; readonly after: number }
  | ({ readonly kind: 'SessionOpened' } & SessionProof)
  | ({ readonly kind: 'KeptAlive' } & SessionProof)
  | { readonly kind: 'SessionClosed' };

/**
 * What an answered renewal proves (FENCE §2.1): the store holds the session for `ttlMs` from some moment after
 * `sentAtMs`. Times are milliseconds of the machine's monotonic clock, which all threads of a process share.
 */
export interface SessionProof {
  readonly lease: string;
  /** As granted: the store may raise what was asked for. Infinity: the session ends with the process, and only so. */
  readonly ttlMs: number;
  readonly sentAtMs: number;
  readonly answeredAtMs: number;
}

/** The coordination port. */
export type CoordinationPort = Port<CoordinationRequest, CoordinationAnswer>;
