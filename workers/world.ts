/** What a thread needs to host the cells of Sluice: roles and ports. Each thread imports it by its address. */
import { roles } from '#actors/roles.ts';
import type { Role } from '#src/kernel/behaviour.ts';
import type { GateLife } from '#src/kernel/host.ts';
import type { Log } from '#src/ports/log.ts';
import type { Gate } from './gate.ts';
import { openPorts } from './ports.ts';
import type { CaptureSettings } from './settings.ts';
import type { AnyPort } from './thread-host.ts';

/** What hosts cells: their roles, and the ports of a thread by life of a subtree. */
export interface World {
  readonly roles: Readonly<Record<string, Role>>;
  readonly openPorts: (
    settings: CaptureSettings,
    gate: Gate,
    log: Log,
  ) => Readonly<Record<string, (life: GateLife) => AnyPort>>;
}

/** The world of production. */
export const world: World = { roles, openPorts };

/** Address of this module, for {@link ActorSystem}. */
export const worldUrl = import.meta.url;
