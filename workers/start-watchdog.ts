import { Worker } from 'node:worker_threads';
import type { Gate } from './gate.ts';
import type { WatchdogStart } from './watchdog.ts';

/** Starts the watchdog's thread; `onFence` hears why it has fenced. It keeps no process alive. */
export function startWatchdog(
  gate: Gate,
  start: Omit<WatchdogStart, 'gate'>,
  onFence: (reason: string) => void,
): Worker {
  const workerData: WatchdogStart = { ...start, gate: gate.memory };
  const worker = new Worker(new URL('./watchdog.ts', import.meta.url), {
    workerData,
    name: 'watchdog',
    resourceLimits: { maxYoungGenerationSizeMb: 1 },
  });
  worker.on('message', onFence);
  worker.unref();
  return worker;
}
