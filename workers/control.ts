/** How the main thread drives a worker thread (comlink, on a port of its own), and what the thread reports back. */
import type { Exit } from '#src/kernel/exit.ts';
import type { CellStart, TreeRequest } from '#src/kernel/host.ts';
import type { Signal } from '#src/kernel/message.ts';
import type { Ref } from '#src/kernel/ref.ts';
import type { CellOverview } from '#src/kernel/shell.ts';

/** What main asks of a thread. Starting a cell answers by the tree request `Started`, not by the call. */
export interface ThreadControl {
  start(start: CellStart): void;
  stop(ref: Ref): void;
  kill(ref: Ref, exit: Exit): void;
  signal(to: Ref, signal: Signal): void;
  overview(): readonly CellOverview[];
  stats(): ThreadStats;
  /** Closes the thread's ports. */
  close(): Promise<void>;
}

/** Counters of a thread. */
export interface ThreadStats {
  readonly refusals: Readonly<Record<string, number>>;
  readonly counters: Readonly<Record<string, number>>;
}

/** What a thread reports to main. */
export interface TreeReports {
  request(request: TreeRequest): void;
}
