import type { Outcome } from '../base/failure.ts';
import type { Exit } from './exit.ts';
import type { Envelope } from './message.ts';
import type { Ref } from './ref.ts';

/** What a shell asks of the supervision tree, wherever that runs. */
export type TreeRequest =
  | {
      readonly kind: 'Spawn';
      readonly requester: Ref;
      readonly team: string;
      readonly id: string;
      readonly role: string;
      readonly props: unknown;
      readonly thread: string;
      readonly epoch: number;
      readonly owner: string | null;
    }
  | { readonly kind: 'StopCell'; readonly target: Ref }
  | { readonly kind: 'Watch'; readonly watcher: Ref; readonly target: Ref }
  | { readonly kind: 'Started'; readonly ref: Ref }
  | { readonly kind: 'Exited'; readonly ref: Ref; readonly exit: Exit };

/** A cell to start. */
export interface CellStart {
  readonly ref: Ref;
  readonly role: string;
  readonly props: unknown;
  readonly mailbox: number;
  readonly epoch: number;
  readonly owner: string | null;
  readonly life: GateLife;
}

/**
 * Under which gate a cell lives, and in which life of that gate's subtree. The cell may act while the gate's word in
 * {@link Host.fences} is below `generation`.
 */
export interface GateLife {
  /** Index of the nearest gated team above (0: the root). */
  readonly gate: number;
  /** Counts lives of the subtree from 1; a fenced one never comes back. */
  readonly generation: number;
}

/**
 * The seam between the shell and its world: the thread host in production, the simulator in tests. The shell calls
 * nothing else; the host never calls a behaviour.
 */
export interface Host {
  readonly thread: string;
  /**
   * Highest fenced generation of each gate, 0 for none; shared by all threads and only ever raised. Read before every
   * delivery, so that one store stops the deliveries of all threads.
   */
  readonly fences: Int32Array;
  readonly now: () => number;
  readonly random: () => number;
  /** Carries an envelope to another thread, or to another node when `to.node` is set: at most once, in order per link. */
  readonly post: (envelope: Envelope) => void;
  /** Runs `run` soon, after the current turn; at most one is outstanding. */
  readonly schedule: (run: () => void) => void;
  /** Runs `due` after `afterMs`; the answer cancels it. */
  readonly timer: (afterMs: number, due: () => void) => () => void;
  /**
   * Calls a port in the name of a life of a subtree: a fence closes the ports of that life, and the next one has its own.
   * `answered` is called once, later, never within the call.
   */
  readonly callPort: (
    port: string,
    request: { readonly kind: string },
    answered: (outcome: Outcome<unknown>) => void,
    life: GateLife,
  ) => void;
  readonly tree: (request: TreeRequest) => void;
  readonly log: (
    level: 'debug' | 'info' | 'warn' | 'error',
    event: string,
    detail: Readonly<Record<string, string | number | boolean | null>>,
  ) => void;
  readonly count: (name: string, value: number) => void;
  /** The shell has dropped every cell whose life `fenced` ends: the host closes the ports of those lives and confirms. */
  readonly swept: (fenced: Int32Array) => void;
}
