import type { ConnectionOptions } from 'mysql2';

/** What a {@link ServerLink} tells whoever listens to it. */
export interface LinkListener {
  /** Bytes of the server, in order; the view is valid during the call only. */
  data(chunk: Buffer): void;
  /** The link is gone for good; told at most once, and not after `destroy`. */
  end(reason: string): void;
}

/** Bytes to and from the server on one logged-in connection. */
export interface ServerLink {
  /** The server's number of this connection, for KILL. */
  readonly id: number;
  /** Names the one listener; called once, before anything is written. */
  listen(listener: LinkListener): void;
  /** Hands bytes over; from then on the server may get them whatever becomes of this process. */
  write(bytes: Uint8Array): void;
  /** Closes at once. The server may still work on what was written. */
  destroy(): void;
}

/**
 * Everything a sink needs of the machine it runs on: time, names, connections. The simulator puts its own here, so that
 * the sink runs unchanged in virtual time.
 */
export interface Surroundings {
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Runs `due` once, after `afterMs`; the answer drops it. */
  timer(afterMs: number, due: () => void): () => void;
  /** Twelve hexadecimal digits that no other sink instance gets. */
  uniqueName(): string;
  /** Connects and logs in; SINK_UNREACHABLE, SINK_ACCESS_DENIED or SINK_BUSY when that fails. */
  connect(options: ConnectionOptions): Promise<ServerLink>;
}

/** Resolves after `ms` milliseconds. */
export function sleep(surroundings: Surroundings, ms: number): Promise<void> {
  return new Promise((resolve) => surroundings.timer(ms, resolve));
}
