/** A maintainer that is told one message after another, for tests of its behaviour. */
import type {
  MaintainerInbox,
  MaintainerState,
  SinkCall,
} from '#actors/maintainer/maintainer-state.ts';
import { maintainer } from '#actors/maintainer/maintainer.ts';
import { stageOf } from '#actors/maintainer/report.ts';
import { failed, failure, ok, type Failure } from '#src/base/failure.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Ref } from '#src/kernel/ref.ts';
import type { DdlEvent, Position } from '#src/model/position.ts';
import type { SinkAnswer } from '#src/ports/sink.ts';
import type { ManagerHeartbeat, SpanReport } from '#src/protocol/maintainer.ts';
import type { MaintainerReported } from '#src/protocol/maintainer-manager.ts';
import type { ScheduleDispatcher } from '#src/protocol/manager.ts';
import { places } from '#src/protocol/nodes.ts';
import { envOf, refOf, told } from '../cell-env.ts';
import { configOf } from '../feed-config.ts';

/** A position. */
export const at = (ts: number): Position => ({ ts, gtid: `0-1-${ts}` });
/** A DDL at 40. */
export const ddl: DdlEvent = { ts: 40, gtid: '0-1-40', commitMs: 1, schema: 'd', sql: 'DDL' };
/** What may heal. */
export const lost = failure('SINK_DISCONNECTED', 'lost', { retry: 'Reconnect' });
/** Of an upstream that begins at 10 and stands at 50. */
export const facts = {
  start: at(10),
  newest: at(50),
  timeline: [],
  serverId: 's',
  version: '1',
  warnings: [],
};
const totals = {
  rows: 1,
  writtenRows: 1,
  transactions: 1,
  sourceBytes: 1,
  sourceTransactions: 1,
  sourceMs: 1,
};
/** Tokens of its epoch are above this. */
export const base = 3 * 2 ** 20;

/** A maintainer under epoch 3 on node `a` that is told one message after another. */
export class Told {
  state: MaintainerState;
  effects: readonly Effect[];
  nowMs = 0;
  beats = 0;

  constructor(
    more: {
      untilCaughtUp?: boolean;
      untilGtid?: string;
      nodes?: string[];
      isRemovalOnly?: boolean;
      hasSink?: boolean;
      splitAbove?: number;
    } = {},
  ) {
    const { untilCaughtUp = false, untilGtid = null, splitAbove = null } = more;
    const ends = { untilCaughtUp, untilGtid };
    const config = configOf('f', { ...ends, splitAbove, stuckAfterMs: 60_000 });
    [this.state, this.effects] = maintainer.init(
      {
        config,
        epoch: 3,
        manager: refOf('manager'),
        self: 'a',
        nodes: more.nodes ?? ['a'],
        drain: { number: 0, node: null },
        isRemovalOnly: more.isRemovalOnly ?? false,
        hasSink: more.hasSink ?? true,
      },
      envOf(),
    );
  }

  tell(message: MaintainerInbox, from: Ref = refOf('x')): string[] {
    const env = { ...envOf('x', this.nowMs), from };
    [this.state, this.effects] = maintainer.receive(this.state, message, env);
    return told(this.effects).map((line) => line.replace(places.orchestrator, 'orchestrator'));
  }

  /** Lines without the reports that every tick sends. */
  tick(): string[] {
    return this.tell({ kind: 'TickDue' }).filter(
      (line) => !/MaintainerReported|timer tick/.test(line),
    );
  }

  sink(tag: SinkCall, answer: SinkAnswer): string[] {
    return this.tell({ kind: 'SinkAnswered', tag, outcome: ok(answer) });
  }

  /** The downstream is open, and its feed raised: what it holds of an earlier maintainer. */
  raises(
    held: {
      readonly checkpointTs?: number;
      readonly parts?: readonly string[];
      readonly serverId?: string;
    } = {},
  ): string[] {
    const { checkpointTs, parts = [], serverId = 'd' } = held;
    this.sink('open', { kind: 'Opened', version: '1', serverId, laneCount: 1 });
    const checkpoint =
      checkpointTs === undefined
        ? null
        : ({ version: 1, position: at(checkpointTs), timeline: [] } as const);
    return this.sink('raise', { kind: 'FeedRaised', checkpoint, parts });
  }

  saved(): string[] {
    return this.sink('save', { kind: 'CheckpointSaved' });
  }

  groups(): string[] {
    return this.sink('groups', { kind: 'GroupsRead', groups: {} });
  }

  retired(): string[] {
    return this.sink('retire', { kind: 'FeedRetired' });
  }

  fail(tag: SinkCall, why: Failure = lost): string[] {
    return this.tell({ kind: 'SinkAnswered', tag, outcome: failed(why) });
  }

  orchestrator(node: string, message: MaintainerInbox): string[] {
    const from = refOf(places.orchestrator);
    return this.tell(message, node === 'a' ? from : { ...from, node });
  }

  bootstrap(node: string, incarnation = 1): string[] {
    const manager = refOf(`dm-${node}`, incarnation);
    return this.orchestrator(node, { kind: 'FeedBootstrapped', is: 'ready', manager });
  }

  fromManager(node: string, message: MaintainerInbox, incarnation = 1): string[] {
    const from = refOf(`dm-${node}`, incarnation);
    return this.tell(message, node === 'a' ? from : { ...from, node });
  }

  adopt(node: string, served: [string, number][] = [], isStreaming = false): string[] {
    return this.fromManager(node, {
      kind: 'ManagerAdopted',
      served: served.map(([span, token]) => ({ span, token, checkpointTs: 10 })),
      idle: [],
      source: isStreaming ? facts : null,
    });
  }

  beat(
    node: string,
    ts: number,
    more: Partial<ManagerHeartbeat> & { readonly resolvedTs?: number } = {},
  ): string[] {
    const { resolvedTs = ts, ...rest } = more;
    return this.fromManager(node, {
      kind: 'ManagerHeartbeat',
      beat: ++this.beats,
      seq: 9,
      checkpointTs: ts,
      hindmost: '',
      resolved: at(resolvedTs),
      seen: [],
      spans: [],
      ddl: null,
      isSourceClosed: false,
      isClosed: false,
      trouble: null,
      failure: null,
      totals,
      loads: [],
      ...rest,
    });
  }

  says(
    node: string,
    span: string,
    is: 'working' | 'stopped',
    ts = 20,
    why: Failure | null = null,
  ): string[] {
    const token = this.state.table.get(span)!.token;
    const spans: SpanReport[] = [{ span, token, is, checkpointTs: ts, failure: why }];
    return this.beat(node, ts, { spans });
  }

  /** Up to running on node a (and b), with `spans` at 10. */
  static running(
    more: ConstructorParameters<typeof Told>[0] = {},
    spans: readonly string[] = ['s', 't'],
  ): Told {
    const one = new Told(more);
    one.raises();
    for (const node of more.nodes ?? ['a']) one.bootstrap(node);
    for (const node of more.nodes ?? ['a']) one.adopt(node);
    one.tell({ kind: 'SourceChecked', facts });
    one.groups();
    one.saved();
    one.beat('a', 10, { seen: spans });
    for (const span of spans) one.says(one.state.table.get(span)!.node!, span, 'working', 10);
    return one;
  }

  get checkpoint(): number | undefined {
    return this.state.checkpoint?.ts;
  }

  /** What the last message made it report. */
  get report(): MaintainerReported | null {
    for (const { kind, ...rest } of this.effects)
      if (kind === 'Send' && 'message' in rest && rest.message.kind === 'MaintainerReported')
        return rest.message as MaintainerReported;
    return null;
  }

  /** The nodes of spans. */
  nodesOf(...spans: string[]): (string | null | undefined)[] {
    return spans.map((span) => this.state.table.get(span)?.node);
  }

  /** What it says it is doing. */
  get stage(): string {
    return stageOf(this.state);
  }

  get lastWord(): readonly unknown[] {
    for (const effect of this.effects) {
      if (effect.kind !== 'Send' || effect.message.kind !== 'MaintainerReported') continue;
      const { isLast, status } = effect.message as MaintainerReported;
      if (isLast) return [status.state, status.checkpoint?.ts, status.failure?.code];
    }
    return [];
  }

  get tokens(): number[] {
    return this.effects.flatMap((effect) =>
      effect.kind === 'Send' && effect.message.kind === 'ScheduleDispatcher'
        ? [(effect.message as ScheduleDispatcher).token - base]
        : [],
    );
  }

  /** From closing to its end: managers close, orchestrators say so. */
  close(...nodes: string[]): void {
    this.tick();
    for (const node of nodes)
      this.orchestrator(node, { kind: 'FeedClosed', is: 'closed', manager: null });
  }
}
