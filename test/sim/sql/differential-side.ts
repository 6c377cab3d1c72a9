/** One server of the differential test: its sessions, what they were asked, what they answered. */
import { SinkConnection } from '#src/adapters/mysql-sink/connection.ts';
import { sessionSetup } from '#src/adapters/mysql-sink/session.ts';
import { readEndpoint } from '#src/adapters/mysql-sink/endpoint.ts';

import type { CommandAnswer } from '#src/adapters/mysql-sink/command-answer.ts';
import type { Surroundings } from '#src/adapters/mysql-sink/surroundings.ts';

/** What became of a command: `closed` when its connection ended before the answer. */
export type Told =
  | 'closed'
  | (Omit<CommandAnswer, 'error'> & {
      readonly error: string | null;
      readonly inTransaction: boolean;
    });

interface Seat {
  connection: SinkConnection;
  pending: Promise<void> | null;
  told: Told | null;
}

/** Sessions on one server, by number. */
export class Side {
  readonly #surroundings: Surroundings;
  readonly #uri: string;
  readonly #seats: Seat[] = [];

  constructor(surroundings: Surroundings, uri: string) {
    this.#surroundings = surroundings;
    this.#uri = uri;
  }

  /** Opens session `at`, set up as the sink sets up its own, but more patient. */
  async open(at: number, schema: string): Promise<void> {
    const connection = await SinkConnection.connect(
      readEndpoint(this.#uri).connect,
      this.#surroundings,
    );
    this.#seats[at] = { connection, pending: null, told: null };
    const patience =
      'SET SESSION innodb_lock_wait_timeout=1000,lock_wait_timeout=1000,wait_timeout=1000';
    const setup = `${sessionSetup('writer')};${patience};SET SESSION idle_transaction_timeout=0;USE \`${schema}\``;
    const answer = await connection.query([Buffer.from(setup)], { timeoutMs: 0 });
    if (answer.error !== null) throw new Error(answer.error.text);
  }

  /** Sends a command, whose answer is told later. */
  send(at: number, sql: string): void {
    const seat = this.#seats[at]!;
    seat.told = null;
    seat.pending = seat.connection.query([Buffer.from(sql, 'latin1')], { timeoutMs: 0 }).then(
      ({ error, statementCount, results }) => {
        const errno = error === null ? null : `${error.errno} at ${error.statementIndex}`;
        // What an error leaves of the transaction is asked for: an error packet does not say.
        const { inTransaction } = seat.connection;
        seat.told = { error: errno, statementCount, results, inTransaction };
        seat.pending = null;
      },
      () => {
        seat.told = 'closed';
        seat.pending = null;
      },
    );
  }

  /** The server's number of a session. */
  idOf(at: number): number {
    return this.#seats[at]!.connection.id;
  }

  /** Whether the session's last command is not answered yet. */
  isPending(at: number): boolean {
    return this.#seats[at]!.pending !== null;
  }

  /** Whether the session is over. */
  isClosed(at: number): boolean {
    return !this.#seats[at]!.connection.isOpen;
  }

  /** Takes what a session was told, null while it waits. */
  take(at: number): Told | null {
    const { told } = this.#seats[at]!;
    this.#seats[at]!.told = null;
    return told;
  }

  /** Ends all sessions. */
  close(): void {
    for (const { connection } of this.#seats) connection.destroy();
  }
}
