/**
 * What a run needs of a downstream: the quick model (model-downstream.ts) and the simulated server under the real
 * adapter both are one. It outlives the processes that write to it.
 */
import assert from 'node:assert/strict';
import type { History } from './history.ts';
import type { SinkRequest } from '#src/ports/sink.ts';
import type { LivingPort } from './sim-port.ts';
import type { Mishap } from './sql/sim-machine.ts';

/** Who opens a sink: one thread of one life of a process. */
export interface SinkPlace {
  /** Unique among all lives, for owners and connection names. */
  readonly name: string;
  /** The gate of the process: false once fenced. */
  readonly mayWrite: () => boolean;
  /** Whether that is for good. */
  readonly isShut: () => boolean;
  /** Lets something happen on the thread: now, when it wakes up, or never. */
  readonly enter: (run: () => void) => void;
  /** What is sent now stays in the system's buffers for so long; absent: it leaves at once. */
  readonly heldMs?: () => number;
}

/** A downstream with everything that was written to it. */
export interface SimDownstream {
  /** The sink port of a thread. */
  readonly open: (place: SinkPlace) => LivingPort;
  /** Rows that exist: name → version. */
  readonly versions: ReadonlyMap<string, number>;
  /** commitTs of the saved checkpoint; 0 before the first. */
  readonly checkpointTs: () => number;
  /** commitTs of every DDL that ran, in order. */
  readonly ddlDone: readonly number[];
  /** The server restarts: every connection ends; what it had not committed is gone. */
  readonly restart: () => void;
  /** Somebody else locks some of the rows for a while; the model has no locks. */
  readonly lockRows?: (pick: number, count: number, forMs: number) => void;
  /** Name of the place that has sent a batch last; empty before, and where that is not known. */
  readonly writer: string;
  /** The next batch meets a mishap. */
  readonly breakNext: (mishap: Mishap) => void;
}

/** A call keeps its blocks even when their owner is gone. */
export function copied(request: SinkRequest): SinkRequest {
  if (request.kind !== 'Apply') return request;
  return { ...request, blocks: request.blocks.map((block) => block.slice()) };
}

/** Nothing with commitTs ≤ `ts` is missing (P2, I-23). */
export function assertApplied(
  history: History,
  versions: ReadonlyMap<string, number>,
  ts: number,
  what: string,
): void {
  if (history.isTruncated) return;
  for (const row of history.rows()) {
    const wanted = history.versionAt(row, ts);
    const found = versions.get(row) ?? 0;
    if (found < wanted) assert.fail(`${what} at ${ts} passes ${row}: ${found} of ${wanted}`);
  }
}

/** The rows are those of the upstream at `ts`, no more and no less (I-4). */
export function assertCopied(history: History, downstream: SimDownstream, ts: number): void {
  for (const row of new Set([...history.rows(), ...downstream.versions.keys()])) {
    const wanted = history.versionAt(row, ts);
    const found = downstream.versions.get(row) ?? 0;
    if (found !== wanted) assert.fail(`at ${ts} ${row} is at ${found}, not ${wanted}`);
  }
  const ddls = history.items.filter((item) => item.ddl !== null && item.ts <= ts);
  assert.deepEqual(
    downstream.ddlDone,
    ddls.map((item) => item.ts),
    'each DDL once and in order (I-15)',
  );
}

/** The row did this change at that time, in the history as it is now (I-27). */
export function assertHappened(
  history: History,
  row: string,
  from: number,
  ts: number,
  what: string,
): void {
  if (history.isTruncated) return;
  const before = history.versionAt(row, ts - 1);
  const after = history.versionAt(row, ts);
  assert(before <= from && from < after, `${what}: ${row} never went from ${from} on at ${ts}`);
}
