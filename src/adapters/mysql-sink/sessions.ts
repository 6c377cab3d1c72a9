import { FailureError, fail, failure } from '#src/base/failure.ts';
import { SinkConnection } from './connection.ts';
import { connectionCountMax, connectionLockName, killHolders, SinkSession } from './session.ts';
import { sleep } from './surroundings.ts';

import type { ConnectionOptions } from 'mysql2';
import type { Log } from '#src/ports/log.ts';
import type { SessionKind } from './session.ts';
import type { Surroundings } from './surroundings.ts';

/** Callers that may wait for a session; more are refused. One per span is normal. */
const waiterCountMax = 20_000;
/** A session idle for longer (ms) is replaced before use: the server may be about to close it. */
const idleMsMax = 20_000;
/** Milliseconds that a close waits for the server to end what it still works on. */
const endWithinMs = 2_000;

interface Idle {
  readonly session: SinkSession;
  readonly sinceMs: number;
}

interface Waiter {
  readonly resolve: (session: SinkSession) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A bounded number of equal sessions, lent one at a time. Sessions are opened when needed; a destroyed one comes back by
 * `giveBack` like a good one and only frees its place.
 */
export class SessionPool {
  readonly #open: () => Promise<SinkSession>;
  readonly #sessionCountMax: number;
  readonly #now: () => number;
  readonly #idle: Idle[] = [];
  readonly #waiters: Waiter[] = [];
  #lentCount = 0;
  #closed = false;

  /** `now` = monotonic milliseconds. */
  constructor(open: () => Promise<SinkSession>, sessionCountMax: number, now: () => number) {
    this.#open = open;
    this.#sessionCountMax = sessionCountMax;
    this.#now = now;
  }

  /** A session that nobody else uses until it is given back; waits while all are lent. */
  async borrow(): Promise<SinkSession> {
    if (this.#closed) return stopped();
    if (this.#lentCount >= this.#sessionCountMax) {
      if (this.#waiters.length >= waiterCountMax) {
        fail('SINK_BUSY', 'too many callers wait for a downstream connection', { retry: 'Again' });
      }
      return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
    }
    this.#lentCount++;
    return this.#next();
  }

  /** Ends a loan; the session may be destroyed. */
  giveBack(session: SinkSession): void {
    if (this.#closed) session.destroy();
    else if (session.connection.isOpen) this.#idle.push({ session, sinceMs: this.#now() });
    const waiter = this.#waiters.shift();
    if (waiter === undefined) {
      this.#lentCount--;
      return;
    }
    this.#next().then(waiter.resolve, waiter.reject);
  }

  /** Runs `work` with a session of its own. */
  async with<T>(work: (session: SinkSession) => Promise<T>): Promise<T> {
    const session = await this.borrow();
    try {
      return await work(session);
    } catch (error) {
      // Whatever state the session is in, nobody should inherit it (RELIABILITY I-11).
      session.destroy();
      throw error;
    } finally {
      this.giveBack(session);
    }
  }

  /** Closes idle sessions and refuses new loans; lent ones close when they come back. */
  close(): void {
    this.#closed = true;
    for (const { session } of this.#idle.splice(0)) session.destroy();
    for (const waiter of this.#waiters.splice(0)) waiter.reject(stoppedError());
  }

  /** Holds a place already; frees it when opening fails. */
  async #next(): Promise<SinkSession> {
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      const fresh = this.#now() - idle.sinceMs < idleMsMax;
      if (fresh && idle.session.connection.isOpen) return idle.session;
      idle.session.destroy();
    }
    try {
      const session = await this.#open();
      if (!this.#closed) return session;
      session.destroy();
      return stopped();
    } catch (error) {
      this.#freePlace();
      throw error;
    }
  }

  #freePlace(): void {
    const waiter = this.#waiters.shift();
    if (waiter === undefined) this.#lentCount--;
    else this.#next().then(waiter.resolve, waiter.reject);
  }
}

/**
 * All sessions of one sink instance: opens them under names that a successor can compute from `instance`, and sees to
 * it that a destroyed one ends on the server too.
 */
export class Sessions {
  /** Name of this instance in slot rows; never used by another instance. */
  readonly instance: string;
  /** Sessions for short questions: raise, read back, kill, definitions. */
  readonly control: SessionPool;
  readonly #options: ConnectionOptions;
  readonly #surroundings: Surroundings;
  readonly #log: Log;
  readonly #live = new Set<SinkSession>();
  readonly #opening = new Set<string>();
  #closed = false;

  constructor(
    options: ConnectionOptions,
    parts: { readonly owner: string; readonly surroundings: Surroundings; readonly log: Log },
  ) {
    const { owner, surroundings, log } = parts;
    this.#options = options;
    this.#surroundings = surroundings;
    this.#log = log;
    this.instance = `${owner.slice(0, 96)}#${surroundings.uniqueName()}`;
    this.control = this.pool('control', 4);
  }

  /** A new session; at most {@link connectionCountMax} live at once. */
  async open(kind: SessionKind): Promise<SinkSession> {
    if (this.#closed) return stopped();
    const claimed: string[] = [];
    try {
      const session = await SinkSession.open(kind, this.#connect, this.#freeNames(claimed));
      if (this.#closed) {
        session.destroy();
        return stopped();
      }
      this.#live.add(session);
      return session;
    } finally {
      for (const name of claimed) this.#opening.delete(name);
    }
  }

  /** A pool of `sessionCountMax` sessions of one kind. */
  pool(kind: SessionKind, sessionCountMax: number): SessionPool {
    return new SessionPool(() => this.open(kind), sessionCountMax, this.#surroundings.now);
  }

  /**
   * Destroys `session` and ends it on the server, so that a statement it still works on cannot commit much later. Best
   * effort: safety rests on the guard, this only keeps the slot's row from staying locked.
   */
  async bury(session: SinkSession): Promise<void> {
    session.destroy();
    try {
      const { id } = session.connection;
      // By its number too: the name may belong to a newer connection of ours by now.
      await this.control.with((control) =>
        killHolders(control, [session.lockName], (holder) => holder === id),
      );
    } catch (error) {
      this.#killFailed(error, session.connection.id);
    }
  }

  /** Lock names under which connections of `instance` may live. */
  lockNamesOf(instance: string): readonly string[] {
    return Array.from({ length: connectionCountMax }, (_, at) => connectionLockName(instance, at));
  }

  /** Whether `id` is a connection of this instance that is in use. */
  isLive(id: number): boolean {
    this.#forgetDead();
    return [...this.#live].some((session) => session.connection.id === id);
  }

  /**
   * Closes every connection at once. Those whose command is not answered yet are then ended on the server too, over a
   * connection of its own (FENCE §2.2): a statement that waits for a lock would else commit long after a fence.
   */
  async close(): Promise<void> {
    const busy = [...this.#live].filter(({ connection }) => connection.isBusy);
    this.#closed = true;
    this.control.close();
    for (const session of this.#live) session.destroy();
    this.#live.clear();
    if (busy.length > 0)
      await Promise.race([this.#endOnServer(busy), sleep(this.#surroundings, endWithinMs)]);
  }

  /** Best effort, as {@link bury}. */
  async #endOnServer(busy: readonly SinkSession[]): Promise<void> {
    const ids = new Set(busy.map(({ connection }) => connection.id));
    const names = busy.map(({ lockName }) => lockName);
    try {
      const control = await SinkSession.open('control', this.#connect, this.#freeNames([]));
      try {
        await killHolders(control, names, (id) => ids.has(id));
      } finally {
        control.destroy();
      }
    } catch (error) {
      this.#killFailed(error, [...ids].join(' '));
    }
  }

  readonly #connect = (): Promise<SinkConnection> =>
    SinkConnection.connect(this.#options, this.#surroundings);

  #killFailed(error: unknown, connection: number | string): void {
    const code = error instanceof FailureError ? error.failure.code : 'INTERNAL_FAULT';
    this.#log('warn', 'sink-kill-failed', { code, connection });
  }

  *#freeNames(claimed: string[]): Generator<string> {
    this.#forgetDead();
    for (const name of this.lockNamesOf(this.instance)) {
      const live = [...this.#live].some((session) => session.lockName === name);
      if (live || this.#opening.has(name)) continue;
      claimed.push(name);
      this.#opening.add(name);
      yield name;
    }
  }

  #forgetDead(): void {
    for (const session of this.#live) if (!session.connection.isOpen) this.#live.delete(session);
  }
}

/** The Failure of calls that a close cut off. */
export function stoppedError(): FailureError {
  return new FailureError(failure('INTERNAL_STOPPED', 'the sink was closed'));
}

function stopped(): never {
  throw stoppedError();
}
