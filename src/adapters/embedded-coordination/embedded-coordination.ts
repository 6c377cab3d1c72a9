/**
 * Coordination of one process without a server (port: src/ports/coordination.ts): keys with revisions, in memory or, when a
 * directory is given, in a file that is replaced whole at each transaction. One process holds a directory at a time,
 * so a session is as safe as the process: it ends when it is closed, or with the process; keys bound to it are not
 * kept over a restart.
 */
import { randomBytes } from 'node:crypto';
import {
  FailureError,
  type Outcome,
  fail,
  failed,
  failure,
  ok,
  messageOf,
} from '#src/base/failure.ts';
import { coordinationRefusal } from '#src/ports/coordination-bounds.ts';
import type {
  CoordinationAnswer,
  CoordinationPort,
  CoordinationRequest,
  KeyValue,
  SessionProof,
  Transact,
} from '#src/ports/coordination.ts';
import { readCoordinationFile, writeCoordinationFile } from './coordination-file.ts';
import { lockDirectory } from './directory-lock.ts';
import { KeyStore } from './key-store.ts';
import { WatchDesk } from './watch-desk.ts';

/** What embedded coordination needs to open. */
export interface EmbeddedCoordinationOptions {
  /** Where the state is kept; null keeps it in memory only. */
  readonly directory: string | null;
}

/** At most this many keys; the file is written whole at each transaction. */
const keyCountMax = 10_000;
const sessionCountMax = 64;
const waitCountMax = 256;

/** Opens coordination for this process; FailureError COORDINATION_FAILED when another process holds the directory. */
export function openEmbeddedCoordination(options: EmbeddedCoordinationOptions): CoordinationPort {
  const { directory } = options;
  try {
    const release = directory === null ? (): void => undefined : lockDirectory(directory);
    try {
      return new EmbeddedCoordination(directory, release).port();
    } catch (error) {
      release();
      throw error;
    }
  } catch (error) {
    throw new FailureError(translate(error).failure);
  }
}

class EmbeddedCoordination {
  readonly #directory: string | null;
  readonly #release: () => void;
  readonly #store: KeyStore;
  readonly #desk: WatchDesk;
  readonly #sessions = new Set<string>();
  #waitCount = 0;
  #isClosed = false;

  constructor(directory: string | null, release: () => void) {
    this.#directory = directory;
    this.#release = release;
    const found = directory === null ? null : readCoordinationFile(directory);
    this.#store = new KeyStore(found?.revision, found?.entries);
    this.#desk = new WatchDesk(this.#store, (afterMs, due) => {
      const timer = setTimeout(due, afterMs);
      return () => clearTimeout(timer);
    });
  }

  port(): CoordinationPort {
    return {
      call: (request) => this.#call(request),
      close: () => {
        if (!this.#isClosed) this.#release();
        this.#isClosed = true;
        this.#desk.endAll(stopped());
        return Promise.resolve();
      },
    };
  }

  async #call(request: CoordinationRequest): Promise<Outcome<CoordinationAnswer>> {
    if (this.#isClosed) return stopped();
    const refused = coordinationRefusal(request);
    if (refused !== null) return failed(refused);
    try {
      return request.kind === 'NextEvents' ? await this.#wait(request) : ok(this.#answer(request));
    } catch (error) {
      return translate(error);
    }
  }

  #answer(request: Exclude<CoordinationRequest, { kind: 'NextEvents' }>): CoordinationAnswer {
    switch (request.kind) {
      case 'Get':
        return { kind: 'Got', entry: this.#store.get(request.key) };
      case 'List': {
        const entries = this.#store.list(request.prefix);
        return { kind: 'Listed', entries, revision: this.#store.revision };
      }
      case 'Transact':
        return this.#transact(request);
      case 'OpenSession':
        return this.#openSession();
      case 'KeepAlive':
        this.#demandSession(request.lease);
        return { kind: 'KeptAlive', ...proof(request.lease) };
      case 'CloseSession':
        this.#sessions.delete(request.lease);
        this.#write(this.#store.planEnd(request.lease));
        return { kind: 'SessionClosed' };
    }
  }

  #transact(request: Transact): CoordinationAnswer {
    const { succeeded, writes } = this.#store.plan(request);
    if (succeeded) {
      for (const { lease } of request.puts ?? [])
        if (lease !== undefined) this.#demandSession(lease);
      this.#write(writes);
    }
    const entries = this.#store.compared(request);
    return { kind: 'Transacted', succeeded, entries, revision: this.#store.revision };
  }

  #write(writes: readonly KeyValue[]): void {
    if (writes.length === 0) return;
    const entries = this.#store.entriesWith(writes);
    if (entries.size > keyCountMax && entries.size > this.#store.size) {
      fail('COORDINATION_TOO_LARGE', `more than ${keyCountMax} keys`);
    }
    // Memory follows the disk: a transaction that could not be stored has not happened.
    if (this.#directory !== null) {
      const kept = [...entries.values()].filter(({ lease }) => lease === '');
      writeCoordinationFile(this.#directory, { revision: this.#store.revision + 1, entries: kept });
    }
    this.#store.apply(writes);
    this.#desk.changed();
  }

  #openSession(): CoordinationAnswer {
    if (this.#sessions.size >= sessionCountMax) {
      fail('COORDINATION_TOO_LARGE', `more than ${sessionCountMax} sessions`);
    }
    const lease = randomBytes(8).toString('hex');
    this.#sessions.add(lease);
    return { kind: 'SessionOpened', ...proof(lease) };
  }

  #demandSession(lease: string): void {
    if (this.#sessions.has(lease)) return;
    fail('COORDINATION_SESSION_LOST', 'the session was closed', { scope: 'Node' });
  }

  async #wait(
    request: Extract<CoordinationRequest, { kind: 'NextEvents' }>,
  ): Promise<Outcome<CoordinationAnswer>> {
    if (this.#waitCount >= waitCountMax) {
      return failed(failure('COORDINATION_TOO_LARGE', `more than ${waitCountMax} watchers`));
    }
    this.#waitCount++;
    try {
      return await new Promise((resolve) => this.#desk.wait(request, resolve));
    } finally {
      this.#waitCount--;
    }
  }
}

/** The session is as long as the process: no clock of ours or of others ends it. */
function proof(lease: string): SessionProof {
  const nowMs = Number(process.hrtime.bigint()) / 1e6;
  return { lease, ttlMs: Number.POSITIVE_INFINITY, sentAtMs: nowMs, answeredAtMs: nowMs };
}

function stopped(): Outcome<never> {
  return failed(failure('INTERNAL_STOPPED', 'coordination is closed'));
}

function translate(error: unknown): {
  readonly ok: false;
  readonly failure: FailureError['failure'];
} {
  if (error instanceof FailureError) return { ok: false, failure: error.failure };
  return {
    ok: false,
    failure: failure('COORDINATION_FAILED', 'the coordination directory could not be used', {
      retry: 'Again',
      scope: 'Node',
      cause: messageOf(error),
    }),
  };
}
