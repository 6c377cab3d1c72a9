/** What a thread needs to host the cells of Sluice: roles and ports. Each thread imports it by its address. */
import { roles } from '#actors/roles.ts';
import { must } from '#src/base/assert.ts';
import type { Role } from '#src/kernel/behaviour.ts';
import type { GateLife } from '#src/kernel/host.ts';
import type { Log } from '#src/ports/log.ts';
import type { OpenFeed } from './feed-ports.ts';
import type { Gate } from './gate.ts';
import { dropFeedEvents, openPortOfFeed, openPorts } from './ports.ts';
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
  /** Opens port `name` of one changefeed; absent: changefeeds have no ports of their own. */
  readonly openFeedPort?: (port: FeedPort, parts: PortParts) => AnyPort;
  /** The ports of a changefeed are closed on all threads: what they left in the data directory may go. */
  readonly feedClosed?: (settings: CaptureSettings, id: string) => Promise<void>;
}

/** Which port of which changefeed, and the life it belongs to. */
export interface FeedPort {
  readonly name: string;
  readonly feed: OpenFeed;
  readonly life: GateLife;
}

/** What every port of a thread may use. */
export interface PortParts {
  readonly settings: CaptureSettings;
  readonly gate: Gate;
  readonly log: Log;
}

/** A changefeed's own port in `world`; a Fault where there are none. */
export function openFeedPort(world: World, port: FeedPort, parts: PortParts): AnyPort {
  const open = must(world.openFeedPort, `ports of changefeeds, for ${port.name}`);
  return open(port, parts);
}

/** The world of production. */
export const world: World = {
  roles,
  openPorts,
  openFeedPort: openPortOfFeed,
  feedClosed: dropFeedEvents,
};

/** Address of this module, for {@link ActorSystem}. */
export const worldUrl = import.meta.url;
