import { readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { createConnection } from 'mysql2/promise';
import { freePort } from './free-port.ts';
import { ServerProcess, becomesReady, releaseDirectory } from './server-process.ts';

import type { Connection, ConnectionOptions } from 'mysql2/promise';
import type { ServerCommand } from './server-process.ts';

/** What differs between the makes of server. */
export interface SqlServerKind {
  readonly flavor: 'mariadb' | 'mysql';
  /** The command that runs the server on the given port, with its configuration written. */
  command(port: number, config: Readonly<Record<string, string>>): ServerCommand;
}

/** Where one server lives. */
export interface SqlServerPlace {
  readonly directory: string;
  readonly dataDirectory: string;
  readonly socket: string;
  /** Whether `stop` removes the directory. */
  readonly ownsDirectory: boolean;
}

const PORT_TRIES = 8;
const BIND_FAILED =
  /Address already in use|Bind on TCP\/IP port|Can't start server: can't create|Do you already have another/;

/**
 * A private MariaDB or MySQL server: own directory, own socket, a free port of 127.0.0.1, user `root` without a
 * password. It never outlives the test process.
 */
export class SqlServer {
  readonly flavor: 'mariadb' | 'mysql';
  readonly directory: string;
  readonly dataDirectory: string;
  readonly socket: string;
  readonly #kind: SqlServerKind;
  readonly #place: SqlServerPlace;
  #config: Readonly<Record<string, string>>;
  #port = 0;
  #version = '';
  #process: ServerProcess | null = null;
  #admin: Promise<Connection> | null = null;
  #scripts: Promise<Connection> | null = null;

  private constructor(
    kind: SqlServerKind,
    place: SqlServerPlace,
    config: Readonly<Record<string, string>>,
  ) {
    this.flavor = kind.flavor;
    this.directory = place.directory;
    this.dataDirectory = place.dataDirectory;
    this.socket = place.socket;
    this.#kind = kind;
    this.#place = place;
    this.#config = config;
  }

  /** Starts a server and waits until it answers. */
  static async start(
    kind: SqlServerKind,
    place: SqlServerPlace,
    config: Readonly<Record<string, string>>,
  ): Promise<SqlServer> {
    const server = new SqlServer(kind, place, config);
    await server.#run(null);
    return server;
  }

  /** The port on 127.0.0.1; it stays the same over a restart. */
  get port(): number {
    return this.#port;
  }

  /** The server's process id. */
  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** The server's own version text, e.g. `10.11.19-MariaDB-0+deb12u1-log`. */
  get version(): string {
    return this.#version;
  }

  /** A connection URI of user root, e.g. `mysql://root@127.0.0.1:3307/`. */
  uri(parameters: Readonly<Record<string, string>> = {}): string {
    const query = new URLSearchParams(parameters).toString();
    return `mysql://root@127.0.0.1:${this.#port}/${query === '' ? '' : `?${query}`}`;
  }

  /** Runs one statement on the standing admin connection; its rows ([] for a statement without rows). */
  async query<T extends object = Record<string, unknown>>(
    sql: string,
    parameters: readonly unknown[] = [],
  ): Promise<T[]> {
    this.#admin ??= this.connect();
    const connection = await this.#admin;
    const [rows] = await connection.query(sql, parameters as unknown[]);
    return Array.isArray(rows) ? (rows as T[]) : [];
  }

  /** Runs several statements, divided by `;`, on a standing connection of their own. */
  async script(sql: string): Promise<void> {
    this.#scripts ??= this.connect({ multipleStatements: true });
    const connection = await this.#scripts;
    await connection.query(sql);
  }

  /** A new connection of user root; the caller ends it. Big numbers, decimals and temporals arrive as text. */
  async connect(options: ConnectionOptions = {}): Promise<Connection> {
    const connection = await createConnection({
      host: '127.0.0.1',
      port: this.#port,
      user: 'root',
      supportBigNumbers: true,
      dateStrings: true,
      ...options,
    });
    // A killed server breaks the connection; whoever uses it next sees the error there.
    connection.on('error', () => undefined);
    return connection;
  }

  /** The binary log's files, oldest first, as absolute paths. */
  binlogFiles(): string[] {
    const index = readFileSync(join(this.dataDirectory, 'binlog.index'), 'utf8');
    return index
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => (isAbsolute(line) ? line : join(this.dataDirectory, line)));
  }

  /** Sends a signal; a deadly one is waited for. Ends the standing connections then. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const running = this.#process;
    if (running === null) return;
    if (signal === 'SIGSTOP') return running.freeze();
    running.signal(signal);
    if (signal === 'SIGCONT') return;
    await running.ended(60_000);
    this.#process = null;
    await this.#dropConnections();
  }

  /** Starts again on the same data and port, ended gracefully first when it runs; `config` adds settings. */
  async restart(config: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.#halt();
    this.#config = { ...this.#config, ...config };
    await this.#run(this.#port);
  }

  /** Ends the server gracefully and removes its directory. */
  async stop(): Promise<void> {
    await this.#halt();
    if (this.#place.ownsDirectory) releaseDirectory(this.directory);
  }

  async #halt(): Promise<void> {
    await this.#dropConnections();
    await this.#process?.stop();
    this.#process = null;
  }

  async #run(port: number | null): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      this.#port = port ?? (await freePort());
      const running = new ServerProcess(this.#kind.command(this.#port, this.#config));
      this.#process = running;
      if (await becomesReady(running, () => this.#answers())) return;
      const { log } = running;
      await running.stop(1_000);
      this.#process = null;
      if (attempt < PORT_TRIES && BIND_FAILED.test(log)) continue;
      if (this.#place.ownsDirectory) releaseDirectory(this.directory);
      throw new Error(`${this.#kind.flavor} did not start:\n${log}`);
    }
  }

  // Asked on its own socket: a server of somebody else may hold the port.
  async #answers(): Promise<boolean> {
    try {
      const connection = await createConnection({ socketPath: this.socket, user: 'root' });
      const [rows] = await connection.query('SELECT VERSION() AS version');
      this.#version = (rows as { version: string }[])[0]!.version;
      await connection.end();
      return true;
    } catch {
      return false;
    }
  }

  async #dropConnections(): Promise<void> {
    const open = [this.#admin, this.#scripts];
    this.#admin = null;
    this.#scripts = null;
    for (const connecting of open) {
      try {
        const connection = await connecting;
        connection?.destroy();
      } catch {
        // It never came to be.
      }
    }
  }
}
