/**
 * Roles as a simulation runs them: every step is noted in the trace, messages between cells of one thread pass through the
 * codec like those of links, and what was reached is marked.
 */
import type { Behaviour, Env, Overview, Role } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Message } from '#src/kernel/message.ts';
import type { Ref } from '#src/kernel/ref.ts';
import { copyOf } from './sim-link.ts';
import type { World } from './world.ts';

/** The life of a process whose cells are observed. */
export interface ObservedPlace {
  readonly name: string;
  readonly isFenced: (cell: Ref) => boolean;
}

/** A step that a cell has just made: what it received (`init` for its first), what it does now, how it stands. */
export interface SeenStep {
  readonly role: string;
  /** The life of the process. */
  readonly process: string;
  readonly env: Env;
  readonly cause: Message;
  readonly effects: readonly Effect[];
  /** What the cell was started with; with `init` only. */
  readonly props: unknown;
  readonly overview: () => Overview;
}

/** Looks at every step of every cell; violations end the run. */
export type StepWatch = (step: SeenStep) => void;

/** The roles, observed. */
export function observed(
  world: World,
  roles: Readonly<Record<string, Role>>,
  place: ObservedPlace,
  watch?: StepWatch,
): Record<string, Role> {
  return Object.fromEntries(
    Object.entries(roles).map(([name, role]) => [
      name,
      { ...role, behaviour: observedBehaviour(world, name, role, place, watch) },
    ]),
  );
}

function observedBehaviour(
  world: World,
  role: string,
  { behaviour, guards }: Role,
  place: ObservedPlace,
  watch: StepWatch = () => {},
): Role['behaviour'] {
  const seenStep = (
    env: Env,
    cause: Message,
    [state, effects]: readonly [unknown, readonly Effect[]],
    props: unknown = null,
  ): void => {
    const overview = (): Overview => behaviour.overview(state);
    watch({ role, process: place.name, env, cause, effects, props, overview });
  };
  const note = (path: string, kind: string, incarnation: number): void =>
    world.trace.note(world.now, `${place.name} ${path}`, kind, incarnation);
  let hasPhases = true;
  const markPhase = (state: unknown): void => {
    if (!hasPhases) return;
    const overview = behaviour.overview(state);
    hasPhases = 'phase' in overview || 'stage' in overview;
    world.mark(`${role} ${String(overview['phase'] ?? overview['stage'] ?? 'running')}`);
  };
  const seen: Behaviour<unknown, { readonly kind: string }, unknown> = {
    ...behaviour,
    init: (props, env) => {
      note(env.self.path, 'init', env.self.incarnation);
      const step = behaviour.init(props, env);
      seenStep(env, { kind: 'init' }, step, props);
      return step;
    },
    receive: (state, message, env) => {
      if (place.isFenced(env.self))
        world.violate(`${env.self.path} got ${message.kind} after its fence (I-25)`);
      const guard = guards.get(message.kind);
      if ('ofNoEpoch' in message && guard !== 'open' && guard !== 'stream')
        world.violate(`${env.self.path} took ${message.kind} of epoch 0 (I-19)`);
      note(env.self.path, message.kind, env.self.incarnation);
      const isNear = env.from.thread === env.self.thread && env.from.path !== env.self.path;
      const step = behaviour.receive(state, isNear ? copyOf(message) : message, env);
      markPhase(step[0]);
      seenStep(env, message, step);
      return step;
    },
  };
  if (behaviour.signal === undefined) return seen;
  return {
    ...seen,
    signal: (state, signal, env) => {
      note(env.self.path, signal.kind, env.self.incarnation);
      const step = behaviour.signal!(state, signal, env);
      seenStep(env, signal, step);
      return step;
    },
  };
}
