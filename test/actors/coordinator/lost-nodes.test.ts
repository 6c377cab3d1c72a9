/** Adds, moves and stops of changefeeds whose nodes are lost on the way (spec/01 §1.7, spec/02 §2b). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lastWord, recordOf, reportOf, trouble } from './coordinator-words.ts';
import { ToldCoordinator } from './told-coordinator.ts';

/** Changefeed `f` runs on `b`, the coordinator on `a`. */
const withFeed = (): ToldCoordinator => ToldCoordinator.withFeed('b', { isOpen: true });

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

test('I-12: one that was closed already is closed once more when it is removed, by the next coordinator too', () => {
  const one = new ToldCoordinator(
    ['a', 'b'],
    [recordOf('f', { epoch: 3, isNew: false, state: 'stopped' })],
  );
  for (const node of ['a', 'b']) one.boots(node);
  one.ask({ kind: 'RemoveChangefeed', id: 'f' });
  const next = new ToldCoordinator(['a', 'b'], [], one.store);
  for (const node of ['a', 'b']) next.boots(node);
  assert.equal(next.record('f')?.state, 'removed');
  assert.equal(next.sends().at(-1), 'a Remove f 5 cascade removed');
  next.reports('a', [lastWord('f', 5)]);
  assert.equal(next.record('f'), null);
});

test('F6: removed while the stop before it still waits for an epoch: that one is waited for, none is ended under epoch 0', () => {
  const one = new ToldCoordinator(
    ['a', 'b'],
    [recordOf('f', { epoch: 3, isNew: false, isOpen: true })],
  );
  one.ask({ kind: 'PauseChangefeed', id: 'f' });
  one.ask({ kind: 'RemoveChangefeed', id: 'f' });
  one.boots('a');
  one.isHeld = true;
  one.boots('b');
  one.sends();
  one.releases();
  one.passes(1_000);
  const removals = one.sends().filter((line) => line.includes('Remove'));
  assert.deepEqual([...new Set(removals)], ['a Remove f 4 cascade removed']);
});
