/** A child process of the farm: runs the seeds it is sent, under a mutant when its first argument names one. */
import { install, mutantOf } from './mutate.ts';
import type { SimResult } from './run.ts';
import type { SimCase } from './sim-case.ts';

/** What the farm sends. */
export interface JobRequest {
  readonly seeds: readonly number[];
  /** Seeds to run a second time: the traces must be the same (I-34). */
  readonly twice: readonly number[];
  /** Explicit cases, run after the seeds. */
  readonly cases?: readonly SimCase[];
}

/** What it gets back, seed by seed. */
export type JobReply = SimResult;

const mutant = process.argv[2] ?? '';
if (mutant !== '') install(mutantOf(mutant));
// Only now: what is imported from here on carries the mutant.
const { runCase } = await import('./run.ts');
const { caseOf } = await import('./sim-case.ts');

async function run(seed: number, isTwice: boolean): Promise<SimResult> {
  const result = await runCase(caseOf(seed));
  if (!isTwice || result.problem !== null) return result;
  const { hash } = await runCase(caseOf(seed));
  if (hash === result.hash) return result;
  return { ...result, problem: `two runs differ (I-34): ${result.hash} and ${hash}` };
}

async function runAll(request: JobRequest): Promise<void> {
  for (const seed of request.seeds)
    process.send?.((await run(seed, request.twice.includes(seed))) satisfies JobReply);
  for (const simCase of request.cases ?? [])
    process.send?.((await runCase(simCase)) satisfies JobReply);
}

process.on('message', (request: JobRequest) => {
  runAll(request).catch((error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exit(1);
  });
});
