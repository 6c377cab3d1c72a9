/** How a fence is brought to its end: every thread confirms, or is ended (FENCE §2, DESIGN §5). Runs on main. */
import type { Gate, Submits } from './gate.ts';
import type { Threads } from './threads.ts';

/** A thread that has not confirmed a fence by then is terminated (DESIGN §5). */
export const confirmWithinMs = 50;
/** After that the proof is given up; the watchdog ends the process by then. */
const proveWithinMs = 5_000;

/** What is known when a fence is over. */
export interface FenceProof {
  /** Nothing of the fenced lives runs on any thread. False only when a terminated thread did not end in time. */
  readonly isProven: boolean;
  /** Threads that had to be terminated. */
  readonly terminated: readonly string[];
  /** From when main heard of it. */
  readonly elapsedMs: number;
  /** What the gate had let through by then: of what was fenced, nothing later than the fence. */
  readonly submits: Submits;
}

/**
 * Waits until every thread has confirmed what is fenced now, and terminates those that do not in time. All times count from
 * `startedMs` of `performance.now`, when main heard of the fence: it has work of its own before it waits here.
 */
export async function proveFence(
  gate: Gate,
  threads: Threads,
  startedMs: number,
): Promise<FenceProof> {
  const fenced = gate.fencedNow();
  const { bells } = gate.words;
  const terminated = new Set<string>();
  const elapsed = (): number => performance.now() - startedMs;
  for (;;) {
    const rung = Atomics.load(bells, 1);
    const open = [{ name: 'main', index: 0 }, ...threads.running()].filter(
      ({ index }) => !gate.hasConfirmed(index, fenced),
    );
    const isOver = open.length === 0 || elapsed() > proveWithinMs;
    if (isOver) {
      return {
        isProven: open.length === 0,
        terminated: [...terminated],
        elapsedMs: elapsed(),
        submits: gate.submits(),
      };
    }
    if (elapsed() >= confirmWithinMs) {
      for (const { name } of open) {
        if (name === 'main' || terminated.has(name)) continue;
        terminated.add(name);
        threads.terminate(name);
      }
    }
    const waitMs = elapsed() < confirmWithinMs ? confirmWithinMs - elapsed() + 1 : confirmWithinMs;
    const waiting = Atomics.waitAsync(bells, 1, rung, waitMs);
    if (waiting.async) await waiting.value;
  }
}
