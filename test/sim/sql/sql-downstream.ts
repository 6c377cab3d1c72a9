/**
 * A downstream for the simulator that is the real MySQL sink over the simulated server: rows of the history's tables come in
 * as blocks of real row events, are decoded by the real decoder, and are written by the sink's own statements.
 */
import { SinkConnection } from '#src/adapters/mysql-sink/connection.ts';
import { readEndpoint } from '#src/adapters/mysql-sink/endpoint.ts';
import { openMysqlSink } from '#src/adapters/mysql-sink/sink.ts';
import { copied, type SinkPlace } from '../sim-downstream.ts';
import { LogCheck } from './log-check.ts';
import { SimMachine } from './sim-machine.ts';
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
  /** Told of the first broken rule, at the commit that broke it. */
  readonly violated?: (what: string) => void;
  /** Told of each checkpoint, when everything up to its ts must be there. */
  readonly checkpointed?: (ts: number) => void;
}

/** The server, with what is known of it. It outlives the processes that write to it. */
export class SqlDownstream {
  readonly server: SimMariadb;
  readonly check: LogCheck;
  readonly #parts: SqlDownstreamParts;
  /** Connection → name of the place that opened it. */
  readonly #writers = new Map<number, string>();

  constructor(parts: SqlDownstreamParts) {
    const { host, tables, speed, violated, checkpointed } = parts;
    this.#parts = parts;
    this.check = new LogCheck((table) => tables.includes(table));
    this.server = new SimMariadb(host, speed);
    for (const table of tables) this.server.run(tableSql(table));
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

  /** A stranger locks a row for a while: whoever writes it meanwhile waits, and meets 1205 in the end (FENCE §1.6). */
  lockRow(table: string, key: number, forMs: number): void {
    const { host, drain } = this.#parts;
    const machine = new SimMachine({ host, drain, server: this.server });
    const [schema = '', name = ''] = table.split('.');
    const sql = `BEGIN;SELECT k FROM \`${schema}\`.\`${name}\` WHERE k=${key} FOR UPDATE`;
    const lock = async (): Promise<void> => {
      const { connect } = readEndpoint('mysql://root@simulated/');
      const connection = await SinkConnection.connect(connect, machine.surroundings);
      await connection.query([Buffer.from(sql, 'latin1')], { timeoutMs: 0 });
    };
    drain.mark();
    // A server that is down, or the end of its patience, only means that nothing is locked.
    lock().catch(() => {});
    host.after(forMs, () => machine.die());
  }

  /** The sink port of a thread. */
  open(place: SinkPlace): LivingPort {
    const { host, drain, laneCount } = this.#parts;
    const machine = new SimMachine({
      host,
      drain,
      server: this.server,
      connected: (id) => this.#writers.set(id, place.name),
      deliver: place.enter,
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

function tableSql(name: string): string {
  const [schema = '', table = ''] = name.split('.');
  return (
    `CREATE DATABASE IF NOT EXISTS \`${schema}\`;` +
    `CREATE TABLE \`${schema}\`.\`${table}\` (\`k\` INT UNSIGNED NOT NULL,\`v\` INT UNSIGNED NOT NULL,PRIMARY KEY(\`k\`))`
  );
}
