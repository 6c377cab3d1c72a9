/** Nodes that keep their session but do not answer: how long a maintainer waits for them, and what it makes of them later. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failure } from '#src/base/failure.ts';
import { Told, at, base, ddl, facts, lost } from './told.ts';

const checkpoint = { version: 1, position: at(10), timeline: [] } as const;
const rowsOf = (one: Told): unknown[] =>
  [...one.state.table.rows()].map(({ span, node, state }) => [span, node, state]);

/** On node `a`, whose manager serves `s`; `b` is in view, and silent. */
function waiting(): Told {
  const one = new Told({ nodes: ['a', 'b'] });
  one.sink('open', { kind: 'Opened', version: '1', serverId: 'd', laneCount: 1 });
  one.sink('raise', { kind: 'FeedRaised', checkpoint, parts: [] });
  one.bootstrap('a');
  one.fromManager('a', {
    kind: 'ManagerAdopted',
    served: [{ span: 's', token: base - 5, checkpointTs: 10 }],
    idle: ['t'],
    source: facts,
  });
  return one;
}

/** Time passes; `a` is heard all the while. */
function tickAt(one: Told, nowMs: number): string[] {
  one.nowMs = nowMs;
  one.beat('a', 10);
  return one.tick();
}

/** Ten seconds later it goes on without `b`, which serves `t`. */
function without(): Told {
  const one = waiting();
  tickAt(one, 10_000);
  one.groups();
  return one;
}

test('P7: a node that does not answer is waited for ten seconds, and named', () => {
  const one = waiting();
  assert.deepEqual(tickAt(one, 9_950), ['orchestrator BootstrapFeed']);
  assert.equal(one.state.phase.at, 'gathering');
  assert.equal(one.stage, 'waiting for b');
  assert.deepEqual(tickAt(one, 10_000), ['port ReadGroups']);
  assert.equal(one.state.phase.at, 'grouping');
});

test('its own node is waited for, however long: without its stream nothing can be told', () => {
  const one = new Told({ nodes: ['a', 'b'] });
  one.sink('open', { kind: 'Opened', version: '1', serverId: 'd', laneCount: 1 });
  one.sink('raise', { kind: 'FeedRaised', checkpoint, parts: [] });
  one.bootstrap('b');
  one.adopt('b');
  one.nowMs = 20_000;
  one.tick();
  assert.equal(one.state.phase.at, 'gathering');
  one.bootstrap('a');
  assert.deepEqual(one.adopt('a'), ['dm-a CheckSource']);
});

test('P2: what a silent node may serve is placed elsewhere, and holds the checkpoint till it works there', () => {
  const one = without();
  assert.deepEqual(rowsOf(one), [
    ['s', 'a', 'replicating'],
    ['t', 'a', 'scheduling'],
  ]);
  assert.deepEqual(one.tokens, [1]);
  one.beat('a', 30);
  assert.equal(one.checkpoint, 10);
  one.says('a', 't', 'working', 30);
  one.beat('a', 30);
  assert.equal(one.checkpoint, 30);
});

test('a silent node is asked on; when it answers, what is served elsewhere under a higher token ends there', () => {
  const one = without();
  one.says('a', 't', 'working', 10);
  assert.deepEqual(tickAt(one, 10_600), ['orchestrator BootstrapFeed']);
  assert.deepEqual(one.bootstrap('b'), ['dm-b AdoptManager']);
  const lines = one.adopt('b', [['t', base - 4]], true);
  assert.deepEqual(lines, ['dm-b StopDispatcher']);
  assert.equal(one.state.table.get('t')!.node, 'a');
});

test('a silent node that answers between, before anything is placed, keeps what it serves', () => {
  const one = waiting();
  tickAt(one, 10_000);
  one.bootstrap('b');
  one.adopt('b', [['t', base - 4]], true);
  one.groups();
  assert.deepEqual(rowsOf(one), [
    ['s', 'a', 'replicating'],
    ['t', 'b', 'replicating'],
  ]);
  assert.deepEqual(one.tokens, []);
});

test('a DDL does not wait for a silent node, whose stream is led past it when it answers', () => {
  const one = without();
  one.says('a', 't', 'working', 10);
  const held = { ddl, resolved: at(30) };
  one.beat('a', 30, { ddl: held });
  one.saved();
  one.sink('ddl', { kind: 'DdlDone', ran: true });
  assert.deepEqual(one.groups(), ['dm-a ResumeStream']);
  one.bootstrap('b');
  one.adopt('b', [['t', base - 4]], true);
  assert.ok(one.beat('b', 20, { ddl: held }).includes('dm-b ResumeStream'));
});

test('P7: a node that has served and falls silent is named while the feed runs, and no more when it speaks', () => {
  const one = Told.running({ nodes: ['a', 'b'] });
  assert.equal(one.stage, 'running');
  one.nowMs = 3_000;
  one.beat('a', 10);
  one.tick();
  assert.equal(one.stage, 'running, waiting for b');
  one.bootstrap('b');
  one.adopt('b', [], true);
  assert.equal(one.stage, 'running');
});

/** Spans `s` on `a` and `t` on `b`, which falls silent for ten seconds. */
function fallenSilent(): Told {
  const one = Told.running({ nodes: ['a', 'b'] });
  one.beat('b', 10);
  assert.deepEqual(one.nodesOf('s', 't'), ['a', 'b']);
  tickAt(one, 9_950);
  assert.deepEqual(one.nodesOf('s', 't'), ['a', 'b']);
  tickAt(one, 10_000);
  return one;
}

test('P7: a node that has served and is silent for ten seconds holds neither checkpoint nor DDL: its spans go elsewhere', () => {
  const one = fallenSilent();
  assert.deepEqual(one.nodesOf('s', 't'), ['a', 'a']);
  one.beat('a', 20);
  assert.equal(one.checkpoint, 10);
  one.says('a', 't', 'working', 20);
  one.beat('a', 30, { ddl: { ddl, resolved: at(30) } });
  assert.equal(one.checkpoint, 30);
  assert.deepEqual(one.state.phase, { at: 'barrier', step: 'saving', ddl, resolved: at(30) });
});

test('when it is heard again what it served ends there, and it is a node like others', () => {
  const one = fallenSilent();
  const { token } = one.state.table.get('t')!;
  one.says('a', 't', 'working', 10);
  tickAt(one, 10_600);
  assert.deepEqual(one.bootstrap('b'), ['dm-b AdoptManager']);
  assert.deepEqual(one.adopt('b', [['t', token - 1]], true), ['dm-b StopDispatcher']);
  one.beat('a', 20, { seen: ['u'] });
  assert.deepEqual(one.nodesOf('t', 'u'), ['a', 'b']);
});

test('what it served is not taken back under a lower token, though nobody else has it any more', () => {
  const one = fallenSilent();
  const { token } = one.state.table.get('t')!;
  one.says('a', 't', 'working', 10);
  one.says('a', 't', 'stopped', 12, lost);
  assert.equal(one.state.table.get('t')!.state, 'absent');
  one.bootstrap('b');
  assert.deepEqual(one.adopt('b', [['t', token - 1]], true), ['dm-b StopDispatcher']);
  assert.equal(one.state.table.get('t')!.state, 'absent');
});

test('who has not heard its own node has stood still, and passes nobody over', () => {
  const one = Told.running({ nodes: ['a', 'b'] });
  one.nowMs = 60_000;
  one.tick();
  assert.deepEqual(one.nodesOf('s', 't'), ['a', 'b']);
});

test('a stream that was left behind, and whose place in the log is gone, begins anew at the checkpoint: the feed goes on', () => {
  const purged = failure('SOURCE_BINLOG_PURGED', '10 is gone');
  const one = Told.running({ nodes: ['a', 'b'] });
  one.beat('b', 10);
  // What it served is on `a` by now.
  for (const { span, token } of one.state.table.rows()) one.state.table.adopt(span, 'a', token, 10);
  one.beat('a', 30);
  assert.equal(one.checkpoint, 30);
  assert.deepEqual(one.beat('b', 10, { failure: purged }), ['dm-b CloseManager']);
  assert.equal(one.state.phase.at, 'running');
  one.orchestrator('b', { kind: 'FeedBootstrapped', is: 'retry', manager: null });
  one.bootstrap('b', 2);
  one.fromManager('b', { kind: 'ManagerAdopted', served: [], idle: [], source: null }, 2);
  const starts = one.effects.flatMap((effect) =>
    effect.kind === 'Send' && effect.message.kind === 'StartSource' ? [effect.message] : [],
  );
  assert.deepEqual(starts, [
    { kind: 'StartSource', position: at(30), facts, routing: one.state.routing, until: null },
  ]);
  // At the checkpoint itself nothing can be made good.
  one.beat('a', 30, { failure: purged });
  assert.equal(one.state.phase.at, 'closing');
});

test('P7: whoever keeps a stop waiting is named', () => {
  const one = Told.running({ nodes: ['a', 'b'] });
  one.tell({ kind: 'RemoveThis', cascade: true, removed: false });
  one.tell({ kind: 'StopDue' });
  one.close('a');
  assert.equal(one.stage, 'closing, waiting for b');
});
