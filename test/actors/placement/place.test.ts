/** The schedulers of spec/01 §1.8, rule by rule. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  balance,
  balanceGroups,
  drain,
  drainSlots,
  placeAbsent,
  spreadAbsent,
} from '#actors/placement/place.ts';

const loads = new Map([
  ['a', 3],
  ['b', 1],
]);

test('spec/01 §1.8 basic: absent objects go to the least loaded node, within the free slots', () => {
  const bounds = { nodes: ['a', 'b', 'c'], loads, slots: 4 };
  assert.deepEqual(placeAbsent(['1', '2', '3', '4', '5'], bounds), [
    { id: '1', node: 'c' },
    { id: '2', node: 'b' },
    { id: '3', node: 'c' },
    { id: '4', node: 'b' },
  ]);
  assert.deepEqual(placeAbsent(['1'], { ...bounds, slots: 0 }), []);
});

test('spec/01 §1.8 basic: without an allowed node nothing is placed', () => {
  assert.deepEqual(placeAbsent(['1'], { nodes: [], loads, slots: 9 }), []);
});

test('spec/01 §1.8 balance: the most loaded gives to the least loaded until they differ by one at most', () => {
  const placed = ['1', '2', '3'].map((id) => ({ id, node: 'a' }));
  const bounds = { nodes: ['a', 'b'], loads: new Map([['a', 3]]), slots: 9 };
  assert.deepEqual(balance(placed, bounds), [{ id: '3', from: 'a', to: 'b' }]);
  assert.deepEqual(balance(placed, { ...bounds, slots: 0 }), []);
  assert.deepEqual(balance(placed, { ...bounds, nodes: ['a'] }), []);
  const even = new Map([
    ['a', 2],
    ['b', 1],
  ]);
  assert.deepEqual(balance(placed, { ...bounds, loads: even }), []);
});

test('spec/01 §1.8 drain: everything leaves the target, which is never a destination', () => {
  const placed = [
    { id: '1', node: 'a' },
    { id: '2', node: 'b' },
    { id: '3', node: 'a' },
  ];
  const bounds = {
    nodes: ['a', 'b', 'c'],
    loads: new Map([
      ['a', 2],
      ['b', 1],
    ]),
    slots: 9,
  };
  assert.deepEqual(drain('a', placed, bounds), [
    { id: '1', from: 'a', to: 'c' },
    { id: '3', from: 'a', to: 'b' },
  ]);
  assert.deepEqual(drain('a', placed, { ...bounds, nodes: ['a'] }), []);
});

test('spec/01 §1.8 drain: at least ten at once, or one in a hundred', () => {
  assert.deepEqual([0, 10, 1_000, 2_001].map(drainSlots), [10, 10, 10, 21]);
});

test('spec/01 §1.8 basic: what belongs together is spread first, then the load counts', () => {
  const bounds = { nodes: ['a', 'b', 'c'], loads, slots: 9 };
  const group = new Map([['c', 1]]);
  assert.deepEqual(
    spreadAbsent(['1', '2', '3'], bounds, group).map(({ node }) => node),
    ['b', 'a', 'c'],
  );
  assert.deepEqual(spreadAbsent(['1'], { ...bounds, nodes: [] }, group), []);
  assert.deepEqual(spreadAbsent(['1', '2'], { ...bounds, slots: 1 }, group).length, 1);
});

test('spec/01 §1.8 balance: groups are evened out first, then everything else, and groups stay as they are', () => {
  const on = (node: string, ...ids: string[]): { id: string; node: string }[] =>
    ids.map((id) => ({ id, node }));
  const bounds = { nodes: ['a', 'b'], loads: new Map([['a', 5]]), slots: 9 };
  assert.deepEqual(balanceGroups([on('a', 'p1', 'p2')], on('a', '1', '2', '3'), bounds), [
    { id: 'p2', from: 'a', to: 'b' },
  ]);
  const even = { ...bounds, loads: new Map([...bounds.loads, ['b', 1]]) };
  const group = [...on('a', 'p1'), ...on('b', 'p2')];
  assert.deepEqual(balanceGroups([group], on('a', '1', '2', '3'), even), [
    { id: '3', from: 'a', to: 'b' },
    { id: '2', from: 'a', to: 'b' },
  ]);
  assert.deepEqual(balanceGroups([group], [], even), []);
});

test('spec/01 §1.8 balance: where the most loaded has nothing that may move, the next one gives', () => {
  const bounds = {
    nodes: ['a', 'b', 'c'],
    loads: new Map([
      ['a', 2],
      ['b', 2],
    ]),
    slots: 9,
  };
  assert.deepEqual(balance([{ id: '1', node: 'b' }], bounds), [{ id: '1', from: 'b', to: 'c' }]);
});

test('spec/01 §1.8 balance: a part moves where its table has fewer, and its table stays even', () => {
  const part = (table: string, at: number, node: string): { id: string; node: string } => ({
    id: `${table}#${at}`,
    node,
  });
  const groups = [
    [part('t', 1, 'a'), part('t', 2, 'b')],
    [part('u', 1, 'a'), part('u', 2, 'b')],
  ];
  const bounds = {
    nodes: ['a', 'b', 'c', 'd'],
    loads: new Map([
      ['a', 2],
      ['b', 2],
    ]),
    slots: 9,
  };
  assert.deepEqual(balanceGroups(groups, [], bounds), [
    { id: 't#1', from: 'a', to: 'c' },
    { id: 't#2', from: 'b', to: 'd' },
  ]);
});
