/** One simulated thread: a real shell over a host of virtual time, with ports that are plain functions. */
import type { Outcome } from '#src/base/failure.ts';
import type { Role } from '#src/kernel/behaviour.ts';
import type { Host, TreeRequest } from '#src/kernel/host.ts';
import type { Envelope } from '#src/kernel/message.ts';
import { Shell } from '#src/kernel/shell.ts';
import type { World } from './world.ts';

/** A simulated port: `answered` is called once, later, never within the call. */
export type SimPort = (
  request: { readonly kind: string },
  answered: (outcome: Outcome<unknown>) => void,
) => void;

/** What a thread needs of the simulation around it. */
export interface SimThreadParts {
  readonly world: World;
  readonly name: string;
  readonly fences: Int32Array;
  readonly roles: Readonly<Record<string, Role>>;
  readonly ports: Readonly<Record<string, SimPort>>;
  readonly post: (envelope: Envelope) => void;
  readonly tree: (request: TreeRequest) => void;
  readonly log: Host['log'];
}

/** A shell with its simulated host. */
export function simThread(parts: SimThreadParts): Shell {
  const { world, ports } = parts;
  return new Shell(
    {
      thread: parts.name,
      fences: parts.fences,
      now: () => world.now,
      random: world.random,
      post: parts.post,
      schedule: (run) => void world.after(world.random() * 0.1, run),
      timer: (afterMs, due) => world.after(afterMs, due),
      callPort: (port, request, answered) => {
        const call = ports[port];
        if (call === undefined) throw new Error(`no port ${port} on ${parts.name}`);
        call(request, answered);
      },
      tree: parts.tree,
      log: parts.log,
      count: () => {},
      swept: () => {},
    },
    parts.roles,
  );
}
