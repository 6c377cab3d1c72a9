/** Nodes that keep their session but are not heard: how long a new coordinator waits for them, and what it makes of them later. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failure } from '#src/base/failure.ts';
import {
  lastWord,
  positionAt,
  recordOf,
  reportOf,
  trouble,
  type ToldRecord,
} from './coordinator-words.ts';
import { ToldCoordinator } from './told-coordinator.ts';

/** Nodes `a` (here) and `b`; `f` ran under epoch 3 somewhere, and only `a` is heard. */
function beginning(more: ToldRecord = {}): ToldCoordinator {
  const one = new ToldCoordinator(['a', 'b'], [recordOf('f', { epoch: 3, isNew: false, ...more })]);
  one.boots('a');
  one.sends();
  return one;
}

/** Ten seconds later it goes on without `b`. */
function without(more: ToldRecord = {}): ToldCoordinator {
  const one = beginning(more);
  one.passes(10_000, ['a']);
  return one;
}

/** What was said about maintainers since the last question. */
function maintained(one: ToldCoordinator): string[] {
  return one.sends().filter((line) => !/BootstrapManager|Drain/u.test(line));
}

test('P7: a node that is not heard is waited for ten seconds, then what it may run is placed elsewhere under another epoch', () => {
  const one = beginning();
  one.passes(9_900, ['a']);
  assert.equal(one.state.phase, 'gathering');
  assert.deepEqual(maintained(one), []);
  one.passes(100, ['a']);
  assert.equal(one.state.phase, 'running');
  assert.equal(one.record('f')?.epoch, 4);
  assert.deepEqual(maintained(one), ['a Add f 4']);
});

test('its own node is waited for, however long: who does not hear that knows nothing of others', () => {
  const one = new ToldCoordinator(['a', 'b'], [recordOf('f', { epoch: 3, isNew: false })]);
  one.passes(20_000, []);
  one.boots('b', [reportOf('f', 3)]);
  assert.equal(one.state.phase, 'gathering');
  one.boots('a');
  assert.equal(one.state.phase, 'running');
  assert.equal(one.view('f').maintainer, 'b');
});

test('F1: nothing is added before its epoch is stored, also for a node that was passed over', () => {
  const one = beginning();
  one.isHeld = true;
  one.passes(11_000, ['a']);
  assert.deepEqual(maintained(one), []);
  one.releases();
  assert.deepEqual(maintained(one), ['a Add f 4']);
});

test('nothing is placed on a node that was passed over, nor sent there but the question what it runs', () => {
  const one = without();
  for (let i = 0; i < 6; i++) one.creates(`n${i}`);
  one.passes(2_000, ['a']);
  const said = one.sends().filter((line) => line.startsWith('b '));
  assert.deepEqual([...new Set(said)], ['b BootstrapManager']);
});

test('asks that come meanwhile are told within three seconds whom it waits for, and those after them are answered', () => {
  const one = beginning();
  assert.equal(one.ask({ kind: 'ListChangefeeds' }, { requestId: 1 }), null);
  one.passes(2_900, ['a']);
  assert.equal(one.answerTo(1), null);
  assert.equal(one.ask({ kind: 'ListCaptures' }, { requestId: 2 }), null);
  one.passes(100, ['a']);
  const words = 'the new coordinator still waits for a word of b; it goes on without it in 7 s';
  const refused = one.answerTo(1);
  assert.ok(refused?.ok === false);
  assert.deepEqual(
    [refused.failure.code, refused.failure.message, refused.failure.retry],
    ['COORDINATOR_ABSENT', words, 'Again'],
  );
  // The asker's elector may have sent it once more meanwhile: a second answer would be nobody's.
  one.ask({ kind: 'ListChangefeeds' }, { requestId: 1 });
  assert.equal(one.answerTo(2), null);
  one.passes(3_000, ['a']);
  assert.equal(one.answerTo(2)?.ok, false);
  const last = one.ask({ kind: 'ListChangefeeds' }, { requestId: 3 });
  assert.equal(last, null);
  one.boots('b');
  assert.equal(one.answerTo(3)?.ok, true);
});

test('a coordinator that has not heard its own node leaves who asks to the patience of the elector', () => {
  const one = new ToldCoordinator(['a', 'b'], [recordOf('f', { epoch: 3, isNew: false })]);
  one.ask({ kind: 'ListChangefeeds' }, { requestId: 1 });
  one.passes(9_000, []);
  assert.equal(one.answerTo(1), null);
  one.boots('a');
  one.boots('b');
  assert.equal(one.answerTo(1)?.ok, true);
});

test('F11, F12: what it ran is stale when it is heard after its changefeed was placed elsewhere, and ends under its own epoch', () => {
  const one = without();
  one.reports('a', [reportOf('f', 4, { status: { checkpoint: positionAt(9) } })]);
  one.sends();
  one.boots('b', [reportOf('f', 3, { status: { checkpoint: positionAt(7) } })]);
  assert.deepEqual(maintained(one), ['b Remove f 3 cascade']);
  assert.equal(one.view('f').maintainer, 'a');
  assert.equal(one.view('f').status.checkpoint?.ts, 9);
  // It is told whenever it is heard of, until it is not.
  one.reports('b', [reportOf('f', 3)]);
  assert.deepEqual(maintained(one), ['b Remove f 3 cascade']);
  one.reports('b', [lastWord('f', 3)]);
  assert.deepEqual(maintained(one), []);
  assert.equal(one.view('f').maintainer, 'a');
});

test('F12: what it ran is stale while the epoch of the next is being stored', () => {
  const one = beginning();
  one.isHeld = true;
  one.passes(10_000, ['a']);
  one.boots('b', [reportOf('f', 3)]);
  assert.deepEqual(maintained(one), ['b Remove f 3 cascade']);
  one.releases();
  assert.deepEqual(maintained(one), ['a Add f 4']);
});

test('F12: what it runs under the stored epoch is kept while nobody else has got it', () => {
  const one = beginning();
  // No epoch can be stored just now.
  one.isHeld = true;
  one.passes(10_000, ['a']);
  while (one.calls.length > 0) {
    one.answerOne(trouble);
    if (one.state.writes.get('f')?.length !== 0) one.passes(100, ['a']);
  }
  one.boots('b', [reportOf('f', 3)]);
  one.isHeld = false;
  one.passes(3_000);
  assert.deepEqual(maintained(one), []);
  assert.equal(one.view('f').maintainer, 'b');
  assert.equal(one.record('f')?.epoch, 3);
});

test('9.2.7: what was stopped meanwhile is closed from here on every node, and what it still runs ends', () => {
  const one = without({ state: 'stopped', isOpen: true });
  assert.equal(one.record('f')?.epoch, 4);
  assert.deepEqual(maintained(one), ['a Remove f 4 cascade']);
  one.boots('b', [reportOf('f', 3)]);
  assert.deepEqual(maintained(one), ['b Remove f 3 cascade']);
  one.reports('a', [lastWord('f', 4)]);
  assert.equal(one.record('f')?.isOpen, false);
});

test('F11: what it runs of a changefeed that is gone is removed', () => {
  const one = without();
  one.boots('b', [reportOf('gone', 7)]);
  assert.deepEqual(maintained(one).at(-1), 'b Remove gone 7 cascade removed');
});

test('once it is heard it is a node like others, and evened out', () => {
  const one = without();
  one.reports('a', [reportOf('f', 4)]);
  one.boots('b');
  one.creates('g');
  assert.deepEqual(maintained(one).at(-1), 'b Add g 1');
});

test('a node that was passed over and leaves is nobody’s concern', () => {
  const one = without();
  one.reports('a', [reportOf('f', 4)]);
  one.sees(['a']);
  one.passes(2_000);
  assert.equal(one.view('f').maintainer, 'a');
  assert.equal(one.record('f')?.epoch, 4);
});

test('P7: a node that is silent for thirty seconds has lost what it ran, until it speaks', () => {
  const one = new ToldCoordinator(
    ['a', 'b'],
    [recordOf('f', { epoch: 3, isNew: false }), recordOf('g', { epoch: 7, isNew: false })],
  );
  one.boots('a', [reportOf('g', 7)]);
  one.boots('b', [reportOf('f', 3)]);
  one.passes(29_900, ['a']);
  assert.equal(one.view('f').maintainer, 'b');
  maintained(one);
  one.passes(200, ['a']);
  assert.deepEqual(maintained(one), ['a Add f 4']);
  assert.equal(one.record('f')?.epoch, 4);
  one.boots('b', [reportOf('f', 3)]);
  assert.deepEqual(maintained(one), ['b Remove f 3 cascade']);
  assert.equal(one.view('g').maintainer, 'a');
});

test('who hears fewer than half of the nodes ends its term, at the beginning and later, and places nothing', () => {
  const records = [recordOf('f', { epoch: 3, isNew: false })];
  const beginning = new ToldCoordinator(['a', 'b', 'c'], records);
  beginning.boots('a');
  beginning.passes(9_900, ['a']);
  assert.equal(beginning.exit, null);
  beginning.passes(100, ['a']);
  assert.deepEqual(beginning.exit, {
    kind: 'failure',
    failure: failure('COORDINATOR_UNHEARD', 'no word of b, c: another node may lead', {
      retry: 'Again',
      scope: 'Node',
    }),
  });
  assert.equal(beginning.record('f')?.epoch, 3);
  const later = ToldCoordinator.running(['a', 'b', 'c'], records);
  later.passes(1_000);
  const { epoch } = later.record('f')!;
  later.passes(5_000, ['a', 'b']);
  later.passes(29_000, ['a']);
  assert.equal(later.exit?.kind, 'failure');
  assert.equal(later.record('f')?.epoch, epoch);
});

test('who hears half of the nodes, has yielded lately, or has not heard its own node either, keeps its term', () => {
  const records = [recordOf('f', { epoch: 3, isNew: false })];
  const half = new ToldCoordinator(['a', 'b', 'c', 'd'], records);
  for (const node of ['a', 'b']) half.boots(node);
  half.passes(10_000, ['a', 'b']);
  const again = new ToldCoordinator(['a', 'b', 'c'], records, undefined, false);
  again.boots('a');
  again.passes(10_000, ['a']);
  for (const one of [half, again]) {
    assert.deepEqual([one.exit, one.state.phase], [null, 'running']);
    one.passes(60_000, ['a']);
    assert.equal(one.exit === null, one === again);
  }
  const still = ToldCoordinator.running(['a', 'b', 'c'], records);
  still.passes(60_000, []);
  assert.equal(still.exit, null);
});

test('P7: a stop of what a silent node runs goes on from here, under an epoch of its own (9.2.7)', () => {
  const one = new ToldCoordinator(['a', 'b'], [recordOf('f', { epoch: 3, isNew: false })]);
  one.boots('a');
  one.boots('b', [reportOf('f', 3)]);
  one.ask({ kind: 'PauseChangefeed', id: 'f' });
  one.passes(30_200, ['a']);
  const last = maintained(one).at(-1);
  assert.equal(last, 'a Remove f 4 cascade');
});

test('who has not heard its own node has stood still, and passes nobody over', () => {
  const one = new ToldCoordinator(['a', 'b'], [recordOf('f', { epoch: 3, isNew: false })]);
  one.boots('a');
  one.boots('b', [reportOf('f', 3)]);
  one.passes(40_000, []);
  assert.equal(one.view('f').maintainer, 'b');
  assert.equal(one.record('f')?.epoch, 3);
});
