/**
 * Entry of the watchdog thread: no I/O, no event loop, nothing that another thread could hold up. It fences when the write
 * deadline has passed, and ends the process when a fence is not obeyed (FENCE §2.2).
 */
import { uptime } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { DeadlineWatch } from './deadline-watch.ts';
import { Gate } from './gate.ts';

/** What main hands to the watchdog. */
export interface WatchdogStart {
  readonly gate: SharedArrayBuffer;
  /** All gates of the plan: a passed deadline fences the capture whole. */
  readonly gates: readonly number[];
  /** Threads that may run cells, `main` included. */
  readonly threadCount: number;
}

const tickMs = 10;

function run({ gate: memory, gates, threadCount }: WatchdogStart): never {
  const watch = new DeadlineWatch(new Gate(memory), gates, threadCount);
  const never = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    Atomics.wait(never, 0, 0, tickMs);
    const [bootMs, wallMs] = [uptime() * 1000, Date.now()];
    const verdict = watch.tick({ bootMs, wallMs, nowNs: process.hrtime.bigint() });
    if (verdict === 'fenced') parentPort?.postMessage('deadline passed');
    // Somebody spins with a right to write that is gone: no thread can be trusted to end it.
    if (verdict === 'kill') process.kill(process.pid, 'SIGKILL');
  }
}

run(workerData as WatchdogStart);
