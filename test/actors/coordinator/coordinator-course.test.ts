/** The course of changefeeds under a coordinator: stops, failures, nodes that go and come, drains, asks (spec/01, spec/02, spec/09). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failure } from '#src/base/failure.ts';
import {
  configOf,
  lastWord,
  positionAt,
  recordOf,
  reportOf,
  ToldCoordinator,
  trouble,
  uncertain,
} from './told-coordinator.ts';

/** Two nodes; changefeed `f` runs on `b` under epoch 3, the coordinator on `a`. */
function withFeed(more: Parameters<typeof recordOf>[1] = {}): ToldCoordinator {
  const record = recordOf('f', { epoch: 3, isNew: false, isOpen: true, ...more });
  const one = new ToldCoordinator(['a', 'b'], [record]);
  one.boots('a');
  one.boots('b', [reportOf('f', 3)]);
  one.sends();
  return one;
}

/** Every write is lost, from the oldest waiting on, until it is given up. */
function giveUp(one: ToldCoordinator): void {
  for (let i = 0; i < 10; i++) {
    one.answerOne(uncertain);
    one.passes(25, []);
  }
}

// ── operators with node loss (spec/01 §1.7, spec/02 §2b) ────────────────────────────────────────────────────────────

test('spec/02 2b Add, target lost before it is up: absent, then placed elsewhere under another epoch', () => {
  const one = ToldCoordinator.running(['a', 'b']);
  one.creates('f');
  assert.deepEqual(one.sends().at(-1), 'a Add f 1');
  one.sees(['b']);
  assert.equal(one.sends().at(-1), 'b Add f 2');
});

test('spec/02 2b Add, target lost while its epoch is stored: no Add, placed elsewhere', () => {
  const one = ToldCoordinator.running(['a', 'b']);
  one.sends();
  one.isHeld = true;
  one.creates('f');
  one.answerOne();
  one.sees(['b']);
  one.releases();
  one.passes(100);
  assert.deepEqual(one.sends(), ['b Add f 2']);
});

test('spec/02 2b Move, origin lost: the target is added', () => {
  const one = withFeed();
  one.ask({ kind: 'MoveChangefeed', id: 'f', node: 'a' });
  one.sends();
  one.sees(['a']);
  assert.deepEqual(one.sends(), ['a Add f 4']);
});

test('spec/02 2b Move, target lost before the origin has stopped: back to the origin, under the new epoch', () => {
  const one = new ToldCoordinator(['a', 'b', 'c'], [recordOf('f', { epoch: 3, isNew: false })]);
  for (const node of ['a', 'c']) one.boots(node);
  one.boots('b', [reportOf('f', 3)]);
  one.ask({ kind: 'MoveChangefeed', id: 'f', node: 'c' });
  one.sees(['a', 'b']);
  one.sends();
  one.reports('b', [lastWord('f', 3, { state: 'stopped' }, false)]);
  assert.deepEqual(one.sends(), ['b Add f 4']);
  one.reports('b', [reportOf('f', 4)]);
  assert.equal(one.view('f').maintainer, 'b');
});

test('spec/02 2b Move, target lost after its Add was sent: absent, and never back under that epoch', () => {
  const one = new ToldCoordinator(['a', 'b', 'c'], [recordOf('f', { epoch: 3, isNew: false })]);
  for (const node of ['a', 'c']) one.boots(node);
  one.boots('b', [reportOf('f', 3)]);
  one.ask({ kind: 'MoveChangefeed', id: 'f', node: 'c' });
  one.reports('b', [lastWord('f', 3, { state: 'stopped' }, false)]);
  assert.equal(one.sends().at(-1), 'c Add f 4');
  one.sees(['a', 'b']);
  const [add, ...more] = one.sends();
  assert.match(add!, / Add f 5$/);
  assert.deepEqual(more, []);
});

test('spec/02 2b Move DoneSuccess: target lost is absent, and placed under another epoch', () => {
  const one = withFeed();
  one.ask({ kind: 'MoveChangefeed', id: 'f', node: 'a' });
  one.reports('b', [lastWord('f', 3, { state: 'stopped' }, false)]);
  one.reports('a', [reportOf('f', 4)]);
  assert.equal(one.view('f').maintainer, 'a');
  one.sends();
  one.sees(['b']);
  assert.deepEqual(one.sends(), ['b Add f 5']);
});

test('spec/02 2b Stop: after a warning nothing runs, and what is left is closed under an epoch of its own', () => {
  const one = withFeed();
  one.reports('b', [lastWord('f', 3, { state: 'failed', failure: trouble }, false)]);
  assert.equal(one.record('f')?.epoch, 4);
  one.ask({ kind: 'PauseChangefeed', id: 'f' });
  one.passes(100);
  assert.deepEqual(one.sends(), ['a Remove f 5 cascade']);
  // The one of the warning has ended: its word ends nothing.
  one.reports('b', [lastWord('f', 3)]);
  one.passes(500);
  assert.deepEqual(one.sends(), ['a Remove f 5 cascade']);
});

test('spec/02 2b Stop, node lost: it goes on at the coordinator’s node, under an epoch of its own (spec/09 9.2.7)', () => {
  const one = withFeed();
  one.ask({ kind: 'PauseChangefeed', id: 'f' });
  assert.deepEqual(one.sends(), ['b Remove f 3 cascade']);
  one.sees(['a']);
  one.passes(100);
  assert.deepEqual(one.sends(), ['a Remove f 4 cascade']);
  assert.equal(one.record('f')?.epoch, 4);
  one.reports('a', [reportOf('f', 4, { isBootstrapped: false })]);
  one.reports('a', [lastWord('f', 4)]);
  assert.equal(one.record('f')?.isOpen, false);
  assert.equal(one.view('f').status.state, 'stopped');
});

test('spec/09 9.3 #17: a maintainer that dies within a stop leaves managers, which are closed', () => {
  const one = withFeed();
  one.ask({ kind: 'PauseChangefeed', id: 'f' });
  one.sends();
  one.reports('b', [lastWord('f', 3, { state: 'failed', failure: trouble }, false)]);
  one.passes(100);
  assert.deepEqual(one.sends(), ['a Remove f 4 cascade']);
  // One that ends without having closed everything is followed by another, not more than once a second.
  one.reports('a', [lastWord('f', 4, { state: 'stopped' }, false)]);
  one.passes(800);
  assert.deepEqual(one.sends(), []);
  one.passes(300);
  assert.deepEqual(one.sends(), ['a Remove f 5 cascade']);
});

test('spec/09 9.3 #22, G6: a coordinator that was lost within a stop is followed by one that ends it', () => {
  for (const state of ['stopped', 'failed', 'finished'] as const) {
    const one = ToldCoordinator.running(['a'], [recordOf('f', { epoch: 3, state, isOpen: true })]);
    one.passes(100);
    assert.ok(one.sends().includes('a Remove f 4 cascade'), state);
    one.reports('a', [lastWord('f', 4)]);
    assert.deepEqual([one.record('f')?.isOpen, one.record('f')?.state], [false, state]);
  }
});

test('spec/09 9.3 #22: a removal that was begun by an earlier coordinator is ended', () => {
  const open = recordOf('f', { epoch: 3, state: 'removed', isOpen: true });
  const one = ToldCoordinator.running(['a'], [open, recordOf('g', { state: 'removed' })]);
  assert.equal(one.record('g'), null, 'of what never ran nothing is left to close');
  one.passes(100);
  assert.ok(one.sends().includes('a Remove f 4 cascade removed'));
  one.reports('a', [lastWord('f', 4)]);
  assert.equal(one.record('f'), null);
});

test('spec/02 2b Stop: a stale owner is ended beside what is placed, whose node may be lost meanwhile', () => {
  const one = new ToldCoordinator(['a', 'b', 'c'], [recordOf('f', { epoch: 3, isNew: false })]);
  one.boots('a');
  one.boots('b', [reportOf('f', 3)]);
  one.boots('c', [reportOf('f', 2)]);
  one.sees(['a', 'c']);
  one.sends();
  one.reports('c', [lastWord('f', 2)]);
  one.passes(100);
  const added = one.sends().filter((line) => line.includes('Add'));
  assert.equal(added.length, 1);
  assert.match(added[0]!, / Add f 4$/);
});

// ── failures (FEATURES 1.2, spec/03 §3c, I-6) ───────────────────────────────────────────────────────────────────────

test('FEATURES 1.2: what failed for good is closed on every node when its maintainer could not', () => {
  const purged = failure('SOURCE_BINLOG_PURGED', 'gone');
  for (const isClosed of [true, false]) {
    const one = withFeed();
    one.reports('b', [lastWord('f', 3, { state: 'failed', failure: purged }, isClosed)]);
    one.passes(200);
    assert.equal(one.record('f')?.state, 'failed');
    assert.deepEqual(one.sends(), isClosed ? [] : ['a Remove f 4 cascade']);
  }
});

test('FEATURES 1.2: a warning is placed again after its delay, and over when the checkpoint moves', () => {
  const one = withFeed();
  one.reports('b', [reportOf('f', 3, { status: { checkpoint: positionAt(5) } })]);
  one.reports('b', [lastWord('f', 3, { state: 'failed', failure: trouble })]);
  one.passes(9_500);
  assert.deepEqual(one.sends(), []);
  one.passes(1_000);
  const [add] = one.sends();
  assert.match(add!, / Add f 5$/);
  const node = add![0]!;
  one.reports(node, [reportOf('f', 5, { status: { checkpoint: positionAt(5), resolvedTs: 9 } })]);
  assert.equal(one.record('f')?.state, 'warning');
  one.reports(node, [reportOf('f', 5, { status: { checkpoint: positionAt(6), resolvedTs: 9 } })]);
  assert.deepEqual([one.record('f')?.state, one.record('f')?.failure], ['normal', null]);
});

test('spec/03 3c: a node that may not write says nothing of the changefeed', () => {
  const one = withFeed();
  const fenced = failure('SINK_FENCED', 'this node may not write any more', { scope: 'Node' });
  one.reports('b', [lastWord('f', 3, { state: 'failed', failure: fenced }, false)]);
  assert.equal(one.record('f')?.state, 'normal');
  one.passes(1_100);
  assert.match(one.sends()[0]!, / Add f 4$/);
});

test('I-6: a store that was restored is behind the downstream, whatever else it remembers', () => {
  const one = withFeed();
  one.passes(1_000);
  one.reports('b', [reportOf('f', 3, { status: { checkpoint: positionAt(5) } })]);
  assert.equal(one.savedTs('f'), 5);
  const next = new ToldCoordinator(['a'], [], one.store);
  next.boots('a');
  const [add] = next.sends().filter((line) => line.includes('Add'));
  const epoch = Number(add!.split(' ')[3]);
  const starting = { state: 'starting', checkpoint: null } as const;
  next.reports('a', [reportOf('f', epoch, { isBootstrapped: false, status: starting })]);
  const detail = { token: 41 * 2 ** 20 + 7, mine: epoch * 2 ** 20 };
  const fenced = failure('SINK_FENCED', 'a newer owner raised the token', { detail });
  next.reports('a', [lastWord('f', epoch, { ...starting, state: 'failed', failure: fenced })]);
  assert.equal(next.record('f')?.state, 'normal');
  assert.deepEqual(next.sends(), ['a Add f 42']);
});

test('I-6: an epoch that a node has seen closed is not enough either', () => {
  const one = ToldCoordinator.running(['a']);
  one.creates('f');
  const gathering = { state: 'starting', checkpoint: positionAt(5) } as const;
  one.reports('a', [reportOf('f', 1, { isBootstrapped: false, status: gathering })]);
  const closed = failure('SINK_FENCED', 'a newer owner has closed this changefeed', {
    detail: { token: 7 * 2 ** 20 },
  });
  one.sends();
  one.reports('a', [lastWord('f', 1, { ...gathering, state: 'failed', failure: closed })]);
  assert.deepEqual(one.sends(), ['a Add f 8']);
});

test('I-6: a store that is restored under a running coordinator takes no epoch back', () => {
  const one = withFeed();
  one.writeRecord(recordOf('f', { epoch: 1, isNew: false, isOpen: true }));
  one.boots('b', [], 2);
  one.passes(100);
  assert.equal(one.record('f')?.epoch, 4);
  assert.match(one.sends()[0]!, / Add f 4$/);
});

test('a younger owner that fences one which made progress ends the changefeed here', () => {
  const one = withFeed();
  one.reports('b', [reportOf('f', 3, { status: { checkpoint: positionAt(5) } })]);
  const fenced = failure('SINK_FENCED', 'x', { detail: { token: 9 * 2 ** 20 } });
  one.reports('b', [lastWord('f', 3, { state: 'failed', failure: fenced })]);
  assert.equal(one.record('f')?.state, 'failed');
});

// ── writes of unknown outcome (COORDINATION_UNCERTAIN) ──────────────────────────────────────────────────────────────

test('an epoch that cannot be stored is the store’s trouble: no warning, tried again', () => {
  const one = ToldCoordinator.running(['a']);
  one.creates('f');
  one.reports('a', [lastWord('f', 1, { state: 'stopped' }, false)]);
  one.sends();
  const two = ToldCoordinator.running(['a'], [recordOf('g')], one.store);
  two.sends();
  two.isHeld = true;
  two.reports('a', [lastWord('g', two.record('g')!.epoch, { state: 'stopped' }, false)]);
  two.passes(100);
  giveUp(two);
  two.releases();
  two.passes(1_200);
  assert.equal(two.record('g')?.state, 'normal');
  assert.ok(two.sends().some((line) => line.includes('Add g')));
});

test('a creation that was given up is not made later; one that was stored after all is there', () => {
  for (const isDone of [false, true]) {
    const one = ToldCoordinator.running(['a']);
    one.isHeld = true;
    one.creates('f');
    one.answerOne(uncertain, isDone);
    for (let i = 0; i < 9; i++) {
      one.passes(25, []);
      one.answerOne(uncertain);
    }
    assert.equal(one.answerTo(1)?.ok, false);
    one.sends();
    one.releases();
    one.passes(1_000);
    assert.equal(one.record('f') !== null, isDone);
    assert.equal(one.sends().length > 0, isDone);
    const known = one.ask({ kind: 'QueryChangefeed', id: 'f' });
    assert.equal(known?.ok, isDone);
  }
});

test('a creation whose answer was lost is not "another": it is done', () => {
  const one = ToldCoordinator.running(['a']);
  one.isHeld = true;
  one.creates('f');
  one.answerOne(uncertain, true);
  one.passes(25, []);
  one.releases();
  assert.equal(one.answerTo(1)?.ok, true);
  // Asked again by the same words, as an elector does when the coordinator has changed.
  assert.equal(one.creates('f')?.ok, true);
  const other = one.ask({ kind: 'CreateChangefeed', config: configOf('f'), createdMs: 2 });
  assert.equal(other?.ok === false && other.failure.code, 'CHANGEFEED_EXISTS');
});

test('a deletion that was given up is made good', () => {
  const one = withFeed();
  one.ask({ kind: 'RemoveChangefeed', id: 'f' });
  one.isHeld = true;
  one.reports('b', [lastWord('f', 3)]);
  giveUp(one);
  assert.equal(one.record('f')?.state, 'removed');
  one.releases();
  // Whether everything is closed is not stored: it is closed once more.
  one.passes(200);
  one.reports('a', [lastWord('f', 4)]);
  assert.equal(one.record('f'), null);
});

test('a record that somebody has deleted is forgotten, and what runs for it is removed', () => {
  const one = withFeed();
  one.delete('/sluice/k/changefeed/f/info');
  const outcome = one.ask({ kind: 'PauseChangefeed', id: 'f' });
  assert.equal(outcome?.ok === false && outcome.failure.code, 'CHANGEFEED_UNKNOWN');
  one.sends();
  one.reports('b', [reportOf('f', 3)]);
  assert.deepEqual(one.sends(), ['b Remove f 3 cascade removed']);
});

test('who asks for a removal twice is answered twice, and the id is free afterwards', () => {
  const one = withFeed();
  one.isHeld = true;
  one.ask({ kind: 'RemoveChangefeed', id: 'f' });
  one.answerOne();
  one.reports('b', [lastWord('f', 3)]);
  one.ask({ kind: 'RemoveChangefeed', id: 'f' });
  one.ask({ kind: 'PauseChangefeed', id: 'f' });
  one.releases();
  assert.deepEqual(
    [1, 2, 3].map((requestId) => one.answerTo(requestId)?.ok),
    [true, true, false],
  );
  assert.equal(one.record('f'), null);
  one.sends();
  assert.equal(one.creates('f')?.ok, true);
  assert.match(one.sends()[0]!, / Add f 4$/);
});

// ── nodes (spec/01 §1.8, §1.9) ──────────────────────────────────────────────────────────────────────────────────────

test('bootstrap: an answer that arrives twice does not drop what was given out between', () => {
  const one = ToldCoordinator.running(['a']);
  one.creates('f');
  assert.equal(one.sends().at(-1), 'a Add f 1');
  one.boots('a');
  one.passes(500);
  assert.deepEqual(one.sends(), ['a Add f 1']);
});

test('bootstrap: a manager that was started anew has lost what was placed there', () => {
  const one = withFeed();
  one.boots('b', [], 2);
  const [add] = one.sends();
  assert.match(add!, / Add f 4$/);
  // A late word of its former life changes nothing.
  one.reports('b', [reportOf('f', 3)], { incarnation: 1 });
  assert.deepEqual(one.sends(), []);
});

test('bootstrap: a stop of what a manager started anew has lost goes on under another epoch (F2)', () => {
  const one = withFeed();
  one.passes(3_200, ['a']);
  one.sends();
  one.ask({ kind: 'PauseChangefeed', id: 'f' });
  one.passes(400, ['a']);
  assert.ok(!one.sends().some((line) => line.includes('Remove')), 'it is asked first');
  one.boots('b', [], 2);
  one.passes(100);
  assert.deepEqual(one.sends(), ['a Remove f 4 cascade']);
});

test('bootstrap: a manager started anew that nobody has asked yet is asked', () => {
  const one = withFeed();
  one.reports('b', [], { incarnation: 2 });
  one.passes(100, []);
  assert.deepEqual(one.sends(), ['b BootstrapManager']);
});

test('bootstrap: an answer of a node that has left is nobody’s', () => {
  const one = new ToldCoordinator(['a', 'b'], [recordOf('f', { epoch: 3 })]);
  one.boots('a');
  one.sees(['a']);
  one.boots('b', [reportOf('f', 3)]);
  assert.equal(one.view('f').maintainer, 'a');
});

test('bootstrap: a silent manager is asked again, a node that joins at once', () => {
  const one = withFeed();
  one.passes(3_200, ['a']);
  assert.deepEqual(one.sends(), ['b BootstrapManager']);
  one.sees(['a', 'b', 'c']);
  assert.deepEqual(one.sends(), ['c BootstrapManager']);
});

test('basic: changefeeds that are created together are spread over the nodes', () => {
  const one = ToldCoordinator.running(['a', 'b']);
  one.sends();
  one.isHeld = true;
  for (const id of ['f', 'g', 'h', 'i']) one.creates(id);
  one.releases();
  const nodes = one.sends().map((line) => line[0]);
  assert.deepEqual(nodes.sort(), ['a', 'a', 'b', 'b']);
});

test('basic: a node that is silent for 30 s gets nothing', () => {
  const one = ToldCoordinator.running(['a', 'b']);
  one.passes(31_000, ['a']);
  one.creates('f');
  one.creates('g');
  const adds = one.sends().filter((line) => line.includes('Add'));
  assert.deepEqual(adds, ['a Add f 1', 'a Add g 1']);
});

test('drain: the next coordinator goes on with it, and it ends when the node has left', () => {
  const one = new ToldCoordinator(
    ['a', 'b'],
    ['f', 'g'].map((id) => recordOf(id, { epoch: 3 })),
  );
  const drain = { number: 4, node: 'b' };
  one.reports('a', [reportOf('f', 3), reportOf('g', 3)], { isBootstrap: true, drain });
  one.reports('b', [], { isBootstrap: true, drain });
  one.passes(20_000);
  assert.ok(!one.sends().some((line) => line.includes('Remove')), 'nothing is evened out to b');
  one.sees(['a']);
  assert.ok(one.sends().includes('a Drain 5 -'));
  one.sees(['a', 'c']);
  one.reports('c', [], { isBootstrap: true, drain: { number: 5, node: null } });
  one.reports('a', [], { drain: { number: 5, node: null } });
  one.passes(119_000);
  assert.ok(!one.sends().some((line) => line.includes('Remove')), 'not within the cool-down');
  one.passes(20_000);
  assert.ok(one.sends().some((line) => line.includes('Remove')));
});

// ── asks ────────────────────────────────────────────────────────────────────────────────────────────────────────────

test('asks that come before everything is known are answered then, each once, whoever’s number they carry', () => {
  const one = new ToldCoordinator(['a']);
  const list = { kind: 'ListChangefeeds' } as const;
  for (let i = 0; i < 2; i++) {
    one.ask(list, { requestId: 1 });
    one.ask(list, { requestId: 1, node: 'b' });
  }
  assert.equal(one.answers.size, 0);
  one.boots('a');
  assert.equal(one.answerTo(1)?.ok, true);
  assert.equal(one.answerTo(1, 'b')?.ok, true);
});

test('questions about tables carry numbers that no other term has used', () => {
  const numbers = [1, 2].map(() => {
    const one = withFeed();
    one.passes(1_000);
    const next = new ToldCoordinator(['a', 'b'], [], one.store);
    next.boots('a');
    next.boots('b', [reportOf('f', 3)]);
    return [one, next].map((coordinator) => {
      coordinator.ask({ kind: 'ListTables', id: 'f' });
      return [...coordinator.state.tableAsks.keys()][0];
    });
  });
  for (const [first, second] of numbers) assert.notEqual(first, second);
});

test('"never bootstrapped" is stored until the maintainer under the current epoch has heard every node (spec/08)', () => {
  const one = ToldCoordinator.running(['a', 'b']);
  one.creates('f');
  one.reports('a', [reportOf('f', 1, { isBootstrapped: false })]);
  assert.equal(one.record('f')?.isNew, true);
  one.reports('b', [reportOf('f', 0)]);
  assert.equal(one.record('f')?.isNew, true);
  one.reports('a', [reportOf('f', 1)]);
  assert.equal(one.record('f')?.isNew, false);
});

test('the last checkpoint of a changefeed that stops is stored at once, and what came too soon after another a little later', () => {
  const one = ToldCoordinator.running(['a'], [recordOf('f', { epoch: 3 })]);
  one.boots('a', [reportOf('f', 3)]);
  one.passes(2_000);
  one.reports('a', [
    reportOf('f', one.record('f')!.epoch, { status: { checkpoint: positionAt(5) } }),
  ]);
  const { epoch } = one.record('f')!;
  assert.equal(one.savedTs('f'), 5);
  one.reports('a', [reportOf('f', epoch, { status: { checkpoint: positionAt(6) } })]);
  assert.equal(one.savedTs('f'), 5);
  one.passes(1_200);
  assert.equal(one.savedTs('f'), 6);
  one.ask({ kind: 'PauseChangefeed', id: 'f' });
  const status = { state: 'stopped', checkpoint: positionAt(7) } as const;
  one.reports('a', [reportOf('f', epoch, { isWorking: false, status })]);
  assert.equal(one.savedTs('f'), 7);
});
