/**
 * What a supervisor decides when a child exits: a pure function with OTP's semantics. The tree performs it.
 */
import { isAbnormal, type Exit } from './exit.ts';
import type { Restart, Strategy } from './plan.ts';

/** A running or stopped child, in start order. */
export interface ChildFacts {
  readonly id: string;
  readonly restart: Restart;
  readonly running: boolean;
}

/** A supervisor's facts. */
export interface TeamFacts {
  readonly strategy: Strategy;
  readonly intensity: number;
  readonly periodMs: number;
  readonly children: readonly ChildFacts[];
  /** Monotonic times of restarts still within the period. */
  readonly restarts: readonly number[];
}

/** What to do: which children to stop (in this order), then which to start (in this order); none to start: it ended for good. */
export interface Decision {
  readonly stop: readonly string[];
  readonly start: readonly string[];
  /** Above its intensity: the team stops all children and exits to its parent. */
  readonly giveUp: boolean;
  readonly restarts: readonly number[];
}

const nothing = { stop: [], start: [], giveUp: false } as const;

/** The decision after `id` exited with `exit` at monotonic time `nowMs`. */
export function supervise(team: TeamFacts, id: string, exit: Exit, nowMs: number): Decision {
  const index = team.children.findIndex((child) => child.id === id);
  const child = team.children[index];
  if (child === undefined) return { ...nothing, restarts: team.restarts };
  if (!wantsRestart(child.restart, exit)) return { ...nothing, restarts: team.restarts };
  const restarts = [...team.restarts.filter((at) => nowMs - at <= team.periodMs), nowMs];
  if (restarts.length > team.intensity) return { ...nothing, giveUp: true, restarts };
  const affected = affectedBy(team, index);
  const others = affected.filter((other) => other.id !== id && other.running);
  return {
    stop: others.map((other) => other.id).toReversed(),
    start: affected.filter((other) => other.restart !== 'temporary').map((other) => other.id),
    giveUp: false,
    restarts,
  };
}

function wantsRestart(restart: Restart, exit: Exit): boolean {
  switch (restart) {
    case 'permanent':
      return true;
    case 'transient':
      return isAbnormal(exit);
    case 'temporary':
      return false;
  }
}

function affectedBy(team: TeamFacts, index: number): readonly ChildFacts[] {
  switch (team.strategy) {
    case 'one_for_one':
      return team.children.slice(index, index + 1);
    case 'rest_for_one':
      return team.children.slice(index);
    case 'one_for_all':
      return team.children;
  }
}
