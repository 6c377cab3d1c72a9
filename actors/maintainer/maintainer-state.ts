/** What a maintainer knows: its phase, its nodes with their managers, its spans. */
import { assert } from '#src/base/assert.ts';
import type { Failure, Outcome } from '#src/base/failure.ts';
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Ref } from '#src/kernel/ref.ts';
import type { DdlEvent, Position, TimelineSegment } from '#src/model/position.ts';
import type { Routing } from '#src/model/start-at.ts';
import { tokenAssignments } from '#src/model/token.ts';
import { portOf } from '#src/ports/port.ts';
import type { SinkAnswer, SinkRequest } from '#src/ports/sink.ts';
import type { ChangefeedConfig, ChangefeedState } from '#src/protocol/changefeed.ts';
import type { DrainTarget } from '#src/protocol/coordinator.ts';
import {
  noTotals,
  type DdlReached,
  type MaintainerMessage,
  type ManagerAdopted,
  type ManagerTotals,
  type SourceFacts,
} from '#src/protocol/maintainer.ts';
import type { ManagerMessage } from '#src/protocol/manager.ts';
import { newBootstrapper, type Bootstrapper } from '../placement/bootstrapper.ts';
import { NodeWatermarks } from './checkpoint.ts';
import { PositionHistory } from './position-history.ts';
import { SpanOperators } from './span-operators.ts';
import { SpanTable } from './span-table.ts';
import { TableHeat } from './table-heat.ts';
import type { Wish } from './table-asks.ts';

/** What a maintainer is started with. */
export interface MaintainerProps {
  readonly config: ChangefeedConfig;
  readonly epoch: number;
  /** The maintainer manager of its node. */
  readonly manager: Ref;
  /** Capture id of its node, and of all nodes. */
  readonly self: string;
  readonly nodes: readonly string[];
  readonly drain: DrainTarget;
  /** It only closes what an earlier maintainer left on the nodes (spec/06 removal-only). */
  readonly isRemovalOnly: boolean;
  /** Its ports are open: only one that closes is started without. */
  readonly hasSink: boolean;
}

/** Private messages: answers of the sink port, and timers. */
export type MaintainerOwn =
  | { readonly kind: 'SinkAnswered'; readonly tag: SinkCall; readonly outcome: Outcome<SinkAnswer> }
  /** `tag`: the number of the question, and the span asked about. */
  | { readonly kind: 'SplitAnswered'; readonly tag: string; readonly outcome: Outcome<SinkAnswer> }
  /** `tag`: the token of the request, and the object of its operator. */
  | { readonly kind: 'ReslotAnswered'; readonly tag: string; readonly outcome: Outcome<SinkAnswer> }
  | { readonly kind: 'TickDue' }
  | { readonly kind: 'StopDue' }
  | { readonly kind: 'CloseDue' }
  | { readonly kind: 'RetireDue' }
  | { readonly kind: 'EndDue' };

/** Everything a maintainer receives. */
export type MaintainerInbox = MaintainerMessage | MaintainerOwn;

/** What a sink call is for. */
export type SinkCall = 'open' | 'raise' | 'groups' | 'save' | 'ddl' | 'retire';

/** See the drawing in maintainer.ts. */
export type Phase =
  | {
      readonly at: 'opening' | 'raising' | 'checking' | 'grouping' | 'running';
    }
  /** Asks every node what it serves, since then. */
  | { readonly at: 'gathering'; readonly sinceMs: number }
  /** A DDL holds every stream: `draining` until all spans are there, then one sink call after another. */
  | {
      readonly at: 'barrier';
      readonly step: 'draining' | 'saving' | 'ddl' | 'grouping';
      readonly ddl: DdlEvent;
      readonly resolved: Position;
    }
  /** Asked to stop: nothing more is read, and what was read is applied, as far as `stopDrainMs` allows. */
  | { readonly at: 'stopping' }
  /** Every manager of the feed is being closed. */
  | { readonly at: 'closing'; readonly as: ChangefeedState; readonly failure: Failure | null }
  /** The last checkpoint is being saved; `rests`: the changefeed is to rest, no other maintainer goes on with it. */
  | {
      readonly at: 'finishing';
      readonly as: ChangefeedState;
      readonly failure: Failure | null;
      readonly rests: boolean;
    }
  /** Its slots are being raised above all that anybody may still send. */
  | { readonly at: 'retiring'; readonly as: ChangefeedState; readonly failure: Failure | null }
  /** Its last word is said; it is stopped once it was heard (messages and exits travel apart). */
  | { readonly at: 'ended' };

/** One node as the maintainer knows it. */
export interface NodeState {
  readonly node: string;
  /** Its dispatcher manager; null while it has none that we know. */
  manager: Ref | null;
  /** When it was heard of first, and how many before it were lost in a row, each soon. */
  madeAtMs: number;
  lostCount: number;
  /** The manager has taken us on. */
  isAdopted: boolean;
  /** Its stream runs, or was told to. */
  isStreaming: boolean;
  /** When it was told so last. */
  startedAtMs: number;
  resolved: Position | null;
  /** The span its watermark waits for; empty when that waits for the stream. */
  hindmost: string;
  held: DdlReached | null;
  isSourceClosed: boolean;
  isClosed: boolean;
  heardAtMs: number;
  totals: ManagerTotals;
}

/** A span whose dispatcher ended by itself. */
interface Loss {
  /** In a row, without progress between them. */
  readonly count: number;
  /** Where it stood, and under which token. */
  readonly ts: number;
  readonly token: number;
  /** It is not placed again before. */
  readonly notBeforeMs: number;
}

/** The state; mutated in place. */
export interface MaintainerState {
  readonly props: MaintainerProps;
  phase: Phase;
  readonly nodes: Map<string, NodeState>;
  bootstrap: Bootstrapper<ManagerAdopted>;
  drain: DrainTarget;
  readonly table: SpanTable;
  readonly operators: SpanOperators;
  readonly watermarks: NodeWatermarks;
  readonly losses: Map<string, Loss>;
  /** Changes of spans that are wanted, by span. */
  readonly wishes: Map<string, Wish>;
  readonly heat: TableHeat;
  readonly history: PositionHistory;
  facts: SourceFacts | null;
  /** The server that the sink has opened; null before. */
  sinkServer: string | null;
  /** Timeline of the stored checkpoint. */
  storedTimeline: readonly TimelineSegment[];
  routing: Routing;
  /** The newest checkpoint reached, and the newest saved. */
  checkpoint: Position | null;
  /** Server time of the newest transaction up to the checkpoint, milliseconds; 0 before anything was read. */
  checkpointMs: number;
  savedTs: number;
  saving: Position | null;
  savedAtMs: number;
  /** The feed's slot carries this epoch's token: its checkpoint may be written. */
  isRaised: boolean;
  /** What runs on the nodes is in the table. */
  hasTakenOn: boolean;
  /** The tree waits for this cell to end. */
  isStopAsked: boolean;
  /** The DDL done last; streams that stand before it go on. */
  doneDdlTs: number;
  ddlCount: number;
  /** Totals of managers that are gone. */
  formerTotals: ManagerTotals;
  /** What ended a dispatcher last, until the checkpoint moves; what keeps the stream of this node from going on. */
  trouble: Failure | null;
  sourceTrouble: Failure | null;
  /** Monotonic time of the last progress of the checkpoint, or of nothing left to do. */
  progressAtMs: number;
  /** What the checkpoint waits for, when it has stood for a while; empty otherwise. */
  waitsFor: string;
  balancedAtMs: number;
  askedAtMs: number;
}

/** A maintainer that has just been started. */
export function newState(props: MaintainerProps, env: Env): MaintainerState {
  const { epoch, config } = props;
  let assignmentSeq = 0;
  const table = new SpanTable();
  const operators = new SpanOperators(table, () => {
    assert(++assignmentSeq < tokenAssignments, 'assignments of one epoch');
    return epoch * tokenAssignments + assignmentSeq;
  });
  return {
    props,
    phase: { at: 'opening' },
    nodes: new Map(),
    bootstrap: newBootstrapper(),
    drain: props.drain,
    table,
    operators,
    watermarks: new NodeWatermarks(),
    losses: new Map(),
    wishes: new Map(),
    heat: new TableHeat(env.now()),
    history: new PositionHistory(),
    facts: null,
    sinkServer: null,
    storedTimeline: [],
    routing: { rules: config.rules, groups: {} },
    checkpoint: null,
    checkpointMs: 0,
    savedTs: -1,
    saving: null,
    savedAtMs: env.now(),
    isRaised: false,
    hasTakenOn: false,
    isStopAsked: false,
    doneDdlTs: -1,
    ddlCount: 0,
    formerTotals: noTotals,
    trouble: null,
    sourceTrouble: null,
    progressAtMs: env.now(),
    waitsFor: '',
    balancedAtMs: env.now(),
    askedAtMs: -Infinity,
  };
}

/** True while spans are placed and moved. */
export function isPlacing(state: MaintainerState): boolean {
  return ['running', 'barrier', 'stopping'].includes(state.phase.at);
}

/** True once it is on its way out: nothing new begins. */
export function isLeaving(state: MaintainerState): boolean {
  return ['closing', 'finishing', 'retiring', 'ended'].includes(state.phase.at);
}

/** The feed's own slot is written with the first token of the epoch. */
export function feedSlot(state: MaintainerState): {
  readonly changefeed: string;
  readonly token: number;
} {
  return {
    changefeed: state.props.config.id,
    token: state.props.epoch * tokenAssignments,
  };
}

/** Asks the sink port of this thread. */
export function callSink(state: MaintainerState, request: SinkRequest, tag: SinkCall): Effect {
  const port = portOf('sink', state.props.config.id);
  return { kind: 'CallPort', port, request, answer: 'SinkAnswered', tag };
}

/** Tells the manager of a node; nothing when it has none. */
export function toManager(node: NodeState | undefined, message: ManagerMessage): readonly Effect[] {
  const to = node?.manager ?? null;
  return to === null ? [] : [{ kind: 'Send', to, message }];
}

/** Tells all managers that have taken us on. */
export function toManagers(state: MaintainerState, message: ManagerMessage): readonly Effect[] {
  return [...state.nodes.values()].flatMap((node) =>
    node.isAdopted ? toManager(node, message) : [],
  );
}

/** Sums of what all managers have counted, past ones included. */
export function totalsOf(state: MaintainerState): ManagerTotals {
  const { self } = state.props;
  let sum = state.formerTotals;
  for (const { node, totals } of state.nodes.values()) sum = addTotals(sum, totals, node === self);
  return sum;
}

/** Adds a manager's totals; what was read from the log counts on the maintainer's own node only. */
export function addTotals(
  sum: ManagerTotals,
  totals: ManagerTotals,
  isSelf: boolean,
): ManagerTotals {
  return {
    rows: sum.rows + totals.rows,
    writtenRows: sum.writtenRows + totals.writtenRows,
    transactions: sum.transactions + totals.transactions,
    sourceBytes: sum.sourceBytes + (isSelf ? totals.sourceBytes : 0),
    sourceTransactions: sum.sourceTransactions + (isSelf ? totals.sourceTransactions : 0),
    sourceMs: Math.max(sum.sourceMs, totals.sourceMs),
  };
}
