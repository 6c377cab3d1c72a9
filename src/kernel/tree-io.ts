import type { CellStart } from './host.ts';
import type { Signal } from './message.ts';
import type { Ref } from './ref.ts';

/** How the supervision tree reaches the threads, and its owner. None of these waits. */
export interface TreeIo {
  readonly now: () => number;
  /** Uniform in [0, 1), for the jitter of restart pauses. */
  readonly random: () => number;
  readonly timer: (afterMs: number, due: () => void) => () => void;
  readonly start: (start: CellStart) => void;
  readonly stop: (ref: Ref) => void;
  readonly kill: (ref: Ref) => void;
  readonly signal: (to: Ref, signal: Signal) => void;
  readonly log: (
    level: 'info' | 'warn' | 'error',
    event: string,
    detail: Record<string, string | number>,
  ) => void;
  /** The root gave up (once at most), or everything stopped after `shutdown` (once, also after giving up). */
  readonly over: (reason: TreeOver) => void;
  /** Props of a cell of the plan, given at each start. */
  readonly props: (path: string) => unknown;
  /** Begins the next life of a gate's subtree; answers its generation, above every fenced one. */
  readonly begin: (gate: number) => number;
  /** Names of the work threads, for cells that live on each. */
  readonly workThreads: readonly string[];
}

/** The four facts of OTP's supervisor report. */
export interface SupervisorReport {
  readonly supervisor: string;
  readonly context: string;
  readonly reason: string;
  readonly offender: string;
}

/** Why the tree ended: asked to, or given up. */
export type TreeOver =
  | { readonly kind: 'shutdown' }
  | ({ readonly kind: 'gave-up' } & SupervisorReport);
