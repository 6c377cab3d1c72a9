/**
 * How a changefeed that fails goes on (FEATURES 1.2): `warning` with a growing delay before the next attempt, `failed` at
 * once for what cannot get better or after too long without progress, `normal` again as soon as the checkpoint moves.
 */
import type { Failure } from '#src/base/failure.ts';
import type { Setback } from '#src/protocol/changefeed-record.ts';

/** Delays between attempts, milliseconds; each is twice the one before, give or take a tenth. */
export interface BackoffBounds {
  readonly minMs: number;
  readonly maxMs: number;
}

/** What the reference waits: 10 s to 10 min. */
export const patientBackoff: BackoffBounds = { minMs: 10_000, maxMs: 600_000 };

/** For one feed in one process, where somebody is looking: 100 ms to 10 s. */
const promptBackoff: BackoffBounds = { minMs: 100, maxMs: 10_000 };

/** Prompt where somebody is looking. */
export function backoffOf(isPrompt: boolean): BackoffBounds {
  return isPrompt ? promptBackoff : patientBackoff;
}

/** What is left of a delay when another coordinator takes over: it is not known how much of it has passed. */
const takenUpMsMax = 30_000;

/** The health of one changefeed. */
export interface FeedHealth {
  /** Failures since the last progress. */
  readonly failureCount: number;
  /** Monotonic time and place of the last progress. */
  readonly progressAtMs: number;
  readonly progressTs: number;
  /** A maintainer has told this coordinator of a checkpoint. */
  readonly isHeard: boolean;
}

/** A changefeed that has just begun. */
export function newHealth(nowMs: number): FeedHealth {
  return { failureCount: 0, progressAtMs: nowMs, progressTs: -1, isHeard: false };
}

/** What the record of a failure keeps of it. */
export function setbackOf(
  { failureCount, progressAtMs, progressTs }: FeedHealth,
  nowMs: number,
): Setback {
  return { failureCount, progressTs, stuckMs: nowMs - progressAtMs };
}

/** A changefeed as an earlier coordinator left it: who changes hands is not well for that. */
export function healthAfter(setback: Setback | null, nowMs: number): FeedHealth {
  if (setback === null) return newHealth(nowMs);
  const { failureCount, progressTs, stuckMs } = setback;
  return { failureCount, progressTs, progressAtMs: nowMs - stuckMs, isHeard: false };
}

/** How long the next attempt waits for a coordinator that takes over. */
export function delayAfter(setback: Setback | null, bounds: BackoffBounds, random: number): number {
  if (setback === null) return 0;
  return Math.min(takenUpMsMax, delayMs(setback.failureCount - 1, bounds, random));
}

function delayMs(failureCount: number, { minMs, maxMs }: BackoffBounds, random: number): number {
  const wholeMs = Math.min(maxMs, minMs * 2 ** Math.min(failureCount, 30));
  return Math.round(wholeMs * (0.9 + random * 0.2));
}

/** Its checkpoint is `ts`; `isIdle`: there is nothing more to apply, which is as good as progress. */
export function reached(
  health: FeedHealth,
  ts: number,
  isIdle: boolean,
  nowMs: number,
): FeedHealth {
  if (ts <= health.progressTs && !isIdle) return { ...health, isHeard: true };
  const progressTs = Math.max(ts, health.progressTs);
  return { failureCount: 0, progressAtMs: nowMs, progressTs, isHeard: true };
}

/** What a failure makes of it. */
export type Verdict =
  | { readonly state: 'failed' }
  | { readonly state: 'warning'; readonly health: FeedHealth; readonly afterMs: number };

/** The verdict on a failure; `random` in [0, 1) spreads the attempts of many feeds. */
export function failing(
  health: FeedHealth,
  failure: Failure,
  bounds: BackoffBounds & { readonly stuckAfterMs: number },
  world: { readonly nowMs: number; readonly random: number },
): Verdict {
  const isStuck = world.nowMs - health.progressAtMs > bounds.stuckAfterMs;
  if (failure.retry === 'Never' || isStuck) return { state: 'failed' };
  return {
    state: 'warning',
    health: { ...health, failureCount: health.failureCount + 1 },
    afterMs: delayMs(health.failureCount, bounds, world.random),
  };
}
