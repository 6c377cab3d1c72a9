/** The bootstrapper rule by rule (spec/01 §1.9). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  answered,
  askAgain,
  collect,
  due,
  isReady,
  newBootstrapper,
  setNodes,
  type Bootstrapper,
} from '#actors/placement/bootstrapper.ts';

function asking(...nodes: string[]): Bootstrapper<string> {
  return setNodes(newBootstrapper<string>(), nodes);
}

test('spec/01 §1.9: a new node is asked at once, a silent one every 500 ms, one that answered no more', () => {
  let [state, ask] = due(asking('a', 'b'), 0);
  assert.deepEqual(ask, ['a', 'b']);
  state = answered(state, 'a', 'A');
  assert.deepEqual(due(state, 499)[1], []);
  [state, ask] = due(state, 500);
  assert.deepEqual(ask, ['b']);
  state = setNodes(state, ['a', 'b', 'c']);
  assert.deepEqual(due(state, 501)[1], ['c']);
});

test('spec/01 §1.9: an answer of a node that is not tracked is ignored', () => {
  const state = asking('a');
  assert.equal(answered(state, 'x', 'X'), state);
});

test('spec/01 §1.9: answers are given out when every node has answered, once per edge', () => {
  let state = answered(asking('a', 'b'), 'a', 'A');
  assert.equal(collect(state)[1], null);
  state = answered(state, 'b', 'B');
  let answers;
  [state, answers] = collect(state);
  assert.deepEqual(
    [...answers!],
    [
      ['a', 'A'],
      ['b', 'B'],
    ],
  );
  assert.equal(collect(state)[1], null);
  // A node that joins makes a new edge, and the old answers count still.
  state = setNodes(state, ['a', 'b', 'c']);
  assert.equal(isReady(state), false);
  [state, answers] = collect(answered(state, 'c', 'C'));
  assert.deepEqual([...answers!.keys()], ['a', 'b', 'c']);
});

test('spec/01 §1.9: a removed node is forgotten, and its silence holds nobody up', () => {
  const state = setNodes(answered(asking('a', 'b'), 'a', 'A'), ['a']);
  assert.deepEqual([...collect(state)[1]!.keys()], ['a']);
});

test('spec/01 §1.9: an empty set is never ready', () => {
  assert.equal(isReady(asking()), false);
  assert.equal(collect(asking())[1], null);
});

test('a node whose part was started anew is asked again, and its first answer is not replaced', () => {
  let [state] = collect(answered(asking('a'), 'a', 'A'));
  assert.equal(answered(state, 'a', 'late'), state);
  state = askAgain(state, 'a');
  assert.deepEqual(due(state, 0)[1], ['a']);
  assert.deepEqual([...collect(answered(state, 'a', 'new'))[1]!], [['a', 'new']]);
  assert.equal(askAgain(state, 'x'), state);
});
