/**
 * Coordination in virtual time: what etcd does, without its network. Sessions expire when nobody renews them; a leader may be
 * lost (everything waits or fails, and the next leader gives every session its full time again, FENCE §2.3); history may
 * be compacted; a session may be revoked from outside; a client may be cut off. One store serves all processes of a run.
 */
import {
  type Failure,
  failed,
  failure,
  FailureError,
  ok,
  type Outcome,
} from '#src/base/failure.ts';
import { KeyStore } from '#src/adapters/embedded-coordination/key-store.ts';
import { WatchDesk } from '#src/adapters/embedded-coordination/watch-desk.ts';
import { coordinationRefusal } from '#src/ports/coordination-bounds.ts';
import type {
  CoordinationAnswer,
  CoordinationRequest,
  KeyValue,
  SessionProof,
} from '#src/ports/coordination.ts';

/** The part of a world that coordination needs. */
export interface SimClock {
  /** Virtual milliseconds. */
  readonly now: number;
  after(afterMs: number, run: () => void): () => void;
}

/** Takes the answer to one call. */
export type Answered = (outcome: Outcome<CoordinationAnswer>) => void;

interface Session {
  readonly ttlMs: number;
  readonly dropTimer: () => void;
}

/** How long a call is tried while nobody answers, milliseconds. */
const callMs = 1_500;

/** The coordination store of a simulation. */
export class SimCoordination {
  readonly store = new KeyStore();
  readonly #clock: SimClock;
  readonly #desk: WatchDesk;
  readonly #sessions = new Map<string, Session>();
  #sessionCount = 0;
  #hasLeader = true;

  /** `sessionCount`: leases given by a store before this one; none is given twice. */
  constructor(clock: SimClock, sessionCount = 0) {
    this.#clock = clock;
    this.#sessionCount = sessionCount;
    this.#desk = new WatchDesk(this.store, (afterMs, due) => clock.after(afterMs, due));
  }

  /** Leases given so far. */
  get sessionCount(): number {
    return this.#sessionCount;
  }

  /** Sessions alive, by lease. */
  get leases(): readonly string[] {
    return [...this.#sessions.keys()];
  }

  /**
   * Performs a request that arrives now; the delays of its way are the caller's. `sentAtMs` is when it left, which a
   * session's proof counts from.
   */
  perform(request: CoordinationRequest, sentAtMs: number, answered: Answered): void {
    const refused = coordinationRefusal(request);
    if (refused !== null) return answered(failed(refused));
    if (!this.#hasLeader) return this.#refuseLater(answered);
    if (request.kind === 'NextEvents') return this.#desk.wait(request, answered);
    answered(this.#attempt(() => this.#answer(request, sentAtMs)));
  }

  /** No call is answered and no session expires until `gainLeader`. */
  loseLeader(): void {
    this.#hasLeader = false;
    for (const session of this.#sessions.values()) session.dropTimer();
    this.#desk.endAll(failed(unreachable()));
  }

  /** Calls are answered again; every session has its whole time before it. */
  gainLeader(): void {
    this.#hasLeader = true;
    for (const [lease, { ttlMs }] of this.#sessions) this.#hold(lease, ttlMs);
  }

  /** Ends a session before its time, as an administrator or a bug of the store would. */
  revoke(lease: string): void {
    this.#sessions.get(lease)?.dropTimer();
    this.#sessions.delete(lease);
    this.#write(this.store.planEnd(lease));
  }

  /** Forgets history: watchers behind it hear the whole list. */
  compact(): void {
    this.store.compact(this.store.revision);
  }

  /** Tells waiting watchers that their connection is gone. */
  dropWatches(): void {
    this.#desk.endAll(failed(unreachable()));
  }

  #refuseLater(answered: Answered): void {
    this.#clock.after(callMs, () => answered(failed(unreachable())));
  }

  #attempt(run: () => CoordinationAnswer): Outcome<CoordinationAnswer> {
    try {
      return ok(run());
    } catch (error) {
      if (error instanceof FailureError) return failed(error.failure);
      throw error;
    }
  }

  #answer(
    request: Exclude<CoordinationRequest, { kind: 'NextEvents' }>,
    sentAtMs: number,
  ): CoordinationAnswer {
    switch (request.kind) {
      case 'Get':
        return { kind: 'Got', entry: this.store.get(request.key) };
      case 'List': {
        const entries = this.store.list(request.prefix);
        return { kind: 'Listed', entries, revision: this.store.revision };
      }
      case 'Transact': {
        const { succeeded, writes } = this.store.plan(request);
        if (succeeded) {
          for (const { lease } of request.puts ?? []) if (lease !== undefined) this.#demand(lease);
        }
        this.#write(writes);
        const entries = this.store.compared(request);
        return { kind: 'Transacted', succeeded, entries, revision: this.store.revision };
      }
      case 'OpenSession': {
        this.#sessionCount++;
        const lease = this.#sessionCount.toString(16).padStart(16, '0');
        this.#hold(lease, request.ttlMs);
        return { kind: 'SessionOpened', ...this.#proof(lease, request.ttlMs, sentAtMs) };
      }
      case 'KeepAlive': {
        const { ttlMs } = this.#demand(request.lease);
        this.#hold(request.lease, ttlMs);
        return { kind: 'KeptAlive', ...this.#proof(request.lease, ttlMs, sentAtMs) };
      }
      case 'CloseSession':
        this.revoke(request.lease);
        return { kind: 'SessionClosed' };
    }
  }

  #proof(lease: string, ttlMs: number, sentAtMs: number): SessionProof {
    return { lease, ttlMs, sentAtMs, answeredAtMs: this.#clock.now };
  }

  #hold(lease: string, ttlMs: number): void {
    this.#sessions.get(lease)?.dropTimer();
    const dropTimer = this.#clock.after(ttlMs, () => this.revoke(lease));
    this.#sessions.set(lease, { ttlMs, dropTimer });
  }

  #demand(lease: string): Session {
    const session = this.#sessions.get(lease);
    if (session !== undefined) return session;
    throw new FailureError(
      failure('COORDINATION_SESSION_LOST', 'the session is over', { scope: 'Node' }),
    );
  }

  #write(writes: readonly KeyValue[]): void {
    if (writes.length === 0) return;
    this.store.apply(writes);
    this.#desk.changed();
  }
}

function unreachable(): Failure {
  return failure('COORDINATION_UNREACHABLE', 'no leader', { retry: 'Again', scope: 'Node' });
}
