/** The coordinator's operator controller: reservation, resends, kinds of stops (spec/02, spec/08). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FeedOperator, StopOperator } from '#actors/coordinator/feed-operator.ts';
import { FeedOperators } from '#actors/coordinator/feed-operators.ts';
import { add, stop, word } from './sample-operators.ts';

const alive = new Set(['a', 'b']);
const stale: StopOperator = { ...stop, about: 'stale-owner', epoch: 3, node: 'b' };
const removing: StopOperator = { ...stop, removed: true };

test('F4: while an epoch is persisted no second attempt may begin', () => {
  const operators = new FeedOperators();
  assert.equal(operators.reserve('f'), true);
  assert.equal(operators.reserve('f'), false);
  assert.equal(operators.push(add, alive), null);
  assert.deepEqual(operators.pushStop(stop, alive), []);
  operators.release('f');
  assert.equal(operators.isFree('f'), false);
});

test('a request is sent at once and every 500 ms, a new phase at once', () => {
  const operators = new FeedOperators();
  operators.push(add, alive);
  assert.equal(operators.due(0).length, 1);
  assert.equal(operators.due(499).length, 0);
  assert.equal(operators.due(500).length, 1);
  assert.deepEqual(operators.heard(word('a', 5, true)).endings, [
    { operator: add, place: { is: 'replicating', node: 'a' } },
  ]);
  assert.equal(operators.size, 0);
});

test('a node that is gone already is told before the start', () => {
  const operators = new FeedOperators();
  assert.deepEqual(operators.push({ ...add, node: 'x' }, alive), [
    { operator: { ...add, node: 'x' }, place: { is: 'absent' } },
  ]);
});

test('spec/08 8.2 (6134), spec/02 2b Stop: replaced by a later one, or kept', () => {
  const rows: readonly (readonly [
    known: FeedOperator,
    by: StopOperator,
    stays: FeedOperator,
    answer: unknown,
  ])[] = [
    [add, stop, stop, []],
    [add, removing, removing, []],
    [add, stale, add, null],
    [stop, { ...stop, node: 'b', epoch: 9 }, stop, []],
    [stop, removing, removing, []],
    [stop, stale, stop, null],
    [stale, stale, stale, []],
    [stale, { ...stale, epoch: 2 }, stale, null],
    [stale, stop, stop, []],
    [removing, stop, removing, []],
    [removing, removing, removing, []],
  ];
  for (const [known, by, stays, answer] of rows) {
    const operators = new FeedOperators();
    if (known.kind === 'stop') operators.pushStop(known, alive);
    else operators.push(known, alive);
    assert.deepEqual(operators.pushStop(by, alive), answer);
    assert.deepEqual(operators.get('f'), stays);
  }
});

test('a stop whose node is lost asks for an epoch, once it has it it goes on', () => {
  const operators = new FeedOperators();
  operators.pushStop(stop, alive);
  assert.deepEqual(operators.nodeLost('a'), []);
  assert.deepEqual(operators.needEpoch(), ['f']);
  assert.deepEqual(operators.due(0), []);
  operators.giveEpoch('f', 8, 'b');
  assert.deepEqual(operators.needEpoch(), []);
  assert.deepEqual(
    operators.due(1).map(({ node, epoch }) => [node, epoch]),
    [['b', 8]],
  );
});
