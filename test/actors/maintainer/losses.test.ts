/** A maintainer that loses dispatchers, managers and nodes, and what it makes of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failure } from '#src/base/failure.ts';
import type { SpanReport } from '#src/protocol/maintainer.ts';
import { Told, lost } from './told.ts';

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

test('a node on which no manager lives is asked for one later each time, and says so', () => {
  const one = Told.running({ nodes: ['a', 'b'] });
  const asksOf = (ms: number): number => {
    let count = 0;
    for (const end = one.nowMs + ms; one.nowMs < end;) {
      one.nowMs += 50;
      // What lives is heard of, so that nobody else is asked.
      one.beat('a', 10);
      count += one.tick().filter((line) => line === 'orchestrator BootstrapFeed').length;
    }
    return count;
  };
  one.nowMs = 20_000;
  const lose = (): void => {
    one.orchestrator('b', { kind: 'FeedBootstrapped', is: 'retry', manager: null });
  };
  lose();
  assert.equal(asksOf(50), 1);
  const waits = [
    [2, 200],
    [3, 400],
    [4, 800],
    [5, 1_600],
  ] as const;
  for (const [incarnation, afterMs] of waits) {
    one.bootstrap('b', incarnation);
    lose();
    const lines = one.effects.filter(({ kind }) => kind === 'Log').length;
    assert.equal(lines, incarnation % 2 === 0 ? 1 : 0);
    assert.equal(asksOf(afterMs - 50), 0);
    assert.equal(asksOf(50), 1);
  }
  one.bootstrap('b', 6);
  one.nowMs += 15_000;
  lose();
  assert.equal(asksOf(50), 1);
});

test('spec/06 self-healing: what nobody knows of is told to stop', () => {
  const one = Told.running();
  const spans: SpanReport[] = [
    { span: 'x', token: 1, is: 'working', checkpointTs: 20, failure: null },
  ];
  assert.deepEqual(one.beat('a', 10, { spans }), ['dm-a StopDispatcher', 'dm-a HeartbeatTaken']);
});
