/**
 * Draining a node (spec/01 §1.9): which one is to be emptied is numbered, told to every node until it has taken it on, and
 * remembered by them: a drain outlives the coordinator that began it. So who asks for it, or for its end, is answered when
 * every node that is heard knows.
 */
import { failed, failure, ok } from '#src/base/failure.ts';
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { DrainTarget } from '#src/protocol/coordinator.ts';
import {
  answer,
  silenceMs,
  toManager,
  type Asker,
  type CoordinatorState,
} from './coordinator-state.ts';

type S = CoordinatorState;

/** Whoever waits until a drain target is known. */
export interface DrainAsk {
  readonly asker: Asker;
  readonly number: number;
}

const drainAgainMs = 5_000;
/** People who wait at once. */
const askCountMax = 1_000;

/** Somebody asks that `node` be emptied, or, with null, that none be. */
export function askDrain(state: S, node: string | null, asker: Asker): readonly Effect[] {
  if (state.drainAsks.length >= askCountMax)
    return answer(asker, failed(failure('COORDINATOR_ABSENT', 'too many requests wait')));
  setDrain(state, node);
  state.drainAsks = [...state.drainAsks, { asker, number: state.drain.number }];
  return [];
}

function setDrain(state: S, node: string | null): void {
  state.drain = { number: state.drain.number + 1, node };
  state.drainSentAtMs = -Infinity;
}

/** What a node has taken on. */
export function takeDrain(state: S, node: string, drain: DrainTarget | null): void {
  if (drain === null) return;
  state.drainTakenBy.set(node, drain.number);
  if (drain.number > state.drain.number) state.drain = drain;
}

/** A node that was drained and has left is not drained any more: the others are evened out again. */
export function endDrain(state: S): void {
  const { node } = state.drain;
  if (node !== null && !state.nodes.includes(node)) setDrain(state, null);
}

/** Tells every node the drain target until it has taken it on, and whoever asked when all have. */
export function drainOn(state: S, env: Env): readonly Effect[] {
  const { drain } = state;
  const open = state.nodes.filter((node) => (state.drainTakenBy.get(node) ?? 0) < drain.number);
  const effects = [...answerAsks(state, open, env)];
  if (drain.number === 0 || env.now() - state.drainSentAtMs < drainAgainMs) return effects;
  state.drainSentAtMs = env.now();
  const told = open.map((node) => toManager(state, node, { kind: 'SetDrainTarget', drain }));
  return [...effects, ...told];
}

function answerAsks(state: S, open: readonly string[], env: Env): readonly Effect[] {
  if (state.drainAsks.length === 0) return [];
  const awaited = open.filter(
    (node) => env.now() - (state.heardAtMs.get(node) ?? -Infinity) < silenceMs,
  );
  const least = Math.min(Infinity, ...awaited.map((node) => state.drainTakenBy.get(node) ?? 0));
  const isKnown = ({ number }: DrainAsk): boolean => number <= least;
  const known = state.drainAsks.filter(isKnown);
  state.drainAsks = state.drainAsks.filter((ask) => !isKnown(ask));
  return known.flatMap(({ asker }) => answer(asker, ok({ kind: 'Done' })));
}
