/** How maintainers are started and asked to end, as the coordinator says (spec/04 §4b, E9, E10). */
import type { Outcome } from '#src/base/failure.ts';
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Ref } from '#src/kernel/ref.ts';
import type { FeedsAnswer, FeedsRequest } from '#src/ports/feeds.ts';
import { blankStatus } from '#src/protocol/changefeed.ts';
import type { MaintainerReport } from '#src/protocol/coordinator.ts';
import type { AddMaintainer, RemoveMaintainer } from '#src/protocol/maintainer-manager.ts';
import type { RemoveThis } from '#src/protocol/maintainer.ts';
import type { MaintainerProps } from '../maintainer/maintainer-state.ts';
import { endedWith } from './reporting.ts';
import {
  maintainerId,
  registeredAs,
  tellCoordinator,
  toMaintainer,
  type MaintainerManagerState,
  type Opening,
} from './manager-state.ts';
import { admitAdd, admitRemove } from './registry.ts';

type S = MaintainerManagerState;

/** An Add of the coordinator: taken on, known already, or refused until the former maintainer has stopped. */
export function add(state: S, message: AddMaintainer): readonly Effect[] {
  const { config, epoch } = message;
  switch (admitAdd(state.registry.get(config.id), epoch)) {
    case 'add':
      return open(state, { config, epoch, isRemovalOnly: false });
    case 'known':
      state.changed.add(config.id);
      return [];
    case 'refused':
      return [{ kind: 'Count', name: 'maintainer add refused', value: 1 }];
  }
}

/** A Remove of the coordinator; whatever it means, it is answered. */
export function remove(state: S, message: RemoveMaintainer, env: Env): readonly Effect[] {
  const { id, epoch, cascade, removed, config } = message;
  const known = state.registry.get(id);
  switch (admitRemove(known, { epoch, cascade })) {
    case 'forward': {
      const removal: RemoveThis = { kind: 'RemoveThis', cascade, removed };
      if (known?.ref != null) return toMaintainer(known, removal);
      state.registry.set(id, { ...known!, removal: both(known!.removal, removal) });
      return [];
    }
    case 'stopped':
      return sayStopped(state, id, epoch, env);
    case 'close':
      if (config === null) return sayStopped(state, id, epoch, env);
      return open(state, { config, epoch, isRemovalOnly: true });
    case 'stale':
      return [{ kind: 'Count', name: 'maintainer remove stale', value: 1 }];
  }
}

/** A second Remove may turn `cascade` on, never off. */
function both(first: RemoveThis | null, second: RemoveThis): RemoveThis {
  if (first === null) return second;
  const { cascade, removed } = first;
  return { ...second, cascade: cascade || second.cascade, removed: removed || second.removed };
}

/** A synthetic word for what is not here, under the request's own epoch: the coordinator would wait for ever. */
function sayStopped(state: S, id: string, epoch: number, env: Env): readonly Effect[] {
  const known = state.registry.get(id);
  const isSame = known?.epoch === epoch;
  const status = isSame ? known.report.status : blankStatus(id);
  const isClosed = isSame && known.report.isClosed;
  const one = { id, epoch, isWorking: false, isBootstrapped: false, isClosed, status };
  return tellCoordinator(state, [one], false, env);
}

function open(state: S, opening: Opening): readonly Effect[] {
  const { config, epoch } = opening;
  const { id, endpoints } = config;
  const report: MaintainerReport = {
    id,
    epoch,
    isWorking: true,
    isBootstrapped: false,
    isClosed: false,
    status: blankStatus(id),
  };
  state.registry.set(id, { id, epoch, is: 'opening', ref: null, report, removal: null });
  state.changed.add(id);
  state.openings.set(id, opening);
  const request: FeedsRequest = { kind: 'OpenFeed', id, holder: 'maintainer', endpoints };
  return [{ kind: 'CallPort', port: 'feeds', request, answer: 'FeedsAnswered', tag: id }];
}

/** The ports of the changefeed are ready on all threads: its maintainer is started. */
export function opened(
  state: S,
  id: string,
  outcome: Outcome<FeedsAnswer>,
  env: Env,
): readonly Effect[] {
  const opening = state.openings.get(id);
  const known = state.registry.get(id);
  state.openings.delete(id);
  if (opening === undefined || known?.is !== 'opening') return [];
  // Also what cannot be opened any more can be closed.
  if (outcome.ok || opening.isRemovalOnly) return [spawn(state, opening, env, outcome.ok)];
  return endedWith(state, known, outcome.failure, env);
}

function spawn(
  state: S,
  { config, epoch, isRemovalOnly }: Opening,
  env: Env,
  hasSink: boolean,
): Effect {
  const { self, workThreads } = state.props;
  const { view, drain, registry } = state;
  const props: MaintainerProps = {
    config,
    epoch,
    manager: env.self,
    self,
    nodes: view?.nodes ?? [self],
    drain,
    isRemovalOnly,
    hasSink,
  };
  registry.set(config.id, { ...registry.get(config.id)!, is: 'starting' });
  return {
    kind: 'Spawn',
    team: 'capture/control/maintainers',
    id: maintainerId(config.id, epoch),
    role: 'maintainer',
    props,
    thread: leastLoaded(state, workThreads),
    epoch,
    owner: env.self.path,
  };
}

function leastLoaded(state: S, threads: readonly string[]): string {
  const loads = new Map(threads.map((thread) => [thread, 0]));
  for (const { ref } of state.registry.values())
    if (ref !== null) loads.set(ref.thread, (loads.get(ref.thread) ?? 0) + 1);
  return [...loads].reduce((least, entry) => (entry[1] < least[1] ? entry : least))[0];
}

/** A maintainer's cell runs; it is told what came while it was being started. */
export function started(state: S, childId: string, ref: Ref): readonly Effect[] {
  const watch: Effect = { kind: 'Watch', target: ref };
  const known = registeredAs(state, childId);
  if (known === undefined) return [watch];
  const one = { ...known, is: 'running', ref, removal: null } as const;
  state.registry.set(known.id, one);
  const { view, drain } = state;
  const { removal } = known;
  return [
    watch,
    ...(view === null ? [] : toMaintainer(one, view)),
    ...(drain.number === 0 ? [] : toMaintainer(one, { kind: 'DrainChanged', drain })),
    ...(removal === null ? [] : toMaintainer(one, removal)),
  ];
}
