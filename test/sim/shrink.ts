/** Makes a failing case smaller (RELIABILITY §1.4): fewer faults, fewer transactions, shorter times, the same kind of problem. */
import type { Fault } from './fault.ts';
import type { NodeFault } from './nodes/node-fault.ts';
import type { SimCase } from './sim-case.ts';

/** Runs a case; what was broken, null when all held. */
export type Judge = (simCase: SimCase) => Promise<string | null>;

/** A smaller case and its problem. */
export interface Shrunk {
  readonly simCase: SimCase;
  readonly problem: string;
  /** Runs it took. */
  readonly runs: number;
}

/** Runs of one shrinking at most, unless told otherwise. */
export const shrinkRunCount = 400;

/** Times below this many milliseconds are not shortened. */
const shortMs = 1;
const durations = ['downMs', 'forMs', 'heldMs', 'asleepMs', 'awakeMs', 'delayMs'];

/** What problems have in common that differ only in figures and in the state of the feed: the first line up to a JSON. */
export function kindOf(problem: string): string {
  const line = problem.split('\n', 1)[0]!;
  return line.split('{', 1)[0]!.replaceAll(/\d+/g, '');
}

/** A list that still fails and of which no single item can be left out; less small when `fails` gives up. */
export async function minimized<T>(
  items: readonly T[],
  fails: (items: readonly T[]) => Promise<boolean>,
): Promise<readonly T[]> {
  if (items.length === 0 || (await fails([]))) return [];
  let kept = items;
  let size = Math.ceil(items.length / 2);
  for (;;) {
    const before = kept.length;
    for (let at = 0; at < kept.length;) {
      const rest = [...kept.slice(0, at), ...kept.slice(at + size)];
      if (rest.length > 0 && (await fails(rest))) kept = rest;
      else at += size;
    }
    if (size > 1) size = Math.ceil(size / 2);
    else if (kept.length === before) return kept;
  }
}

/** A smaller case with a problem of the same kind, after `runCount` runs at most; null when the case does not fail. */
export async function shrink(
  simCase: SimCase,
  judge: Judge,
  runCount = shrinkRunCount,
): Promise<Shrunk | null> {
  const first = await judge(simCase);
  if (first === null) return null;
  const kind = kindOf(first);
  let best: Shrunk = { simCase, problem: first, runs: 1 };
  let runs = 1;
  const fails = async (change: Partial<SimCase>): Promise<boolean> => {
    if (runs >= runCount) return false;
    runs++;
    const smaller = { ...best.simCase, ...change };
    const problem = await judge(smaller);
    if (problem === null || kindOf(problem) !== kind) return false;
    best = { simCase: smaller, problem, runs };
    return true;
  };
  await minimized(simCase.faults, (faults) => fails({ faults }));
  const { nodes } = simCase;
  if (nodes !== undefined)
    await minimized(nodes.faults, (faults) => fails({ nodes: { ...nodes, faults } }));
  await minimized(simCase.workload, (workload) => fails({ workload }));
  await shorten(
    () => best.simCase.faults,
    (faults) => fails({ faults }),
  );
  if (nodes !== undefined)
    await shorten(
      () => best.simCase.nodes?.faults ?? [],
      (faults) => fails({ nodes: { ...nodes, faults } }),
    );
  return { ...best, runs };
}

/** Halves each duration of each fault for as long as the case fails. */
async function shorten<F extends Fault | NodeFault>(
  current: () => readonly F[],
  fails: (faults: readonly F[]) => Promise<boolean>,
): Promise<void> {
  for (let at = 0; at < current().length; at++) {
    for (const name of durations) {
      for (;;) {
        const value = Object.entries(current()[at]!).find(([key]) => key === name)?.[1];
        if (typeof value !== 'number' || value <= shortMs) break;
        const shorter = { ...current()[at]!, [name]: Math.floor(value / 2) };
        if (!(await fails(current().with(at, shorter)))) break;
      }
    }
  }
}
