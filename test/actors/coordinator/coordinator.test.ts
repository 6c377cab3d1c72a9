/** The coordinator over a store in memory: the invariants F1–F13 of spec/02, and what its races leave (§2e, §2g). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changefeedInfoKey, changefeedStatusKey } from '#src/model/coordination-key.ts';
import { encodeRecord } from '#src/protocol/changefeed-record.ts';
import { configOf } from '../feed-config.ts';
import {
  lastWord,
  positionAt,
  recordOf,
  reportOf,
  trouble,
  uncertain,
} from './coordinator-words.ts';
import { ToldCoordinator } from './told-coordinator.ts';

/** The coordinator's own node runs `f`. */
const withFeed = (): ToldCoordinator => ToldCoordinator.withFeed('a');

test('F1: no Add is sent before its epoch is stored', () => {
  const one = ToldCoordinator.running(['a']);
  one.sends();
  one.isHeld = true;
  one.creates('f');
  one.passes(2_000);
  assert.deepEqual(one.sends(), []);
  one.answerOne();
  assert.equal(one.record('f')?.epoch, 0);
  one.passes(2_000);
  assert.deepEqual(one.sends(), []);
  one.releases();
  assert.equal(one.record('f')?.epoch, 1);
  assert.deepEqual(one.sends(), ['a Add f 1']);
});

test('F2: epochs rise over removal and creation under the same id', () => {
  const one = withFeed();
  one.ask({ kind: 'RemoveChangefeed', id: 'f' });
  assert.deepEqual(one.sends(), ['a Remove f 3 cascade removed']);
  one.reports('a', [lastWord('f', 3)]);
  assert.equal(one.record('f'), null);
  one.creates('f');
  assert.deepEqual(one.sends(), ['a Add f 4']);
  // A later coordinator knows as well.
  const next = ToldCoordinator.running(['a'], [], one.store);
  next.passes(1_000);
  next.ask({ kind: 'RemoveChangefeed', id: 'f' });
  next.passes(1_000);
  const [removal] = next.sends().filter((line) => line.startsWith('a Remove'));
  const epoch = Number(removal!.split(' ')[3]);
  next.reports('a', [lastWord('f', epoch)]);
  assert.equal(next.record('f'), null);
  next.creates('f');
  assert.deepEqual(next.sends(), [`a Add f ${epoch + 1}`]);
});

test('F3: a bump that loses to a concurrent change of configuration reads again and keeps it', () => {
  const one = withFeed();
  one.writeRecord(recordOf('f', { epoch: 3, config: configOf('f', { rules: ['x.*'] }) }));
  one.ask({ kind: 'MoveChangefeed', id: 'f', node: 'b' });
  one.passes(100);
  assert.equal(one.record('f')?.epoch, 4);
  assert.deepEqual(one.record('f')?.config.rules, ['x.*']);
});

test('F3: a pause stored by somebody else is kept, and what runs is stopped', () => {
  const one = withFeed();
  one.writeRecord(recordOf('f', { epoch: 3, state: 'stopped' }));
  one.ask({ kind: 'MoveChangefeed', id: 'f', node: 'b' });
  one.passes(1_000);
  assert.equal(one.record('f')?.state, 'stopped');
  const sends = one.sends();
  assert.ok(sends.includes('a Remove f 3 cascade'), sends.join());
  assert.ok(!sends.some((line) => line.includes('Add')), sends.join());
});

test('F3: a record of a later version is left alone, and its id is taken', () => {
  const one = new ToldCoordinator(['a']);
  const later = { key: changefeedInfoKey('k', 'f'), value: '{"version":2}' };
  one.write(later);
  one.boots('a');
  const outcome = one.creates('f');
  one.passes(1_000);
  assert.equal(one.store.get(later.key).value, later.value);
  assert.equal(outcome?.ok === false && outcome.failure.code, 'CHANGEFEED_EXISTS');
});

test('F4: while an epoch is being stored no second attempt begins, and reports are taken', () => {
  const one = withFeed();
  one.isHeld = true;
  one.ask({ kind: 'MoveChangefeed', id: 'f', node: 'b' });
  const second = one.ask({ kind: 'MoveChangefeed', id: 'f', node: 'b' });
  assert.equal(second?.ok === false && second.failure.code, 'CHANGEFEED_STATE');
  one.reports('a', [reportOf('f', 3, { status: { checkpoint: positionAt(9) } })]);
  assert.equal(one.view('f').status.checkpoint?.ts, 9);
});

test('F4: a stop that is asked for while the store hangs is next, within ten seconds; no Move comes in between', () => {
  const one = withFeed();
  one.isHeld = true;
  one.ask({ kind: 'MoveChangefeed', id: 'f', node: 'b' });
  one.ask({ kind: 'PauseChangefeed', id: 'f' });
  const bump = JSON.stringify(one.calls[0]?.request);
  while (JSON.stringify(one.calls[0]?.request) === bump) {
    // Each try hangs as long as the port lets it.
    one.passes(3_000);
    one.answerOne(uncertain);
    one.passes(25);
    one.reports('a', [reportOf('f', 3, { status: { checkpoint: positionAt(one.nowMs) } })]);
    assert.equal(one.view('f').status.checkpoint?.ts, one.nowMs);
    while (String(one.calls[0]?.tag).startsWith('status')) one.answerOne();
  }
  assert.ok(one.nowMs <= 10_000, String(one.nowMs));
  one.releases();
  assert.equal(one.record('f')?.state, 'stopped');
  assert.equal(one.record('f')?.epoch, 3);
  one.passes(600);
  assert.deepEqual([...new Set(one.sends())], ['a Remove f 3 cascade']);
});

test('F5, 2e.4: a stop during the bump of a move ends the origin, under its own epoch', () => {
  const one = withFeed();
  one.isHeld = true;
  one.ask({ kind: 'MoveChangefeed', id: 'f', node: 'b' });
  one.ask({ kind: 'PauseChangefeed', id: 'f' });
  one.releases();
  one.passes(600);
  assert.deepEqual(one.sends(), ['a Remove f 3 cascade', 'a Remove f 3 cascade']);
  one.reports('a', [lastWord('f', 3)]);
  assert.equal(one.view('f').status.state, 'stopped');
});

test('F5: a stop during the bump of an add: no Add is sent', () => {
  const one = ToldCoordinator.running(['a']);
  one.sends();
  one.isHeld = true;
  one.creates('f');
  one.answerOne();
  one.ask({ kind: 'PauseChangefeed', id: 'f' });
  one.releases();
  one.passes(1_000);
  assert.ok(!one.sends().some((line) => line.includes('Add')));
});

test('F6: a report of another node, or another epoch, ends no operator', () => {
  const one = withFeed();
  one.ask({ kind: 'MoveChangefeed', id: 'f', node: 'b' });
  assert.deepEqual(one.sends(), ['a Remove f 3']);
  one.reports('b', [lastWord('f', 3)]);
  one.reports('a', [lastWord('f', 2)]);
  one.reports('a', [lastWord('f', 4)]);
  one.passes(500);
  assert.deepEqual(one.sends(), ['a Remove f 3']);
  one.reports('a', [lastWord('f', 3)]);
  assert.deepEqual(one.sends(), ['b Add f 4']);
});

test('F7: Remove of a move carries the epoch that runs, also after an epoch that came to nothing', () => {
  const one = withFeed();
  one.isHeld = true;
  one.ask({ kind: 'MoveChangefeed', id: 'f', node: 'b' });
  one.losesAnswers(true);
  assert.deepEqual(one.sends(), []);
  assert.equal(one.record('f')?.epoch, 4);
  one.releases();
  one.ask({ kind: 'MoveChangefeed', id: 'f', node: 'b' });
  one.passes(100);
  assert.deepEqual(one.sends(), ['a Remove f 3']);
  one.reports('a', [lastWord('f', 3)]);
  assert.deepEqual(one.sends(), ['b Add f 5']);
});

test('F8, 2g: an epoch that was stored but never given out does not make a healthy maintainer stale', () => {
  const one = withFeed();
  one.isHeld = true;
  one.ask({ kind: 'MoveChangefeed', id: 'f', node: 'b' });
  one.losesAnswers(true);
  one.releases();
  // The next write finds what is stored.
  one.ask({ kind: 'MoveChangefeed', id: 'f', node: 'x' });
  one.reports('a', [reportOf('f', 3, { status: { checkpoint: positionAt(9) } })]);
  assert.equal(one.view('f').status.checkpoint?.ts, 9);
  one.reports('a', [lastWord('f', 3, { state: 'failed', failure: trouble })]);
  assert.equal(one.record('f')?.state, 'warning');
});

test('F8: a status of another epoch is dropped', () => {
  const one = withFeed();
  one.reports('b', [reportOf('f', 2, { status: { checkpoint: positionAt(50) } })]);
  assert.equal(one.view('f').status.checkpoint, null);
});

test('F8, spec/08 6283: the final checkpoint of a move’s origin counts', () => {
  const one = withFeed();
  one.ask({ kind: 'MoveChangefeed', id: 'f', node: 'b' });
  one.passes(1_000);
  one.reports('a', [lastWord('f', 3, { state: 'stopped', checkpoint: positionAt(70) })]);
  assert.equal(one.view('f').status.checkpoint?.ts, 70);
  assert.equal(one.savedTs('f'), 70);
});

test('F9: a failure stores state, failure and epoch in one write, a resume too', () => {
  const one = withFeed();
  one.isHeld = true;
  one.reports('a', [lastWord('f', 3, { state: 'failed', failure: trouble })]);
  assert.equal(one.calls.length, 1);
  one.releases();
  const { state, epoch, failure: why } = one.record('f')!;
  assert.deepEqual([state, epoch, why?.code], ['warning', 4, 'SINK_DISCONNECTED']);
  one.ask({ kind: 'PauseChangefeed', id: 'f' });
  one.passes(1_000);
  one.isHeld = true;
  one.ask({ kind: 'ResumeChangefeed', id: 'f' });
  const before = one.record('f')!.epoch;
  one.answerOne();
  const after = one.record('f')!;
  assert.deepEqual([after.state, after.failure], ['normal', null]);
  assert.ok(after.epoch > before);
});

test('F9: a failure that is heard after a pause was asked for does not undo it', () => {
  for (const last of [
    lastWord('f', 3, { state: 'failed', failure: trouble }),
    lastWord('f', 3, { state: 'finished' }),
  ]) {
    const one = withFeed();
    one.isHeld = true;
    one.ask({ kind: 'PauseChangefeed', id: 'f' });
    one.reports('a', [last]);
    one.releases();
    one.passes(1_000);
    assert.equal(one.record('f')?.state, 'stopped', last.status.state);
  }
});

test('F9: nothing undoes a removal', () => {
  const one = withFeed();
  one.isHeld = true;
  one.ask({ kind: 'PauseChangefeed', id: 'f' });
  one.answerOne();
  one.ask({ kind: 'RemoveChangefeed', id: 'f' });
  one.ask({ kind: 'ResumeChangefeed', id: 'f' });
  one.releases();
  assert.equal(one.record('f')?.state, 'removed');
});

test('F10: a checkpoint never falls, and a failure beside a lower one counts', () => {
  const one = withFeed();
  one.reports('a', [reportOf('f', 3, { status: { checkpoint: positionAt(9) } })]);
  one.reports('a', [reportOf('f', 3, { status: { checkpoint: positionAt(5) } })]);
  assert.equal(one.view('f').status.checkpoint?.ts, 9);
  const last = { state: 'failed', checkpoint: positionAt(4), failure: trouble } as const;
  one.reports('a', [lastWord('f', 3, last)]);
  assert.equal(one.view('f').status.checkpoint?.ts, 9);
  assert.equal(one.record('f')?.state, 'warning');
});

test('F10, FENCE §1.11: a saved checkpoint never falls, also when another has saved meanwhile', () => {
  const one = withFeed();
  const key = changefeedStatusKey('k', 'f');
  one.write({ key, value: encodeRecord({ version: 1, checkpoint: positionAt(90) }) });
  for (const ts of [10, 20]) {
    one.passes(1_000);
    one.reports('a', [reportOf('f', 3, { status: { checkpoint: positionAt(ts) } })]);
  }
  assert.equal(one.savedTs('f'), 90);
  one.passes(1_000);
  one.reports('a', [reportOf('f', 3, { status: { checkpoint: positionAt(95) } })]);
  assert.equal(one.savedTs('f'), 95);
});

test('F10: the last checkpoint of what has ended is saved, though nobody speaks any more', () => {
  const one = withFeed();
  one.passes(1_000);
  one.reports('a', [reportOf('f', 3, { status: { checkpoint: positionAt(10) } })]);
  one.reports('a', [reportOf('f', 3, { status: { checkpoint: positionAt(15) } })]);
  assert.equal(one.savedTs('f'), 10);
  // Before the state that says so, or, while another save is under way, after it.
  one.isHeld = true;
  one.reports('a', [lastWord('f', 3, { state: 'finished', checkpoint: positionAt(20) })]);
  one.answerOne();
  assert.deepEqual([one.record('f')?.state, one.savedTs('f')], ['normal', 20]);
  one.releases();
  assert.equal(one.record('f')?.state, 'finished');
  const two = withFeed();
  two.passes(1_000);
  two.isHeld = true;
  two.reports('a', [reportOf('f', 3, { status: { checkpoint: positionAt(10) } })]);
  two.reports('a', [lastWord('f', 3, { state: 'finished', checkpoint: positionAt(20) })]);
  two.releases();
  assert.equal(two.savedTs('f'), 10);
  two.passes(1_100, []);
  assert.equal(two.savedTs('f'), 20);
});

test('FENCE §1.11: a checkpoint that is saved late leaves nothing behind a removal', () => {
  const one = withFeed();
  one.passes(1_000);
  one.ask({ kind: 'RemoveChangefeed', id: 'f' });
  one.isHeld = true;
  const last = lastWord('f', 3, { state: 'stopped', checkpoint: positionAt(9) });
  one.reports('a', [last]);
  // The store hears the deletion first.
  one.calls.reverse();
  one.releases();
  assert.equal(one.record('f'), null);
  assert.equal(one.savedTs('f'), null);
});

test('FENCE §1.11: who has lost the key ends at the next write, be it a record or a checkpoint', () => {
  const pausing = withFeed();
  pausing.loseKey();
  pausing.ask({ kind: 'PauseChangefeed', id: 'f' });
  assert.notEqual(pausing.exit, null);
  assert.equal(pausing.record('f')?.state, 'normal');
  const saving = withFeed();
  saving.loseKey();
  saving.passes(1_000);
  saving.reports('a', [reportOf('f', 3, { status: { checkpoint: positionAt(9) } })]);
  assert.notEqual(saving.exit, null);
  assert.equal(saving.savedTs('f'), null);
});

test('F11: an unknown changefeed that is reported Working is removed, under the reported epoch', () => {
  const one = withFeed();
  one.reports('b', [reportOf('x', 8)]);
  assert.deepEqual(one.sends(), ['b Remove x 8 cascade removed']);
  one.reports('b', [lastWord('x', 8)]);
  assert.deepEqual(one.sends(), []);
});

test('F12: of several reports the exact epoch stays, every stale one ends under its own', () => {
  const one = new ToldCoordinator(['a', 'b', 'c'], [recordOf('f', { epoch: 3 })]);
  one.boots('a', [reportOf('f', 2)]);
  one.boots('b', [reportOf('f', 3)]);
  assert.ok(!one.sends().some((line) => line.includes('Remove')), 'not before all have answered');
  one.boots('c', [reportOf('f', 1)]);
  assert.equal(one.view('f').maintainer, 'b');
  one.passes(100);
  assert.deepEqual(one.sends().sort(), ['a Remove f 2 cascade', 'c Remove f 1 cascade']);
  // What was told directly is told again while it goes on.
  one.reports('c', [reportOf('f', 1)]);
  one.reports('a', [lastWord('f', 2)]);
  one.passes(500);
  assert.deepEqual(one.sends(), ['c Remove f 1 cascade']);
});

test('F13: a stale maintainer stops before another is added', () => {
  const one = new ToldCoordinator(['a', 'b'], [recordOf('f', { epoch: 3 })]);
  one.boots('a', [reportOf('f', 2)]);
  one.boots('b');
  one.sends();
  one.passes(500);
  assert.deepEqual(one.sends(), ['a Remove f 2 cascade']);
  one.reports('a', [lastWord('f', 2)]);
  one.passes(100);
  assert.deepEqual(one.sends(), ['a Add f 4']);
});

test('F13: a stale maintainer that shows up later is ended as well', () => {
  const one = withFeed();
  one.reports('b', [reportOf('f', 2)]);
  assert.deepEqual(one.sends(), ['b Remove f 2 cascade']);
});

test('F13: a stale maintainer keeps the slot when the current one ends by itself meanwhile', () => {
  const one = new ToldCoordinator(['a', 'b'], [recordOf('f', { epoch: 3, isNew: false })]);
  one.boots('a', [reportOf('f', 2)]);
  one.boots('b', [reportOf('f', 3)]);
  one.reports('b', [lastWord('f', 3)]);
  one.passes(2_000);
  assert.ok(
    !one.sends().some((line) => line.includes('Add')),
    'not before the stale one has stopped',
  );
  one.reports('a', [lastWord('f', 2)]);
  // Managers say again what they have said.
  one.reports('b', [lastWord('f', 3)]);
  one.passes(1_100);
  assert.ok(one.sends().some((line) => line.includes('Add f 4')));
});
