/** The maintainer as a table: what it is told, and what it does about it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MaintainerInbox, MaintainerState } from '#actors/maintainer/maintainer-state.ts';
import { maintainer } from '#actors/maintainer/maintainer.ts';
import { failed, failure, ok, type Failure, type Outcome } from '#src/base/failure.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Ref } from '#src/kernel/ref.ts';
import type { DdlEvent, Position } from '#src/model/position.ts';
import type { SinkAnswer } from '#src/ports/sink.ts';
import type { ManagerHeartbeat, SpanReport, TableRequest } from '#src/protocol/maintainer.ts';
import type { MaintainerReported, TableAnswered } from '#src/protocol/maintainer-manager.ts';
import type { ScheduleDispatcher } from '#src/protocol/manager.ts';
import { places } from '#src/protocol/nodes.ts';
import { envOf, refOf, told } from './cell-env.ts';

const at = (ts: number): Position => ({ ts, gtid: `0-1-${ts}` });
const ddl: DdlEvent = { ts: 40, gtid: '0-1-40', commitMs: 1, schema: 'd', sql: 'DDL' };
const lost = failure('SINK_DISCONNECTED', 'lost', { retry: 'Reconnect' });
const facts = {
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
  appliedMs: 1,
  sourceMs: 1,
};
const base = 3 * 2 ** 20;

/** A maintainer under epoch 3 on node `a` that is told one message after another. */
class Told {
  state: MaintainerState;
  effects: readonly Effect[];
  nowMs = 0;
  beats = 0;

  constructor(more: { untilCaughtUp?: boolean; nodes?: string[]; isRemovalOnly?: boolean } = {}) {
    const config = {
      id: 'f',
      endpoints: null,
      startAt: { kind: 'now' } as const,
      rules: ['*.*'],
      untilCaughtUp: more.untilCaughtUp ?? false,
      memoryQuota: 1 << 20,
      stuckAfterMs: 60_000,
    };
    [this.state, this.effects] = maintainer.init(
      {
        config,
        epoch: 3,
        manager: refOf('manager'),
        self: 'a',
        nodes: more.nodes ?? ['a'],
        drain: { number: 0, node: null },
        isRemovalOnly: more.isRemovalOnly ?? false,
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

  sink(tag: 'open' | 'raise' | 'groups' | 'save' | 'ddl', answer: SinkAnswer): string[] {
    return this.tell({ kind: 'SinkAnswered', tag, outcome: ok(answer) });
  }

  saved(): string[] {
    return this.sink('save', { kind: 'CheckpointSaved' });
  }

  groups(): string[] {
    return this.sink('groups', { kind: 'GroupsRead', groups: {} });
  }

  fail(tag: 'open' | 'save' | 'ddl', why: Failure = lost): string[] {
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
      resolved: at(resolvedTs),
      seen: [],
      spans: [],
      ddl: null,
      isSourceClosed: false,
      isClosed: false,
      trouble: null,
      failure: null,
      totals,
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

  /** Up to running on node a (and b), with spans s and t at 10. */
  static running(more: ConstructorParameters<typeof Told>[0] = {}): Told {
    const one = new Told(more);
    one.sink('open', { kind: 'Opened', version: '1', serverId: 's', laneCount: 1 });
    one.sink('raise', { kind: 'FeedRaised', checkpoint: null, parts: [] });
    for (const node of more.nodes ?? ['a']) one.bootstrap(node);
    for (const node of more.nodes ?? ['a']) one.adopt(node);
    one.tell({ kind: 'SourceChecked', facts });
    one.groups();
    one.saved();
    one.beat('a', 10, { seen: ['s', 't'] });
    for (const span of ['s', 't']) one.says(one.state.table.get(span)!.node!, span, 'working', 10);
    return one;
  }

  get checkpoint(): number | undefined {
    return this.state.checkpoint?.ts;
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

test('it raises before it asks anybody, and stores the start before history flows', () => {
  const one = new Told();
  assert.deepEqual(told(one.effects), ['timer tick 50', 'port Open']);
  const opened = { kind: 'Opened', version: '1', serverId: 's', laneCount: 1 } as const;
  assert.deepEqual(one.sink('open', opened), ['port RaiseFeed']);
  assert.deepEqual(one.sink('raise', { kind: 'FeedRaised', checkpoint: null, parts: [] }), [
    'orchestrator BootstrapFeed',
  ]);
  assert.deepEqual(one.bootstrap('a'), ['dm-a AdoptManager']);
  assert.deepEqual(one.adopt('a'), ['dm-a CheckSource']);
  assert.deepEqual(one.tell({ kind: 'SourceChecked', facts }), ['port ReadGroups']);
  assert.deepEqual(one.groups(), ['port SaveCheckpoint', 'dm-a StartSource']);
});

test('spec/01 §1.9: it goes on when every node has answered, and asks the silent ones again', () => {
  const one = new Told({ nodes: ['a', 'b'] });
  one.sink('open', { kind: 'Opened', version: '1', serverId: 's', laneCount: 1 });
  one.sink('raise', { kind: 'FeedRaised', checkpoint: null, parts: [] });
  one.bootstrap('a');
  assert.deepEqual(one.adopt('a'), []);
  one.nowMs = 500;
  assert.deepEqual(one.tick(), ['orchestrator BootstrapFeed']);
  one.bootstrap('b');
  assert.deepEqual(one.adopt('b'), ['dm-a CheckSource']);
});

test('what runs is adopted under its tokens; of two claims the higher token stays', () => {
  const one = new Told({ nodes: ['a', 'b'] });
  one.sink('open', { kind: 'Opened', version: '1', serverId: 's', laneCount: 1 });
  one.sink('raise', { kind: 'FeedRaised', checkpoint: null, parts: [] });
  one.bootstrap('a');
  one.bootstrap('b');
  one.adopt('a', [['s', 7]], true);
  assert.deepEqual(
    one.adopt(
      'b',
      [
        ['s', 8],
        ['t', 9],
      ],
      true,
    ),
    ['port ReadGroups'],
  );
  const lines = one.groups();
  assert.ok(lines.includes('dm-a StopDispatcher'));
  assert.deepEqual(
    [...one.state.table.rows()].map(({ span, node, token, state }) => [span, node, token, state]),
    [
      ['s', 'b', 8, 'replicating'],
      ['t', 'b', 9, 'replicating'],
    ],
  );
});

test('P2: what ends between its adoption and the first placing is not taken before the table knows of it', () => {
  const one = new Told();
  one.sink('open', { kind: 'Opened', version: '1', serverId: 's', laneCount: 1 });
  one.sink('raise', {
    kind: 'FeedRaised',
    checkpoint: { version: 1, position: at(10), timeline: [] },
    parts: [],
  });
  one.bootstrap('a');
  one.adopt('a', [['s', 7]], true);
  const spans: SpanReport[] = [
    { span: 's', token: 7, is: 'stopped', checkpointTs: 12, failure: null },
  ];
  // The manager tells it again until it is taken, and counts the span till then.
  assert.deepEqual(one.beat('a', 12, { spans, resolvedTs: 40 }), []);
  one.groups();
  assert.equal(one.state.table.get('s')!.state, 'replicating');
  assert.deepEqual(one.beat('a', 12, { spans, resolvedTs: 40 }), [
    'dm-a HeartbeatTaken',
    'dm-a ScheduleDispatcher',
  ]);
  one.beat('a', 40);
  assert.equal(one.checkpoint, 10);
});

test('the checkpoint is the lowest of all that are required, and a new span begins at it', () => {
  const one = Told.running();
  one.beat('a', 15, { resolvedTs: 20 });
  assert.equal(one.checkpoint, 10);
  one.beat('a', 20, { resolvedTs: 30 });
  assert.equal(one.checkpoint, 20);
  one.beat('a', 30, { seen: ['u'] });
  assert.equal(one.state.table.get('u')!.checkpointTs, 20);
  one.beat('a', 40);
  assert.equal(one.checkpoint, 20);
  one.says('a', 'u', 'working', 40);
  assert.equal(one.checkpoint, 40);
});

test('I-7: every assignment has a token of its own, above those of all earlier epochs', () => {
  const one = new Told();
  one.sink('open', { kind: 'Opened', version: '1', serverId: 's', laneCount: 1 });
  one.sink('raise', { kind: 'FeedRaised', checkpoint: null, parts: [] });
  one.bootstrap('a');
  one.adopt('a');
  one.tell({ kind: 'SourceChecked', facts });
  one.groups();
  one.beat('a', 10, { seen: ['s', 't'] });
  assert.deepEqual(one.tokens, [1, 2]);
  one.says('a', 's', 'working', 10);
  one.says('a', 's', 'stopped', 12, lost);
  assert.equal(one.state.table.get('s')!.state, 'absent');
  assert.deepEqual(one.tokens, []);
  one.nowMs = 100;
  assert.deepEqual(one.tick(), ['dm-a ScheduleDispatcher']);
  assert.deepEqual(one.tokens, [3]);
});

test('a dispatcher that is lost again and again without progress fails the feed', () => {
  const one = Told.running();
  for (let i = 0; i < 9; i++) {
    assert.equal(one.state.phase.at, 'running');
    one.says('a', 's', 'stopped', 10, lost);
    one.nowMs += 6_000;
    one.beat('a', 10);
    one.says('a', 's', 'working', 10);
  }
  assert.equal(one.state.phase.at, 'closing');
});

test('a dispatcher that was replaced is fenced, as it must: that is no failure of the feed', () => {
  const one = Told.running();
  const { token } = one.state.table.get('s')!;
  const fenced = failure('SINK_FENCED', 'a newer owner raised the token');
  one.says('a', 's', 'stopped', 10, lost);
  one.nowMs = 6_000;
  one.tick();
  assert.ok(one.state.table.get('s')!.token > token);
  const past = { span: 's', token, is: 'stopped', checkpointTs: 10, failure: fenced } as const;
  one.beat('a', 10, { spans: [past] });
  one.beat('a', 10, { spans: [{ ...past, span: 'unknown' }] });
  assert.equal(one.state.phase.at, 'running');
  one.says('a', 's', 'stopped', 10, fenced);
  assert.equal(one.state.phase.at, 'ended');
});

test('spec/03 3c: a node that may not write any more fails no feed: its spans go elsewhere', () => {
  const one = Told.running({ nodes: ['a', 'b'] });
  const fenced = failure('SINK_FENCED', 'this node may not write any more', { scope: 'Node' });
  const { node } = one.state.table.get('s')!;
  one.says(node!, 's', 'stopped', 10, fenced);
  assert.equal(one.state.phase.at, 'running');
  assert.equal(one.state.table.get('s')?.state, 'absent');
});

test('a move: the origin stops, the dest begins where it stood under a new token', () => {
  const one = Told.running({ nodes: ['a', 'b'] });
  const [from, to] = one.state.table.get('s')!.node === 'a' ? ['a', 'b'] : ['b', 'a'];
  const request = { kind: 'move', span: 's', node: to! } as const;
  assert.deepEqual(one.tell({ kind: 'AskTable', id: 'f', askId: 1, request }), [
    `dm-${from} StopDispatcher`,
  ]);
  assert.deepEqual(one.says(from!, 's', 'stopped', 33), [
    `dm-${from} HeartbeatTaken`,
    `dm-${to} ScheduleDispatcher`,
  ]);
  assert.deepEqual(one.tokens, [3]);
  assert.equal(one.state.table.get('s')!.checkpointTs, 33);
  assert.ok(one.says(to!, 's', 'working', 33).includes('manager TableAnswered'));
  assert.equal(one.state.table.get('s')!.node, to);
});

test('a node that is lost: its spans are placed on what is left, and hold the checkpoint till then', () => {
  const one = Told.running({ nodes: ['a', 'b'] });
  const span = one.state.table.get('s')!.node === 'b' ? 's' : 't';
  one.beat('a', 30);
  one.beat('b', 30);
  const lines = one.tell({
    kind: 'NodesChanged',
    self: 'a',
    nodes: ['a'],
    lease: 'l',
    members: [],
    isComplete: true,
  });
  assert.deepEqual(lines, []);
  one.beat('a', 60);
  assert.equal(one.checkpoint, 30);
  assert.equal(one.state.table.get(span)!.node, 'a');
});

test('a manager that was started anew is adopted anew, its stream begins at the checkpoint', () => {
  const one = Told.running();
  one.beat('a', 30);
  one.orchestrator('a', { kind: 'FeedBootstrapped', is: 'retry', manager: null });
  assert.deepEqual(one.state.table.absent(), ['s', 't']);
  assert.deepEqual(one.beat('a', 90), []);
  assert.deepEqual(one.bootstrap('a', 2), ['dm-a AdoptManager']);
  const adopted = { kind: 'ManagerAdopted', served: [], idle: ['s'], source: null } as const;
  assert.deepEqual(one.fromManager('a', adopted, 2), [
    'dm-a StartSource',
    'dm-a ScheduleDispatcher',
    'dm-a ScheduleDispatcher',
  ]);
});

test('spec/06 self-healing: what nobody knows of is told to stop', () => {
  const one = Told.running();
  const spans: SpanReport[] = [
    { span: 'x', token: 1, is: 'working', checkpointTs: 20, failure: null },
  ];
  assert.deepEqual(one.beat('a', 10, { spans }), ['dm-a StopDispatcher', 'dm-a HeartbeatTaken']);
});

test('a DDL waits for every stream and every span, is preceded by its checkpoint, and is followed by the groups', () => {
  const one = Told.running({ nodes: ['a', 'b'] });
  const held = { ddl, resolved: at(30) };
  assert.deepEqual(one.beat('a', 30, { ddl: held }), []);
  assert.equal(one.state.phase.at, 'barrier');
  assert.deepEqual(one.beat('b', 25), []);
  assert.deepEqual(one.beat('b', 30, { ddl: held }), ['port SaveCheckpoint']);
  one.saved();
  assert.ok(told(one.effects).includes('port RunDdl'));
  assert.deepEqual(one.sink('ddl', { kind: 'DdlDone', ran: true }), ['port ReadGroups']);
  assert.deepEqual(one.groups(), ['dm-a ResumeStream', 'dm-b ResumeStream']);
  assert.equal(one.state.phase.at, 'running');
  // A stream that meets it later, because it began before it, goes on at once.
  assert.deepEqual(one.beat('b', 30, { ddl: held }), ['dm-b ResumeStream']);
});

test('a stream that has passed a DDL already, under an earlier maintainer, holds nobody up', () => {
  const one = Told.running({ nodes: ['a', 'b'] });
  one.beat('b', 60);
  one.beat('a', 30, { ddl: { ddl, resolved: at(30) } });
  assert.deepEqual(one.saved(), [
    'dm-a CheckpointAdvanced',
    'dm-b CheckpointAdvanced',
    'port RunDdl',
  ]);
});

test('a stop applies what was read on every node, then closes every manager, then saves', () => {
  const one = Told.running();
  one.beat('a', 20);
  assert.deepEqual(one.tell({ kind: 'RemoveThis', cascade: true, removed: false }), [
    'dm-a CloseStream',
    'timer stop 8000',
  ]);
  one.beat('a', 25, { resolvedTs: 30, isSourceClosed: true });
  assert.equal(one.state.phase.at, 'stopping');
  one.beat('a', 30, { isSourceClosed: true });
  assert.equal(one.state.phase.at, 'closing');
  assert.deepEqual(one.tick(), ['dm-a CloseManager', 'orchestrator CloseFeed']);
  const closed = { kind: 'FeedClosed', is: 'closed', manager: null } as const;
  assert.deepEqual(one.orchestrator('a', closed), ['port SaveCheckpoint']);
  one.saved();
  assert.deepEqual(one.lastWord, ['stopped', 30, undefined]);
});

test('Q9, E5: it waits for every node; one whose manager belongs to another is done', () => {
  const one = Told.running({ nodes: ['a', 'b'] });
  one.tell({ kind: 'RemoveThis', cascade: true, removed: true });
  one.tell({ kind: 'StopDue' });
  one.close('a');
  assert.equal(one.state.phase.at, 'closing');
  one.fromManager('b', { kind: 'NotOwner', of: 'CloseManager', owner: 'z', epoch: 9 });
  assert.deepEqual(one.lastWord, ['stopped', 10, undefined]);
});

test('Q6, Q7: a hand-off before everybody was heard is not taken on, a close is', () => {
  const one = new Told();
  assert.deepEqual(one.tell({ kind: 'RemoveThis', cascade: false, removed: false }), []);
  assert.equal(one.state.phase.at, 'opening');
  one.tell({ kind: 'RemoveThis', cascade: true, removed: false });
  assert.equal(one.state.phase.at, 'closing');
});

test('P2: one that is stopped before it has taken on what runs never moves the checkpoint', () => {
  const one = new Told({ nodes: ['a', 'b'] });
  one.sink('open', { kind: 'Opened', version: '1', serverId: 's', laneCount: 1 });
  const checkpoint = { version: 1, position: at(10), timeline: [] } as const;
  one.sink('raise', { kind: 'FeedRaised', checkpoint, parts: [] });
  one.bootstrap('a');
  one.adopt('a', [['s', base - 1]], true);
  one.tell({ kind: 'RemoveThis', cascade: true, removed: false });
  // What it serves has ended, and is said: it does not hold the watermark any more, and nobody here knows of it.
  const ended = {
    span: 's',
    token: base - 1,
    is: 'stopped',
    checkpointTs: 12,
    failure: null,
  } as const;
  one.beat('a', 12, { spans: [ended] });
  one.beat('a', 50);
  assert.equal(one.checkpoint, 10);
});

test('Q1–Q4: once it hands off it schedules nothing more, and closes nothing', () => {
  const one = Told.running({ nodes: ['a', 'b'] });
  one.beat('a', 20);
  one.beat('b', 20);
  assert.deepEqual(one.tell({ kind: 'RemoveThis', cascade: false, removed: false }), [
    'port SaveCheckpoint',
  ]);
  one.says('a', one.state.table.get('s')!.node === 'a' ? 's' : 't', 'stopped', 20, lost);
  assert.deepEqual(one.tick(), []);
  one.saved();
  assert.deepEqual(one.lastWord, ['stopped', 20, undefined]);
});

test('one that only closes asks every node, and opens nothing', () => {
  const one = new Told({ nodes: ['a', 'b'], isRemovalOnly: true });
  assert.deepEqual(one.tick(), ['orchestrator CloseFeed', 'orchestrator CloseFeed']);
  const manager = refOf('dm-b', 4);
  assert.deepEqual(one.orchestrator('b', { kind: 'FeedClosed', is: 'closing', manager }), [
    'dm-b CloseManager',
  ]);
  one.close('a', 'b');
  assert.deepEqual(one.lastWord, ['stopped', undefined, undefined]);
});

test('a feed that is caught up says finished only with its checkpoint saved', () => {
  for (const isSaved of [true, false]) {
    const one = Told.running({ untilCaughtUp: true });
    one.beat('a', 50);
    one.close('a');
    if (isSaved) one.saved();
    else one.fail('save');
    assert.deepEqual(
      one.lastWord,
      isSaved ? ['finished', 50, undefined] : ['failed', 50, 'SINK_DISCONNECTED'],
    );
  }
});

test('a checkpoint that cannot be saved ends the maintainer; what runs is left to the next', () => {
  const one = Told.running();
  one.beat('a', 20);
  one.nowMs = 1_000;
  assert.ok(one.tick().includes('port SaveCheckpoint'));
  assert.deepEqual(one.fail('save'), ['port SaveCheckpoint']);
  one.fail('save');
  assert.deepEqual(one.lastWord, ['failed', 20, 'SINK_DISCONNECTED']);
});

test('once fenced it saves nothing more and closes nothing: another takes over what runs', () => {
  const one = Told.running();
  one.beat('a', 20);
  const effects = one.says('a', 's', 'stopped', 20, failure('SINK_FENCED', 'fenced'));
  assert.deepEqual(one.lastWord, ['failed', 20, 'SINK_FENCED']);
  assert.ok(!effects.some((line) => /Close|^port/.test(line)), effects.join());
  assert.deepEqual(one.tick(), []);
});

test('E6: one that is refused because a newer has closed ends', () => {
  const one = new Told();
  one.sink('open', { kind: 'Opened', version: '1', serverId: 's', laneCount: 1 });
  one.sink('raise', { kind: 'FeedRaised', checkpoint: null, parts: [] });
  one.orchestrator('a', { kind: 'FeedBootstrapped', is: 'refused', manager: null });
  assert.equal(one.lastWord[2], 'SINK_FENCED');
});

test('no progress for too long fails it, with what kept it from going on', () => {
  const one = Told.running();
  one.beat('a', 10, { resolvedTs: 20 });
  one.says('a', 's', 'stopped', 10, lost);
  one.nowMs = 60_001;
  one.tick();
  one.close('a');
  assert.deepEqual(one.lastWord, ['failed', 10, 'SINK_DISCONNECTED']);
});

test('a trouble is over when everything runs again and nothing is left to do, also when the upstream rests', () => {
  const one = Told.running();
  one.says('a', 's', 'stopped', 10, failure('SINK_DISCONNECTED', 'lost', { retry: 'Reconnect' }));
  assert.equal(one.state.trouble?.code, 'SINK_DISCONNECTED');
  one.beat('a', 10);
  assert.equal(one.state.trouble?.code, 'SINK_DISCONNECTED');
  one.nowMs = 1_000;
  one.tick();
  one.says('a', 's', 'working', 10);
  assert.equal(one.state.trouble, null);
});

test('a drain target is emptied and given nothing', () => {
  const one = Told.running({ nodes: ['a', 'b'] });
  one.tell({ kind: 'DrainChanged', drain: { number: 1, node: 'b' } });
  assert.ok(one.tick().includes('dm-b StopDispatcher'));
  one.beat('a', 10, { seen: ['u'] });
  assert.equal(one.state.table.get('u')!.node, 'a');
});

const whole = 's.t';
const [low, high] = ['s.t#0-32767', 's.t#32768-65535'] as const;

/** A running maintainer of one table, which is being split in two. */
function splitting(): Told {
  const one = new Told();
  one.sink('open', { kind: 'Opened', version: '1', serverId: 's', laneCount: 1 });
  one.sink('raise', { kind: 'FeedRaised', checkpoint: null, parts: [] });
  one.bootstrap('a');
  one.adopt('a');
  one.tell({ kind: 'SourceChecked', facts });
  one.groups();
  one.saved();
  one.beat('a', 10, { seen: [whole] });
  one.says('a', whole, 'working', 10);
  const request = { kind: 'split', span: whole, partCount: 2 } as const;
  assert.deepEqual(one.tell({ kind: 'AskTable', id: 'f', askId: 1, request }), ['port CheckSplit']);
  return one;
}

const splitAnswer = (refusal: string | null, count = 1): MaintainerInbox => ({
  kind: 'SplitAnswered',
  tag: `${count} ${whole}`,
  outcome: ok({ kind: 'SplitChecked', refusal }),
});

function reslotted(one: Told, span: string, outcome: Outcome<SinkAnswer>): string[] {
  const slots = one.state.operators.list().flatMap((op) => ('slots' in op ? [op.slots] : []));
  return one.tell({ kind: 'ReslotAnswered', tag: `${slots[0]!.token} ${span}`, outcome });
}

/** Up to two parts that replicate. */
function split(): Told {
  const one = splitting();
  one.tell(splitAnswer(null));
  one.says('a', whole, 'stopped', 33);
  reslotted(one, whole, ok({ kind: 'Reslotted' }));
  for (const part of [low, high]) one.says('a', part, 'working', 33);
  return one;
}

/** What was answered to questions about tables by the last step. */
function answers(one: Told): (string | undefined)[] {
  return one.effects.flatMap((effect) => {
    if (effect.kind !== 'Send' || effect.message.kind !== 'TableAnswered') return [];
    const { outcome } = effect.message as TableAnswered;
    return [outcome.ok ? outcome.value.kind : outcome.failure.code];
  });
}

test('a split: the downstream is asked, the span stops, its slots are divided, its parts begin where it stood', () => {
  const one = splitting();
  assert.deepEqual(one.tell(splitAnswer(null)), ['dm-a StopDispatcher']);
  assert.deepEqual(one.says('a', whole, 'stopped', 33), ['dm-a HeartbeatTaken', 'port Reslot']);
  one.beat('a', 90);
  assert.equal(one.checkpoint, 33);
  assert.equal(one.state.table.heldTs(), 33);
  assert.deepEqual(reslotted(one, whole, ok({ kind: 'Reslotted' })), [
    'manager TableAnswered',
    'dm-a ScheduleDispatcher',
    'dm-a ScheduleDispatcher',
  ]);
  assert.deepEqual(answers(one), ['Done']);
  assert.deepEqual(one.tokens, [3, 4]);
  assert.deepEqual([...one.state.table.rows()].map(({ span }) => span).toSorted(), [low, high]);
});

test('a table that may not be split is left alone, and whoever asked is told why', () => {
  const one = splitting();
  assert.deepEqual(one.tell(splitAnswer('it has no primary key')), ['manager TableAnswered']);
  assert.deepEqual(answers(one), ['TABLE_UNSPLITTABLE']);
  assert.equal(one.state.wishes.size, 0);
  assert.equal(one.state.table.get(whole)!.state, 'replicating');
});

test('questions about tables are answered at once when there is nothing to do, or nothing that can be done', () => {
  const one = split();
  const ask = (request: TableRequest): (string | undefined)[] => {
    one.tell({ kind: 'AskTable', id: 'f', askId: 9, request });
    return answers(one);
  };
  assert.deepEqual(ask({ kind: 'split', span: whole, partCount: 2 }), ['Done']);
  assert.deepEqual(ask({ kind: 'split', span: whole, partCount: 3 }), ['CHANGEFEED_STATE']);
  assert.deepEqual(ask({ kind: 'split', span: 'x.y', partCount: 3 }), ['TABLE_UNKNOWN']);
  assert.deepEqual(ask({ kind: 'merge', span: 'x.y' }), ['TABLE_UNKNOWN']);
  assert.deepEqual(ask({ kind: 'move', span: low, node: 'a' }), ['Done']);
  assert.deepEqual(ask({ kind: 'move', span: low, node: 'z' }), ['CAPTURE_UNKNOWN']);
  assert.deepEqual(ask({ kind: 'list' }), ['Tables']);
  one.state.routing = { ...one.state.routing, groups: { 's.u': 'group:s.t+s.u' } };
  assert.deepEqual(ask({ kind: 'split', span: 's.u', partCount: 2 }), ['TABLE_UNSPLITTABLE']);
});

test('a merge: all parts stop, their slots are joined, the whole begins where the hindmost stood', () => {
  const one = split();
  const request = { kind: 'merge', span: whole } as const;
  assert.deepEqual(one.tell({ kind: 'AskTable', id: 'f', askId: 2, request }), [
    'dm-a StopDispatcher',
    'dm-a StopDispatcher',
  ]);
  one.says('a', high, 'stopped', 50);
  assert.deepEqual(one.says('a', low, 'stopped', 60), ['dm-a HeartbeatTaken', 'port Reslot']);
  assert.deepEqual(reslotted(one, whole, ok({ kind: 'Reslotted' })), [
    'manager TableAnswered',
    'dm-a ScheduleDispatcher',
  ]);
  assert.deepEqual(answers(one), ['Done']);
  assert.equal(one.state.table.get(whole)!.checkpointTs, 50);
});

test('a downstream that cannot say whether slots were divided is asked again, and nothing is scheduled meanwhile', () => {
  const one = splitting();
  one.tell(splitAnswer(null));
  one.says('a', whole, 'stopped', 33);
  assert.deepEqual(reslotted(one, whole, failed(lost)), []);
  assert.deepEqual(one.tick(), []);
  one.nowMs += 1_000;
  assert.ok(one.tick().includes('port Reslot'));
  const fenced = failure('SINK_FENCED', 'newer');
  reslotted(one, whole, failed(fenced));
  assert.equal(one.state.phase.at, 'ended');
});

test('DESIGN §10: before a DDL on a split table runs, its parts are joined; another table is not touched', () => {
  for (const [sql, isJoined] of [
    ['ALTER TABLE T ADD UNIQUE KEY u (v)', true],
    ['DROP DATABASE s', true],
    ['ALTER TABLE x ADD FOREIGN KEY (a) REFERENCES t(id)', true],
    ['ALTER TABLE x ADD COLUMN a INT', false],
    ['TRUNCATE t', false],
  ] as const) {
    const one = split();
    const statement = { ...ddl, schema: 's', sql };
    const lines = one.beat('a', 39, {
      resolvedTs: 39,
      ddl: { ddl: statement, resolved: at(39) },
    });
    assert.equal(lines.includes('dm-a StopDispatcher'), isJoined, sql);
    assert.equal(lines.includes('port SaveCheckpoint'), !isJoined, sql);
    if (!isJoined) continue;
    one.says('a', low, 'stopped', 39);
    one.says('a', high, 'stopped', 39);
    reslotted(one, whole, ok({ kind: 'Reslotted' }));
    assert.ok(one.says('a', whole, 'working', 39).includes('port SaveCheckpoint'));
  }
});

test('a table that waits to be split is asked about again when a DDL has run', () => {
  const one = splitting();
  one.beat('a', 39, { resolvedTs: 39, ddl: { ddl, resolved: at(39) } });
  one.saved();
  one.sink('ddl', { kind: 'DdlDone', ran: true });
  assert.ok(one.groups().includes('port CheckSplit'));
  assert.deepEqual(one.tell(splitAnswer(null, 1)), []);
  assert.deepEqual(one.tell(splitAnswer(null, 2)), ['dm-a StopDispatcher']);
});

test('the next maintainer takes the parts from the slots, and stops who serves the table otherwise', () => {
  const one = new Told({ nodes: ['a', 'b'] });
  one.sink('open', { kind: 'Opened', version: '1', serverId: 's', laneCount: 1 });
  one.sink('raise', { kind: 'FeedRaised', checkpoint: null, parts: [low, high] });
  one.bootstrap('a');
  one.bootstrap('b');
  one.adopt('a', [[low, 8]], true);
  one.adopt(
    'b',
    [
      [whole, 7],
      ['u.v#0-9', 9],
    ],
    true,
  );
  const lines = one.groups();
  assert.equal(lines.filter((line) => line === 'dm-b StopDispatcher').length, 2);
  assert.deepEqual(
    [...one.state.table.rows()].map(({ span, node }) => [span, node]),
    [
      [low, 'a'],
      [high, 'b'],
    ],
  );
});

test('trouble is over when everything that was read is applied and all runs, though no checkpoint moves', () => {
  const one = Told.running();
  one.beat('a', 20);
  one.says('a', 's', 'stopped', 20, lost);
  one.tell({ kind: 'TickDue' });
  assert.equal(one.state.trouble, lost);
  one.nowMs += 1_000;
  one.tell({ kind: 'TickDue' });
  one.says('a', 's', 'working');
  one.tell({ kind: 'TickDue' });
  assert.equal(one.state.trouble, null);
});
