/** Cases that failed once, made small and kept for ever: an explicit schedule, which a change of what seeds draw leaves alone. */
import { fork, type ChildProcess } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { JobReply, JobRequest } from './job.ts';
import { mutants } from './mutants.ts';
import type { SimCase } from './sim-case.ts';
import type { Shrunk } from './shrink.ts';

/** One file of `test/sim/regressions`. */
export interface Regression {
  /** The mutant that fails it; empty for one that the code failed as it was. */
  readonly mutant: string;
  /** What it failed with. */
  readonly problem: string;
  /** Why it is kept. */
  readonly why: string;
  readonly simCase: SimCase;
}

/** Where regressions are. */
export const regressionsPath = join(import.meta.dirname, 'regressions');

const entry = join(import.meta.dirname, 'job.ts');

/** Reads a regression file; throws when it is not one. */
export function readRegression(path: string): Regression {
  const read = JSON.parse(readFileSync(path, 'utf8')) as Partial<Regression> | null;
  const { mutant, problem, why, simCase } = read ?? {};
  const isWhole = Array.isArray(simCase?.faults) && Array.isArray(simCase.workload);
  if (mutant === undefined || problem === undefined || why === undefined || !isWhole)
    throw new Error(`${path}: mutant, problem, why and simCase make a regression`);
  return { mutant, problem, why, simCase: simCase! };
}

/** Keeps a shrunk case; answers the path of its file. */
export function writeRegression({ simCase, problem }: Shrunk, mutant: string): string {
  const known = mutants.find(({ name }) => name === mutant);
  const why = known?.why ?? 'failed on the code as it was';
  const kept: Regression = { mutant, problem: problem.split('\n', 1)[0]!, why, simCase };
  const suffix = mutant === '' ? '' : `-${mutant}`;
  const path = join(regressionsPath, `${simCase.seed}${suffix}.json`);
  writeFileSync(path, `${JSON.stringify(kept, null, 1)}\n`);
  return relative(process.cwd(), path);
}

/** A child process that runs cases one at a time, under a mutant when one is named. */
export class CaseRunner {
  readonly #child: ChildProcess;
  readonly #isTwice: boolean;

  /** `isTwice`: a case that holds runs again, and fails when its second run is another (I-34). */
  constructor(mutant: string, isTwice = false) {
    this.#child = fork(entry, [mutant]);
    this.#isTwice = isTwice;
  }

  /** What was broken; null when all held. Rejects when the process ends. */
  readonly judge = async (simCase: SimCase): Promise<string | null> =>
    await new Promise((resolve, reject) => {
      const ended = (): void => reject(new Error('a simulation process ended'));
      this.#child.once('exit', ended);
      this.#child.once('message', (reply: JobReply) => {
        this.#child.off('exit', ended);
        resolve(reply.problem);
      });
      const request = { seeds: [], twice: [], cases: [simCase], areCasesTwice: this.#isTwice };
      this.#child.send(request satisfies JobRequest);
    });

  stop(): void {
    this.#child.kill();
  }
}
