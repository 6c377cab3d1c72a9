/** The maintainer's operators (spec/01 §1.7), one row of its table after another. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  begin,
  notReslotting,
  requestsOf,
  step,
  type SpanEvent,
  type SpanOperator,
} from '#actors/maintainer/span-operator.ts';
import type { SpanChange } from '#actors/maintainer/span-table.ts';

const mint = (): number => 90;
const lost = (node: string): SpanEvent => ({ kind: 'node-lost', node });
const removed: SpanEvent = { kind: 'task-removed' };
const said = (
  is: 'working' | 'stopped',
  node: string,
  token: number,
  checkpointTs: number | null = null,
  span = 's',
): SpanEvent => ({ kind: 'word', word: { span, node, token, is, checkpointTs } });

const add: SpanOperator = { kind: 'add', span: 's', node: 'a', token: 7, phase: 'creating' };
const remove: SpanOperator = { kind: 'remove', span: 's', node: 'a', token: 7, phase: 'removing' };
const move: SpanOperator = {
  kind: 'move',
  span: 's',
  phase: 'removing',
  origin: { node: 'a', token: 7 },
  dest: 'b',
  destToken: 0,
};
const creating: SpanOperator = { ...move, phase: 'creating', destToken: 90 };
const aborting: SpanOperator = { ...move, phase: 'aborting' };
const slots = notReslotting;
const split: SpanOperator = { ...remove, kind: 'split', children: ['s1', 's2'], slots };
const merge: SpanOperator = {
  kind: 'merge',
  span: 'm',
  phase: 'removing',
  sources: [
    { span: 's1', node: 'a', token: 7, ts: null },
    { span: 's2', node: 'b', token: 8, ts: null },
  ],
  slots,
};
const splitting: SpanOperator = {
  ...split,
  phase: 'reslotting',
  slots: { token: 90, checkpointTs: 50 },
};
const merging: SpanOperator = {
  ...merge,
  phase: 'reslotting',
  slots: { token: 90, checkpointTs: 40 },
};
const reslotted = (is: 'done' | 'refused', token = 90): SpanEvent => ({
  kind: 'reslotted',
  token,
  is,
});

interface Row {
  readonly rule: string;
  readonly on: SpanOperator;
  readonly event: SpanEvent;
  readonly phase: string;
  readonly changes?: readonly SpanChange[];
}

const absent = (more: object = {}): readonly SpanChange[] => [{ to: 'absent', span: 's', ...more }];
const working: readonly SpanChange[] = [{ to: 'replicating', span: 's' }];

const rows: readonly Row[] = [
  {
    rule: 'add: Working makes it replicate',
    on: add,
    event: said('working', 'a', 7),
    phase: 'done',
    changes: working,
  },
  {
    rule: 'add: dest lost makes it absent',
    on: add,
    event: lost('a'),
    phase: 'done',
    changes: absent(),
  },
  {
    rule: 'add: a dispatcher that ended makes it absent where it stood',
    on: add,
    event: said('stopped', 'a', 7, 50),
    phase: 'done',
    changes: absent({ checkpointTs: 50 }),
  },
  { rule: 'add: task removed ends it without effect', on: add, event: removed, phase: 'done' },
  { rule: 'add: another node is not meant', on: add, event: lost('b'), phase: 'creating' },
  {
    rule: 'F6 in the small: a word under another token is not meant',
    on: add,
    event: said('working', 'a', 6),
    phase: 'creating',
  },
  {
    rule: 'F6 in the small: a word of another node is not meant',
    on: add,
    event: said('working', 'b', 7),
    phase: 'creating',
  },
  {
    rule: 'remove: Stopped is the end',
    on: remove,
    event: said('stopped', 'a', 7, 50),
    phase: 'done',
  },
  {
    rule: '9.2.12: not found is an answer to a remove',
    on: remove,
    event: said('stopped', 'a', 7, null),
    phase: 'done',
  },
  { rule: 'remove: node lost is the end', on: remove, event: lost('a'), phase: 'done' },
  { rule: 'remove: task removed', on: remove, event: removed, phase: 'done' },
  {
    rule: 'remove: still working is no end',
    on: remove,
    event: said('working', 'a', 7),
    phase: 'removing',
  },
  {
    rule: 'move: origin stopped, on to the dest under a new token, at the final position',
    on: move,
    event: said('stopped', 'a', 7, 50),
    phase: 'creating',
    changes: [{ to: 'scheduling', span: 's', node: 'b', token: 90, checkpointTs: 50 }],
  },
  {
    rule: 'move: origin lost, on to the dest where the checkpoint stands',
    on: move,
    event: lost('a'),
    phase: 'creating',
    changes: [{ to: 'scheduling', span: 's', node: 'b', token: 90 }],
  },
  {
    rule: 'move: dest lost before the origin stopped, the removal is finished first',
    on: move,
    event: lost('b'),
    phase: 'aborting',
  },
  {
    rule: 'move aborting: then absent',
    on: aborting,
    event: said('stopped', 'a', 7, 50),
    phase: 'done',
    changes: absent({ checkpointTs: 50 }),
  },
  {
    rule: 'move aborting: origin lost too',
    on: aborting,
    event: lost('a'),
    phase: 'done',
    changes: absent(),
  },
  {
    rule: 'move: dest lost afterwards makes it absent',
    on: creating,
    event: lost('b'),
    phase: 'done',
    changes: absent(),
  },
  {
    rule: 'move: origin lost afterwards is nobody',
    on: creating,
    event: lost('a'),
    phase: 'creating',
  },
  {
    rule: 'move: dest Working is the end',
    on: creating,
    event: said('working', 'b', 90),
    phase: 'done',
    changes: working,
  },
  {
    rule: 'move: dest failed makes it absent',
    on: creating,
    event: said('stopped', 'b', 90, 51),
    phase: 'done',
    changes: absent({ checkpointTs: 51 }),
  },
  {
    rule: 'move: a late word of the origin is not meant',
    on: creating,
    event: said('stopped', 'a', 7, 50),
    phase: 'creating',
  },
  { rule: 'move: task removed', on: move, event: removed, phase: 'done' },
  {
    rule: 'split: the parent stopped, nobody serves it while its slots are divided',
    on: split,
    event: said('stopped', 'a', 7, 50),
    phase: 'reslotting',
    changes: absent({ checkpointTs: 50 }),
  },
  {
    rule: 'split: the slots are divided, the children are absent where the parent stopped',
    on: splitting,
    event: reslotted('done'),
    phase: 'done',
    changes: [{ to: 'replaced', spans: ['s'], by: ['s1', 's2'], checkpointTs: 50 }],
  },
  {
    rule: 'split: the downstream refuses, the span is placed again, whole',
    on: splitting,
    event: reslotted('refused'),
    phase: 'done',
  },
  {
    rule: 'split: an answer to an earlier request is not meant',
    on: splitting,
    event: reslotted('done', 89),
    phase: 'reslotting',
  },
  {
    rule: 'split: origin lost while the slots are divided changes nothing any more',
    on: splitting,
    event: lost('a'),
    phase: 'reslotting',
  },
  {
    rule: 'split: task removed while the slots are divided waits for them',
    on: splitting,
    event: removed,
    phase: 'reslotting',
  },
  {
    rule: 'split: origin lost, the span is absent, whole',
    on: split,
    event: lost('a'),
    phase: 'done',
    changes: absent(),
  },
  { rule: 'split: task removed', on: split, event: removed, phase: 'done' },
  {
    rule: 'merge: one source stopped, it waits for the others',
    on: merge,
    event: said('stopped', 'a', 7, 50, 's1'),
    phase: 'removing',
    changes: [{ to: 'absent', span: 's1', checkpointTs: 50 }],
  },
  {
    rule: 'merge: node lost, its sources are absent and nothing is merged',
    on: merge,
    event: lost('b'),
    phase: 'done',
    changes: [{ to: 'absent', span: 's2' }],
  },
  { rule: 'merge: task removed', on: merge, event: removed, phase: 'done' },
  {
    rule: 'merge: the slots are joined, the merged span is absent at the lowest position',
    on: merging,
    event: reslotted('done'),
    phase: 'done',
    changes: [{ to: 'replaced', spans: ['s1', 's2'], by: ['m'], checkpointTs: 40 }],
  },
  {
    rule: 'merge: the downstream refuses, the sources are placed again',
    on: merging,
    event: reslotted('refused'),
    phase: 'done',
  },
  {
    rule: 'merge: node lost while the slots are joined changes nothing any more',
    on: merging,
    event: lost('a'),
    phase: 'reslotting',
  },
];

for (const { rule, on, event, phase, changes } of rows) {
  test(rule, () => {
    const next = step(on, event, mint);
    assert.equal(next.operator.phase, phase);
    assert.deepEqual(next.changes, changes ?? []);
  });
}

test('merge: all stopped, the merged span begins at the lowest position', () => {
  const half = step(merge, said('stopped', 'a', 7, 60, 's1'), mint).operator;
  const all = step(half, said('stopped', 'b', 8, 50, 's2'), mint);
  assert.deepEqual(all.changes, [{ to: 'absent', span: 's2', checkpointTs: 50 }]);
  assert.deepEqual(step(all.operator, reslotted('done'), mint).changes, [
    { to: 'replaced', spans: ['s1', 's2'], by: ['m'], checkpointTs: 50 },
  ]);
});

test('what is done does nothing more', () => {
  const done: SpanOperator = { ...add, phase: 'done' };
  for (const event of [lost('a'), removed, said('working', 'a', 7)])
    assert.deepEqual(step(done, event, mint), { operator: done, changes: [] });
});

test('what operators ask of nodes, and what their start changes', () => {
  const asks = (operator: SpanOperator): string[] =>
    requestsOf(operator).map((request) =>
      request.kind === 'reslot'
        ? `reslot ${request.from.join()} to ${request.to.join()} ${request.token}`
        : `${request.kind} ${request.span} ${request.node} ${request.token}`,
    );
  assert.deepEqual(asks(add), ['create s a 7']);
  assert.deepEqual(asks(remove), ['stop s a 7']);
  assert.deepEqual(asks(move), ['stop s a 7']);
  assert.deepEqual(asks(aborting), ['stop s a 7']);
  assert.deepEqual(asks(creating), ['create s b 90']);
  assert.deepEqual(asks(split), ['stop s a 7']);
  assert.deepEqual(asks(merge), ['stop s1 a 7', 'stop s2 b 8']);
  assert.deepEqual(asks(splitting), ['reslot s to s1,s2 90']);
  assert.deepEqual(asks(merging), ['reslot s1,s2 to m 90']);
  assert.deepEqual(begin(add), [{ to: 'scheduling', span: 's', node: 'a', token: 7 }]);
  assert.deepEqual(begin(remove), [{ to: 'gone', span: 's' }]);
  assert.deepEqual(begin(move), []);
});
