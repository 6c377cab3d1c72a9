/** The coordinator's schedulers (spec/01 §1.8), what it makes of the nodes' first words, and what it sends them. */
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { MaintainerReport } from '#src/protocol/coordinator.ts';
import { balance, drain, drainSlots, placeAbsent, type Relocation } from '../placement/place.ts';
import { shouldRun, toManager, type CoordinatorState, type Feed } from './coordinator-state.ts';
import { ended, reported } from './feed-course.ts';
import type { FeedRequest, MaintainerWord, StopOperator } from './feed-operator.ts';
import { isWriting, write } from './feed-writes.ts';
import { standings } from './reports.ts';

type S = CoordinatorState;

/** A node that has not spoken for so long gets nothing new. */
const aliveMs = 30_000;
const slotsMax = 100;
const balanceEveryMs = 15_000;
/** After a drain nothing is evened out for a while: the node may be about to leave. */
const drainCooldownMs = 120_000;
const drainAgainMs = 5_000;

/** Places what is absent, evens out, drains, and sends what operators ask for. */
export function place(state: S, env: Env): readonly Effect[] {
  if (state.phase !== 'running') return [];
  const effects: Effect[] = [...drainOn(state, env)];
  const nowMs = env.now();
  const absent = [...state.feeds.values()].filter(
    (feed) =>
      shouldRun(feed) &&
      feed.node === null &&
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
    effects.push(...write(state, feed, { epochAbove: feed.epochMin }, { do: 'add', node }));
  }
  if (absent.length === 0) effects.push(...rearrange(state, bounds, env));
  for (const id of state.operators.needEpoch()) {
    const feed = state.feeds.get(id);
    if (feed === undefined || isWriting(state, id)) continue;
    effects.push(...write(state, feed, { epochAbove: feed.epochMin }, { do: 'give-epoch' }));
  }
  const requests = state.operators.due(nowMs);
  return [...effects, ...requests.flatMap((request) => send(state, request))];
}

function rearrange(state: S, bounds: Parameters<typeof balance>[1], env: Env): readonly Effect[] {
  const placed = [...state.feeds.values()]
    .filter((feed) => isMovable(state, feed))
    .map((feed) => ({ id: feed.id, node: feed.node! }));
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
  return relocations.flatMap(({ id, from, to }) => {
    const feed = state.feeds.get(id);
    if (feed === undefined || !state.operators.reserve(id)) return [];
    const at = { node: from, epoch: feed.record.epoch };
    return write(state, feed, { epochAbove: feed.epochMin }, { do: 'move', node: to, from: at });
  });
}

function isMovable(state: S, feed: Feed): boolean {
  const isFree = state.operators.isFree(feed.id) && !isWriting(state, feed.id);
  return isFree && shouldRun(feed) && feed.node !== null && feed.isBootstrapped;
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

function loads(state: S): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  const add = (node: string): void => void counts.set(node, (counts.get(node) ?? 0) + 1);
  for (const { node } of state.feeds.values()) if (node !== null) add(node);
  return counts;
}

/** Tells every node the drain target until it has taken it on. */
function drainOn(state: S, env: Env): readonly Effect[] {
  const { drain } = state;
  if (drain.number === 0 || env.now() - state.drainSentAtMs < drainAgainMs) return [];
  state.drainSentAtMs = env.now();
  return state.nodes
    .filter((node) => (state.drainTakenBy.get(node) ?? 0) < drain.number)
    .map((node) => toManager(state, node, { kind: 'SetDrainTarget', drain }));
}

function send(state: S, request: FeedRequest): readonly Effect[] {
  const feed = state.feeds.get(request.id);
  if (feed === undefined) return [];
  // What a manager that was started anew runs is asked first: it must not begin again under an epoch that was used.
  const isAsked = state.bootstrap.nodes.get(request.node)?.answer === null;
  if (request.kind === 'add' && isAsked) return [];
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
  for (const feed of state.feeds.values()) {
    if (feed.node !== node || state.operators.get(feed.id) !== undefined) continue;
    feed.node = null;
    feed.isBootstrapped = false;
  }
  return state.operators.nodeLost(node).flatMap((ending) => ended(state, ending));
}

/** What was placed on a node and is not among what it runs is absent: its manager was started anew. */
export function forgetMissing(state: S, node: string, reports: readonly MaintainerReport[]): void {
  const known = new Set(reports.map(({ id }) => id));
  for (const feed of state.feeds.values()) {
    const operator = state.operators.get(feed.id);
    const target = operator?.kind === 'move' ? operator.target : feed.node;
    if (target !== node || known.has(feed.id)) continue;
    // An Add may have reached the former manager: tokens of that epoch are used, another is needed.
    const isAdding = operator?.phase === 'adding' || operator?.phase === 'add-target';
    if (operator !== undefined && !isAdding) continue;
    state.operators.taskRemoved(feed.id);
    feed.node = null;
    feed.isBootstrapped = false;
  }
}

/** What the nodes run, at the beginning of a term (F11–F13). */
export function takeStandings(
  state: S,
  answers: ReadonlyMap<string, readonly MaintainerReport[]>,
  env: Env,
): readonly Effect[] {
  const effects: Effect[] = [];
  const words: MaintainerWord[] = [];
  for (const [node, reports] of answers) {
    for (const { id, epoch, isWorking, isBootstrapped } of reports)
      words.push({ id, node, epoch, isWorking, isBootstrapped });
    state.drain = {
      number: Math.max(state.drain.number, state.drainTakenBy.get(node) ?? 0),
      node: state.drain.node,
    };
  }
  const epochs = new Map([...state.feeds.values()].map(({ id, record }) => [id, record.epoch]));
  for (const [id, { current, stale }] of standings(epochs, words)) {
    const feed = state.feeds.get(id);
    for (const word of stale) effects.push(...endStale(state, word));
    if (feed === undefined) continue;
    if (current !== null) {
      feed.node = current.node;
      feed.isBootstrapped = current.isBootstrapped;
    }
    // A pause or a removal that was stored before its maintainer was told.
    if (!shouldRun(feed) && (current !== null || feed.record.state === 'removed'))
      effects.push(
        ...write(state, feed, {}, { do: 'stop', removed: feed.record.state === 'removed' }),
      );
  }
  for (const [node, reports] of answers)
    for (const one of reports) effects.push(...reported(state, node, one, env));
  return effects;
}

/** Its slot must be free before another maintainer is added (F13); one whose slot is taken is told directly (F12). */
function endStale(state: S, word: MaintainerWord): readonly Effect[] {
  const { id, node, epoch } = word;
  const operator: StopOperator = {
    kind: 'stop',
    id,
    phase: 'stopping',
    node,
    epoch,
    removed: false,
    about: 'stale-owner',
  };
  const isKnown = state.feeds.has(id);
  if (isKnown && state.operators.pushStop(operator, new Set(state.nodes)) !== null) return [];
  const message = {
    kind: 'RemoveMaintainer',
    id,
    epoch,
    cascade: true,
    removed: !isKnown,
    config: null,
  } as const;
  return [toManager(state, node, message)];
}
