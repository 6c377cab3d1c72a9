/** Runs many seeds over several child processes. */
import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import type { JobReply, JobRequest } from './job.ts';

/** What to run. */
export interface FarmOptions {
  readonly from: number;
  readonly to: number;
  readonly jobs: number;
  /** Name of a mutant; empty for none. */
  readonly mutant: string;
  /** Every how many seeds one is run twice; 1 for all. */
  readonly twiceEvery: number;
  /** Ends with this many failures. */
  readonly failureCountMax: number;
  readonly onResult: (result: JobReply) => void;
}

/** Seeds a child gets at a time. */
const portion = 10;
const entry = join(import.meta.dirname, 'job.ts');

/** Resolves when all seeds have run or there were failures enough; rejects when a child process breaks. */
export async function farm(options: FarmOptions): Promise<void> {
  let next = options.from;
  let failures = 0;
  const take = (): JobRequest | null => {
    if (next > options.to || failures >= options.failureCountMax) return null;
    const count = Math.min(portion, options.to - next + 1);
    const seeds = Array.from({ length: count }, (_, i) => next + i);
    next += count;
    return { seeds, twice: seeds.filter((seed) => seed % options.twiceEvery === 0) };
  };
  const children = Array.from({ length: options.jobs }, () => fork(entry, [options.mutant]));
  try {
    await Promise.all(
      children.map((child) =>
        work(child, take, (result) => {
          options.onResult(result);
          if (result.problem !== null) failures++;
          return failures < options.failureCountMax;
        }),
      ),
    );
  } finally {
    for (const child of children) child.kill();
  }
}

/** `took` answers whether to go on. */
async function work(
  child: ChildProcess,
  take: () => JobRequest | null,
  took: (result: JobReply) => boolean,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let waitingFor = 0;
    const ask = (): void => {
      const request = take();
      if (request === null) return resolve();
      waitingFor = request.seeds.length;
      child.send(request);
    };
    child.on('message', (result: JobReply) => {
      if (!took(result)) return resolve();
      if (--waitingFor === 0) ask();
    });
    child.on('error', reject);
    child.on('exit', (code, signal) =>
      reject(new Error(`a simulation process ended: ${code ?? signal}`)),
    );
    ask();
  });
}
