import { createConnection } from 'mysql2';
import { FailureError } from '#src/base/failure.ts';
import { connectFailure } from './server-error.ts';

import type { Socket } from 'node:net';
import type { Connection as DriverConnection, ConnectionOptions } from 'mysql2';
import type { LinkListener, ServerLink } from './surroundings.ts';

/** Milliseconds for the TCP connect and the login. */
const connectTimeoutMs = 10_000;
/** Milliseconds of silence on an idle socket before the kernel probes the peer. */
const keepAliveMs = 10_000;

/**
 * Connects, with TLS where asked for, and logs in by the driver, then takes its socket: a fenced transaction must be one
 * packet of raw bytes whose submit is decided in the same tick as its write.
 */
export function connectLink(options: ConnectionOptions): Promise<ServerLink> {
  return new Promise((resolve, reject) => {
    const driver = createConnection({
      ...options,
      connectTimeout: connectTimeoutMs,
      enableKeepAlive: true,
      keepAliveInitialDelay: keepAliveMs,
      multipleStatements: true,
      // A server must not read our files; query attributes and session tracking would change the packets' layout.
      flags: [
        '-LOCAL_FILES',
        '-CLIENT_QUERY_ATTRIBUTES',
        '-SESSION_TRACK',
        '-IGNORE_SPACE',
        '-ODBC',
      ],
      connectAttributes: { program_name: 'sluice' },
    });
    // Stays for good: the driver notices the end of the socket too, and we have it from the socket itself.
    driver.on('error', (error: unknown) => {
      driver.destroy();
      reject(new FailureError(connectFailure(error)));
    });
    driver.once('connect', () => {
      resolve(new DriverLink(driver));
    });
  });
}

class DriverLink implements ServerLink {
  readonly id: number;
  readonly #driver: DriverConnection;
  readonly #socket: Socket;
  #ended = false;

  constructor(driver: DriverConnection) {
    this.#driver = driver;
    this.id = driver.threadId;
    this.#socket = (driver as unknown as { stream: Socket }).stream;
    this.#socket.removeAllListeners('data');
  }

  listen(listener: LinkListener): void {
    const end = (reason: string): void => {
      if (this.#ended) return;
      this.#ended = true;
      listener.end(reason);
    };
    this.#socket.on('data', (chunk: Buffer) => {
      if (!this.#ended) listener.data(chunk);
    });
    this.#socket.once('close', () => {
      end('the downstream closed the connection');
    });
    this.#socket.on('error', () => {
      end('the connection to the downstream broke');
    });
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  destroy(): void {
    this.#ended = true;
    this.#driver.destroy();
    this.#socket.destroy();
  }
}
