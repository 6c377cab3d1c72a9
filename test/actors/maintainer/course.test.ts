/** A maintainer at work: checkpoint, tokens, moves, DDL barriers, drains, and what it says of itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failure } from '#src/base/failure.ts';
import { lagMs } from '#src/protocol/changefeed.ts';
import { noTotals, type ManagerTotals } from '#src/protocol/maintainer.ts';
import { told } from '../cell-env.ts';
import { Told, at, ddl, facts, lost } from './told.ts';

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
  one.raises();
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

test('no progress for too long fails it, with what kept it from going on', () => {
  const one = Told.running();
  one.beat('a', 10, { resolvedTs: 20 });
  one.says('a', 's', 'stopped', 10, lost);
  one.nowMs = 60_001;
  one.tick();
  one.close('a');
  one.retired();
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
    return [stage, checkpoint?.ts, lagMs({ ...rest, stage, checkpoint }, 0)];
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
  assert.equal(lagMs(one.report!.status, 0), 7_999);
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

test('a drain target is emptied and given nothing', () => {
  const one = Told.running({ nodes: ['a', 'b'] });
  one.tell({ kind: 'DrainChanged', drain: { number: 1, node: 'b' } });
  assert.ok(one.tick().includes('dm-b StopDispatcher'));
  one.beat('a', 10, { seen: ['u'] });
  assert.equal(one.state.table.get('u')!.node, 'a');
});

test('a drain target that is the only node left serves everything: nothing stands still for a drain', () => {
  const one = Told.running({ nodes: ['a', 'b'] });
  one.tell({ kind: 'DrainChanged', drain: { number: 1, node: 'a' } });
  one.tick();
  one.tell({
    kind: 'NodesChanged',
    self: 'a',
    nodes: ['a'],
    lease: null,
    members: [],
    isComplete: true,
  });
  one.beat('a', 10, { seen: ['u'] });
  assert.deepEqual(
    [...one.state.table.rows()].map(({ span, node }) => [span, node]),
    ['s', 't', 'u'].map((span) => [span, 'a']),
  );
});

test('while a DDL runs the lag counts from its time: nothing after it is read', () => {
  const one = Told.running();
  const at40 = { ddl: { ...ddl, commitMs: 7_000 }, resolved: at(39) };
  one.beat('a', 39, { ddl: at40 });
  one.tick();
  const held = one.report!.status;
  assert.equal(lagMs(held, 3_607_000), 3_600_000);
  // Clocks differ: what is committed is never ahead of now.
  assert.equal(lagMs(held, 6_900), 0);
  one.saved();
  one.sink('ddl', { kind: 'DdlDone', ran: true });
  one.groups();
  one.beat('a', 40);
  one.tick();
  assert.equal(lagMs(one.report!.status, 3_607_000), 0);
});
