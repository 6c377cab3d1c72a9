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
  /** Whether each of them runs a second time. */
  readonly areCasesTwice?: boolean;
}

/** What it gets back, seed by seed. */
export type JobReply = SimResult;

const mutant = process.argv[2] ?? '';
if (mutant !== '') install(mutantOf(mutant));
// Only now: what is imported from here on carries the mutant.
const { runCase } = await import('./run.ts');
const { caseOf } = await import('./sim-case.ts');

async function run(simCase: SimCase, isTwice: boolean): Promise<SimResult> {
  const result = await runCase(simCase);
  if (!isTwice || result.problem !== null) return result;
  const { hash } = await runCase(simCase);
  if (hash === result.hash) return result;
  return { ...result, problem: `two runs differ (I-34): {${result.hash}} and {${hash}}` };
}

async function runAll(request: JobRequest): Promise<void> {
  const { seeds, twice, cases = [], areCasesTwice = false } = request;
  for (const seed of seeds)
    process.send?.((await run(caseOf(seed), twice.includes(seed))) satisfies JobReply);
  for (const simCase of cases)
    process.send?.((await run(simCase, areCasesTwice)) satisfies JobReply);
}

process.on('message', (request: JobRequest) => {
  runAll(request).catch((error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exit(1);
  });
});
