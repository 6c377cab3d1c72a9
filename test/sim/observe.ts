/**
 * Roles as a simulation runs them: every step is noted in the trace, messages between cells of one thread pass through the
 * codec like those of links, and what was reached is marked.
 */
import type { Behaviour, Role } from '#src/kernel/behaviour.ts';
import type { Ref } from '#src/kernel/ref.ts';
import { copyOf } from './sim-link.ts';
import type { World } from './world.ts';

/** The life of a process whose cells are observed. */
export interface ObservedPlace {
  readonly name: string;
  readonly isFenced: (cell: Ref) => boolean;
}

/** The roles, observed. */
export function observed(
  world: World,
  roles: Readonly<Record<string, Role>>,
  place: ObservedPlace,
): Record<string, Role> {
  return Object.fromEntries(
    Object.entries(roles).map(([name, role]) => [
      name,
      { ...role, behaviour: observedBehaviour(world, name, role.behaviour, place) },
    ]),
  );
}

function observedBehaviour(
  world: World,
  role: string,
  behaviour: Role['behaviour'],
  place: ObservedPlace,
): Role['behaviour'] {
  const note = (path: string, kind: string, incarnation: number): void =>
    world.trace.note(world.now, `${place.name} ${path}`, kind, incarnation);
  const seen: Behaviour<unknown, { readonly kind: string }, unknown> = {
    ...behaviour,
    init: (props, env) => {
      note(env.self.path, 'init', env.self.incarnation);
      return behaviour.init(props, env);
    },
    receive: (state, message, env) => {
      if (place.isFenced(env.self))
        world.violate(`${env.self.path} got ${message.kind} after its fence (I-25)`);
      note(env.self.path, message.kind, env.self.incarnation);
      const isNear = env.from.thread === env.self.thread && env.from.path !== env.self.path;
      const step = behaviour.receive(state, isNear ? copyOf(message) : message, env);
      world.mark(`${role} ${phaseOf(behaviour.overview(step[0]))}`);
      return step;
    },
  };
  if (behaviour.signal === undefined) return seen;
  return {
    ...seen,
    signal: (state, signal, env) => {
      note(env.self.path, signal.kind, env.self.incarnation);
      return behaviour.signal!(state, signal, env);
    },
  };
}

function phaseOf(overview: Readonly<Record<string, unknown>>): string {
  return String(overview['phase'] ?? overview['stage'] ?? 'running');
}
