/** The coordinator's operators (spec/02 §2b), one row of its tables after another. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  isHandOff,
  newMove,
  placementOf,
  requestOf,
  step,
  type FeedEvent,
  type FeedOperator,
  type FeedPlace,
} from '#actors/coordinator/feed-operator.ts';
import { add, stop, word } from './sample-operators.ts';

const lost = (node: string): FeedEvent => ({ kind: 'node-lost', node });
const tick: FeedEvent = { kind: 'tick' };
const removed: FeedEvent = { kind: 'task-removed' };
const up = (node: string, epoch: number, isBootstrapped = true): FeedEvent => ({
  kind: 'word',
  word: word(node, epoch, true, isBootstrapped),
});
const down = (node: string, epoch: number): FeedEvent => ({
  kind: 'word',
  word: word(node, epoch, false),
});

const move = newMove('f', { node: 'a', epoch: 5 }, { node: 'b', epoch: 6 });
const stopped: FeedOperator = { ...move, phase: 'origin-stopped' };
const back: FeedOperator = { ...move, target: 'a', hasFallenBack: true };
const adding: FeedOperator = { ...move, phase: 'add-target' };
const stale: FeedOperator = { ...stop, about: 'stale-owner' };
const at = (node: string): FeedPlace => ({ is: 'replicating', node });
const absent: FeedPlace = { is: 'absent' };

const rows: readonly (readonly [
  rule: string,
  on: FeedOperator,
  event: FeedEvent,
  phase: string,
  place?: FeedPlace,
])[] = [
  ['spec/02 2b Add: Working and bootstrapped is the end', add, up('a', 5), 'done', at('a')],
  ['spec/02 2b Add: Working alone is not enough', add, up('a', 5, false), 'adding'],
  ['F6: a report of another epoch never ends it', add, up('a', 4), 'adding'],
  ['F6: epoch 0 is no wildcard', add, up('a', 0), 'adding'],
  ['F6: a report of another node never ends it', add, up('b', 5), 'adding'],
  ['spec/02 2b Add: target lost is absent', add, lost('a'), 'done', absent],
  ['spec/02 2b Add: changefeed removed', add, removed, 'done', { is: 'unchanged' }],
  ['spec/02 2b Move RemoveOrigin: origin stopped', move, down('a', 5), 'origin-stopped'],
  [
    'F6, spec/02 2b Move RemoveOrigin: a word under the new epoch is not the origin',
    move,
    down('a', 6),
    'remove-origin',
  ],
  ['spec/02 2b Move RemoveOrigin: origin still Working', move, up('a', 5), 'remove-origin'],
  ['spec/02 2b Move RemoveOrigin: origin lost', move, lost('a'), 'origin-stopped'],
  [
    'spec/02 2b Move RemoveOrigin: target lost, the origin must still be removed first',
    move,
    lost('b'),
    'remove-origin',
  ],
  [
    'spec/02 2b Move RemoveOrigin: target is the origin already, and lost',
    back,
    lost('a'),
    'done',
    absent,
  ],
  ['spec/02 2b Move OriginStopped: tick binds the target', stopped, tick, 'add-target'],
  [
    'spec/02 2b Move OriginStopped: target lost, back to the origin',
    stopped,
    lost('b'),
    'origin-stopped',
  ],
  [
    'spec/02 2b Move OriginStopped: target lost, origin lost too',
    { ...stopped, isOriginLost: true },
    lost('b'),
    'done',
    absent,
  ],
  [
    'spec/02 2b Move OriginStopped: target lost after a fall-back',
    { ...back, phase: 'origin-stopped' },
    lost('a'),
    'done',
    absent,
  ],
  ['spec/02 2b Move AddTarget: Working and bootstrapped', adding, up('b', 6), 'done', at('b')],
  [
    'spec/02 2b Move AddTarget: Working alone is not enough',
    adding,
    up('b', 6, false),
    'add-target',
  ],
  [
    'spec/02 2b Move AddTarget: target lost is absent, never back to the origin',
    adding,
    lost('b'),
    'done',
    absent,
  ],
  ['spec/02 2b Move AddTarget: origin lost is nobody', adding, lost('a'), 'add-target'],
  ['spec/02 2b Move: changefeed removed', move, removed, 'done', { is: 'unchanged' }],
  ['spec/02 2b Stop: not Working is the end', stop, down('a', 5), 'done', { is: 'stopped' }],
  ['F6, spec/02 2b Stop: another epoch', stop, down('a', 4), 'stopping'],
  [
    'spec/02 2b Stop: node lost, it goes on here under an epoch of its own',
    stop,
    lost('a'),
    'needs-epoch',
  ],
  [
    'spec/02 2b Stop: stopped before all was closed, it goes on here under an epoch of its own',
    stop,
    { kind: 'word', word: word('a', 5, false, false, false) },
    'needs-epoch',
  ],
  [
    'spec/08 8.2 Stop of a stale owner: what it leaves is adopted',
    stale,
    { kind: 'word', word: word('a', 5, false, false, false) },
    'done',
    { is: 'stopped' },
  ],
  [
    'spec/08 8.2 Stop of a stale owner: it dies with its node',
    stale,
    lost('a'),
    'done',
    { is: 'stopped' },
  ],
  ['spec/02 2b Stop: task removed', stop, removed, 'done', { is: 'unchanged' }],
];

for (const [rule, on, event, phase, place] of rows) {
  test(rule, () => {
    const next = step(on, event);
    assert.equal(next.operator.phase, phase);
    assert.deepEqual(next.place, place ?? null);
  });
}

test('spec/02 2b Move RemoveOrigin: tick, AddTarget: tick, Stop: tick: each asks its own, again until it is answered', () => {
  for (const operator of [move, adding, stop, add]) {
    assert.deepEqual(step(operator, tick), { operator, place: null });
    assert.notEqual(requestOf(operator), null);
  }
});

test('F7: in a move, Remove carries the origin’s epoch and Add the new one', () => {
  assert.deepEqual(requestOf(move), {
    kind: 'remove',
    id: 'f',
    node: 'a',
    epoch: 5,
    cascade: false,
    removed: false,
  });
  assert.equal(requestOf(stopped), null);
  assert.deepEqual(requestOf(adding), { kind: 'add', id: 'f', node: 'b', epoch: 6 });
  assert.deepEqual(requestOf(add), { kind: 'add', id: 'f', node: 'a', epoch: 5 });
});

test('2e.11: a move that fell back adds under the new epoch, too', () => {
  const fallen = step(step(step(move, lost('b')).operator, down('a', 5)).operator, tick).operator;
  assert.deepEqual(requestOf(fallen), { kind: 'add', id: 'f', node: 'a', epoch: 6 });
});

test('9.2.7: a stop goes on at the coordinator’s node under the epoch it was given', () => {
  const waiting = step(stop, lost('a')).operator;
  assert.equal(requestOf(waiting), null);
  const going = step(waiting, { kind: 'epoch', epoch: 7, node: 'c' }).operator;
  assert.deepEqual(requestOf(going), {
    kind: 'remove',
    id: 'f',
    node: 'c',
    epoch: 7,
    cascade: true,
    removed: false,
  });
});

test('8.2 (6283): only the origin’s final word, while it is removed, hands its checkpoint over', () => {
  assert.equal(isHandOff(move, word('a', 5, false)), true);
  assert.equal(isHandOff(move, word('a', 5, true)), false);
  assert.equal(isHandOff(move, word('a', 4, false)), false);
  assert.equal(isHandOff(adding, word('a', 5, false)), false);
  assert.equal(isHandOff(add, word('a', 5, false)), false);
});

test('2e.4, spec/02 2b Stop: during a move it means the origin until the target is bound', () => {
  assert.deepEqual(placementOf(move), { node: 'a', epoch: 5 });
  assert.deepEqual(placementOf(adding), { node: 'b', epoch: 6 });
  assert.deepEqual(placementOf(add), { node: 'a', epoch: 5 });
});
