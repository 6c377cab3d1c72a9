/** The coordinator's schedulers (spec/01 §1.8), what it makes of the nodes' first words, and what it sends them. */
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { MaintainerReport } from '#src/protocol/coordinator.ts';
import {
  balance,
  balanceEveryMs,
  drain,
  drainCooldownMs,
  drainSlots,
  placeAbsent,
  type Relocation,
} from '../placement/place.ts';
import {
  becomeAbsent,
  shouldRun,
  toManager,
  type CoordinatorState,
  type Feed,
} from './coordinator-state.ts';
import { drainOn } from './drains.ts';
import { reported, wordOf } from './feed-course.ts';
import {
  placementOf,
  type FeedOperator,
  type FeedRequest,
  type MaintainerWord,
  type StopOperator,
} from './feed-operator.ts';
import { ended, settle } from './feed-stopping.ts';
import { isWriting, write } from './feed-writes.ts';
import { standings } from './reports.ts';

type S = CoordinatorState;

/** A node that has not spoken for so long runs nothing any more, and gets nothing, until it speaks. */
export const aliveMs = 30_000;
const slotsMax = 100;
/** A close from here that came to nothing is begun again after this time. */
const closeAgainMs = 1_000;

/** Places what is absent, evens out, drains, and sends what operators ask for. */
export function place(state: S, env: Env): readonly Effect[] {
  if (state.phase !== 'running') return [];
  const effects: Effect[] = [...drainOn(state, env)];
  for (const feed of state.feeds.values()) effects.push(...settle(state, feed));
  const nowMs = env.now();
  const absent = [...state.feeds.values()].filter(
    (feed) =>
      shouldRun(feed) &&
      feed.placed === null &&
      feed.entry.value !== null &&
      feed.retryAtMs <= nowMs &&
      state.operators.isFree(feed.id) &&
      !isWriting(state, feed.id),
  );
  const bounds = {
    nodes: destinations(state, env),
    loads: loads(state),
    slots: slotsMax - state.operators.size,
  };
  for (const { id, node } of placeAbsent(
    absent.map(({ id }) => id),
    bounds,
  )) {
    const feed = state.feeds.get(id);
    if (feed === undefined || !state.operators.reserve(id)) continue;
    const change = { hasNewEpoch: true, isOpen: true } as const;
    effects.push(...write(state, feed, change, { do: 'add', node }));
  }
  if (absent.length === 0) effects.push(...rearrange(state, bounds, env));
  for (const id of state.operators.needEpoch()) {
    const feed = state.feeds.get(id);
    if (feed === undefined || isWriting(state, id) || feed.closeAtMs > nowMs) continue;
    feed.closeAtMs = nowMs + closeAgainMs;
    effects.push(...write(state, feed, { hasNewEpoch: true }, { do: 'give-epoch' }));
  }
  const requests = state.operators.due(nowMs);
  return [...effects, ...requests.flatMap((request) => send(state, request))];
}

function rearrange(state: S, bounds: Parameters<typeof balance>[1], env: Env): readonly Effect[] {
  const placed = [...state.feeds.values()]
    .filter((feed) => isMovable(state, feed))
    .map((feed) => ({ id: feed.id, node: feed.placed!.node }));
  const target = state.drain.node;
  if (target !== null) {
    state.balancedAtMs = env.now() + drainCooldownMs - balanceEveryMs;
    const leaving = placed.filter(({ node }) => node === target).length;
    if (leaving === 0) return [];
    const slots = drainSlots(leaving) - state.operators.size;
    return move(state, drain(target, placed, { ...bounds, slots }));
  }
  if (env.now() - state.balancedAtMs < balanceEveryMs || state.operators.size > 0) return [];
  state.balancedAtMs = env.now();
  return move(state, balance(placed, bounds));
}

function move(state: S, relocations: readonly Relocation[]): readonly Effect[] {
  return relocations.flatMap(({ id, to }) => {
    const feed = state.feeds.get(id);
    const from = feed?.placed ?? null;
    if (feed === undefined || from === null || !state.operators.reserve(id)) return [];
    return write(state, feed, { hasNewEpoch: true }, { do: 'move', node: to, from });
  });
}

function isMovable(state: S, feed: Feed): boolean {
  const isFree = state.operators.isFree(feed.id) && !isWriting(state, feed.id);
  return isFree && shouldRun(feed) && feed.placed !== null && feed.isBootstrapped;
}

/** Nodes that are alive, have taken the present drain target on, and are not it; it only when there is no other. */
function destinations(state: S, env: Env): readonly string[] {
  const alive = state.nodes.filter((node) => {
    const heardAtMs = state.heardAtMs.get(node);
    const isHeard = heardAtMs !== undefined && env.now() - heardAtMs < aliveMs;
    return isHeard && (state.drainTakenBy.get(node) ?? 0) >= state.drain.number;
  });
  const kept = alive.filter((node) => node !== state.drain.node);
  return kept.length > 0 ? kept : alive;
}

/** Maintainers on each node, and those that are under way to it. */
function loads(state: S): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const feed of state.feeds.values()) {
    const node = destinationOf(state, feed);
    if (node !== null) counts.set(node, (counts.get(node) ?? 0) + 1);
  }
  return counts;
}

function destinationOf(state: S, feed: Feed): string | null {
  for (const { after } of state.writes.get(feed.id) ?? [])
    if (after.do === 'add' || after.do === 'move') return after.node;
  const operator = state.operators.get(feed.id);
  return operator?.kind === 'move' ? operator.target : (feed.placed?.node ?? null);
}

function send(state: S, request: FeedRequest): readonly Effect[] {
  const feed = state.feeds.get(request.id);
  if (feed === undefined) return [];
  // What a manager that was started anew runs is asked first: it must not begin again under an epoch that was used.
  if (state.bootstrap.nodes.get(request.node)?.answer === null) return [];
  const { config } = feed.record;
  if (request.kind === 'remove') {
    const { id, epoch, cascade, removed } = request;
    const message = { kind: 'RemoveMaintainer', id, epoch, cascade, removed, config } as const;
    return [toManager(state, request.node, message)];
  }
  const { epoch } = request;
  return [toManager(state, request.node, { kind: 'AddMaintainer', config, epoch })];
}

/** A node is lost: maintainers there without an operator are absent, then operators hear of it. */
export function nodesLost(state: S, node: string): readonly Effect[] {
  state.heardAtMs.delete(node);
  state.drainTakenBy.delete(node);
  state.managerLives.delete(node);
  for (const feed of state.feeds.values())
    if (feed.placed?.node === node && isAlone(state.operators.get(feed.id))) becomeAbsent(feed);
  return state.operators.nodeLost(node).flatMap((ending) => ended(state, ending));
}

/** No operator is about what is placed: there is none, or it ends a stale owner. */
function isAlone(operator: FeedOperator | undefined): boolean {
  return operator === undefined || (operator.kind === 'stop' && operator.about === 'stale-owner');
}

/**
 * What a node ran under a manager that was started anew, and is not among what it runs now, is lost as with the node: tokens
 * of its epoch are used, so whatever follows, a close too, has another.
 */
export function forgetMissing(
  state: S,
  node: string,
  reports: readonly MaintainerReport[],
): readonly Effect[] {
  const known = new Set(reports.map(({ id }) => id));
  const endings = [...state.feeds.values()].flatMap((feed) => {
    if (known.has(feed.id)) return [];
    const operator = state.operators.get(feed.id);
    if (feed.placed?.node === node && isAlone(operator)) becomeAbsent(feed);
    const isThere = operator !== undefined && placementOf(operator).node === node;
    return isThere ? state.operators.lostOn(node, feed.id) : [];
  });
  return endings.flatMap((ending) => ended(state, ending));
}

/** What the nodes run, at the beginning of a term (F11–F13). */
export function takeStandings(
  state: S,
  answers: ReadonlyMap<string, readonly MaintainerReport[]>,
  env: Env,
): readonly Effect[] {
  const words: MaintainerWord[] = [];
  for (const [node, reports] of answers) words.push(...reports.map((one) => wordOf(node, one)));
  const epochs = new Map([...state.feeds.values()].map(({ id, record }) => [id, record.epoch]));
  for (const [id, { current, stale }] of standings(epochs, words)) {
    const feed = state.feeds.get(id);
    if (feed === undefined) continue;
    // Its slot must be free before another is added (F13); one whose slot is taken is told directly (F12).
    for (const word of stale) state.operators.pushStop(staleStop(word), new Set(state.nodes));
    if (current === null) continue;
    feed.placed = { node: current.node, epoch: current.epoch };
    feed.isBootstrapped = current.isBootstrapped;
  }
  const effects: Effect[] = [];
  for (const [node, reports] of answers)
    for (const one of reports) effects.push(...reported(state, node, one, env));
  return effects;
}

/**
 * A node is heard for the first time in a term that began without it: a maintainer under the stored epoch, whose changefeed
 * has no other and is getting none, is kept; every other one is stale, and is told to end as it is heard of (F11, F12).
 */
export function takeLate(state: S, node: string, reports: readonly MaintainerReport[]): void {
  for (const { id, epoch, isWorking, isBootstrapped } of reports) {
    const feed = state.feeds.get(id);
    if (feed === undefined || !isWorking || epoch !== feed.record.epoch) continue;
    const isFree = state.operators.isFree(id) && !isWriting(state, id);
    if (feed.placed !== null || !isFree) continue;
    feed.placed = { node, epoch };
    feed.isBootstrapped = isBootstrapped;
  }
}

function staleStop({ id, node, epoch }: MaintainerWord): StopOperator {
  const about = 'stale-owner';
  return { kind: 'stop', id, phase: 'stopping', node, epoch, removed: false, about };
}
