import type { TeamPlan } from './plan.ts';

const pauseMsMin = 10;
const pauseMsMax = 1_000;

/**
 * Milliseconds a supervisor waits before its `restartCount`-th restart within the period: none before the first, then doubling,
 * with jitter from `random` (uniform in [0, 1)). So short that the team's intensity can still be reached within its
 * period: a child that never comes up escalates, as in OTP.
 */
export function restartPauseMs(team: TeamPlan, restartCount: number, random: number): number {
  if (restartCount <= 1) return 0;
  const limit = Math.min(pauseMsMax, team.periodMs / (2 * (team.intensity + 1)));
  const ceiling = Math.min(limit, pauseMsMin * 2 ** Math.min(restartCount - 2, 16));
  return ceiling * (0.5 + random / 2);
}
