/** What others say to the maintainer manager of a node: the coordinator of the newest term governs it, its maintainers report. */
import type { Outcome } from '../base/failure.ts';
import type { Guards } from '../kernel/behaviour.ts';
import type { ChangefeedConfig, ChangefeedStatus } from './changefeed.ts';
import type { DrainTarget } from './coordinator.ts';
import type { TableReply, TableRequest } from './maintainer.ts';
import type { NodesChanged } from './membership.ts';

/** Messages to a maintainer manager. */
export type MaintainerManagerMessage =
  | NodesChanged
  | BootstrapManager
  | AddMaintainer
  | RemoveMaintainer
  | AskTable
  | SetDrainTarget
  | MaintainerReported
  | TableAnswered;

/** A new coordinator takes over and asks what runs here; answered by `ManagerReported`. */
export interface BootstrapManager {
  readonly kind: 'BootstrapManager';
}

/** Start the maintainer of a changefeed under `epoch`, which is persisted already (spec/02 F1). */
export interface AddMaintainer {
  readonly kind: 'AddMaintainer';
  readonly config: ChangefeedConfig;
  readonly epoch: number;
}

/**
 * End a maintainer. `cascade`: with every dispatcher manager of the feed on all nodes; without, the next maintainer
 * adopts them. `removed`: the changefeed is gone for good.
 */
export interface RemoveMaintainer {
  readonly kind: 'RemoveMaintainer';
  readonly id: string;
  readonly epoch: number;
  readonly cascade: boolean;
  readonly removed: boolean;
  /** For a feed this node knows nothing of: a maintainer that does nothing but close needs to know where. */
  readonly config: ChangefeedConfig | null;
}

/**
 * Somebody wants something of the tables of a changefeed that is maintained here; passed on to its maintainer. Sent again
 * until it is answered: what is done already is answered at once.
 */
export interface AskTable {
  readonly kind: 'AskTable';
  readonly id: string;
  readonly askId: number;
  readonly request: TableRequest;
}

/** A maintainer's answer to `AskTable`, which its node passes on to the coordinator. */
export interface TableAnswered {
  readonly kind: 'TableAnswered';
  readonly askId: number;
  readonly outcome: Outcome<TableReply>;
}

/** The node that is to be emptied; lower numbers than the last are ignored. */
export interface SetDrainTarget {
  readonly kind: 'SetDrainTarget';
  readonly drain: DrainTarget;
}

/** A maintainer of this node says how its feed is; its state after the last word is `failed`, `finished` or `stopped`. */
export interface MaintainerReported {
  readonly kind: 'MaintainerReported';
  readonly epoch: number;
  readonly isBootstrapped: boolean;
  /** Its last word: it has stopped. */
  readonly isLast: boolean;
  /** With its last word: every dispatcher manager of the changefeed has ended, on all nodes. */
  readonly isClosed: boolean;
  readonly status: ChangefeedStatus;
}

/** The manager's epoch is the coordinator's term; maintainers are known by their addresses. */
export const maintainerManagerGuards: Guards<MaintainerManagerMessage> = {
  NodesChanged: 'open',
  BootstrapManager: 'raise',
  AddMaintainer: 'owner',
  RemoveMaintainer: 'owner',
  AskTable: 'owner',
  SetDrainTarget: 'owner',
  MaintainerReported: 'open',
  TableAnswered: 'open',
};
