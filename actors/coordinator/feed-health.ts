/**
 * How a changefeed that fails goes on (FEATURES 1.2): `warning` with a growing delay before the next attempt, `failed` at
 * once for what cannot get better or after too long without progress, `normal` again as soon as the checkpoint moves.
 */
import type { Failure } from '#src/base/failure.ts';

/** Delays between attempts, milliseconds; each is twice the one before, give or take a tenth. */
export interface BackoffBounds {
  readonly minMs: number;
  readonly maxMs: number;
}

/** What the reference waits: 10 s to 10 min. */
export const patientBackoff: BackoffBounds = { minMs: 10_000, maxMs: 600_000 };

/** For one feed in one process, where somebody is looking: 100 ms to 10 s. */
export const promptBackoff: BackoffBounds = { minMs: 100, maxMs: 10_000 };

/** The health of one changefeed. */
export interface FeedHealth {
  /** Failures since the last progress. */
  readonly failureCount: number;
  /** Monotonic time and place of the last progress. */
  readonly progressAtMs: number;
  readonly progressTs: number;
}

/** A changefeed that has just begun. */
export function newHealth(nowMs: number): FeedHealth {
  return { failureCount: 0, progressAtMs: nowMs, progressTs: -1 };
}

/** Its checkpoint is `ts`; `isIdle`: there is nothing more to apply, which is as good as progress. */
export function reached(
  health: FeedHealth,
  ts: number,
  isIdle: boolean,
  nowMs: number,
): FeedHealth {
  if (ts <= health.progressTs && !isIdle) return health;
  return { failureCount: 0, progressAtMs: nowMs, progressTs: Math.max(ts, health.progressTs) };
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
  const delayMs = Math.min(bounds.maxMs, bounds.minMs * 2 ** Math.min(health.failureCount, 30));
  return {
    state: 'warning',
    health: { ...health, failureCount: health.failureCount + 1 },
    afterMs: Math.round(delayMs * (0.9 + world.random * 0.2)),
  };
}
