/** The operator controller of a maintainer: one per object, resends, losses in order, quiet (spec/01 §1.7, spec/06). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { notReslotting, type SpanOperator } from '#actors/maintainer/span-operator.ts';
import { SpanOperators } from '#actors/maintainer/span-operators.ts';
import { SpanTable } from '#actors/maintainer/span-table.ts';

const both = new Set(['a', 'b']);

class Control {
  readonly table = new SpanTable();
  token = 100;
  readonly operators = new SpanOperators(this.table, () => ++this.token);

  constructor(...spans: string[]) {
    for (const span of spans) this.table.see(span, 10);
  }

  add(span: string, node: string, token: number, alive = both): boolean {
    return this.operators.push({ kind: 'add', span, node, token, phase: 'creating' }, alive);
  }

  move(span: string, from: string, dest: string, alive = both): boolean {
    const origin = { node: from, token: this.table.get(span)!.token };
    const operator: SpanOperator = {
      kind: 'move',
      span,
      phase: 'removing',
      origin,
      dest,
      destToken: 0,
    };
    return this.operators.push(operator, alive);
  }

  says(span: string, node: string, token: number, is: 'working' | 'stopped', ts = 20): boolean {
    return this.operators.heard({
      span,
      node,
      token,
      is,
      checkpointTs: is === 'working' ? null : ts,
    });
  }

  sends(nowMs: number): string[] {
    return this.operators.due(nowMs).map((request) => {
      const { kind, span, token } = request;
      return `${kind} ${span} ${kind === 'reslot' ? '' : request.node} ${token}`;
    });
  }
}

test('spec/01 §1.7: one operator per object', () => {
  const control = new Control('s');
  assert.equal(control.add('s', 'a', 1), true);
  assert.equal(control.add('s', 'b', 2), false);
  control.says('s', 'a', 1, 'working');
  assert.equal(control.table.get('s')!.state, 'replicating');
  assert.equal(control.operators.size, 0);
  assert.equal(control.move('s', 'a', 'b'), true);
});

test('spec/01 §1.7: the same request to the same node waits, a new phase sends at once', () => {
  const control = new Control('s');
  control.add('s', 'a', 1);
  assert.deepEqual(control.sends(0), ['create s a 1']);
  assert.deepEqual(control.sends(999), []);
  assert.deepEqual(control.sends(1_000), ['create s a 1']);
  control.says('s', 'a', 1, 'working');
  control.move('s', 'a', 'b');
  assert.deepEqual(control.sends(1_001), ['stop s a 1']);
  control.says('s', 'a', 1, 'stopped');
  assert.deepEqual(control.sends(1_002), ['create s b 101']);
  assert.equal(control.table.get('s')!.checkpointTs, 20);
});

test('a merge that ended leaves nothing behind of what it asked: the next one asks all again', () => {
  const control = new Control('s', 't');
  const sources = ['s', 't'].map((span) => ({ span, node: 'a', token: 1, ts: null }));
  const slots = notReslotting;
  const merge: SpanOperator = { kind: 'merge', span: 'm', phase: 'removing', sources, slots };
  control.operators.push(merge, both);
  const asked = ['stop s a 1', 'stop t a 1'];
  assert.deepEqual(control.sends(0), asked);
  control.says('s', 'a', 1, 'stopped');
  control.says('t', 'a', 1, 'stopped');
  control.operators.reslotted('m', 101, 'refused');
  assert.equal(control.operators.size, 0);
  control.operators.push(merge, both);
  assert.deepEqual(control.sends(1), asked);
});

test('the downstream is asked once at a time: again only when it could not say', () => {
  const control = new Control('s');
  control.add('s', 'a', 1);
  control.says('s', 'a', 1, 'working');
  const split: SpanOperator = {
    kind: 'split',
    span: 's',
    phase: 'removing',
    node: 'a',
    token: 1,
    children: ['s#0-9', 's#10-65535'],
    slots: notReslotting,
  };
  control.operators.push(split, both);
  control.says('s', 'a', 1, 'stopped', 30);
  assert.deepEqual(control.sends(0), ['reslot s  101']);
  assert.deepEqual(control.sends(9_000), []);
  control.operators.reslotted('s', 101, 'again');
  assert.deepEqual(control.sends(9_001), ['reslot s  101']);
  assert.equal(control.table.heldTs(), 30);
  control.operators.reslotted('s', 101, 'done');
  assert.deepEqual(control.table.absent(), ['s#0-9', 's#10-65535']);
  assert.equal(control.table.heldTs(), 30);
  control.table.see('s', 50);
  assert.equal(control.table.get('s'), undefined);
});

test('spec/01 §1.7: a node that is gone already is told at once, after the start', () => {
  const control = new Control('s');
  assert.equal(control.add('s', 'x', 1), true);
  assert.equal(control.table.get('s')!.state, 'absent');
  assert.equal(control.operators.size, 0);
});

test('spec/01 §1.7: a lost node first frees the spans without an operator, then tells every operator', () => {
  const control = new Control('s', 't', 'u');
  for (const [i, span] of ['s', 't'].entries()) {
    control.add(span, 'a', i + 1);
    control.says(span, 'a', i + 1, 'working');
  }
  control.add('u', 'b', 3);
  control.move('t', 'a', 'b');
  control.operators.nodeLost('a');
  assert.deepEqual(
    [...control.table.rows()].map(({ span, state, node }) => [span, state, node]),
    [
      ['s', 'absent', null],
      ['t', 'scheduling', 'b'],
      ['u', 'scheduling', 'b'],
    ],
  );
});

test('a word that no operator waits for is for somebody else', () => {
  const control = new Control('s');
  assert.equal(control.says('s', 'a', 1, 'stopped'), false);
  control.add('s', 'a', 1);
  assert.equal(control.says('s', 'a', 9, 'stopped'), true);
  assert.equal(control.table.get('s')!.state, 'scheduling');
});

test('the object is removed: its operator ends without effect', () => {
  const control = new Control('s');
  control.add('s', 'a', 1);
  control.operators.taskRemoved('s');
  assert.equal(control.operators.size, 0);
  assert.equal(control.table.get('s')!.state, 'scheduling');
});

test('Q1, Q2, Q4, Q5, Q11: quiet is for good, and what is under way still holds the checkpoint', () => {
  const control = new Control('s', 't');
  control.add('s', 'a', 1);
  control.operators.quiesce();
  control.operators.quiesce();
  assert.deepEqual(control.sends(0), []);
  assert.equal(control.add('t', 'a', 2), false);
  control.operators.nodeLost('a');
  control.says('s', 'a', 1, 'working');
  assert.equal(control.table.get('s')!.state, 'scheduling');
  assert.equal(control.table.heldTs(), 10);
  assert.equal(control.operators.size, 1);
});
