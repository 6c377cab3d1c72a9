/** A coordinator and the nodes: who is there, what runs on each, who is passed over, who is drained (spec/01 §1.8, §1.9). */
import { failure as failureOf } from '#src/base/failure.ts';
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { ManagerReported } from '#src/protocol/coordinator.ts';
import { nodeOf } from '#src/protocol/nodes.ts';
import {
  answered,
  askAgain,
  collect,
  due,
  logPassedOver,
  patienceMs,
  setNodes,
  silentNodes,
} from '../placement/bootstrapper.ts';
import { takeAsk } from './asks.ts';
import { silenceMs, toManager, type CoordinatorState } from './coordinator-state.ts';
import { endDrain, takeDrain } from './drains.ts';
import { reported } from './feed-course.ts';
import {
  aliveMs,
  forgetMissing,
  nodesLost,
  place,
  takeLate,
  takeStandings,
} from './feed-placing.ts';

type S = CoordinatorState;

/** Nodes have come or gone. */
export function viewChanged(state: S, nodes: readonly string[], env: Env): readonly Effect[] {
  const lost = state.nodes.filter((node) => !nodes.includes(node));
  state.nodes = nodes;
  endDrain(state);
  state.bootstrap = setNodes(state.bootstrap, nodes);
  const endings = lost.flatMap((node) => nodesLost(state, node));
  return [...endings, ...bootstrapOn(state, env), ...gathered(state, env), ...place(state, env)];
}

/** Asks the nodes what they run, those that are silent again, and passes over who is silent for too long. */
export function bootstrapOn(state: S, env: Env): readonly Effect[] {
  if (state.phase === 'loading') return [];
  const effects: Effect[] = [];
  for (const [node, heardAtMs] of state.heardAtMs) {
    const silentMs = env.now() - heardAtMs;
    // It speaks every second: a manager that is silent was started anew, or never heard of this term.
    const isAsked = state.bootstrap.nodes.get(node)?.answer === null;
    if (!isAsked && silentMs >= silenceMs) state.bootstrap = askAgain(state.bootstrap, node);
  }
  effects.push(...passOver(state, env));
  const [bootstrap, ask] = due(state.bootstrap, env.now());
  state.bootstrap = bootstrap;
  effects.push(...ask.map((node) => toManager(state, node, { kind: 'BootstrapManager' })));
  return effects;
}

/**
 * Nodes that keep their session but have not been heard for so long: what they run is placed elsewhere, as {@link gathered}
 * does it and says why that is harmless. Who has not heard its own node either has stood still itself.
 */
function passOver(state: S, env: Env): readonly Effect[] {
  const isSilent = (node: string, ms: number): boolean =>
    env.now() - (state.heardAtMs.get(node) ?? -Infinity) >= ms;
  if (state.phase !== 'running' || isSilent(state.props.self, silenceMs)) return [];
  const overdue = [...state.heardAtMs.keys()].filter((node) => isSilent(node, aliveMs));
  if (overdue.length === 0) return [];
  const unheard = state.nodes.filter((node) => isSilent(node, silenceMs));
  if (isForAnother(state, unheard)) return yieldTo(unheard);
  const lost = overdue.flatMap((node) => nodesLost(state, node));
  return [...logPassedOver(overdue, 'coordinator', aliveMs), ...lost];
}

/**
 * Fewer than half of the nodes are heard: rather this one cannot be reached than they, and while it leads nobody's asks reach a
 * coordinator. Two of two is no majority, and who has yielded lately goes on (term-health.ts).
 */
function isForAnother({ props, nodes }: S, unheard: readonly string[]): boolean {
  return props.yieldsUnheard && 2 * unheard.length > nodes.length;
}

function yieldTo(unheard: readonly string[]): readonly Effect[] {
  const message = `no word of ${unheard.join(', ')}: another node may lead`;
  const failure = failureOf('COORDINATOR_UNHEARD', message, { retry: 'Again', scope: 'Node' });
  const detail = { nodes: unheard.join(' ') };
  return [
    { kind: 'Log', level: 'warn', event: 'coordinator-unheard', detail },
    { kind: 'Stop', target: 'self', exit: { kind: 'failure', failure } },
  ];
}

/** Word of a node's maintainer manager. */
export function managerReported(state: S, message: ManagerReported, env: Env): readonly Effect[] {
  const node = nodeOf(env.from, state.props.self);
  if (!state.nodes.includes(node)) return [];
  const life = env.from.incarnation;
  const known = state.managerLives.get(node);
  if (known !== undefined && life < known) return [];
  state.heardAtMs.set(node, env.now());
  takeDrain(state, node, message.drain);
  const lost: Effect[] = [];
  if (message.isBootstrap) {
    state.managerLives.set(node, life);
    state.bootstrap = answered(state.bootstrap, node, message.reports);
    if (state.phase !== 'running') return gathered(state, env);
    // Only what another life of the manager was given is missing; an Add may be on its way to this one.
    if (known === undefined) takeLate(state, node, message.reports);
    else if (life !== known) lost.push(...forgetMissing(state, node, message.reports));
  } else if (life !== known) state.bootstrap = askAgain(state.bootstrap, node);
  // Before every node has spoken nobody knows what is stale.
  if (state.phase !== 'running') return [];
  const effects = message.reports.flatMap((one) => reported(state, node, one, env));
  return [...lost, ...effects, ...place(state, env)];
}

/**
 * Every node has said what it runs: what is current is kept, what is stale ends (F12).
 *
 * Where most are not heard the term ends instead ({@link isForAnother}).
 *
 * A node that keeps its session, but is not heard of within `patienceMs`, is passed over (P7): what it may run is placed
 * elsewhere, and nothing new there. Its maintainer lives on for a while, and none the less no changefeed has two that can
 * write: the next one's epoch is above the old one's before any node hears of it (F1, F2); it raises the feed's slot
 * before anything else, so that the old one's saves and DDLs are refused downstream and it ends; managers that it has
 * adopted take no word of a lower epoch; and what the unheard node's own dispatchers still write, under tokens of the old
 * epoch, is in order until their slots are raised, and refused from then on (FENCE §1). So this costs a takeover of what may
 * have been well, never a stale write. When the node is heard, {@link takeLate} and `reported` take what it says.
 */
export function gathered(state: S, env: Env): readonly Effect[] {
  if (state.phase !== 'gathering') return [];
  const silent = silentNodes(state.bootstrap);
  // Who has not heard its own node either knows nothing of others.
  const isOver =
    env.now() - state.gatheringAtMs >= patienceMs && !silent.includes(state.props.self);
  if (isOver && isForAnother(state, silent)) return yieldTo(silent);
  const [bootstrap, answers] = collect(state.bootstrap, isOver);
  state.bootstrap = bootstrap;
  if (answers === null) return [];
  state.phase = 'running';
  endDrain(state);
  const effects: Effect[] = [...logPassedOver(silent, 'coordinator')];
  effects.push(...takeStandings(state, answers, env));
  for (const { message, from } of state.waiting.splice(0))
    effects.push(...takeAsk(state, message, { ...env, from }));
  return [...effects, ...place(state, env)];
}
