import { assert, must } from '#src/base/assert.ts';
import { FailureError, fail, failure } from '#src/base/failure.ts';
import { gateFailure } from '#src/ports/submit-gate.ts';
import { AnswerReader } from './command-answer.ts';
import { PacketReader, commandByte, commandPackets, packetCountOf } from './wire.ts';

import type { ConnectionOptions } from 'mysql2';
import type { SubmitGate } from '#src/ports/submit-gate.ts';
import type { CommandAnswer } from './command-answer.ts';
import type { ServerLink, Surroundings } from './surroundings.ts';

/** How one command is sent. */
export interface CommandOptions {
  /** Asked immediately before the bytes go to the socket; absent for commands that change nothing. */
  readonly gate?: SubmitGate | undefined;
  /** Milliseconds without a complete answer after which the connection is given up; 0 waits for ever. */
  readonly timeoutMs: number;
}

/** Bound of one packet that we read: nothing we ask for is near it. */
const payloadBytesMax = 64 * 1024 * 1024;
/** Bound of all rows of one command. */
const rowBytesMax = 256 * 1024 * 1024;

interface Waiter {
  readonly answer: AnswerReader;
  readonly resolve: (answer: CommandAnswer) => void;
  readonly reject: (error: FailureError) => void;
  /** Drops the time limit. */
  readonly dropTimer: (() => void) | null;
}

/**
 * One connection to the downstream: commands and answers over a {@link ServerLink}.
 *
 * One command at a time (RELIABILITY I-10). Whatever goes wrong (disconnect, broken protocol, timeout) destroys the connection for
 * good and rejects with SINK_DISCONNECTED: the outcome of the command is then unknown, and the server may still be
 * working on it. An error *packet* is part of the answer and leaves the connection open.
 */
export class SinkConnection {
  /** The server's number of this connection, for KILL. */
  readonly id: number;
  readonly #link: ServerLink;
  readonly #surroundings: Surroundings;
  readonly #packets: PacketReader;
  #waiter: Waiter | null = null;
  #open = true;
  /** Whether the server says that a transaction is open. */
  inTransaction = false;

  private constructor(link: ServerLink, surroundings: Surroundings) {
    this.#link = link;
    this.#surroundings = surroundings;
    this.id = link.id;
    this.#packets = new PacketReader((payload) => {
      this.#receive(payload);
    }, payloadBytesMax);
    link.listen({
      data: (chunk) => {
        this.#read(chunk);
      },
      end: (reason) => {
        this.#end(reason);
      },
    });
  }

  /** Connects and logs in; SINK_UNREACHABLE, SINK_ACCESS_DENIED or SINK_BUSY when that fails. */
  static async connect(
    options: ConnectionOptions,
    surroundings: Surroundings,
  ): Promise<SinkConnection> {
    return new SinkConnection(await surroundings.connect(options), surroundings);
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
        reject(new FailureError(gateFailure(gate)));
        return;
      }
      this.#link.write(packets);
      const dropTimer =
        timeoutMs === 0 ? null : this.#surroundings.timer(timeoutMs, () => this.#expire());
      this.#waiter = { answer: new AnswerReader(rowBytesMax), resolve, reject, dropTimer };
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
    waiter.dropTimer?.();
    waiter.resolve(answer);
  }

  #expire(): void {
    this.#end('the downstream did not answer in time');
  }

  #end(reason: string): void {
    if (!this.#open) return;
    this.#open = false;
    this.#link.destroy();
    const waiter = this.#waiter;
    this.#waiter = null;
    if (waiter === null) return;
    waiter.dropTimer?.();
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
