/** What a coordinator knows: changefeeds with their stored records, operators, nodes. */
import type { Failure, Outcome } from '#src/base/failure.ts';
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Ref } from '#src/kernel/ref.ts';
import {
  absentKey,
  type CoordinationAnswer,
  type CoordinationRequest,
  type KeyValue,
} from '#src/ports/coordination.ts';
import type { Ownership } from '#src/ports/ownership.ts';
import type { ReportRequest } from '#src/ports/report.ts';
import type { ChangefeedRecord } from '#src/protocol/changefeed-record.ts';
import {
  blankStatus,
  isLastWord,
  type ChangefeedState,
  type ChangefeedStatus,
} from '#src/protocol/changefeed.ts';
import type {
  Answered,
  CoordinatorMessage,
  CoordinatorReply,
  DrainTarget,
  MaintainerReport,
} from '#src/protocol/coordinator.ts';
import type { Member } from '#src/protocol/membership.ts';
import type { MaintainerManagerMessage } from '#src/protocol/maintainer-manager.ts';
import { changefeedEpochKey } from '#src/model/coordination-key.ts';
import { mainRef, places } from '#src/protocol/nodes.ts';
import { newBootstrapper, setNodes, type Bootstrapper } from '../placement/bootstrapper.ts';
import type { DrainAsk } from './drains.ts';
import type { Placed } from './feed-operator.ts';
import { FeedOperators } from './feed-operators.ts';
import { healthAfter, type FeedHealth } from './feed-health.ts';
import type { FeedWrite } from './feed-writes.ts';
import type { TableAsk } from './table-asks.ts';

/** What a coordinator is started with. */
export interface CoordinatorProps {
  readonly clusterId: string;
  readonly self: string;
  readonly nodes: readonly string[];
  readonly members: readonly Member[];
  /** The coordinator key: every write is conditioned on it (FENCE §1.11). */
  readonly ownership: Ownership;
  readonly isPrompt: boolean;
  /** Changefeeds above this are refused. */
  readonly feedCountMax: number;
  /** It ends its term when it hears fewer than half of the nodes; without this it goes on without them. */
  readonly yieldsUnheard: boolean;
  /** It owns the key; without it nobody says when that ends. */
  readonly elector: Ref;
}

/** Private messages. */
export type CoordinatorOwn =
  | {
      readonly kind: 'CoordinationAnswered';
      readonly tag: string;
      readonly outcome: Outcome<CoordinationAnswer>;
    }
  | { readonly kind: 'ReportAnswered' }
  | { readonly kind: 'WriteDue'; readonly id: string }
  | { readonly kind: 'ReadDue'; readonly id: string }
  | { readonly kind: 'LoadDue' }
  | { readonly kind: 'TickDue' };

/** Everything a coordinator receives. */
export type CoordinatorInbox = CoordinatorMessage | CoordinatorOwn;

/** Whoever asked. */
export interface Asker {
  readonly to: Ref;
  readonly requestId: number;
}

/** One changefeed. */
export interface Feed {
  readonly id: string;
  record: ChangefeedRecord;
  /** The info key as it stands: what the next write is conditioned on. */
  entry: KeyValue;
  statusEntry: KeyValue;
  /** Its maintainer; null when it has none. Its epoch may be below the stored one: not every attempt leads to another. */
  placed: Placed | null;
  isBootstrapped: boolean;
  status: ChangefeedStatus;
  health: FeedHealth;
  /** It is not placed before, nor closed from here again. */
  retryAtMs: number;
  closeAtMs: number;
  /** The next epoch must be above this: what the downstream's slots, or an earlier state of the store, showed. */
  epochMin: number;
  /** The state that was told last. */
  toldState: ChangefeedState | null;
  savedTs: number;
  isSaving: boolean;
  savedAtMs: number;
}

/** An ask that came before everything was known. */
export interface WaitingAsk {
  readonly message: Extract<CoordinatorMessage, { kind: 'Ask' }>;
  readonly from: Ref;
  readonly cameAtMs: number;
}

/** The state; mutated in place. */
export interface CoordinatorState {
  readonly props: CoordinatorProps;
  /** Monotonic time of the message being taken. */
  nowMs: number;
  phase: 'loading' | 'gathering' | 'running';
  nodes: readonly string[];
  /** All nodes in view, lingering ones too: for people. */
  members: readonly Member[];
  /** Monotonic time of each node's last word, and which life of its manager has answered last. */
  readonly heardAtMs: Map<string, number>;
  readonly managerLives: Map<string, number>;
  bootstrap: Bootstrapper<readonly MaintainerReport[]>;
  /** Since when the nodes are asked what they run; infinite before the records are known. */
  gatheringAtMs: number;
  readonly feeds: Map<string, Feed>;
  /** The key that holds the highest epoch of those that were deleted. */
  epochEntry: KeyValue;
  readonly operators: FeedOperators;
  /** Writes of each changefeed, one under way at a time. */
  readonly writes: Map<string, FeedWrite[]>;
  drain: DrainTarget;
  readonly drainTakenBy: Map<string, number>;
  drainSentAtMs: number;
  /** People who wait until the nodes know of a drain, bounded. */
  drainAsks: readonly DrainAsk[];
  balancedAtMs: number;
  /** Asks that came before everything was known, the oldest first. */
  waiting: WaitingAsk[];
  /** Asks taken on, by asker and number: a repeated one is not done twice. */
  readonly asked: Set<string>;
  /** Questions that maintainers have not answered yet, and the number of the last. */
  readonly tableAsks: Map<number, TableAsk>;
  tableAskCount: number;
}

/** Managers speak every second: one that is silent for so long is asked again what it runs, and not waited for meanwhile. */
export const silenceMs = 3_000;

/** Numbers of questions that one term has for itself. */
const askCountOfTerm = 2 ** 20;

/** A coordinator at the beginning of its term. */
export function newState(props: CoordinatorProps, env: Env): CoordinatorState {
  return {
    props,
    nowMs: env.now(),
    phase: 'loading',
    nodes: props.nodes,
    members: props.members,
    heardAtMs: new Map(),
    managerLives: new Map(),
    bootstrap: setNodes(newBootstrapper<readonly MaintainerReport[]>(), props.nodes),
    gatheringAtMs: Infinity,
    feeds: new Map(),
    epochEntry: absentKey(changefeedEpochKey(props.clusterId)),
    operators: new FeedOperators(),
    writes: new Map(),
    drain: { number: 0, node: null },
    drainTakenBy: new Map(),
    drainSentAtMs: -Infinity,
    drainAsks: [],
    balancedAtMs: env.now(),
    waiting: [],
    asked: new Set(),
    tableAsks: new Map(),
    // No other term's: a maintainer may still be busy with those.
    tableAskCount: props.ownership.revision * askCountOfTerm,
  };
}

/** A changefeed as it was read from the store, or has just been created. */
export function newFeed(
  id: string,
  record: ChangefeedRecord,
  entries: { readonly info: KeyValue; readonly status: KeyValue },
  nowMs: number,
): Feed {
  return {
    id,
    record,
    entry: entries.info,
    statusEntry: entries.status,
    placed: null,
    isBootstrapped: false,
    status: blankStatus(id),
    health: healthAfter(record.setback, nowMs),
    retryAtMs: -Infinity,
    closeAtMs: -Infinity,
    epochMin: 0,
    toldState: null,
    savedTs: -1,
    isSaving: false,
    savedAtMs: nowMs,
  };
}

/** The highest epoch of all changefeeds that were deleted; a new one begins above it. */
export function highestEpoch(state: CoordinatorState): number {
  const epoch = Number(state.epochEntry.value ?? 0);
  return Number.isSafeInteger(epoch) ? epoch : 0;
}

/** True of a changefeed whose maintainer is meant to run. */
export function isRunning({ state }: Pick<ChangefeedRecord, 'state'>): boolean {
  return state === 'normal' || state === 'warning';
}

/** True while its maintainer is meant to run. */
export function shouldRun(feed: Feed): boolean {
  return isRunning(feed.record);
}

/** It has no maintainer. */
export function becomeAbsent(feed: Feed): void {
  feed.placed = null;
  feed.isBootstrapped = false;
}

/** What people see of it now. */
export function shownStatus(feed: Feed): ChangefeedStatus {
  const { warnings } = feed.record;
  const shown = stateNow(feed);
  if (warnings.length === 0) return shown;
  return { ...shown, warnings: [...new Set([...warnings, ...shown.warnings])] };
}

function stateNow(feed: Feed): ChangefeedStatus {
  const { record, status, placed } = feed;
  // What is to stop, stops at its own pace: until it has, it is not stopped, and says whom it waits for.
  if (placed !== null && (record.state === 'stopped' || record.state === 'removed')) {
    const stage = status.stage.startsWith('closing') ? status.stage : 'stopping';
    return { ...status, state: 'normal', stage };
  }
  const isWorking = placed !== null && shouldRun(feed);
  const failure = record.failure ?? (isWorking ? status.failure : null);
  if (record.state !== 'normal') {
    // Whoever leads since then has heard nothing of it, and there is nothing to hear.
    const stage = placed === null ? 'ended' : status.stage;
    return { ...status, state: record.state, stage, failure };
  }
  // Stored as normal says that it should run; that it does, only its maintainer can say.
  return isWorking && !isLastWord(status.state)
    ? status
    : { ...status, state: 'starting', failure };
}

/** Tells the process how a changefeed is now. */
export function reportFeed(feed: Feed): Effect {
  const status = shownStatus(feed);
  feed.toldState = status.state;
  return report(status);
}

/** Tells the process how a changefeed is. */
export function report(status: ChangefeedStatus): Effect {
  const request: ReportRequest<ChangefeedStatus> = { kind: 'Status', status };
  return { kind: 'CallPort', port: 'report', request, answer: 'ReportAnswered' };
}

/** Answers whoever asked; nothing when nobody did. */
export function answer(asker: Asker | null, outcome: Outcome<CoordinatorReply>): readonly Effect[] {
  if (asker === null) return [];
  const message: Answered = { kind: 'Answered', requestId: asker.requestId, outcome };
  return [{ kind: 'Send', to: asker.to, message }];
}

/** Tells the maintainer manager of a node. */
export function toManager(
  state: CoordinatorState,
  node: string,
  message: MaintainerManagerMessage,
): Effect {
  return {
    kind: 'Send',
    to: mainRef(places.maintainerManager, node, state.props.self),
    message,
  };
}

/** Asks the coordination store. */
export function callStore(request: CoordinationRequest, tag: string): Effect {
  return { kind: 'CallPort', port: 'coordination', request, answer: 'CoordinationAnswered', tag };
}

/** A line of the log about a changefeed that fails. */
export function logFailure(id: string, failure: Failure, afterMs: number): Effect {
  const detail = { id, code: failure.code, message: failure.message, afterMs };
  return { kind: 'Log', level: 'warn', event: 'changefeed-warning', detail };
}
