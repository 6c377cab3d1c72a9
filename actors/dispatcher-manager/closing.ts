/** How a dispatcher manager ends: its dispatchers first, then the source cells, then itself. */
import type { Effect } from '#src/kernel/effect.ts';
import { beat } from './heartbeat.ts';
import { toPuller, type DispatcherManagerState } from './manager-state.ts';
import { stopAssignment, stopCell } from './served-spans.ts';

type S = DispatcherManagerState;

/** How long the closed manager waits to be heard. */
const closedMs = 1_000;

/** Begins to end: the source is closed, dispatchers are stopped, and what waited never starts. */
export function becomeEnding(state: S, effects: Effect[]): void {
  state.phase = 'ending';
  state.served.dropDeferred();
  toPuller(state, { kind: 'CloseSource' }, effects);
  for (const assignment of state.served.alive()) stopAssignment(assignment, effects);
  endSource(state, effects);
}

/** The dispatchers have ended: the source cells end too. */
export function endSource(state: S, effects: Effect[]): void {
  if (state.served.alive().length > 0) return;
  for (const ref of [state.logPuller, state.eventService])
    if (ref !== null) effects.push(stopCell(ref));
  becomeClosed(state, effects);
}

/** Everything has ended: said once more, then it waits a while to be heard. */
export function becomeClosed(state: S, effects: Effect[]): void {
  if (state.logPuller !== null || state.eventService !== null) return;
  if (state.served.alive().length > 0) return;
  state.phase = 'closed';
  beat(state, effects);
  const afterMs = state.maintainer === null ? 0 : closedMs;
  effects.push({ kind: 'SetTimer', key: 'closed', afterMs, message: { kind: 'CloseDue' } });
}
