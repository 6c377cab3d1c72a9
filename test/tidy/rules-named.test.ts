/** Rules of the specification that a test must name: whoever changes the coordinator finds what holds it. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '..');
const named = readdirSync(join(root, 'actors'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.test.ts'))
  .flatMap((path) => testNames(readFileSync(join(root, 'actors', path), 'utf8')));

/** What tests, and rows of tables of tests, are called. */
function testNames(source: string): readonly string[] {
  return [...source.matchAll(/(?:test\(|\[)\s*'((?:[^'\\]|\\.)*)'/g)].map((match) => match[1]!);
}

test('every invariant F1–F13 of spec/02 is named by a test of the actors', () => {
  const rules = Array.from({ length: 13 }, (_, i) => `F${i + 1}`);
  const unnamed = rules.filter(
    (rule) => !named.some((name) => new RegExp(`\\b${rule}\\b`).test(name)),
  );
  assert.deepEqual(unnamed, []);
});

test('every row of the coordinator’s operator tables (spec/02 §2b) is named by a test', () => {
  const rows = [
    'RemoveOrigin: tick',
    'RemoveOrigin: origin stopped',
    'RemoveOrigin: origin lost',
    'RemoveOrigin: target lost',
    'RemoveOrigin: target is the origin already, and lost',
    'OriginStopped: tick',
    'OriginStopped: target lost, back to the origin',
    'OriginStopped: target lost, origin lost too',
    'OriginStopped: target lost after a fall-back',
    'AddTarget: tick',
    'AddTarget: Working and bootstrapped',
    'AddTarget: target lost',
    'DoneSuccess: target lost',
    'Move: changefeed removed',
    'Add: Working and bootstrapped',
    'Add: target lost',
    'Stop: tick',
    'Stop: not Working',
    'Stop: node lost',
    'Stop: replaced',
    'Stop: during a move',
    'Stop: after a warning',
  ];
  const unnamed = rows.filter((row) => !named.some((name) => name.includes(row)));
  assert.deepEqual(unnamed, []);
});

test('the registry admission of spec/04 (E9, E10) and the tombstone rule E6 are named by tests', () => {
  const unnamed = ['E3', 'E6', 'E9', 'E10'].filter(
    (rule) => !named.some((name) => new RegExp(`\\b${rule}\\b`).test(name)),
  );
  assert.deepEqual(unnamed, []);
});

test('every row of the maintainer’s operator table (spec/01 §1.7), and each of its messages lost, repeated and late, is named by a test', () => {
  const rows = [
    'add: Create until Working',
    'add: dest lost',
    'add: task removed',
    'add: Create lost',
    'add: Working lost',
    'add: Working twice',
    'add: a late word',
    'remove: Remove until Stopped',
    'remove: node lost',
    'remove: task removed',
    'remove: Remove lost',
    'remove: Stopped lost',
    'remove: Stopped twice',
    'remove: a late word',
    'move: the origin stops, the dest begins',
    'move: dest lost before the origin stopped',
    'move: dest lost afterwards',
    'move: origin lost',
    'move: origin lost afterwards',
    'move: task removed',
    'move: Remove lost',
    'move: Stopped lost',
    'move: Stopped twice',
    'move: Create lost',
    'move: Working twice',
    'move: a late Working',
    'split: the origin stops',
    'split: origin lost',
    'split: origin lost while the slots are divided',
    'split: task removed',
    'split: Remove lost',
    'split: Stopped twice and late',
    'split: the downstream answers twice, and late',
    'merge: all sources stop',
    'merge: node lost',
    'merge: node lost while the slots are joined',
    'merge: task removed',
    'merge: Remove lost',
    'merge: Stopped twice and late',
    'merge: the downstream cannot say, answers late, answers twice',
  ].map((row) => `spec/01 1.7 ${row}`);
  const unnamed = rows.filter((row) => !named.some((name) => name.startsWith(row)));
  assert.deepEqual(unnamed, []);
});

test('the schedulers of spec/01 §1.8 are named by tests', () => {
  const schedulers = ['basic', 'balance', 'balance split', 'drain'];
  const unnamed = schedulers.filter(
    (one) => !named.some((name) => name.startsWith(`spec/01 §1.8 ${one}:`)),
  );
  assert.deepEqual(unnamed, []);
});
