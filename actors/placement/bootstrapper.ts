/**
 * Asks every node of a set what it runs, and collects the answers (spec/01 §1.9): the coordinator over maintainer
 * managers, a maintainer over dispatcher orchestrators. Pure data; who uses it sends what `due` names.
 */
import type { Effect } from '#src/kernel/effect.ts';

/** What is known of one node: when it was asked last, and its answer. */
interface Asked<Answer> {
  readonly askedAtMs: number | null;
  readonly answer: Answer | null;
}

/** The state of one round; `isReady` is true from the last answer until the set grows or a node is asked again. */
export interface Bootstrapper<Answer> {
  readonly nodes: ReadonlyMap<string, Asked<Answer>>;
  /** The answers were given out for the present "not ready → ready" edge. */
  readonly isCollected: boolean;
}

/** A node that has not answered is asked again at most this often, milliseconds. */
export const askAgainMs = 500;

/**
 * A round waits so long for nodes that have a session but do not answer, milliseconds: what the reference gives a node that
 * went without a word (spec/08). Whoever is silent beyond it is passed over, and its answer is taken when it comes.
 */
export const patienceMs = 10_000;

/** Nobody is asked yet. */
export function newBootstrapper<Answer>(): Bootstrapper<Answer> {
  return { nodes: new Map(), isCollected: false };
}

/** The set of nodes is now `nodes`: new ones will be asked, removed ones are forgotten with their answers. */
export function setNodes<Answer>(
  state: Bootstrapper<Answer>,
  nodes: readonly string[],
): Bootstrapper<Answer> {
  const next = new Map(
    nodes.map((node) => [node, state.nodes.get(node) ?? { askedAtMs: null, answer: null }]),
  );
  const grew = nodes.some((node) => !state.nodes.has(node));
  return { nodes: next, isCollected: state.isCollected && !grew };
}

/** Whom to ask now, and the state once they are asked: a new node at once, a silent one every {@link askAgainMs}. */
export function due<Answer>(
  state: Bootstrapper<Answer>,
  nowMs: number,
): readonly [Bootstrapper<Answer>, readonly string[]] {
  const nodes = new Map(state.nodes);
  const ask: string[] = [];
  for (const [node, { askedAtMs, answer }] of state.nodes) {
    if (answer !== null || (askedAtMs !== null && nowMs - askedAtMs < askAgainMs)) continue;
    nodes.set(node, { askedAtMs: nowMs, answer: null });
    ask.push(node);
  }
  return [ask.length === 0 ? state : { ...state, nodes }, ask];
}

/** Takes an answer; one of a node that is not tracked is ignored, and a first answer is not replaced. */
export function answered<Answer>(
  state: Bootstrapper<Answer>,
  node: string,
  answer: Answer,
): Bootstrapper<Answer> {
  const asked = state.nodes.get(node);
  if (asked === undefined || asked.answer !== null) return state;
  return { ...state, nodes: new Map(state.nodes).set(node, { ...asked, answer }) };
}

/** Nodes that have not answered. */
export function silentNodes<Answer>({ nodes }: Bootstrapper<Answer>): readonly string[] {
  return [...nodes].flatMap(([node, { answer }]) => (answer === null ? [node] : []));
}

/** True when every tracked node has answered, or when one has and the time `isOver`; an empty set never is. */
export function isReady<Answer>(state: Bootstrapper<Answer>, isOver = false): boolean {
  const silentCount = silentNodes(state).length;
  return isOver ? silentCount < state.nodes.size : silentCount === 0 && state.nodes.size > 0;
}

/** The answers, once per edge to ready; null otherwise. They stay here: an answer is not asked for twice. */
export function collect<Answer>(
  state: Bootstrapper<Answer>,
  isOver = false,
): readonly [Bootstrapper<Answer>, ReadonlyMap<string, Answer> | null] {
  if (state.isCollected || !isReady(state, isOver)) return [state, null];
  const answers = new Map<string, Answer>();
  for (const [node, { answer }] of state.nodes) if (answer !== null) answers.set(node, answer);
  return [{ ...state, isCollected: true }, answers];
}

/** A line of the log for each node that is passed over, `by` whom. */
export function logPassedOver(
  nodes: readonly string[],
  by: string,
  afterMs = patienceMs,
): readonly Effect[] {
  return nodes.map((node) => ({
    kind: 'Log',
    level: 'warn',
    event: 'node-passed-over',
    detail: { node, by, afterMs },
  }));
}

/** The node is asked again, as if it had just joined (its part was started anew), and not before `notBeforeMs`. */
export function askAgain<Answer>(
  state: Bootstrapper<Answer>,
  node: string,
  notBeforeMs = -Infinity,
): Bootstrapper<Answer> {
  if (!state.nodes.has(node)) return state;
  const askedAtMs = notBeforeMs === -Infinity ? null : notBeforeMs - askAgainMs;
  const nodes = new Map(state.nodes).set(node, { askedAtMs, answer: null });
  return { nodes, isCollected: false };
}
