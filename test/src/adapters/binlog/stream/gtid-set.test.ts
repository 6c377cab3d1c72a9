// The set is compared with the plainest model there is: a JavaScript Set of "source:number" texts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { FailureError } from '#src/base/failure.ts';
import { GtidSet } from '#src/adapters/binlog/stream/gtid-set.ts';

const uuids = [
  '9275c446-e54d-11f1-86f3-02fc00000001',
  '9275c446-e54d-11f1-86f3-02fc00000002',
  '9275c446-e54d-11f1-86f3-02fc00000001:tag_a',
  '9275c446-e54d-11f1-86f3-02fc00000001:b',
];
const ids = fc.array(fc.tuple(fc.constantFrom(...uuids), fc.integer({ min: 1, max: 30 })));
type Ids = readonly (readonly [string, number])[];

function setOf(list: Ids): GtidSet {
  const set = new GtidSet();
  for (const [source, number] of list) set.add(source, number);
  return set;
}

function model(list: Ids): Set<string> {
  return new Set(list.map(([source, number]) => `${source}:${number}`));
}

function members(set: GtidSet): Set<string> {
  const out = new Set<string>();
  for (const source of set.sources()) {
    for (const { first, last } of set.intervals(source)) {
      for (let n = first; n <= last; n++) out.add(`${source}:${n}`);
    }
  }
  return out;
}

test('a set holds exactly what was added, as disjoint intervals that never touch', () => {
  fc.assert(
    fc.property(ids, (list) => {
      const set = setOf(list);
      assert.deepEqual(members(set), model(list));
      for (const source of set.sources()) {
        const intervals = set.intervals(source);
        for (let i = 1; i < intervals.length; i++) {
          assert.ok(intervals[i]!.first > intervals[i - 1]!.last + 1);
        }
      }
      for (const [source, number] of list) assert.ok(set.has(source, number));
      assert.equal(set.has(uuids[0]!, 31), false);
    }),
  );
});

test('printing and parsing give the same set, and order and repetition do not matter', () => {
  fc.assert(
    fc.property(ids, (list) => {
      const set = setOf(list);
      assert.equal(GtidSet.parse(set.toString()).toString(), set.toString());
      assert.equal(setOf(list.toReversed()).toString(), set.toString());
      assert.equal(setOf([...list, ...list]).toString(), set.toString());
    }),
  );
});

test('the binary form gives the same set back', () => {
  fc.assert(
    fc.property(ids, (list) => {
      const set = setOf(list);
      assert.equal(GtidSet.decode(set.encode()).toString(), set.toString());
    }),
  );
});

test('union, difference and containment follow the laws of sets', () => {
  fc.assert(
    fc.property(ids, ids, (a, b) => {
      const left = setOf(a);
      const right = setOf(b);
      const union = left.union(right);
      assert.deepEqual(members(union), model([...a, ...b]));
      assert.equal(union.toString(), right.union(left).toString());
      assert.equal(union.union(left).toString(), union.toString());
      assert.ok(union.contains(left) && union.contains(right));
      const minus = left.minus(right);
      assert.deepEqual(
        members(minus),
        new Set([...members(left)].filter((id) => !members(right).has(id))),
      );
      assert.equal(minus.union(right).toString(), union.toString());
      assert.equal(
        left.contains(right),
        [...members(right)].every((id) => members(left).has(id)),
      );
      assert.deepEqual(members(left), model(a));
    }),
  );
});

test('the text of a server is read, with spaces, line ends, capitals and tags', () => {
  const text =
    '9275C446-E54D-11F1-86F3-02FC00000001:1-5:7:tagg:1:3-4,\n 9275c446-e54d-11f1-86f3-02fc00000002:9';
  assert.equal(
    GtidSet.parse(text).toString(),
    '9275c446-e54d-11f1-86f3-02fc00000001:1-5:7:tagg:1:3-4,9275c446-e54d-11f1-86f3-02fc00000002:9',
  );
  assert.equal(GtidSet.parse('').isEmpty, true);
});

test('a text that is no set is refused as a configuration fault', () => {
  for (const text of [
    '1-2-3',
    `${uuids[0]}`,
    `${uuids[0]}:0`,
    `${uuids[0]}:5-2`,
    `${uuids[0]}:x-y`,
  ]) {
    assert.throws(
      () => GtidSet.parse(text),
      (error) => error instanceof FailureError && error.failure.code === 'CONFIG_INVALID',
    );
  }
});
