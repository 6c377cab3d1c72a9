/**
 * A MariaDB in memory and in virtual time, as far as the sink uses one: sessions, row locks, READ COMMITTED, errors 1205 and
 * 1213 with what they take back (FENCE §1.6), named locks, KILL, definitions, restarts. Connections are pipes of bytes that
 * survive their clients: a packet handed over is run even when nobody is left to read the answer.
 */
import { Catalog } from './catalog.ts';
import { ServerConnection } from './connection.ts';
import { LockManager } from './locks.ts';
import { Execution, Session } from './execution.ts';
import { statementsOf } from './parse-statement.ts';
import { runStatement } from './statement.ts';
import { byteText } from './value.ts';

import type { LinkListener, ServerLink } from '#src/adapters/mysql-sink/surroundings.ts';
import type { SimHost } from './connection.ts';
import type { Logged, ServerState } from './execution.ts';
import type { ResultRows } from './read.ts';
import type { Row, Value } from './value.ts';

/** How fast the simulated server and its network are: longest times in milliseconds, each drawn anew. */
export interface SimServerSpeed {
  /** One way between client and server. */
  latencyMs: number;
  commitMs: number;
  definitionMs: number;
  /** Before a statement; only one in four waits at all. */
  statementMs: number;
  /** Until a killed session has rolled back. */
  killMs: number;
  /** One way for bytes that the network holds up: one packet in fifty. 0: none. */
  lateMs: number;
  /** How long one of the server's own seconds lasts: its lock waits and idle times are in seconds. */
  secondMs: number;
}

/** A connection to a simulated server. */
export interface SimServerLink extends ServerLink {
  /** What is written from now on arrives after `ms` at the earliest. */
  holdUp(ms: number): void;
  /** The network gives up on it: its client hears of it a moment later, the server gets what was written before. */
  cut(): void;
}

/** A server. */
export class SimMariadb {
  /** Told of each commit, in order. */
  appended: (logged: Logged) => void = () => {};
  /** Told of each error that a statement met, by its number. */
  refused: (errno: number) => void = () => {};
  /** Told of bytes that arrive when the client that wrote them has given the connection up. */
  orphaned: () => void = () => {};
  /** May be changed at any time. */
  readonly speed: SimServerSpeed;
  /** Why a real server might have gone on otherwise: how far its purge has come, which of near equals it chose as a victim. */
  uncertain: 'purge' | 'victim' | null = null;
  /** Sessions that got a lock they waited for, since somebody last emptied it. */
  readonly resumedIds = new Set<number>();
  readonly #host: SimHost;
  readonly #state: ServerState;
  readonly #connections = new Map<number, ServerConnection>();
  readonly #links = new Map<number, Pipe>();
  #connectionCount = 0;
  #nameCount = 0;
  #isUp = true;

  constructor(host: SimHost, speed: Partial<SimServerSpeed> = {}) {
    this.#host = host;
    this.speed = {
      latencyMs: 0,
      commitMs: 0,
      definitionMs: 0,
      statementMs: 0,
      killMs: 0,
      lateMs: 0,
      secondMs: 1_000,
      ...speed,
    };
    const drawn = (most: number): number => (most === 0 ? 0 : host.random() * most);
    const rowLocks = new LockManager();
    rowLocks.closeCall = () => {
      this.uncertain ??= 'victim';
    };
    this.#state = {
      catalog: new Catalog(),
      rowLocks,
      otherLocks: new LockManager(),
      variables: serverVariables(),
      isReadOnly: false,
      now: host.now,
      secondMs: () => this.speed.secondMs,
      commitMs: () => drawn(this.speed.commitMs),
      definitionMs: () => drawn(this.speed.definitionMs),
      append: (logged) => this.appended(logged),
      depends: () => {
        this.uncertain ??= 'purge';
      },
      kill: (id) => {
        const found = this.#connections.get(id);
        found?.kill();
        return found !== undefined;
      },
    };
  }

  /** Whether the server refuses changes. */
  get isReadOnly(): boolean {
    return this.#state.isReadOnly;
  }

  set isReadOnly(isReadOnly: boolean) {
    this.#state.isReadOnly = isReadOnly;
    this.#state.variables.set('read_only', isReadOnly ? 1n : 0n);
  }

  /** Ids of sessions that wait for a lock. */
  get blockedIds(): readonly number[] {
    return [...this.#connections].filter(([, found]) => found.isBlocked).map(([id]) => id);
  }

  /** Ids of sessions with an open transaction. */
  get openIds(): readonly number[] {
    return [...this.#connections].filter(([, { session }]) => session.isExplicit).map(([id]) => id);
  }

  /** Ids of all sessions. */
  get sessionIds(): readonly number[] {
    return [...this.#connections.keys()];
  }

  /** Logs in: answers a connection, or null while the server is down. */
  connect(answered: (link: SimServerLink | null) => void): void {
    this.#host.after(this.#latencyMs() * 2, () => {
      answered(this.#isUp ? this.#accept() : null);
    });
  }

  /** A name that was never used with this server. */
  uniqueName(): string {
    return (++this.#nameCount).toString(16).padStart(12, '0');
  }

  /**
   * Cuts a random connection, more often one with bytes under way: its client hears of it, the server gets and runs what
   * was sent.
   */
  cut(): void {
    const all = [...this.#links.values()];
    const busy = all.filter((pipe) => pipe.isSending);
    const among = busy.length > 0 && this.#host.random() < 0.7 ? busy : all;
    among[Math.floor(this.#host.random() * among.length)]?.cut();
  }

  /** Ends a session as KILL CONNECTION does. */
  kill(id: number): boolean {
    return this.#state.kill(id);
  }

  /** Dies and comes back after `downMs`: what is not committed is gone, all connections are. */
  restart(downMs: number): void {
    this.#isUp = false;
    for (const connection of this.#connections.values()) connection.crash();
    this.#host.after(downMs, () => {
      this.#isUp = true;
    });
  }

  /** Runs SQL at once, outside of time, and answers the rows of the last statement; a Fault when it would wait. */
  run(sql: string): ResultRows {
    const execution = new Execution(this.#state, new Session(0));
    let result: ResultRows = { names: [], rows: [] };
    for (const { statement } of statementsOf(byteText(sql))) {
      const step = runInstantly(execution, statement);
      if (step !== null) result = step;
    }
    return result;
  }

  /** Rows of a table as committed, by its primary key; null when it is not there. */
  rows(schema: string, table: string): readonly Row[] | null {
    const found = this.#state.catalog.table({ schema, table });
    return (
      found?.inOrder().flatMap(({ committed }) => (committed === null ? [] : [committed])) ?? null
    );
  }

  #accept(): SimServerLink {
    const id = ++this.#connectionCount;
    const pipe = new Pipe(id, this.#host, {
      latencyMs: (toServer) => (toServer ? this.#sendMs() : this.#latencyMs()),
      toServer: (bytes) => {
        const connection = this.#connections.get(id);
        if (connection === undefined) return;
        if (!this.#links.has(id)) this.orphaned();
        connection.receive(bytes);
      },
      endToServer: () => this.#connections.get(id)?.receiveEnd(),
      closed: () => this.#links.delete(id),
    });
    const connection = new ServerConnection(id, {
      host: this.#host,
      state: this.#state,
      statementMs: () => this.#statementMs(),
      killMs: () => this.#host.random() * this.speed.killMs,
      resumed: () => this.resumedIds.add(id),
      refused: (errno) => this.refused(errno),
      send: (bytes) => pipe.send(bytes),
      ended: () => {
        this.#connections.delete(id);
        pipe.sendEnd();
      },
    });
    this.#connections.set(id, connection);
    this.#links.set(id, pipe);
    return pipe;
  }

  #statementMs(): number {
    const { statementMs } = this.speed;
    if (statementMs === 0 || this.#host.random() >= 0.25) return 0;
    return this.#host.random() * statementMs;
  }

  #latencyMs(): number {
    return this.speed.latencyMs === 0 ? 0 : this.#host.random() * this.speed.latencyMs;
  }

  #sendMs(): number {
    const { lateMs } = this.speed;
    const isLate = lateMs > 0 && this.#host.random() < 0.02;
    return isLate ? this.#host.random() * lateMs : this.#latencyMs();
  }
}

function runInstantly(
  execution: Execution,
  statement: Parameters<typeof runStatement>[1],
): ResultRows | null {
  const run = runStatement(execution, statement);
  let step = run.next();
  while (step.done !== true) {
    if (step.value.kind === 'lock') throw new Error('a question of the test would wait for a lock');
    step = run.next();
  }
  return step.value.kind === 'rows' ? step.value : null;
}

interface PipeEnds {
  readonly latencyMs: (toServer: boolean) => number;
  readonly toServer: (bytes: Buffer) => void;
  readonly endToServer: () => void;
  readonly closed: () => void;
}

/** Two ordered streams of bytes. What the client has written arrives, whether the client lives or not. */
class Pipe implements SimServerLink {
  readonly id: number;
  readonly #host: SimHost;
  readonly #ends: PipeEnds;
  #listener: LinkListener | null = null;
  #isClosed = false;
  /** Why it was lost before anybody listened. */
  #unheard: string | null = null;
  readonly #toServer: Direction = { lastAt: 0, waiting: [] };
  readonly #toClient: Direction = { lastAt: 0, waiting: [] };

  constructor(id: number, host: SimHost, ends: PipeEnds) {
    this.id = id;
    this.#host = host;
    this.#ends = ends;
  }

  /** Whether bytes are on their way to the server. */
  get isSending(): boolean {
    return this.#toServer.waiting.length > 0;
  }

  listen(listener: LinkListener): void {
    this.#listener = listener;
    const reason = this.#unheard;
    if (reason !== null) this.#host.after(0, () => listener.end(reason));
  }

  write(bytes: Uint8Array): void {
    if (this.#isClosed) return;
    const copy = Buffer.from(bytes);
    this.#later(this.#toServer, () => this.#ends.toServer(copy));
  }

  destroy(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#ends.closed();
    this.#later(this.#toServer, () => this.#ends.endToServer());
  }

  /** Bytes of the server. */
  send(bytes: Buffer): void {
    this.#later(this.#toClient, () => {
      if (!this.#isClosed) this.#listener?.data(bytes);
    });
  }

  /** The server has closed. */
  sendEnd(): void {
    this.#later(this.#toClient, () => this.#lose('the downstream closed the connection'));
  }

  holdUp(ms: number): void {
    const { now } = this.#host;
    this.#toServer.lastAt = Math.max(this.#toServer.lastAt, now() + ms);
  }

  cut(): void {
    this.#later(this.#toClient, () => this.#lose('the connection to the downstream broke'));
  }

  #lose(reason: string): void {
    if (this.#isClosed) return;
    this.destroy();
    if (this.#listener === null) this.#unheard = reason;
    else this.#listener.end(reason);
  }

  /** In order, whatever times are drawn. */
  #later(direction: Direction, run: () => void): void {
    const now = this.#host.now();
    direction.lastAt = Math.max(
      direction.lastAt,
      now + this.#ends.latencyMs(direction === this.#toServer),
    );
    direction.waiting.push(run);
    this.#host.after(direction.lastAt - now, () => direction.waiting.shift()!());
  }
}

interface Direction {
  lastAt: number;
  readonly waiting: (() => void)[];
}

function serverVariables(): Map<string, Value> {
  return new Map<string, Value>([
    ['version', '10.11.19-MariaDB-simulated'],
    ['version_comment', 'simulated'],
    ['hostname', 'simulated'],
    ['port', 3306n],
    ['datadir', '/data/'],
    ['wsrep_on', 'OFF'],
    ['autocommit', 1n],
    ['sql_mode', 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'],
    ['innodb_lock_wait_timeout', 50n],
    ['lock_wait_timeout', 86_400n],
    ['wait_timeout', 28_800n],
    ['idle_transaction_timeout', 0n],
    ['check_constraint_checks', 1n],
    ['max_allowed_packet', 16_777_216n],
    ['read_only', 0n],
    ['explicit_defaults_for_timestamp', 1n],
  ]);
}
