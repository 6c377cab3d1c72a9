import type { Socket } from 'node:net';
import { createConnection, type Connection } from 'mysql2';
import { failure, FailureError } from '../../base/failure.ts';
import { failureOfError } from './source-failure.ts';
import type { UpstreamUri } from './upstream-uri.ts';

/** A row of a query's answer; every value as text, NULL as null. */
export type TextRow = Readonly<Record<string, string | null>>;

/**
 * One connection to the upstream, opened by mysql2 (TCP, TLS or Unix socket, any of its authentication methods). It runs
 * queries one at a time, each under a deadline, until `takeOver` hands the bare socket to the dump stream. Everything
 * thrown is a FailureError; no error event is left without a listener.
 */
export class ServerConnection {
  readonly #connection: Connection;
  readonly #timeoutMs: number;
  #closed = false;

  private constructor(connection: Connection, timeoutMs: number) {
    this.#connection = connection;
    this.#timeoutMs = timeoutMs;
  }

  /** Connects and authenticates. */
  static async open(uri: UpstreamUri): Promise<ServerConnection> {
    const { database, tls, timeoutMs } = uri;
    const connection = createConnection({
      host: database.host,
      port: database.port,
      ...(database.socket === undefined ? {} : { socketPath: database.socket }),
      user: database.user,
      password: database.password.reveal(),
      ...(tls === undefined ? {} : { ssl: { ...tls } }),
      connectTimeout: timeoutMs,
      charset: 'utf8mb4',
      enableKeepAlive: true,
    });
    // mysql2 emits errors of a connection nobody waits on; the waiting call has its own report.
    connection.on('error', () => undefined);
    const opened = new ServerConnection(connection, timeoutMs);
    try {
      await opened.#deadline(
        new Promise<void>((resolve, reject) => {
          connection.connect((error) => (error === null ? resolve() : reject(error)));
        }),
      );
    } catch (error) {
      opened.close();
      throw new FailureError(failureOfError(error, false));
    }
    return opened;
  }

  /** Runs one statement of text protocol; the answer's rows (empty for statements without). */
  async query(sql: string): Promise<readonly TextRow[]> {
    try {
      return await this.#deadline(
        new Promise<readonly TextRow[]>((resolve, reject) => {
          this.#connection.query({ sql, typeCast: textOfField }, (error, rows) =>
            error === null ? resolve(textRows(rows)) : reject(error),
          );
        }),
      );
    } catch (error) {
      throw new FailureError(failureOfError(error, true));
    }
  }

  /** The socket, from now on the caller's: mysql2 sees no byte of it any more. Legal with no query under way. */
  takeOver(): Socket {
    const socket = socketOf(this.#connection);
    this.#closed = true;
    socket.removeAllListeners('data');
    socket.removeAllListeners('end');
    socket.removeAllListeners('close');
    socket.removeAllListeners('error');
    socket.removeAllListeners('timeout');
    return socket;
  }

  /** Ends the connection at once. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#connection.destroy();
    socketOf(this.#connection).destroy();
  }

  async #deadline<T>(work: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        const message = `the upstream did not answer within ${this.#timeoutMs} ms`;
        reject(new FailureError(failure('SOURCE_UNREACHABLE', message, { retry: 'Again' })));
      }, this.#timeoutMs);
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

function socketOf(connection: Connection): Socket {
  // mysql2 does not declare the field; it is the TLS socket when there is one.
  return Reflect.get(connection, 'stream') as Socket;
}

function textOfField(field: { string(encoding?: BufferEncoding): string | null }): string | null {
  return field.string();
}

function textRows(rows: unknown): readonly TextRow[] {
  return Array.isArray(rows) ? (rows as readonly TextRow[]) : [];
}
