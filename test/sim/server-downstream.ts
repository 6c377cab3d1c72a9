/**
 * The downstream of a run as a simulated MariaDB under the real sink adapter: what is tried is the sink's own code, down to
 * its packets and timeouts. The model (model-downstream.ts) is quicker and draws more faults; a run has the one or the other.
 */
import type { History } from './history.ts';
import { assertApplied, type SimDownstream, type SinkPlace } from './sim-downstream.ts';
import type { LivingPort, PortWeather } from './sim-port.ts';
import { Drain } from './sql/drain.ts';
import type { Mishap } from './sql/sim-machine.ts';
import { SqlDownstream, type SqlPort } from './sql/sql-downstream.ts';
import { hostIn } from './sql/virtual-host.ts';
import type { World } from './world.ts';

/** What a server is made for. */
export interface ServerDownstreamParts {
  readonly world: World;
  readonly history: History;
  readonly weather: PortWeather;
  readonly tableCount: number;
  readonly laneCount: number;
  /** How long one of the server's seconds lasts. */
  readonly secondMs: number;
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
/** A packet that is held up for longer finds its session ended for being idle: seconds of the server. */
const lateSecondsMax = 25;

/** Errors of the simulated server that are worth a mark. */
const markOfError: ReadonlyMap<number, string> = new Map([
  [1205, 'server: lock wait timeout'],
  [1213, 'server: deadlock'],
]);

/** See the top of this file. */
export class ServerDownstream implements SimDownstream {
  readonly #parts: ServerDownstreamParts;
  readonly #sql: SqlDownstream;
  /** What the next batches meet, one after the other. */
  readonly writer = '';
  readonly #mishaps: Mishap[] = [];

  constructor(parts: ServerDownstreamParts) {
    const { world, history } = parts;
    this.#parts = parts;
    const drain = new Drain();
    world.settle = () => drain.settleIfNeeded();
    this.#sql = new SqlDownstream({
      host: hostIn(world),
      drain,
      tables: Array.from({ length: parts.tableCount }, (_, i) => `d.t${i}`),
      speed: { ...speed, secondMs: parts.secondMs },
      isReachable: () => !parts.weather.isDown,
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
    this.#sql.server.refused = (errno) => {
      const mark = markOfError.get(errno);
      if (mark !== undefined) world.mark(mark);
    };
    this.#sql.server.orphaned = () => world.mark('server: packet of the dead');
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

  lockRows(pick: number, count: number, forMs: number): void {
    const names = [...this.versions.keys()];
    const rows = Array.from({ length: Math.min(count, names.length) }, (_, i) => {
      const [table, key] = names[(pick + i) % names.length]!.split(' ');
      return { table: table!, key: Number(key) };
    });
    if (rows.length > 0) this.#parts.world.mark('row locked by a stranger');
    this.#sql.lockRows(rows, forMs);
  }

  breakNext(mishap: Mishap): void {
    const lateMs = Math.min(mishap.lateMs, lateSecondsMax * this.#parts.secondMs);
    this.#mishaps.push({ ...mishap, lateMs });
  }

  /** The real sink of a thread; the weather of its calls becomes trouble between it and the server. */
  open(place: SinkPlace): LivingPort {
    const port = this.#sql.open(place);
    return {
      close: port.close,
      call: (request, answered) => {
        this.#trouble();
        if (request.kind === 'Apply') this.#sending(port);
        port.call(request, (outcome) => {
          if (!outcome.ok) this.#parts.world.mark(`${request.kind}: ${outcome.failure.code}`);
          answered(outcome);
        });
      },
    };
  }

  #sending(port: SqlPort): void {
    const mishap = this.#mishaps.shift();
    if (mishap?.how === 'late') this.#parts.world.mark('batch held up');
    if (mishap !== undefined) port.meet(mishap);
    this.#parts.world.mark('batch sent');
  }

  #trouble(): void {
    const { world, weather } = this.#parts;
    const { server } = this.#sql;
    const { dice } = weather;
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
