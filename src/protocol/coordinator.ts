/**
 * What others say to the coordinator: it holds the changefeeds, gives each ownership attempt a fresh maintainerEpoch
 * (persisted before the maintainer hears of it, spec/02 F1) and reports their status.
 */
import type { Guards } from '../kernel/behaviour.ts';
import type { ChangefeedConfig, ChangefeedStatus } from './changefeed.ts';

/** Messages to the coordinator. */
export type CoordinatorMessage = StartChangefeed | StopChangefeed | MaintainerHeartbeat;

/** Starts replicating; refused when the id runs already (counted in the log). */
export interface StartChangefeed {
  readonly kind: 'StartChangefeed';
  readonly config: ChangefeedConfig;
}

/** Ends a changefeed gracefully: its checkpoint is saved, then its state is `stopped`. */
export interface StopChangefeed {
  readonly kind: 'StopChangefeed';
  readonly id: string;
}

/** A maintainer's status, a few times a second and at every change of state; `failed` and `finished` are its last word. */
export interface MaintainerHeartbeat {
  readonly kind: 'MaintainerHeartbeat';
  readonly status: ChangefeedStatus;
}

/** Heartbeats are checked against the maintainer that is current, by its address. */
export const coordinatorGuards: Guards<CoordinatorMessage> = {
  StartChangefeed: 'open',
  StopChangefeed: 'open',
  MaintainerHeartbeat: 'open',
};
