/** A maintainer that ends: stops, hand-offs, what is caught up, what cannot be saved, fences. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failure } from '#src/base/failure.ts';
import { tokenAssignments } from '#src/model/token.ts';
import { refOf } from '../cell-env.ts';
import { Told, base, lost } from './told.ts';

test('a stop applies what was read on every node, then closes every manager, then saves', () => {
  const one = Told.running();
  one.beat('a', 20);
  assert.deepEqual(one.tell({ kind: 'RemoveThis', cascade: true, removed: false }), [
    'dm-a CloseStream',
    'timer stop 8000',
  ]);
  one.beat('a', 25, { resolvedTs: 30, isSourceClosed: true });
  assert.equal(one.state.phase.at, 'stopping');
  one.beat('a', 30, { isSourceClosed: true });
  assert.equal(one.state.phase.at, 'closing');
  assert.deepEqual(one.tick(), ['dm-a CloseManager', 'orchestrator CloseFeed']);
  const closed = { kind: 'FeedClosed', is: 'closed', manager: null } as const;
  assert.deepEqual(one.orchestrator('a', closed), ['port SaveCheckpoint']);
  assert.deepEqual(one.saved(), ['port RetireFeed', 'timer retire 10000']);
  assert.deepEqual(one.lastWord, []);
  one.retired();
  assert.deepEqual(one.lastWord, ['stopped', 30, undefined]);
});

test('Q9, E5: it waits for every node; one whose manager belongs to another is done', () => {
  const one = Told.running({ nodes: ['a', 'b'] });
  one.tell({ kind: 'RemoveThis', cascade: true, removed: true });
  one.tell({ kind: 'StopDue' });
  one.close('a');
  assert.equal(one.state.phase.at, 'closing');
  one.fromManager('b', { kind: 'NotOwner', of: 'CloseManager', owner: 'z', epoch: 9 });
  one.fail('retire', failure('SINK_FENCED', 'of the newer owner'));
  assert.deepEqual(one.lastWord, ['stopped', 10, undefined]);
  assert.ok(!one.effects.some(({ kind }) => kind === 'Log'));
});

test('I-12, F40: all slots are raised to the last token of the epoch before a stop is said; a downstream that is gone does not keep it', () => {
  for (const ends of ['retired', 'failed', 'silent'] as const) {
    const one = Told.running();
    one.tell({ kind: 'RemoveThis', cascade: true, removed: true });
    one.tell({ kind: 'StopDue' });
    one.close('a');
    const call = one.effects.find(({ kind }) => kind === 'CallPort') as { request?: unknown };
    assert.deepEqual(call.request, {
      kind: 'RetireFeed',
      changefeed: 'f',
      token: base + tokenAssignments - 1,
    });
    one.tick();
    assert.deepEqual(one.lastWord, []);
    if (ends === 'retired') one.retired();
    else if (ends === 'failed') one.fail('retire');
    else one.tell({ kind: 'RetireDue' });
    const warnings = one.effects.filter(({ kind }) => kind === 'Log');
    assert.equal(warnings.length, ends === 'retired' ? 0 : 1);
    assert.deepEqual(one.lastWord, ['stopped', 10, undefined]);
    assert.deepEqual(one.retired(), []);
  }
});

test('I-12: a hand-off, and a node that stops in order, raise nothing: another maintainer goes on', () => {
  const moved = Told.running();
  const effects = moved.tell({ kind: 'RemoveThis', cascade: false, removed: false });
  assert.ok(!effects.includes('port RetireFeed'), effects.join());
  assert.deepEqual(moved.lastWord, ['stopped', 10, undefined]);
});

test('Q6, Q7: a hand-off before everybody was heard is not taken on, a close is', () => {
  const one = new Told();
  assert.deepEqual(one.tell({ kind: 'RemoveThis', cascade: false, removed: false }), []);
  assert.equal(one.state.phase.at, 'opening');
  one.tell({ kind: 'RemoveThis', cascade: true, removed: false });
  assert.equal(one.state.phase.at, 'closing');
});

test('P2: one that is stopped before it has taken on what runs never moves the checkpoint', () => {
  const one = new Told({ nodes: ['a', 'b'] });
  one.raises({ checkpointTs: 10 });
  one.bootstrap('a');
  one.adopt('a', [['s', base - 1]], true);
  one.tell({ kind: 'RemoveThis', cascade: true, removed: false });
  // What it serves has ended, and is said: it does not hold the watermark any more, and nobody here knows of it.
  const ended = {
    span: 's',
    token: base - 1,
    is: 'stopped',
    checkpointTs: 12,
    failure: null,
  } as const;
  one.beat('a', 12, { spans: [ended] });
  one.beat('a', 50);
  assert.equal(one.checkpoint, 10);
});

test('Q1–Q4: once it hands off it schedules nothing more, and closes nothing', () => {
  const one = Told.running({ nodes: ['a', 'b'] });
  one.beat('a', 20);
  one.beat('b', 20);
  assert.deepEqual(one.tell({ kind: 'RemoveThis', cascade: false, removed: false }), [
    'port SaveCheckpoint',
  ]);
  one.says('a', one.state.table.get('s')!.node === 'a' ? 's' : 't', 'stopped', 20, lost);
  assert.deepEqual(one.tick(), []);
  one.saved();
  assert.deepEqual(one.lastWord, ['stopped', 20, undefined]);
});

test('one that only closes and has no ports says what is not assured', () => {
  const one = new Told({ isRemovalOnly: true, hasSink: false });
  one.close('a');
  assert.deepEqual(one.lastWord, ['stopped', undefined, undefined]);
  assert.deepEqual(
    one.effects.flatMap((effect) => (effect.kind === 'Log' ? [effect.event] : [])),
    ['slots-not-retired'],
  );
});

test('one that only closes asks every node, and then raises their slots', () => {
  const one = new Told({ nodes: ['a', 'b'], isRemovalOnly: true });
  assert.deepEqual(one.tick(), ['orchestrator CloseFeed', 'orchestrator CloseFeed']);
  const manager = refOf('dm-b', 4);
  assert.deepEqual(one.orchestrator('b', { kind: 'FeedClosed', is: 'closing', manager }), [
    'dm-b CloseManager',
  ]);
  one.close('a', 'b');
  assert.deepEqual(one.lastWord, []);
  one.retired();
  assert.deepEqual(one.lastWord, ['stopped', undefined, undefined]);
});

test('a feed that is caught up says finished only with its checkpoint saved', () => {
  for (const isSaved of [true, false]) {
    const one = Told.running({ untilCaughtUp: true });
    one.beat('a', 50);
    one.close('a');
    if (isSaved) one.saved();
    else one.fail('save');
    one.retired();
    assert.deepEqual(
      one.lastWord,
      isSaved ? ['finished', 50, undefined] : ['failed', 50, 'SINK_DISCONNECTED'],
    );
  }
});

test('a checkpoint that cannot be saved ends the maintainer; what runs is left to the next', () => {
  const one = Told.running();
  one.beat('a', 20);
  one.nowMs = 1_000;
  assert.ok(one.tick().includes('port SaveCheckpoint'));
  assert.deepEqual(one.fail('save'), ['port SaveCheckpoint']);
  one.fail('save');
  assert.deepEqual(one.lastWord, ['failed', 20, 'SINK_DISCONNECTED']);
});

test('once fenced it saves nothing more and closes nothing: another takes over what runs', () => {
  const one = Told.running();
  one.beat('a', 20);
  const effects = one.says('a', 's', 'stopped', 20, failure('SINK_FENCED', 'fenced'));
  assert.deepEqual(one.lastWord, ['failed', 20, 'SINK_FENCED']);
  assert.ok(!effects.some((line) => /Close|^port/.test(line)), effects.join());
  assert.deepEqual(one.tick(), []);
});

test('a feed that has applied everything up to its target says finished, and not before', () => {
  const one = Told.running({ untilGtid: '0-1-50' });
  one.beat('a', 40, { resolvedTs: 50 });
  assert.equal(one.state.phase.at, 'running');
  one.beat('a', 40, { resolvedTs: 50, isSourceClosed: true });
  assert.equal(one.state.phase.at, 'running');
  one.beat('a', 50, { isSourceClosed: true });
  assert.equal(one.state.phase.at, 'closing');
  one.close('a');
  one.saved();
  one.retired();
  assert.deepEqual(one.lastWord, ['finished', 50, undefined]);
  // Only the stream's own end counts.
  const other = Told.running({ untilGtid: '0-1-50' });
  other.beat('a', 60);
  assert.equal(other.state.phase.at, 'running');
});
