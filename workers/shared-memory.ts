/**
 * The layout of the one memory that all threads of a capture share (DESIGN §4). Words only ever rise unless said otherwise;
 * every access is atomic except the shell's read of `fences`, which may lag a store by the time a cache line travels.
 */
import { availableParallelism } from 'node:os';

/** Gates of a plan; a system whose plan has more is refused at its start. */
export const gateCountMax = 8;

/** Threads of a capture, `main` first; a system of more is refused at its start. */
export const threadCountMax = 128;

/** Work threads that may be asked for: room for those that plans name stays. */
export const workThreadCountMax = threadCountMax - 8;

/** Work threads when nobody says how many: one core is left for main, ingest and the database's packets. */
export function defaultWorkThreadCount(): number {
  return Math.min(workThreadCountMax, Math.max(1, availableParallelism() - 1));
}

/** How `deadline` says that no session bounds this process (one process without a cluster). */
export const noDeadline = 0n;

/** How `deadline` says that a session is needed and not there yet: nothing may be written, and nothing is fenced. */
export const deadlineAwaited = -1n;

/** Views on the shared memory; index of a gate or thread within each. */
export interface SharedWords {
  /** Highest fenced generation of each gate; 0 none. */
  readonly fences: Int32Array;
  /** The generation of each gate that lives now, or lived last; 0 none yet. */
  readonly lives: Int32Array;
  /** [0] rung at each fence, [1] at each confirmation; waited on. */
  readonly bells: Int32Array;
  /** Per thread and gate (`thread * gateCountMax + gate`): the highest fenced generation of which nothing runs there any more. */
  readonly confirmed: Int32Array;
  /** Per thread: 1 while its heartbeat was found stale and it has not come back; falls to 0 again. */
  readonly suspended: Int32Array;
  /** Per thread, bits: 1 inside a call that must not be cut, 2 being ended (`workers/uncut.ts`). */
  readonly cuts: Int32Array;
  /** [0] write deadline, [1] when the probation under way began (0 none). Monotonic ns; once published it only rises. */
  readonly deadline: BigInt64Array;
  /** Per thread: monotonic ns of its last heartbeat; 0 while the thread is not running. */
  readonly heartbeats: BigInt64Array;
  /** Per thread: monotonic ns at which it last asked whether it may submit and was told yes; 0 never. */
  readonly lastSubmits: BigInt64Array;
  /** Per thread: how often it was told so. */
  readonly submitCounts: BigInt64Array;
}

const int32Counts = [
  gateCountMax,
  gateCountMax,
  2,
  threadCountMax * gateCountMax,
  threadCountMax,
  threadCountMax,
] as const;
const int64Counts = [2, threadCountMax, threadCountMax, threadCountMax] as const;

/** Fresh memory, all words 0. */
export function makeSharedMemory(): SharedArrayBuffer {
  const sum = (counts: readonly number[]): number => counts.reduce((a, b) => a + b, 0);
  return new SharedArrayBuffer(sum(int64Counts) * 8 + sum(int32Counts) * 4);
}

/** The views on `memory`. */
export function sharedWords(memory: SharedArrayBuffer): SharedWords {
  let at = 0;
  const longs = (count: number): BigInt64Array => {
    const view = new BigInt64Array(memory, at, count);
    at += count * 8;
    return view;
  };
  const ints = (count: number): Int32Array => {
    const view = new Int32Array(memory, at, count);
    at += count * 4;
    return view;
  };
  return {
    deadline: longs(int64Counts[0]),
    heartbeats: longs(int64Counts[1]),
    lastSubmits: longs(int64Counts[2]),
    submitCounts: longs(int64Counts[3]),
    fences: ints(int32Counts[0]),
    lives: ints(int32Counts[1]),
    bells: ints(int32Counts[2]),
    confirmed: ints(int32Counts[3]),
    suspended: ints(int32Counts[4]),
    cuts: ints(int32Counts[5]),
  };
}
