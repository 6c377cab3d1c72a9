/**
 * A downstream for the simulator that is the real MySQL sink over the simulated server: rows of the history's tables come in
 * as blocks of real row events, are decoded by the real decoder, and are written by the sink's own statements.
 */
import { SinkConnection } from '#src/adapters/mysql-sink/connection.ts';
import { readEndpoint } from '#src/adapters/mysql-sink/endpoint.ts';
import { openMysqlSink } from '#src/adapters/mysql-sink/sink.ts';
import { copied, type SinkPlace } from '../sim-downstream.ts';
import { LogCheck } from './log-check.ts';
import { SimMachine, type Mishap } from './sim-machine.ts';
import { SimMariadb } from './server.ts';

import type { Outcome } from '#src/base/failure.ts';
import type { SinkPort, SinkRequest } from '#src/ports/sink.ts';
import type { LivingPort } from '../sim-port.ts';
import type { SimHost } from './connection.ts';
import type { Drain } from './drain.ts';
import type { SimServerSpeed } from './server.ts';

/** How to make a downstream. */
export interface SqlDownstreamParts {
  readonly host: SimHost;
  readonly drain: Drain;
  /** `schema.table` of the tables to make: columns `k` INT UNSIGNED, the key, and `v` INT UNSIGNED. */
  readonly tables: readonly string[];
  readonly speed?: Partial<SimServerSpeed>;
  /** Lanes of each span. */
  readonly laneCount?: number;
  /** Whether the network lets anybody through who connects. */
  readonly isReachable?: () => boolean;
  /** Told of the first broken rule, at the commit that broke it. */
  readonly violated?: (what: string) => void;
  /** Told of each checkpoint, when everything up to its ts must be there. */
  readonly checkpointed?: (ts: number) => void;
}

/** The sink port of a thread, and what may happen to its connections. */
export interface SqlPort extends LivingPort {
  readonly meet: (mishap: Mishap) => void;
}

/** The server, with what is known of it. It outlives the processes that write to it. */
export class SqlDownstream {
  readonly server: SimMariadb;
  readonly check: LogCheck;
  readonly #parts: SqlDownstreamParts;
  /** Connection → name of the place that opened it. */
  readonly #writers = new Map<number, string>();
  #strangerCount = 0;

  constructor(parts: SqlDownstreamParts) {
    const { host, tables, speed, violated, checkpointed } = parts;
    this.#parts = parts;
    this.check = new LogCheck((table) => tables.includes(table));
    this.server = new SimMariadb(host, speed);
    for (const table of [...tables, strangersTable]) this.server.run(tableSql(table));
    this.server.appended = (logged) => {
      const before = this.check.checkpointTs;
      this.check.add(logged, this.#writers.get(logged.session) ?? null);
      if (this.check.violation !== null) violated?.(this.check.violation);
      if (this.check.checkpointTs > before) checkpointed?.(this.check.checkpointTs);
    };
  }

  /** Rows that exist: `schema.table key` → version. */
  get versions(): ReadonlyMap<string, number> {
    return this.check.versions;
  }

  /** commitTs of the saved checkpoint; 0 before the first. */
  checkpointTs(): number {
    return this.check.checkpointTs;
  }

  /** Statements on definitions that ran, but the sink's own. */
  get definitions(): readonly string[] {
    return this.check.definitions.filter((sql) => !sql.includes('sluice_meta'));
  }

  /** commitTs of statements whose text tells it as `at 10`, in the order they ran. */
  get ddlDone(): readonly number[] {
    return this.definitions.flatMap((sql) => {
      const found = /\bat (\d+)\b/.exec(sql)?.[1];
      return found === undefined ? [] : [Number(found)];
    });
  }

  /** The server restarts: every connection ends; what it had not committed is gone. */
  restart(downMs = 0): void {
    this.server.restart(downMs);
  }

  /**
   * A stranger locks rows one after the other: whoever writes one of them meanwhile waits, and meets 1205 in the end
   * (FENCE §1.6); whoever holds one and wants another that is locked already meets 1213, being the lighter one.
   */
  lockRows(rows: readonly LockedRow[], forMs: number): void {
    const { host, drain } = this.#parts;
    const machine = new SimMachine({ host, drain, server: this.server });
    const lock = async (): Promise<void> => {
      const { connect } = readEndpoint('mysql://root@simulated/');
      const connection = await SinkConnection.connect(connect, machine.surroundings);
      for (const sql of [strangersWork(++this.#strangerCount), ...rows.map(lockSql)])
        await connection.query([Buffer.from(sql, 'latin1')], { timeoutMs: 0 });
    };
    drain.mark();
    // A server that is down, or the end of its patience, only means that nothing is locked.
    lock().catch(() => {});
    host.after(forMs, () => machine.die());
  }

  /** The sink port of a thread. */
  open(place: SinkPlace): SqlPort {
    const { host, drain, laneCount, isReachable } = this.#parts;
    const machine = new SimMachine({
      host,
      drain,
      server: this.server,
      connected: (id) => this.#writers.set(id, place.name),
      deliver: place.enter,
      ...(place.heldMs === undefined ? {} : { heldMs: place.heldMs }),
      ...(isReachable === undefined ? {} : { isReachable }),
    });
    const sink = openMysqlSink({
      uri: 'mysql://root@simulated/',
      owner: place.name,
      log: () => {},
      gate: { mayWrite: place.mayWrite, isShut: place.isShut },
      surroundings: machine.surroundings,
      ...(laneCount === undefined ? {} : { laneCount }),
    });
    return {
      meet: (mishap) => machine.meet(mishap),
      call: (request, answered) => {
        this.#call(sink, request, (outcome) =>
          host.after(0, () => machine.deliver(() => answered(outcome))),
        );
      },
      close: () => {
        machine.die();
        drain.mark();
        void sink.close();
      },
    };
  }

  #call(
    sink: SinkPort,
    request: { readonly kind: string },
    answered: (outcome: Outcome<unknown>) => void,
  ): void {
    const { drain, host } = this.#parts;
    drain.mark();
    void sink.call(copied(request as SinkRequest)).then((outcome) => {
      // A broken assertion of the sink is never an answer to live with.
      if (!outcome.ok && outcome.failure.code === 'INTERNAL_FAULT') {
        host.after(0, () => {
          throw new Error(`the sink broke: ${String(outcome.failure.cause)}`);
        });
      } else answered(outcome);
    });
  }
}

/** A row that a stranger locks. */
export interface LockedRow {
  /** `schema.table`. */
  readonly table: string;
  readonly key: number;
}

const strangersTable = 'other.work';
/** Enough changes to outweigh most batches where one of two has to give way. */
const strangersChangeCount = 40;

function strangersWork(stranger: number): string {
  const values = Array.from(
    { length: strangersChangeCount },
    (_, i) => `(${stranger * strangersChangeCount + i},0)`,
  );
  return `BEGIN;INSERT INTO ${strangersTable} VALUES ${values.join(',')}`;
}

function lockSql({ table, key }: LockedRow): string {
  const [schema = '', name = ''] = table.split('.');
  return `SELECT k FROM \`${schema}\`.\`${name}\` WHERE k=${key} FOR UPDATE`;
}

function tableSql(name: string): string {
  const [schema = '', table = ''] = name.split('.');
  return (
    `CREATE DATABASE IF NOT EXISTS \`${schema}\`;` +
    `CREATE TABLE \`${schema}\`.\`${table}\` (\`k\` INT UNSIGNED NOT NULL,\`v\` INT UNSIGNED NOT NULL,PRIMARY KEY(\`k\`))`
  );
}
