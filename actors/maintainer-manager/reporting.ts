/** What maintainers say of their changefeeds, and what of it the coordinator is told, and when. */
import { failure as failureOf, type Failure } from '#src/base/failure.ts';
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { FeedsRequest } from '#src/ports/feeds.ts';
import { isLastWord } from '#src/protocol/changefeed.ts';
import type { MaintainerReport } from '#src/protocol/coordinator.ts';
import type { MaintainerReported } from '#src/protocol/maintainer-manager.ts';
import { tellCoordinator, type MaintainerManagerState } from './manager-state.ts';
import type { Registered } from './registry.ts';

type S = MaintainerManagerState;

/** A sign of life even when nothing changes. */
const reportEveryMs = 1_000;
/** Maintainers that have stopped are remembered, the last so many, for a coordinator that asks again. */
const stoppedCountMax = 100;

/** A maintainer's word; after the last one its cell is stopped, and only then another may follow. */
export function reported(state: S, message: MaintainerReported, env: Env): readonly Effect[] {
  const { status, epoch, isBootstrapped, isClosed, isLast } = message;
  const { id } = status;
  const known = state.registry.get(id);
  // A late word of another instance changes nothing.
  if (known === undefined || known.epoch !== epoch || known.is === 'stopped') return [];
  const report = { id, epoch, isWorking: true, isBootstrapped, isClosed, status };
  state.registry.set(id, { ...known, report });
  // Messages and exits travel apart: what follows from the last word waits until the cell is gone.
  if (isLast) return [{ kind: 'Stop', target: env.from, exit: { kind: 'normal' } }];
  const isNews = JSON.stringify(known.report) !== JSON.stringify(report);
  if (isNews) state.changed.add(id);
  return [];
}

/** A maintainer's cell has ended: after its last word, or by itself. */
export function ended(state: S, known: Registered, why: string, env: Env): readonly Effect[] {
  const { status } = known.report;
  const fault = failureOf('INTERNAL_FAULT', `the maintainer ended: ${why}`, { retry: 'Again' });
  return endedWith(state, known, isLastWord(status.state) ? status.failure : fault, env);
}

/** There is no maintainer any more, or none could be started; the coordinator learns why. */
export function endedWith(
  state: S,
  known: Registered,
  failure: Failure | null,
  env: Env,
): readonly Effect[] {
  const { status } = known.report;
  const last = isLastWord(status.state) ? status : { ...status, state: 'failed' as const, failure };
  const report = { ...known.report, isWorking: false, isBootstrapped: false, status: last };
  // The youngest last: the oldest are forgotten first.
  state.registry.delete(known.id);
  state.registry.set(known.id, { ...known, is: 'stopped', ref: null, report, removal: null });
  forgetOldest(state);
  const close: FeedsRequest = { kind: 'CloseFeed', id: known.id, holder: 'maintainer' };
  return [
    { kind: 'CallPort', port: 'feeds', request: close, answer: 'FeedsAnswered', tag: '' },
    ...tellCoordinator(state, [report], false, env),
  ];
}

function forgetOldest(state: S): void {
  const stopped = [...state.registry.values()].filter(({ is }) => is === 'stopped');
  for (const { id } of stopped.slice(0, Math.max(0, stopped.length - stoppedCountMax)))
    state.registry.delete(id);
}

/** What changed, or a sign of life when it is time for one. */
export function reportOn(state: S, env: Env): readonly Effect[] {
  const isDue = state.changed.size > 0 || env.now() - state.reportedAtMs >= reportEveryMs;
  return isDue ? report(state, false, env) : [];
}

/** Says what changed; now and then, and to a coordinator that asks, everything: a last word may have been lost on the way. */
export function report(state: S, isBootstrap: boolean, env: Env): readonly Effect[] {
  const isWhole = isBootstrap || env.now() - state.wholeAtMs >= reportEveryMs;
  if (isWhole) state.wholeAtMs = env.now();
  const ids = isWhole ? state.registry.keys() : state.changed.values();
  const reports = [...ids].flatMap((id): readonly MaintainerReport[] => {
    const known = state.registry.get(id);
    return known === undefined ? [] : [known.report];
  });
  state.changed.clear();
  return tellCoordinator(state, reports, isBootstrap, env);
}
