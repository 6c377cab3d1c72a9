/** What is around the processes of a run: the servers they replicate between, with their weather. */
import type { FailureCode } from '#src/base/failures.ts';
import { History } from './history.ts';
import { ModelDownstream } from './model-downstream.ts';
import { ServerDownstream } from './server-downstream.ts';
import type { SimCase } from './sim-case.ts';
import type { SimDownstream } from './sim-downstream.ts';
import { PortWeather, type PortName } from './sim-port.ts';
import { SimUpstream } from './sim-upstream.ts';
import { World } from './world.ts';

const portNames: readonly PortName[] = ['upstream', 'sink', 'event-store', 'coordination'];

/** See the top of this file. */
export class Outside {
  readonly world: World;
  readonly history: History;
  readonly downstream: SimDownstream;
  readonly upstream: SimUpstream;
  readonly weather: Readonly<Record<PortName, PortWeather>>;
  /** Failures that what happened explains: a feed may end with them. */
  readonly expected = new Set<FailureCode>();
  /** No more faults. */
  isCalm = false;

  constructor({ options, seed, workload }: SimCase) {
    const world = new World(seed);
    this.world = world;
    const weather = portNames.map((name) => [name, new PortWeather(world, name)]);
    this.weather = Object.fromEntries(weather) as Record<PortName, PortWeather>;
    const history = new History(workload, options.logFileItemCount);
    this.history = history;
    const { laneCount, tableCount, serverSecondMs: secondMs } = options;
    const { sink, upstream } = this.weather;
    this.downstream =
      options.downstream === 'server'
        ? new ServerDownstream({ world, history, weather: sink, tableCount, laneCount, secondMs })
        : new ModelDownstream(world, history, sink, laneCount);
    this.upstream = new SimUpstream(world, history, upstream, options.chunkItemCount);
  }

  /** Good weather from here on. */
  clear(): void {
    this.isCalm = true;
    for (const weather of Object.values(this.weather)) weather.clear();
  }
}
