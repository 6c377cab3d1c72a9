/** What a dispatcher manager knows, and whom it talks to. */
import type { Failure } from '#src/base/failure.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Ref } from '#src/kernel/ref.ts';
import type { Position } from '#src/model/position.ts';
import {
  noTotals,
  type MaintainerMessage,
  type ManagerTotals,
  type SourceFacts,
  type SpanLoad,
} from '#src/protocol/maintainer.ts';
import type {
  CheckSource,
  ManagerMessage,
  StartSource,
  StreamHeld,
} from '#src/protocol/manager.ts';
import type { EventServiceMessage, LogPullerMessage } from '#src/protocol/source.ts';
import { ServedSpans } from './served-spans.ts';

/** What a dispatcher manager is started with. */
export interface DispatcherManagerProps {
  readonly changefeed: string;
  /** The epoch it is made under: that of all its cells, whoever governs it later. */
  readonly epoch: number;
  readonly memoryQuota: number;
  readonly workThreads: readonly string[];
  /** Bytes the event store may hold before reading stops. */
  readonly storeBytesMax: number;
}

/** Everything a dispatcher manager receives. */
export type DispatcherManagerInbox =
  | ManagerMessage
  | { readonly kind: 'HeartbeatDue' }
  | { readonly kind: 'CloseDue' };

type Phase = 'opening' | 'idle' | 'streaming' | 'ending' | 'closed';

/** The state; mutated in place. */
export interface DispatcherManagerState {
  readonly props: DispatcherManagerProps;
  phase: Phase;
  maintainer: Ref | null;
  readonly served: ServedSpans;
  logPuller: Ref | null;
  eventService: Ref | null;
  /** Asked for before the source cells ran. */
  checkAsked: CheckSource | null;
  startAsked: StartSource | null;
  facts: SourceFacts | null;
  /** Spans the stream has shown; those not yet taken with the beat that first told them. */
  readonly known: Set<string>;
  readonly seen: Map<string, number | null>;
  resolved: Position | null;
  held: StreamHeld | null;
  isHeldTold: boolean;
  trouble: Failure | null;
  failure: Failure | null;
  /** The stream was asked to end, and does, or has: it serves no other maintainer. */
  isStreamEnding: boolean;
  /** How far the closed stream was complete; null while it is open. */
  closedTs: number | null;
  seq: number;
  beat: number;
  /** Silent heartbeats in a row. */
  quiet: number;
  told: string;
  totals: ManagerTotals;
  /** What the next heartbeat tells of busy spans, and when that was last looked at. */
  loads: readonly SpanLoad[];
  loadsAtMs: number;
}

type S = DispatcherManagerState;

/** A manager that has just been started. */
export function newState(props: DispatcherManagerProps): DispatcherManagerState {
  return {
    props,
    phase: 'opening',
    maintainer: null,
    served: new ServedSpans(),
    logPuller: null,
    eventService: null,
    checkAsked: null,
    startAsked: null,
    facts: null,
    known: new Set(),
    seen: new Map(),
    resolved: null,
    held: null,
    isHeldTold: false,
    trouble: null,
    failure: null,
    isStreamEnding: false,
    closedTs: null,
    seq: 0,
    beat: 0,
    quiet: 0,
    told: '',
    totals: noTotals,
    loads: [],
    loadsAtMs: -Infinity,
  };
}

/** True once it ends: nothing new begins. */
export function isClosing(state: S): boolean {
  return state.phase === 'ending' || state.phase === 'closed';
}

/** It is over. */
export const stopSelf: Effect = { kind: 'Stop', target: 'self', exit: { kind: 'shutdown' } };

/** A message to the maintainer that governs it; nothing when there is none. */
export function tell(state: S, message: MaintainerMessage, effects: Effect[]): void {
  if (state.maintainer !== null) effects.push({ kind: 'Send', to: state.maintainer, message });
}

/** A message to its log puller; nothing before that runs. */
export function toPuller(state: S, message: LogPullerMessage, effects: Effect[]): void {
  if (state.logPuller !== null) effects.push({ kind: 'Send', to: state.logPuller, message });
}

/** A message to its event service; nothing before that runs. */
export function toService(state: S, message: EventServiceMessage, effects: Effect[]): void {
  if (state.eventService !== null) effects.push({ kind: 'Send', to: state.eventService, message });
}
