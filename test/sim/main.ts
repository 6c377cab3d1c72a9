/**
 * `npm run sim -- [--seeds A[..B]] [--mutant NAME | --mutants] [--jobs N] [--check-determinism] [--marks]`: runs seeds of the
 * simulator. The first seed that fails is made smaller and kept. `--shrink SEED [--mutant NAME]` does that with one seed;
 * `--replay FILE [--mutant NAME]` runs a kept one. Exit status 0 when all hold, 1 when one does not (or a mutant survives), 2 for wrong usage.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { farm } from './farm.ts';
import type { JobReply } from './job.ts';
import { markSeedCount, missingMarks } from './marks.ts';
import { mutantOf } from './mutate.ts';
import { mutants, type Mutant } from './mutants.ts';
import { CaseRunner, readRegression, writeRegression } from './regression.ts';
import { shrink, type Shrunk } from './shrink.ts';
import { caseOf, type SimCase } from './sim-case.ts';

interface Settings {
  readonly from: number;
  readonly to: number;
  readonly jobs: number;
  readonly mutant: string;
  readonly allMutants: boolean;
  readonly isAllTwice: boolean;
  readonly showsMarks: boolean;
  /** Seed to make smaller; null for none. */
  readonly shrinks: number | null;
  /** File to run; empty for none. */
  readonly replays: string;
}

const usage =
  'usage: npm run sim -- [--seeds A[..B]] [--mutant NAME | --mutants] [--jobs N] [--check-determinism] [--marks]\n' +
  '       npm run sim -- --shrink SEED [--mutant NAME] | --replay FILE [--mutant NAME]';
/** A mutant must be found within this many seeds. */
const mutantSeedCount = 300;
/** Of the seeds of an ordinary run one in so many is run twice. */
const twiceEvery = 20;
/** A run with so many failing seeds ends. */
const failureCountMax = 10;

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function settingsOf(args: readonly string[]): Settings {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: 'string', default: '1..200' },
      jobs: { type: 'string', default: String(availableParallelism()) },
      mutant: { type: 'string', default: '' },
      mutants: { type: 'boolean', default: false },
      'check-determinism': { type: 'boolean', default: false },
      marks: { type: 'boolean', default: false },
      shrink: { type: 'string' },
      replay: { type: 'string', default: '' },
    },
  });
  const range = /^(\d+)(?:\.\.(\d+))?$/.exec(values.seeds);
  const from = Number(range?.[1]);
  const to = Number(range?.[2] ?? range?.[1]);
  const jobs = Number(values.jobs);
  if (range === null || from > to) throw new Error(`--seeds ${values.seeds}: give A..B`);
  if (!Number.isInteger(jobs) || jobs < 1) throw new Error(`--jobs ${values.jobs}: give a number`);
  const shrinks = values.shrink === undefined ? null : Number(values.shrink);
  if (shrinks !== null && !/^\d+$/.test(values.shrink!))
    throw new Error(`--shrink ${values.shrink}: give a seed`);
  if (values.mutant !== '') mutantOf(values.mutant);
  return {
    from,
    to,
    jobs,
    mutant: values.mutant,
    allMutants: values.mutants,
    isAllTwice: values['check-determinism'],
    showsMarks: values.marks,
    shrinks,
    replays: values.replay,
  };
}

async function runSeeds(settings: Settings): Promise<boolean> {
  const startedAt = performance.now();
  const marks = new Map<string, number>();
  const failed: JobReply[] = [];
  let events = 0;
  let virtualMs = 0;
  let passed = 0;
  const { from, to, jobs, mutant } = settings;
  await farm({
    from,
    to,
    jobs,
    mutant,
    twiceEvery: settings.isAllTwice ? 1 : twiceEvery,
    failureCountMax,
    onResult: (result) => {
      events += result.events;
      virtualMs += result.virtualMs;
      for (const mark of result.marks) marks.set(mark, (marks.get(mark) ?? 0) + 1);
      if (result.problem === null) passed++;
      else {
        failed.push(result);
        print(failureText(result, mutant));
      }
    },
  });
  const seconds = (performance.now() - startedAt) / 1000;
  const count = (value: number): string => Math.round(value).toLocaleString('en');
  const hours = virtualMs / 3_600_000;
  print(
    `seeds ${from}..${to}: ${passed} passed, ${failed.length} failed in ${seconds.toFixed(1)} s; ` +
      `${count(events)} events, ${count(events / seconds)} a second; ` +
      `${hours.toFixed(2)} simulated hours, ${(hours / seconds).toFixed(3)} a second`,
  );
  if (failed.length > 0 && mutant === '') await shrinkSeed(failed[0]!.seed, mutant);
  const missing = missingMarks(new Set(marks.keys()));
  if (settings.showsMarks)
    for (const [name, runs] of [...marks].sort()) print(`${String(runs).padStart(8)}  ${name}`);
  print(`marks: ${marks.size} reached, ${missing.length} of the needed ones not`);
  const isLongEnough = to - from + 1 >= markSeedCount;
  if (missing.length > 0 && isLongEnough) print(`never reached: ${missing.join(', ')}`);
  return failed.length === 0 && (missing.length === 0 || !isLongEnough);
}

/** The problem, what led to it, and one line that runs it again. */
function failureText(result: JobReply, mutant: string): string {
  const again = `npm run sim -- --seeds ${result.seed}${mutant === '' ? '' : ` --mutant ${mutant}`}`;
  const trace = result.trace.map((line) => `  ${line}`).join('\n');
  return `${trace}\nseed ${result.seed} failed: ${result.problem}\n  again: ${again}`;
}

/** Makes the case of a seed smaller and keeps it; whether the seed holds. */
async function shrinkSeed(seed: number, mutant: string): Promise<boolean> {
  const whole = caseOf(seed);
  // Most fail by themselves; only what holds is worth two runs of each smaller case.
  const shrunk =
    (await shrunkBy(new CaseRunner(mutant), whole)) ??
    (await shrunkBy(new CaseRunner(mutant, true), whole));
  if (shrunk === null) {
    print(`seed ${seed} holds`);
    return true;
  }
  const { simCase, runs } = shrunk;
  const path = writeRegression(shrunk, mutant);
  print(
    `seed ${seed} in ${runs} runs: ${simCase.faults.length} of ${whole.faults.length} faults, ` +
      `${simCase.workload.length} of ${whole.workload.length} items\n` +
      `  again: npm run sim -- --replay ${path}${mutant === '' ? '' : ` --mutant ${mutant}`}`,
  );
  return false;
}

async function shrunkBy(runner: CaseRunner, whole: SimCase): Promise<Shrunk | null> {
  try {
    return await shrink(whole, runner.judge);
  } finally {
    runner.stop();
  }
}

/** Runs a kept case; whether it holds. */
async function replay(path: string, mutant: string): Promise<boolean> {
  const { simCase } = readRegression(path);
  const runner = new CaseRunner(mutant, true);
  try {
    const problem = await runner.judge(simCase);
    print(`${path} ${problem === null ? 'holds' : `failed: ${problem}`}`);
    return problem === null;
  } finally {
    runner.stop();
  }
}

/** Seeds until the mutant is found; null when it survives. */
async function seedsToKill(
  { name, showsTwice = false }: Mutant,
  jobs: number,
): Promise<number | null> {
  let first: number | null = null;
  await farm({
    from: 1,
    to: mutantSeedCount,
    jobs,
    mutant: name,
    twiceEvery: showsTwice ? 1 : Infinity,
    failureCountMax: 1,
    onResult: ({ seed, problem }) => {
      if (problem !== null) first = Math.min(first ?? Infinity, seed);
    },
  });
  return first;
}

async function runMutants(settings: Settings): Promise<boolean> {
  let survivors = 0;
  for (const mutant of mutants) {
    const { name, why } = mutant;
    const seed = await seedsToKill(mutant, settings.jobs);
    if (seed === null) survivors++;
    const found = seed === null ? `survives ${mutantSeedCount} seeds` : `killed by seed ${seed}`;
    print(`${name.padEnd(24)}${found.padEnd(24)}${why}`);
  }
  print(`${mutants.length - survivors} of ${mutants.length} mutants killed`);
  return survivors === 0;
}

async function act(settings: Settings): Promise<boolean> {
  if (settings.replays !== '') return await replay(settings.replays, settings.mutant);
  if (settings.shrinks !== null) return await shrinkSeed(settings.shrinks, settings.mutant);
  return settings.allMutants ? await runMutants(settings) : await runSeeds(settings);
}

async function main(args: readonly string[]): Promise<number> {
  let settings: Settings;
  try {
    settings = settingsOf(args);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${usage}\n`);
    return 2;
  }
  return (await act(settings)) ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
