/**
 * What maintainers say to the dispatcher orchestrator of a node: it keeps one dispatcher manager per changefeed, and
 * remembers which maintainers have closed theirs (spec/04 §4b). It does not judge who governs a manager: its door does.
 */
import type { Guards } from '../kernel/behaviour.ts';
import type { ChangefeedConfig } from './changefeed.ts';

/** Messages to a dispatcher orchestrator. */
export type OrchestratorMessage = BootstrapFeed | CloseFeed;

/** A maintainer wants the manager of its feed to exist here; answered by `FeedBootstrapped`. Sent again until it is. */
export interface BootstrapFeed {
  readonly kind: 'BootstrapFeed';
  readonly config: ChangefeedConfig;
  readonly epoch: number;
}

/**
 * A maintainer wants no manager of its feed here; answered by `FeedClosed`. It tells the manager itself by
 * `CloseManager`, and asks here until there is none.
 */
export interface CloseFeed {
  readonly kind: 'CloseFeed';
  readonly id: string;
  readonly epoch: number;
  readonly removed: boolean;
}

/** See {@link OrchestratorMessage}; epochs are compared by tombstones here, and by the door of the manager. */
export const orchestratorGuards: Guards<OrchestratorMessage> = {
  BootstrapFeed: 'open',
  CloseFeed: 'open',
};
