/** A coordinator and its nodes: bootstrap, who is given what, drains (spec/01 §1.8, §1.9). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordOf, reportOf } from './coordinator-words.ts';
import { ok } from '#src/base/failure.ts';
import { ToldCoordinator } from './told-coordinator.ts';

/** Changefeed `f` runs on `b`, the coordinator on `a`. */
const withFeed = (): ToldCoordinator => ToldCoordinator.withFeed('b', { isOpen: true });

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

test('drain: a target that is the only node left is given what has none, and only then', () => {
  const one = ToldCoordinator.running(['a', 'b']);
  one.ask({ kind: 'DrainCapture', node: 'a' });
  one.passes(6_000);
  one.sends();
  one.creates('f');
  assert.deepEqual(one.sends(), ['b Add f 1']);
  one.sees(['a']);
  one.passes(1_000);
  assert.ok(one.sends().includes('a Add f 2'));
});

test('drain: whoever asks for it, or for its end, is answered when every node that is heard knows', () => {
  const one = ToldCoordinator.running(['a', 'b', 'c', 'd', 'e']);
  one.passes(4_000, ['a', 'b', 'c']);
  assert.equal(one.ask({ kind: 'DrainCapture', node: 'd' }, { requestId: 1 }), null);
  one.reports('a', []);
  one.reports('b', []);
  assert.equal(one.ask({ kind: 'DrainCapture', node: null }, { requestId: 2 }), null);
  assert.equal(one.answerTo(1), null);
  one.reports('c', [], { drain: { number: 1, node: 'd' } });
  assert.deepEqual(one.answerTo(1), ok({ kind: 'Done' }));
  assert.equal(one.answerTo(2), null);
  one.passes(1_000, ['a', 'b', 'c']);
  assert.deepEqual(one.answerTo(2), ok({ kind: 'Done' }));
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
