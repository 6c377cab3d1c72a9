/**
 * The downstream of a run as a simulated MariaDB under the real sink adapter: what is tried is the sink's own code, down to
 * its packets and timeouts. The model (model-downstream.ts) is quicker and draws more faults; a run has the one or the other.
 */
import type { History } from './history.ts';
import { assertApplied, type SimDownstream, type SinkPlace } from './sim-downstream.ts';
import type { LivingPort, PortWeather } from './sim-port.ts';
import { Drain } from './sql/drain.ts';
import { SqlDownstream } from './sql/sql-downstream.ts';
import type { World } from './world.ts';

/** What a server is made for. */
export interface ServerDownstreamParts {
  readonly world: World;
  readonly history: History;
  readonly weather: PortWeather;
  readonly tableCount: number;
  readonly laneCount: number;
}

/** How fast it is; locks, kills and held-up packets get time to matter. */
const speed = {
  latencyMs: 2,
  commitMs: 4,
  definitionMs: 10,
  statementMs: 3,
  killMs: 20,
  lateMs: 0,
};
/** While packets are held up, they are for this long at most. */
const lateMs = 4_000;

/** See the top of this file. */
export class ServerDownstream implements SimDownstream {
  readonly #parts: ServerDownstreamParts;
  readonly #sql: SqlDownstream;

  constructor(parts: ServerDownstreamParts) {
    const { world, history } = parts;
    this.#parts = parts;
    const drain = new Drain();
    world.settle = () => drain.settleIfNeeded();
    this.#sql = new SqlDownstream({
      host: {
        now: () => world.now,
        random: world.dice('server').next,
        after: (ms, run) => world.after(ms, run),
      },
      drain,
      tables: Array.from({ length: parts.tableCount }, (_, i) => `d.t${i}`),
      speed: { ...speed },
      laneCount: parts.laneCount,
      violated: (what) => world.violate(what),
      checkpointed: (ts) => {
        try {
          assertApplied(history, this.versions, ts, 'a saved checkpoint');
        } catch (error) {
          world.violate(error instanceof Error ? error.message : String(error));
        }
      },
    });
  }

  get versions(): ReadonlyMap<string, number> {
    return this.#sql.versions;
  }

  get ddlDone(): readonly number[] {
    return this.#sql.ddlDone;
  }

  checkpointTs(): number {
    return this.#sql.checkpointTs();
  }

  restart(): void {
    this.#parts.world.mark('server restarted');
    this.#sql.restart();
  }

  lockRow(pick: number, forMs: number): void {
    const rows = [...this.versions.keys()];
    const [table, key] = (rows[pick % Math.max(1, rows.length)] ?? 'd.t0 0').split(' ');
    this.#parts.world.mark('row locked by a stranger');
    this.#sql.lockRow(table!, Number(key), forMs);
  }

  /** The real sink of a thread; the weather of its calls becomes trouble between it and the server. */
  open(place: SinkPlace): LivingPort {
    const port = this.#sql.open(place);
    return {
      close: port.close,
      call: (request, answered) => {
        this.#trouble();
        if (request.kind === 'Apply') this.#parts.world.mark('batch sent');
        port.call(request, (outcome) => {
          if (!outcome.ok) this.#parts.world.mark(`server: ${outcome.failure.code}`);
          answered(outcome);
        });
      },
    };
  }

  #trouble(): void {
    const { world, weather } = this.#parts;
    const { server } = this.#sql;
    const { dice } = weather;
    server.speed.lateMs = weather.late > 0 ? lateMs : 0;
    const drawn = weather.draw();
    if (drawn === 'fine') return;
    // In the middle of what the call does: before, within or after its transaction.
    world.after(dice.next() * 30, () => {
      if (weather.isDown || drawn === 'before') return server.cut();
      const ids = server.sessionIds;
      const id = ids[dice.pick(ids.length)];
      if (id !== undefined) server.kill(id);
    });
  }
}
