/** Watermarks and the checkpoint (spec/01 §1.5). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkpointTs, NodeWatermarks } from '#actors/maintainer/checkpoint.ts';
import { SpanTable } from '#actors/maintainer/span-table.ts';

function marks(...of: (readonly [node: string, seq: number, ts: number])[]): NodeWatermarks {
  const watermarks = new NodeWatermarks();
  for (const [node, seq, ts] of of) watermarks.take(node, { seq, checkpointTs: ts });
  return watermarks;
}

const free = { heldTs: Infinity, barrierTs: Infinity, self: 'a', busy: [] };

test('spec/01 §1.5 rule 3: a watermark is taken when newer by seq, or higher under the same seq', () => {
  const watermarks = marks(['a', 2, 50]);
  for (const [seq, ts, kept] of [
    [1, 90, 50],
    [2, 40, 50],
    [2, 60, 60],
    [3, 30, 30],
  ] as const) {
    watermarks.take('a', { seq, checkpointTs: ts });
    assert.equal(watermarks.get('a')!.checkpointTs, kept);
  }
});

test('spec/01 §1.5 rule 2: a watermark that did not see the new dispatcher never stands for it', () => {
  const watermarks = marks(['a', 1, 100]);
  // The manager took on a span at 50 and says so; the late watermark of before comes afterwards.
  watermarks.take('a', { seq: 2, checkpointTs: 50 });
  watermarks.take('a', { seq: 1, checkpointTs: 110 });
  assert.equal(checkpointTs(free, watermarks), 50);
});

test('spec/01 §1.5 rule 4: the lowest of what is held, the barrier and every required node', () => {
  const rows = [
    [{ ...free }, 70],
    [{ ...free, busy: ['b'] }, 60],
    [{ ...free, heldTs: 40 }, 40],
    [{ ...free, barrierTs: 30, busy: ['a', 'b'] }, 30],
    [{ ...free, self: 'b' }, 60],
  ] as const;
  for (const [facts, ts] of rows)
    assert.equal(checkpointTs(facts, marks(['a', 1, 70], ['b', 1, 60])), ts);
});

test('spec/01 §1.5 rule 4: a required node that has said nothing stops the round; idle nodes are not required', () => {
  assert.equal(checkpointTs({ ...free, busy: ['b'] }, marks(['a', 1, 70])), null);
  assert.equal(checkpointTs(free, marks(['b', 1, 60])), null);
  assert.equal(checkpointTs(free, marks(['a', 1, 70], ['b', 1, 10])), 70);
});

test('spec/01 §1.5 rule 4: infinity is no checkpoint', () => {
  assert.equal(checkpointTs(free, marks(['a', 1, Infinity])), null);
});

test('a manager that was started anew begins anew', () => {
  const watermarks = marks(['a', 5, 70]);
  watermarks.forget('a');
  assert.equal(checkpointTs(free, watermarks), null);
  watermarks.take('a', { seq: 1, checkpointTs: 65 });
  assert.equal(checkpointTs(free, watermarks), 65);
});

test('spec/01 §1.5 rule 5: a span holds what is committed at least, never less', () => {
  const table = new SpanTable();
  table.see('s', 10);
  assert.equal(table.heldTs(), 10);
  table.apply({ to: 'scheduling', span: 's', node: 'a', token: 1 });
  assert.equal(table.heldTs(), 10);
  table.apply({ to: 'replicating', span: 's' });
  assert.equal(table.heldTs(), Infinity);
  table.commit(40);
  table.apply({ to: 'absent', span: 's' });
  assert.equal(table.heldTs(), 40);
  table.apply({ to: 'gone', span: 's' });
  assert.equal(table.size, 0);
});

test('the table counts what is bound to a node, under way or not', () => {
  const table = new SpanTable();
  for (const span of ['s', 't', 'u']) table.see(span, 1);
  table.apply({ to: 'scheduling', span: 's', node: 'a', token: 1 });
  table.adopt('t', 'a', 2, 5);
  assert.deepEqual([...table.loads()], [['a', 2]]);
  assert.deepEqual(table.absent(), ['u']);
  assert.deepEqual(
    table.on('a').map((row) => row.span),
    ['s', 't'],
  );
  table.apply({ to: 'replaced', spans: ['s', 't'], by: ['m'], checkpointTs: 3 });
  assert.deepEqual(
    [...table.rows()].map((row) => [row.span, row.state, row.checkpointTs]),
    [
      ['u', 'absent', 1],
      ['m', 'absent', 3],
    ],
  );
});
