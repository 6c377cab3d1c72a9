/** What a dispatcher manager tells its maintainer, many times a second. */
import type { Effect } from '#src/kernel/effect.ts';
import type { MaintainerMessage } from '#src/protocol/maintainer.ts';
import { stopSelf, tell, type DispatcherManagerState } from './manager-state.ts';

type S = DispatcherManagerState;

/** Without news a heartbeat is still sent every so many: a sign of life, and a second chance for what got lost. */
const quietMax = 25;
/** Of so many busy spans the rows are told, so often. */
const loadCountMax = 16;
const loadsEveryMs = 1_000;

/** Everything of all assignments that count, ended ones included, is committed up to here. */
export function checkpointOf(state: S): number {
  return Math.min(state.resolved?.ts ?? 0, state.served.hindmost().ts);
}

/** Looks now and then which spans have most to do: the next heartbeat tells. */
export function lookAtLoads(state: S, nowMs: number): void {
  if (nowMs - state.loadsAtMs < loadsEveryMs) return;
  state.loadsAtMs = nowMs;
  state.loads = state.served.busiest(loadCountMax);
}

/** Sends a heartbeat when there is news, and now and then without. */
export function beat(state: S, effects: Effect[]): void {
  if (state.maintainer === null) return;
  const { span, ts } = state.served.hindmost();
  const resolvedTs = state.resolved?.ts ?? 0;
  const checkpointTs = Math.min(resolvedTs, ts);
  const { seq, resolved, held, trouble, failure, totals, served } = state;
  const isHeldNews = held !== null && !state.isHeldTold;
  const told = `${seq} ${checkpointTs} ${resolved?.ts ?? ''} ${trouble?.code ?? ''} ${failure?.code ?? ''} ${state.closedTs ?? ''} ${totals.rows}`;
  const isNews =
    told !== state.told ||
    served.hasNews ||
    state.seen.size > 0 ||
    isHeldNews ||
    state.phase === 'closed';
  if (!isNews && ++state.quiet < quietMax) return;
  const isRepeat = !isNews;
  state.quiet = 0;
  state.told = told;
  state.isHeldTold = true;
  const number = ++state.beat;
  for (const [span, toldBeat] of state.seen) if (toldBeat === null) state.seen.set(span, number);
  const message: MaintainerMessage = {
    kind: 'ManagerHeartbeat',
    beat: number,
    seq,
    checkpointTs,
    hindmost: ts < resolvedTs ? span : '',
    resolved,
    seen: [...state.seen.keys()],
    spans: served.reports(number),
    ddl:
      held !== null && (isHeldNews || isRepeat) ? { ddl: held.ddl, resolved: held.resolved } : null,
    isSourceClosed: state.closedTs !== null,
    isClosed: state.phase === 'closed',
    trouble,
    failure,
    totals,
    loads: state.loads,
  };
  state.loads = [];
  tell(state, message, effects);
}

/** The maintainer has taken a heartbeat and all before it: what they told is not told again. */
export function taken(state: S, beatTaken: number, effects: Effect[]): void {
  state.served.taken(beatTaken);
  for (const [span, toldBeat] of state.seen)
    if (toldBeat !== null && toldBeat <= beatTaken) state.seen.delete(span);
  if (state.phase === 'closed') effects.push(stopSelf);
}
