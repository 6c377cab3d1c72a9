/**
 * How the terms of a node's coordinators end. One that breaks is not started again by its supervisor, but the node would lead
 * again at once and meet the same: after some of those within a minute it is told, and the node leads once a minute.
 *
 * A term that ended because hardly anybody was heard is nobody's fault: the node leaves the lead to another, once. When it is
 * elected again soon all the same, no node hears the others, and it leads without them.
 */
import { failure as failureOf, type Failure } from '#src/base/failure.ts';
import { exitText, type Exit } from '#src/kernel/exit.ts';

/** More terms than this that ended by a fault within the window are no accident. */
const faultCountMax = 3;
const windowMs = 60_000;
/** How long a node whose coordinators break campaigns no more. */
const restMs = 60_000;
/** The same for one that was not heard: others are elected within a second or two, if any are there. */
const unheardRestMs = 15_000;
/** It gives the lead up for that once in so long. */
const unheardEveryMs = 300_000;

/** See the top of this file. */
export interface TermHealth {
  /** Monotonic times of the last faults, `faultCountMax + 1` at most. */
  readonly faultsAtMs: readonly number[];
  /** Its coordinators break; null while they do not. */
  readonly trouble: Failure | null;
  /** It does not campaign before. */
  readonly restUntilMs: number;
  /** When it gave the lead up because hardly anybody was heard. */
  readonly unheardAtMs: number;
}

/** Of a node that has not led yet. */
export const freshTerms: TermHealth = {
  faultsAtMs: [],
  trouble: null,
  restUntilMs: -Infinity,
  unheardAtMs: -Infinity,
};

/** A term of this node has ended. */
export function termEnded(health: TermHealth, exit: Exit, nowMs: number): TermHealth {
  if (exit.kind === 'failure' && exit.failure.code === 'COORDINATOR_UNHEARD') {
    const restUntilMs = Math.max(health.restUntilMs, nowMs + unheardRestMs);
    return { ...health, restUntilMs, unheardAtMs: nowMs };
  }
  if (exit.kind !== 'fault') return health;
  const recent = health.faultsAtMs.filter((atMs) => nowMs - atMs < windowMs);
  const faultsAtMs = [...recent, nowMs].slice(-(faultCountMax + 1));
  if (health.trouble === null && faultsAtMs.length <= faultCountMax)
    return { ...health, faultsAtMs };
  const message = `coordinators of this node break again and again, the last by ${exitText(exit)}`;
  const trouble = failureOf('COORDINATOR_FAILING', message, { retry: 'Again', scope: 'Node' });
  return { ...health, faultsAtMs, trouble, restUntilMs: nowMs + restMs };
}

/** A term, of whichever node, has lasted since `sinceMs`: after the window all is well again. */
export function termLasted(health: TermHealth, sinceMs: number, nowMs: number): TermHealth {
  if (health.trouble === null || nowMs - sinceMs < windowMs) return health;
  return { ...freshTerms, unheardAtMs: health.unheardAtMs };
}

/** True when a coordinator that hears fewer than half of the nodes is to give the lead up. */
export function yieldsUnheard({ unheardAtMs }: TermHealth, nowMs: number): boolean {
  return nowMs - unheardAtMs >= unheardEveryMs;
}

/** True while it leaves the campaign to others. */
export function isResting({ restUntilMs }: TermHealth, nowMs: number): boolean {
  return nowMs < restUntilMs;
}
