/** Writes of a coordinator whose outcome nobody knows (COORDINATION_UNCERTAIN). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configOf } from '../feed-config.ts';
import { lastWord, recordOf, reportOf, uncertain } from './coordinator-words.ts';
import { ToldCoordinator } from './told-coordinator.ts';

/** Changefeed `f` runs on `b`, the coordinator on `a`. */
const withFeed = (): ToldCoordinator => ToldCoordinator.withFeed('b', { isOpen: true });

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
  two.losesAnswers();
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
    one.losesAnswers(isDone);
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
  one.losesAnswers();
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
