/** The course of changefeeds under a coordinator: what fails, what it says of them, what it is asked (FEATURES 1.2, spec/03 §3c, I-6). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failure } from '#src/base/failure.ts';
import { epochMax } from '#src/model/token.ts';
import { lastWord, positionAt, recordOf, reportOf, trouble } from './coordinator-words.ts';
import { ToldCoordinator } from './told-coordinator.ts';

/** Changefeed `f` runs on `b`, the coordinator on `a`. */
const withFeed = (): ToldCoordinator => ToldCoordinator.withFeed('b', { isOpen: true });

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

test('whoever leads later shows what has failed before as ended', () => {
  const gone = failure('SOURCE_BINLOG_PURGED', 'gone');
  const record = recordOf('f', { state: 'failed', failure: gone, isNew: false });
  const { status } = ToldCoordinator.running(['a'], [record]).view('f');
  assert.deepEqual(
    [status.state, status.stage, status.failure?.code],
    ['failed', 'ended', gone.code],
  );
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

test('FEATURES 1.2: a warning outlives its coordinator: delays go on, the same checkpoint is no progress, half an hour is half an hour', () => {
  let one = withFeed();
  one.reports('b', [reportOf('f', 3, { status: { checkpoint: positionAt(5), resolvedTs: 9 } })]);
  const waits: number[] = [];
  const stuckMs: number[] = [];
  for (;;) {
    const epoch = one.record('f')!.epoch;
    const node = one.state.feeds.get('f')!.placed!.node;
    // It works for six minutes and gets nowhere; then its coordinator is followed by another one.
    one.reports(node, [
      reportOf('f', epoch, { status: { checkpoint: positionAt(5), resolvedTs: 9 } }),
    ]);
    one.passes(360_000);
    one.reports(node, [lastWord('f', epoch, { state: 'failed', failure: trouble })]);
    if (one.record('f')?.state === 'failed') break;
    stuckMs.push(one.record('f')!.setback!.stuckMs / 60_000);
    one = ToldCoordinator.running(['a', 'b'], [], one.store);
    one.sends();
    let seconds = 0;
    for (; !one.sends().some((line) => line.includes('Add')); seconds++) one.passes(1_000);
    waits.push(seconds);
  }
  assert.deepEqual(stuckMs.map(Math.floor), [6, 12, 18, 25]);
  assert.deepEqual(waits, [10, 20, 30, 30]);
  // Whoever resumes it begins anew.
  one.ask({ kind: 'ResumeChangefeed', id: 'f' });
  assert.deepEqual([one.record('f')?.state, one.record('f')?.setback], ['normal', null]);
});

test('a warning that is over leaves nothing behind', () => {
  const one = withFeed();
  one.reports('b', [lastWord('f', 3, { state: 'failed', failure: trouble })]);
  assert.equal(one.record('f')?.setback?.failureCount, 1);
  one.passes(11_000);
  const { node, epoch } = one.state.feeds.get('f')!.placed!;
  one.reports(node, [
    reportOf('f', epoch, { status: { checkpoint: positionAt(6), resolvedTs: 9 } }),
  ]);
  assert.deepEqual([one.record('f')?.state, one.record('f')?.setback], ['normal', null]);
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

test('a slot whose token leaves no epoch above it, a tombstone too, fails the changefeed and says so', () => {
  for (const token of [Infinity, Number.NaN, -1, 2 ** 53, (epochMax + 1) * 2 ** 20 - 1]) {
    const one = ToldCoordinator.running(['a']);
    one.creates('f');
    const starting = { state: 'starting', checkpoint: null } as const;
    one.reports('a', [reportOf('f', 1, { isBootstrapped: false, status: starting })]);
    const fenced = failure('SINK_FENCED', 'a newer owner raised the token', { detail: { token } });
    one.reports('a', [lastWord('f', 1, { ...starting, state: 'failed', failure: fenced })]);
    const record = one.record('f');
    assert.equal(record?.state, 'failed', String(token));
    assert.equal(record.epoch, 1);
    assert.match(record.failure!.message, /^no token is left above the one in its slot downstream/);
  }
});

test('spec/02 2b: an epoch never passes its bound; the changefeed fails with the reason, and can still be removed', () => {
  const one = ToldCoordinator.running(['a'], [recordOf('f', { epoch: epochMax - 1 })]);
  assert.deepEqual(one.sends(), ['a BootstrapManager', `a Add f ${epochMax}`]);
  one.reports('a', [lastWord('f', epochMax, { state: 'failed', failure: trouble })]);
  one.passes(20_000);
  const record = one.record('f');
  assert.equal(record?.state, 'failed');
  assert.equal(record.epoch, epochMax);
  assert.match(record.failure!.message, /^its epochs are used up/);
  assert.equal(one.ask({ kind: 'ResumeChangefeed', id: 'f' })?.ok, false);
  one.ask({ kind: 'RemoveChangefeed', id: 'f' });
  one.passes(2_000);
  one.reports('a', [lastWord('f', epochMax, { state: 'stopped' })]);
  assert.equal(one.record('f'), null);
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
