/**
 * Coordination of one process without a server (port: src/ports/coordination.ts): a small map with revisions, in memory
 * or, when a directory is given, in a file that is replaced whole at each put. One process holds a directory at a time.
 */
import { FailureError, type Outcome, failed, failure, ok } from '#src/base/failure.ts';
import type {
  CoordinationAnswer,
  CoordinationPort,
  CoordinationRequest,
  KeyValue,
} from '#src/ports/coordination.ts';
import {
  type CoordinationState,
  readCoordinationFile,
  writeCoordinationFile,
} from './coordination-file.ts';
import { lockDirectory } from './directory-lock.ts';

/** What embedded coordination needs to open. */
export interface EmbeddedCoordinationOptions {
  /** Where the state is kept; null keeps it in memory only. */
  readonly directory: string | null;
}

/** At most this many keys; the file is written whole at each put. */
const keyCountMax = 10_000;
/** Bounds of one entry, in UTF-16 units: those of etcd in effect. */
const keyLengthMax = 1024;
const valueLengthMax = 1 << 20;

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
  #state: CoordinationState;
  #isClosed = false;

  constructor(directory: string | null, release: () => void) {
    this.#directory = directory;
    this.#release = release;
    this.#state =
      directory === null ? { revision: 0, entries: new Map() } : readCoordinationFile(directory);
  }

  port(): CoordinationPort {
    return {
      call: (request) => Promise.resolve(this.#call(request)),
      close: () => {
        if (!this.#isClosed) this.#release();
        this.#isClosed = true;
        return Promise.resolve();
      },
    };
  }

  #call(request: CoordinationRequest): Outcome<CoordinationAnswer> {
    if (this.#isClosed) return failed(failure('INTERNAL_STOPPED', 'coordination is closed'));
    try {
      return ok(
        request.kind === 'Get'
          ? { kind: 'Got', entry: this.#get(request.key) }
          : this.#put(request),
      );
    } catch (error) {
      return translate(error);
    }
  }

  #get(key: string): KeyValue {
    return this.#state.entries.get(key) ?? { key, value: null, revision: 0 };
  }

  #put(request: Extract<CoordinationRequest, { kind: 'CompareAndPut' }>): CoordinationAnswer {
    const { key, value } = request;
    const found = this.#get(key);
    if (found.revision !== request.revision) return { kind: 'Put', succeeded: false, entry: found };
    if (key.length > keyLengthMax || value.length > valueLengthMax) {
      throw new FailureError(
        failure('COORDINATION_FAILED', `the entry is too large: ${key.slice(0, 80)}`),
      );
    }
    if (found.revision === 0 && this.#state.entries.size >= keyCountMax) {
      throw new FailureError(failure('COORDINATION_FAILED', `more than ${keyCountMax} keys`));
    }
    const revision = this.#state.revision + 1;
    const entry = { key, value, revision };
    const next = { revision, entries: new Map(this.#state.entries).set(key, entry) };
    // Memory follows the disk: a put that could not be stored has not happened.
    if (this.#directory !== null) writeCoordinationFile(this.#directory, next);
    this.#state = next;
    return { kind: 'Put', succeeded: true, entry };
  }
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
      cause: error instanceof Error ? error.message : String(error),
    }),
  };
}
