/**
 * What others say to the coordinator: maintainer managers report what they run, people ask for changes. Its own word
 * carries its term (createRevision of the coordinator key) as epoch, so a manager hears the newest coordinator only.
 */
import type { Outcome } from '../base/failure.ts';
import type { Guards } from '../kernel/behaviour.ts';
import type { ChangefeedConfig, ChangefeedStatus } from './changefeed.ts';
import type { TableAnswered } from './maintainer-manager.ts';
import type { SpanPlacement } from './maintainer.ts';
import type { Member, NodesChanged } from './membership.ts';

/** Messages to the coordinator. */
export type CoordinatorMessage = NodesChanged | ManagerReported | TableAnswered | Ask;

/** A maintainer as its node sees it. */
export interface MaintainerReport {
  readonly id: string;
  readonly epoch: number;
  /** False: it has stopped for good. */
  readonly isWorking: boolean;
  /** It has stopped, and so has every dispatcher manager of its changefeed on all nodes. */
  readonly isClosed: boolean;
  /** It has heard every node, and may schedule. */
  readonly isBootstrapped: boolean;
  readonly status: ChangefeedStatus;
}

/** What a node runs: everything in answer to `BootstrapManager`, what changed otherwise; empty as a sign of life. */
export interface ManagerReported {
  readonly kind: 'ManagerReported';
  readonly isBootstrap: boolean;
  readonly reports: readonly MaintainerReport[];
  /** The drain target it has taken on (spec/01 §1.9). */
  readonly drain: DrainTarget | null;
}

/** The node that is to be emptied; a higher number replaces a lower one, `node` null ends it. */
export interface DrainTarget {
  readonly number: number;
  readonly node: string | null;
}

/** Somebody wants something of the coordinator; answered once by `Answered` with the same number. */
export interface Ask {
  readonly kind: 'Ask';
  readonly requestId: number;
  readonly request: CoordinatorRequest;
}

/** What may be asked. */
export type CoordinatorRequest =
  /** A new changefeed; refused when the id is taken. `createdMs` is wall time of the caller, for people. */
  | {
      readonly kind: 'CreateChangefeed';
      readonly config: ChangefeedConfig;
      readonly createdMs: number;
      /** What the check of its ends found. */
      readonly warnings?: readonly string[];
    }
  /** As create; one that is there is given this configuration and runs again, from its stored position. */
  | {
      readonly kind: 'StartChangefeed';
      readonly config: ChangefeedConfig;
      readonly createdMs: number;
    }
  /** New configuration; only while stopped or failed. CHANGEFEED_CHANGED unless it is still `before`, from which it was made. */
  | {
      readonly kind: 'UpdateChangefeed';
      readonly config: ChangefeedConfig;
      readonly before: ChangefeedConfig;
      readonly warnings?: readonly string[];
    }
  | { readonly kind: 'PauseChangefeed'; readonly id: string }
  | { readonly kind: 'ResumeChangefeed'; readonly id: string }
  | { readonly kind: 'RemoveChangefeed'; readonly id: string }
  | { readonly kind: 'ListChangefeeds' }
  | { readonly kind: 'QueryChangefeed'; readonly id: string }
  /** Moves the maintainer of a changefeed to another node. */
  | { readonly kind: 'MoveChangefeed'; readonly id: string; readonly node: string }
  /** Moves a span (a table by its `schema.table`) to another node; answered when it replicates there. */
  | {
      readonly kind: 'MoveTable';
      readonly id: string;
      readonly span: string;
      readonly node: string;
    }
  /**
   * Splits a table by key hash over `partCount` spans (2…64), or merges it back into one; answered when that is done.
   * TABLE_UNSPLITTABLE with the reason for a table whose rows must stay together. What is so already is done at once.
   */
  | {
      readonly kind: 'SplitTable';
      readonly id: string;
      readonly span: string;
      readonly partCount: number;
    }
  | { readonly kind: 'MergeTable'; readonly id: string; readonly span: string }
  /** Where each span of a changefeed is; answered by `Tables`. */
  | { readonly kind: 'ListTables'; readonly id: string }
  | { readonly kind: 'ListCaptures' }
  /** Empties a node: nothing is placed there until it leaves, or the drain ends with `node` null. */
  | { readonly kind: 'DrainCapture'; readonly node: string | null }
  /** The coordinator on `node` steps down; another is elected. Another coordinator stays, for it is done. */
  | { readonly kind: 'ResignCoordinator'; readonly node: string };

/** Milliseconds within which an ask is answered, one way or another: what moves, splits or merges a table takes longer than a word. */
export function patienceMsOf({ kind }: CoordinatorRequest): number {
  return ['MoveTable', 'SplitTable', 'MergeTable'].includes(kind) ? 65_000 : 10_000;
}

/** What is told of a changefeed. */
export interface ChangefeedView {
  readonly status: ChangefeedStatus;
  /** Its endpoints are sealed. */
  readonly config: ChangefeedConfig;
  readonly epoch: number;
  /** Node of its maintainer; null when it has none. */
  readonly maintainer: string | null;
  readonly createdMs: number;
}

/** A node in the coordinator's eyes. */
export interface CaptureView {
  readonly id: string;
  /** `HOST:PORT` of its API. */
  readonly apiAddress: string;
  readonly state: Member['state'];
  readonly isCoordinator: boolean;
  readonly isDraining: boolean;
  readonly maintainerCount: number;
  readonly spanCount: number;
}

/** What is answered. */
export type CoordinatorReply =
  | { readonly kind: 'Done' }
  | { readonly kind: 'Changefeed'; readonly view: ChangefeedView }
  | { readonly kind: 'Changefeeds'; readonly views: readonly ChangefeedView[] }
  | { readonly kind: 'Captures'; readonly views: readonly CaptureView[] }
  | { readonly kind: 'Tables'; readonly placement: readonly SpanPlacement[] };

/** The answer to an {@link Ask}. */
export interface Answered {
  readonly kind: 'Answered';
  readonly requestId: number;
  readonly outcome: Outcome<CoordinatorReply>;
}

/** `echo`: under the coordinator's own term. */
export const coordinatorGuards: Guards<CoordinatorMessage> = {
  NodesChanged: 'open',
  ManagerReported: 'echo',
  TableAnswered: 'echo',
  Ask: 'open',
};
