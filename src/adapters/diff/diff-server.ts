import { createConnection } from 'mysql2/promise';
import { fail } from '#src/base/failure.ts';
import { readTls } from '#src/config/tls.ts';
import { parseDatabaseUri } from '#src/config/uri.ts';

import type { Connection } from 'mysql2/promise';
import type { FailureCode } from '#src/base/failures.ts';

/** Which of the two servers. */
export type DiffSide = 'upstream' | 'downstream';

/** A row of text cells. */
export type TextRow = readonly (string | null)[];

const connectTimeoutMs = 10_000;

/** Text is compared as stored: no escapes, no zone, no limit of time on a statement that reads a whole table. */
const sessionSettings = [
  "SET NAMES utf8mb4, SESSION sql_mode = 'NO_BACKSLASH_ESCAPES,ALLOW_INVALID_DATES', SESSION time_zone = '+00:00'",
  'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
  'SET SESSION TRANSACTION READ ONLY',
];

const codes: Readonly<Record<DiffSide, { unreachable: FailureCode; denied: FailureCode }>> = {
  upstream: { unreachable: 'SOURCE_UNREACHABLE', denied: 'SOURCE_ACCESS_DENIED' },
  downstream: { unreachable: 'SINK_UNREACHABLE', denied: 'SINK_ACCESS_DENIED' },
};

/** One server of a comparison: a single read-only session whose failures name the side and never a value. */
export class DiffServer {
  readonly side: DiffSide;
  readonly flavor: 'mariadb' | 'mysql';
  readonly #connection: Connection;

  private constructor(side: DiffSide, flavor: 'mariadb' | 'mysql', connection: Connection) {
    this.side = side;
    this.flavor = flavor;
    this.#connection = connection;
  }

  /** Connects; SOURCE_… or SINK_… UNREACHABLE or ACCESS_DENIED, CONFIG_INVALID for the URI. */
  static async open(side: DiffSide, uri: string): Promise<DiffServer> {
    const parts = parseDatabaseUri(uri);
    const ssl = readTls(parts);
    const where =
      parts.socket === undefined
        ? { host: parts.host, port: parts.port }
        : { socketPath: parts.socket };
    try {
      const connection = await createConnection({
        ...where,
        user: parts.user,
        password: parts.password.reveal(),
        charset: 'utf8mb4',
        connectTimeout: connectTimeoutMs,
        ...(ssl === undefined ? {} : { ssl: { ...ssl } }),
        rowsAsArray: true,
        dateStrings: true,
        supportBigNumbers: true,
        bigNumberStrings: true,
      });
      // The error also rejects the query under way; without a listener it would end the process.
      connection.on('error', () => undefined);
      for (const sql of sessionSettings) await connection.query(sql);
      const [rows] = await connection.query('SELECT VERSION()');
      const version = String((rows as unknown[][])[0]?.[0]);
      const flavor = version.includes('MariaDB') ? 'mariadb' : 'mysql';
      if (flavor === 'mariadb') await connection.query('SET SESSION max_statement_time = 0');
      else await connection.query('SET SESSION max_execution_time = 0');
      return new DiffServer(side, flavor, connection);
    } catch (error) {
      return refuseConnection(side, error);
    }
  }

  /** Runs one SELECT; all cells as text. DIFF_FAILED names the side and the server's error, never the statement. */
  async rows(sql: string): Promise<readonly TextRow[]> {
    try {
      const [rows] = await this.#connection.query(sql);
      return (rows as unknown[][]).map((row) =>
        row.map((cell) =>
          cell === null
            ? null
            : Buffer.isBuffer(cell)
              ? cell.toString()
              : `${cell as string | number | bigint}`,
        ),
      );
    } catch (error) {
      const { name, errno } = errorName(error);
      return fail('DIFF_FAILED', `the ${this.side} refused a query of the comparison: ${name}`, {
        detail: { side: this.side, errno },
      });
    }
  }

  /** Ends the session without waiting for a query under way. */
  close(): void {
    this.#connection.destroy();
  }
}

function refuseConnection(side: DiffSide, error: unknown): never {
  const { name, errno } = errorName(error);
  const denied = errno === 1044 || errno === 1045 || errno === 1698;
  return fail(
    denied ? codes[side].denied : codes[side].unreachable,
    `the ${side} cannot be compared: ${name}`,
    { detail: { side, errno } },
  );
}

/** The symbolic name and number only: a server's message may repeat a value of the statement. */
function errorName(error: unknown): { name: string; errno: number } {
  const { code, errno } = error as { code?: unknown; errno?: unknown };
  return {
    name: typeof code === 'string' ? code : 'unknown error',
    errno: typeof errno === 'number' ? errno : 0,
  };
}
