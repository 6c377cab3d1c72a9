/** How fast the simulator runs its seeds in one process: steps of virtual time and virtual hours per second. */
import { runCase } from '#test/sim/run.ts';
import { caseOf } from '#test/sim/sim-case.ts';
import { median, printLine, round2 } from './figures.ts';

const seedCount = 100;
const rounds = 5;

/** Runs the bench; prints a table unless `json`. */
export async function sim(options: { readonly json: boolean }): Promise<object> {
  const seconds: number[] = [];
  let events = 0;
  let virtualMs = 0;
  // All rounds do the same work; the first one only warms up.
  for (let round = 0; round <= rounds; round++) {
    events = 0;
    virtualMs = 0;
    const begun = performance.now();
    for (let seed = 1; seed <= seedCount; seed++) {
      const result = await runCase(caseOf(seed));
      if (result.problem !== null) throw new Error(`seed ${seed}: ${result.problem}`);
      events += result.events;
      virtualMs += result.virtualMs;
    }
    if (round > 0) seconds.push((performance.now() - begun) / 1000);
  }
  const second = median(seconds);
  const eventsPerSecond = Math.round(events / second);
  const hoursPerSecond = round2(virtualMs / 3_600_000 / second);
  const seedsPerSecond = round2(seedCount / second);
  if (!options.json) {
    printLine(['seeds', 'seeds/s', 'events/s', 'hours/s']);
    printLine([`1..${seedCount}`, seedsPerSecond, eventsPerSecond, hoursPerSecond]);
  }
  return {
    name: 'sim',
    unit: 'simulated events/s; simulated hours/s',
    seeds: seedCount,
    events,
    seedsPerSecond,
    eventsPerSecond,
    hoursPerSecond,
  };
}
