/** The maintainer as a table: what it is told, and what it does about it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failure } from '#src/base/failure.ts';
import { lagMs } from '#src/protocol/changefeed.ts';
import { noTotals, type ManagerTotals, type SpanReport } from '#src/protocol/maintainer.ts';
import { refOf, told } from './cell-env.ts';
import { Told, at, base, ddl, facts, lost } from './maintainer/told.ts';

test('it raises before it asks anybody, and stores the start before history flows', () => {
  const one = new Told();
  assert.deepEqual(told(one.effects), ['timer tick 50', 'port Open']);
  const opened = { kind: 'Opened', version: '1', serverId: 'd', laneCount: 1 } as const;
  assert.deepEqual(one.sink('open', opened), ['port RaiseFeed']);
  assert.deepEqual(one.sink('raise', { kind: 'FeedRaised', checkpoint: null, parts: [] }), [
    'orchestrator BootstrapFeed',
  ]);
  assert.deepEqual(one.bootstrap('a'), ['dm-a AdoptManager']);
  assert.deepEqual(one.adopt('a'), ['dm-a CheckSource']);
  assert.deepEqual(one.tell({ kind: 'SourceChecked', facts }), ['port ReadGroups']);
  assert.deepEqual(one.groups(), ['port SaveCheckpoint', 'dm-a StartSource']);
});

test('a server is not copied to itself, whether its log is still to be read or a manager reads it already', () => {
  for (const isStreaming of [false, true]) {
    const one = new Told();
    const { serverId } = facts;
    one.sink('open', { kind: 'Opened', version: '1', serverId, laneCount: 1 });
    one.sink('raise', { kind: 'FeedRaised', checkpoint: null, parts: [] });
    one.bootstrap('a');
    one.adopt('a', [], isStreaming);
    if (!isStreaming) one.tell({ kind: 'SourceChecked', facts });
    one.close('a');
    assert.deepEqual(one.lastWord, ['failed', undefined, 'SINK_IS_UPSTREAM']);
  }
});

test('spec/01 §1.9: it goes on when every node has answered, and asks the silent ones again', () => {
  const one = new Told({ nodes: ['a', 'b'] });
  one.sink('open', { kind: 'Opened', version: '1', serverId: 'd', laneCount: 1 });
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
  one.sink('open', { kind: 'Opened', version: '1', serverId: 'd', laneCount: 1 });
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
  one.sink('open', { kind: 'Opened', version: '1', serverId: 'd', laneCount: 1 });
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
  one.sink('open', { kind: 'Opened', version: '1', serverId: 'd', laneCount: 1 });
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

test('a dispatcher of an earlier epoch that is fenced by this one is given a new token', () => {
  const one = Told.running();
  const fenced = failure('SINK_FENCED', 'a newer owner raised the token');
  const adopted = one.state.props.epoch * 2 ** 20 - 7;
  one.state.table.adopt('s', 'a', adopted, 10);
  one.says('a', 's', 'stopped', 10, fenced);
  assert.equal(one.state.phase.at, 'running');
  one.nowMs = 6_000;
  one.tick();
  assert.ok(one.state.table.get('s')!.token > one.state.props.epoch * 2 ** 20);
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
  one.sink('open', { kind: 'Opened', version: '1', serverId: 'd', laneCount: 1 });
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
  one.sink('open', { kind: 'Opened', version: '1', serverId: 'd', laneCount: 1 });
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

test('P7: a checkpoint that stands says what it waits for, and its lag grows', () => {
  const one = Told.running({ nodes: ['a', 'b'] });
  const totals = (sourceMs: number): ManagerTotals => ({ ...noTotals, sourceMs });
  const onB = one.state.table.on('b')[0]!.span;
  const read = (ts: number, sourceMs: number): void => {
    one.beat('a', ts, { totals: totals(sourceMs) });
    one.beat('b', Math.min(ts, 20), { resolvedTs: ts, hindmost: ts > 20 ? onB : '' });
  };
  read(20, 1_000);
  const status = (): readonly unknown[] => {
    one.tick();
    const { stage, checkpoint, ...rest } = one.report!.status;
    return [stage, checkpoint?.ts, lagMs({ ...rest, stage, checkpoint })];
  };
  assert.deepEqual(status(), ['running', 20, 0]);
  one.nowMs = 9_999;
  read(30, 2_000);
  assert.deepEqual(status(), ['running', 20, 1_000]);
  one.nowMs = 10_000;
  read(90, 31_000);
  assert.deepEqual(status(), [`waiting for ${onB} on b`, 20, 30_000]);
  assert.deepEqual(one.effects.filter(({ kind }) => kind === 'Log').length, 1);
  one.beat('b', 90);
  assert.deepEqual(status(), ['running', 90, 0]);
  one.nowMs = 19_800;
  read(120, 40_000);
  one.says('b', onB, 'stopped', 90, lost);
  one.says('a', one.state.table.on('a')[0]!.span, 'working', 120);
  one.nowMs = 20_000;
  assert.equal(status()[0], `waiting for ${onB} to begin on b`);
});

test('before its checkpoint moves the lag counts from what was read first', () => {
  const one = Told.running();
  one.beat('a', 10, { resolvedTs: 20, totals: { ...noTotals, sourceMs: 5_000 } });
  one.beat('a', 10, { resolvedTs: 30, totals: { ...noTotals, sourceMs: 8_000 } });
  one.tick();
  // The helper has read something at 1.
  assert.equal(lagMs(one.report!.status), 7_999);
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
