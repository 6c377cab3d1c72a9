import { createConnection } from 'mysql2';
import { assert, must } from '#src/base/assert.ts';
import { FailureError, fail, failure } from '#src/base/failure.ts';
import { AnswerReader } from './command-answer.ts';
import { connectFailure } from './server-error.ts';
import { PacketReader, commandByte, commandPackets, packetCountOf } from './wire.ts';

import type { Socket } from 'node:net';
import type { Connection as DriverConnection, ConnectionOptions } from 'mysql2';
import type { CommandAnswer } from './command-answer.ts';

/** Decides, without waiting, whether this node may still submit (FENCE §2.1). */
export interface SubmitGate {
  mayWrite(): boolean;
}

/** How one command is sent. */
export interface CommandOptions {
  /** Asked immediately before the bytes go to the socket; absent for commands that change nothing. */
  readonly gate?: SubmitGate | undefined;
  /** Milliseconds without a complete answer after which the connection is given up; 0 waits for ever. */
  readonly timeoutMs: number;
}

/** Milliseconds for the TCP connect and the login. */
const connectTimeoutMs = 10_000;
/** Milliseconds of silence on an idle socket before the kernel probes the peer. */
const keepAliveMs = 10_000;
/** Bound of one packet that we read: nothing we ask for is near it. */
const payloadBytesMax = 64 * 1024 * 1024;
/** Bound of all rows of one command. */
const rowBytesMax = 256 * 1024 * 1024;

interface Waiter {
  readonly answer: AnswerReader;
  readonly resolve: (answer: CommandAnswer) => void;
  readonly reject: (error: FailureError) => void;
  readonly timer: NodeJS.Timeout | null;
}

/**
 * One connection to the downstream. The driver does connect, TLS and login; from then on the socket is ours, because a
 * fenced transaction must be one packet of raw bytes whose submit is decided in the same tick as its write.
 *
 * One command at a time (RELIABILITY I-10). Whatever goes wrong (disconnect, broken protocol, timeout) destroys the connection for
 * good and rejects with SINK_DISCONNECTED: the outcome of the command is then unknown, and the server may still be
 * working on it. An error *packet* is part of the answer and leaves the connection open.
 */
export class SinkConnection {
  /** The server's number of this connection, for KILL. */
  readonly id: number;
  readonly #driver: DriverConnection;
  readonly #socket: Socket;
  readonly #packets: PacketReader;
  #waiter: Waiter | null = null;
  #open = true;
  /** Whether the server says that a transaction is open. */
  inTransaction = false;

  private constructor(driver: DriverConnection) {
    this.#driver = driver;
    this.id = driver.threadId;
    this.#socket = (driver as unknown as { stream: Socket }).stream;
    this.#packets = new PacketReader((payload) => {
      this.#receive(payload);
    }, payloadBytesMax);
    this.#socket.removeAllListeners('data');
    this.#socket.on('data', (chunk: Buffer) => {
      this.#read(chunk);
    });
    this.#socket.once('close', () => {
      this.#end('the downstream closed the connection');
    });
    this.#socket.on('error', () => {
      this.#end('the connection to the downstream broke');
    });
  }

  /** Connects and logs in; SINK_UNREACHABLE, SINK_ACCESS_DENIED or SINK_BUSY when that fails. */
  static connect(options: ConnectionOptions): Promise<SinkConnection> {
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
        resolve(new SinkConnection(driver));
      });
    });
  }

  /** Whether commands may still be sent. */
  get isOpen(): boolean {
    return this.#open;
  }

  /** Whether a command was sent whose answer has not arrived. */
  get isBusy(): boolean {
    return this.#waiter !== null;
  }

  /** Sends SQL, one or several statements divided by `;`, and answers when all of it is answered. */
  query(parts: readonly Uint8Array[], options: CommandOptions): Promise<CommandAnswer> {
    return this.#send(commandByte.query, parts, options);
  }

  /** Allows or forbids several statements in one command from here on. */
  async allowSeveralStatements(allowed: boolean, timeoutMs: number): Promise<void> {
    const value = Uint8Array.of(allowed ? 0 : 1, 0);
    const answer = await this.#send(commandByte.setOption, [value], { timeoutMs });
    if (answer.error !== null) {
      fail('SINK_UNSUPPORTED', 'the downstream does not know COM_SET_OPTION', {
        detail: { errno: answer.error.errno },
      });
    }
  }

  /** Closes the socket at once. A command under way rejects; the server may still finish it. */
  destroy(): void {
    this.#end('the connection was given up');
  }

  #send(
    command: number,
    parts: readonly Uint8Array[],
    options: CommandOptions,
  ): Promise<CommandAnswer> {
    assert(this.#waiter === null, 'one command at a time per sink connection');
    return new Promise((resolve, reject) => {
      if (!this.#open) {
        reject(disconnected('the connection was already closed'));
        return;
      }
      const packets = commandPackets(command, parts);
      const { timeoutMs, gate } = options;
      // Nothing may come between this question and the write: no await, no other work (FENCE §2.1).
      if (gate !== undefined && !gate.mayWrite()) {
        reject(new FailureError(failure('SINK_FENCED', 'this node may not write any more')));
        return;
      }
      this.#socket.write(packets);
      const timer = timeoutMs === 0 ? null : setTimeout(() => this.#expire(), timeoutMs);
      this.#waiter = { answer: new AnswerReader(rowBytesMax), resolve, reject, timer };
      this.#packets.expect(
        packetCountOf(1 + parts.reduce((sum, part) => sum + part.byteLength, 0)),
      );
    });
  }

  #read(chunk: Buffer): void {
    if (!this.#open) return;
    try {
      this.#packets.push(chunk);
    } catch (error) {
      if (!(error instanceof FailureError)) throw error;
      this.#end(error.failure.message);
    }
  }

  #receive(payload: Buffer): void {
    if (!this.#open) return;
    const waiter = this.#waiter;
    if (waiter === null) {
      // Servers say good-bye with an error packet of their own; anything else here is as final.
      this.#end('the downstream ended the session');
      return;
    }
    waiter.answer.push(payload);
    const answer = waiter.answer.answer;
    if (answer === null) return;
    if (answer.error === null) this.inTransaction = waiter.answer.inTransaction;
    this.#waiter = null;
    if (waiter.timer !== null) clearTimeout(waiter.timer);
    waiter.resolve(answer);
  }

  #expire(): void {
    this.#end('the downstream did not answer in time');
  }

  #end(reason: string): void {
    if (!this.#open) return;
    this.#open = false;
    this.#driver.destroy();
    this.#socket.destroy();
    const waiter = this.#waiter;
    this.#waiter = null;
    if (waiter === null) return;
    if (waiter.timer !== null) clearTimeout(waiter.timer);
    waiter.reject(disconnected(reason));
  }
}

/** The rows of statement `index` of an answer that was checked for errors; a Fault when it has none. */
export function rowsOf(
  answer: CommandAnswer,
  index: number,
): NonNullable<CommandAnswer['results'][number]['rows']> {
  return must(answer.results[index]?.rows, `rows of statement ${index}`);
}

function disconnected(reason: string): FailureError {
  return new FailureError(failure('SINK_DISCONNECTED', reason, { retry: 'Reconnect' }));
}
