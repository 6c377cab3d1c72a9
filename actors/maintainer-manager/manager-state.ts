/** What a maintainer manager knows, and how it addresses its maintainers and its coordinator. */
import type { Outcome } from '#src/base/failure.ts';
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Ref } from '#src/kernel/ref.ts';
import type { FeedsAnswer } from '#src/ports/feeds.ts';
import type { ChangefeedConfig } from '#src/protocol/changefeed.ts';
import type {
  CoordinatorMessage,
  DrainTarget,
  MaintainerReport,
} from '#src/protocol/coordinator.ts';
import type { MaintainerManagerMessage } from '#src/protocol/maintainer-manager.ts';
import type { MaintainerMessage } from '#src/protocol/maintainer.ts';
import type { NodesChanged } from '#src/protocol/membership.ts';
import type { Registered } from './registry.ts';

/** What a maintainer manager is started with. */
export interface MaintainerManagerProps {
  /** Capture id of this node. */
  readonly self: string;
  readonly workThreads: readonly string[];
}

/** Everything a maintainer manager receives. */
export type MaintainerManagerInbox =
  | MaintainerManagerMessage
  | {
      readonly kind: 'FeedsAnswered';
      readonly tag: string;
      readonly outcome: Outcome<FeedsAnswer>;
    }
  | { readonly kind: 'TickDue' };

/** A maintainer that is to be started. */
export interface Opening {
  readonly config: ChangefeedConfig;
  readonly epoch: number;
  /** It does nothing but close what others have left on the nodes. */
  readonly isRemovalOnly: boolean;
}

/** The state; mutated in place. */
export interface MaintainerManagerState {
  readonly props: MaintainerManagerProps;
  /** The newest whole view; null before the first. */
  view: NodesChanged | null;
  coordinator: Ref | null;
  drain: DrainTarget;
  readonly registry: Map<string, Registered>;
  /** Adds that wait for their ports. */
  readonly openings: Map<string, Opening>;
  /** Changefeeds whose state the coordinator has not been told yet. */
  readonly changed: Set<string>;
  reportedAtMs: number;
  wholeAtMs: number;
}

/** A maintainer manager that knows nobody yet. */
export function newState(props: MaintainerManagerProps): MaintainerManagerState {
  return {
    props,
    view: null,
    coordinator: null,
    drain: { number: 0, node: null },
    registry: new Map(),
    openings: new Map(),
    changed: new Set(),
    reportedAtMs: -Infinity,
    wholeAtMs: -Infinity,
  };
}

/** The name of a maintainer's cell: one of each epoch. */
export function maintainerId(id: string, epoch: number): string {
  return `maintainer:${id}:${epoch}`;
}

/** The maintainer whose cell has this name, when it is the registered one. */
export function registeredAs(
  state: MaintainerManagerState,
  childId: string,
): Registered | undefined {
  return [...state.registry.values()].find((one) => maintainerId(one.id, one.epoch) === childId);
}

/** Tells a maintainer; nothing when it does not run. */
export function toMaintainer(
  one: Registered | undefined,
  message: MaintainerMessage,
): readonly Effect[] {
  return one?.ref == null ? [] : [{ kind: 'Send', to: one.ref, message }];
}

/** Tells all maintainers that run. */
export function toMaintainers(
  state: MaintainerManagerState,
  message: MaintainerMessage,
): readonly Effect[] {
  return [...state.registry.values()].flatMap((one) => toMaintainer(one, message));
}

/** Tells the coordinator; nothing while none has taken this manager on. */
export function tellCoordinator(
  state: MaintainerManagerState,
  reports: readonly MaintainerReport[],
  isBootstrap: boolean,
  env: Env,
): readonly Effect[] {
  const { coordinator, drain } = state;
  if (coordinator === null) return [];
  state.reportedAtMs = env.now();
  const message: CoordinatorMessage = { kind: 'ManagerReported', isBootstrap, reports, drain };
  return [{ kind: 'Send', to: coordinator, message }];
}
