/** A maintainer that splits tables and joins them, told one message after another (spec/01 §1.7, §1.8; DESIGN §10). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MaintainerInbox } from '#actors/maintainer/maintainer-state.ts';
import { failed, failure, ok, type Outcome } from '#src/base/failure.ts';
import { evenParts } from '#src/model/span.ts';
import type { SinkAnswer } from '#src/ports/sink.ts';
import type { TableAnswered } from '#src/protocol/maintainer-manager.ts';
import type { TableRequest } from '#src/protocol/maintainer.ts';
import { Told, at, ddl, lost } from './told.ts';

const whole = 's.t';
const [low, high] = ['s.t#0-32767', 's.t#32768-65535'] as const;

/** A running maintainer of one table. */
const undivided = (more: ConstructorParameters<typeof Told>[0] = {}): Told =>
  Told.running(more, [whole]);

/** The same, which somebody wants to be split in two. */
function splitting(): Told {
  const one = undivided();
  const request = { kind: 'split', span: whole, partCount: 2 } as const;
  assert.deepEqual(one.tell({ kind: 'AskTable', id: 'f', askId: 1, request }), ['port CheckSplit']);
  return one;
}

const splitAnswer = (refusal: string | null, count = 1): MaintainerInbox => ({
  kind: 'SplitAnswered',
  tag: `${count} ${whole}`,
  outcome: ok({ kind: 'SplitChecked', refusal }),
});

function reslotted(one: Told, span: string, outcome: Outcome<SinkAnswer>): string[] {
  const slots = one.state.operators.list().flatMap((op) => ('slots' in op ? [op.slots] : []));
  return one.tell({ kind: 'ReslotAnswered', tag: `${slots[0]!.token} ${span}`, outcome });
}

/** Up to two parts that replicate. */
function split(): Told {
  const one = splitting();
  one.tell(splitAnswer(null));
  one.says('a', whole, 'stopped', 33);
  reslotted(one, whole, ok({ kind: 'Reslotted' }));
  for (const part of [low, high]) one.says('a', part, 'working', 33);
  return one;
}

/** What was answered to questions about tables by the last step. */
function answers(one: Told): (string | undefined)[] {
  return one.effects.flatMap((effect) => {
    if (effect.kind !== 'Send' || effect.message.kind !== 'TableAnswered') return [];
    const { outcome } = effect.message as TableAnswered;
    return [outcome.ok ? outcome.value.kind : outcome.failure.code];
  });
}

test('a split: the downstream is asked, the span stops, its slots are divided, its parts begin where it stood', () => {
  const one = splitting();
  assert.deepEqual(one.tell(splitAnswer(null)), ['dm-a StopDispatcher']);
  assert.deepEqual(one.says('a', whole, 'stopped', 33), ['dm-a HeartbeatTaken', 'port Reslot']);
  one.beat('a', 90);
  assert.equal(one.checkpoint, 33);
  assert.equal(one.state.table.heldTs(), 33);
  assert.deepEqual(reslotted(one, whole, ok({ kind: 'Reslotted' })), [
    'manager TableAnswered',
    'dm-a ScheduleDispatcher',
    'dm-a ScheduleDispatcher',
  ]);
  assert.deepEqual(answers(one), ['Done']);
  assert.deepEqual(one.tokens, [3, 4]);
  assert.deepEqual([...one.state.table.rows()].map(({ span }) => span).toSorted(), [low, high]);
});

test('a table that may not be split is left alone, and whoever asked is told why', () => {
  const one = splitting();
  assert.deepEqual(one.tell(splitAnswer('it has no primary key')), ['manager TableAnswered']);
  assert.deepEqual(answers(one), ['TABLE_UNSPLITTABLE']);
  assert.equal(one.state.wishes.size, 0);
  assert.equal(one.state.table.get(whole)!.state, 'replicating');
});

test('questions about tables are answered at once when there is nothing to do, or nothing that can be done', () => {
  const one = split();
  const ask = (request: TableRequest): (string | undefined)[] => {
    one.tell({ kind: 'AskTable', id: 'f', askId: 9, request });
    return answers(one);
  };
  assert.deepEqual(ask({ kind: 'split', span: whole, partCount: 2 }), ['Done']);
  assert.deepEqual(ask({ kind: 'split', span: whole, partCount: 3 }), ['CHANGEFEED_STATE']);
  assert.deepEqual(ask({ kind: 'split', span: 'x.y', partCount: 3 }), ['TABLE_UNKNOWN']);
  assert.deepEqual(ask({ kind: 'merge', span: 'x.y' }), ['TABLE_UNKNOWN']);
  assert.deepEqual(ask({ kind: 'move', span: low, node: 'a' }), ['Done']);
  assert.deepEqual(ask({ kind: 'move', span: whole, node: 'a' }), ['CHANGEFEED_STATE']);
  assert.deepEqual(ask({ kind: 'move', span: low, node: 'z' }), ['CAPTURE_UNKNOWN']);
  assert.deepEqual(ask({ kind: 'list' }), ['Tables']);
  one.state.routing = { ...one.state.routing, groups: { 's.u': 'group:s.t+s.u' } };
  assert.deepEqual(ask({ kind: 'split', span: 's.u', partCount: 2 }), ['TABLE_UNSPLITTABLE']);
});

test('a merge: all parts stop, their slots are joined, the whole begins where the hindmost stood', () => {
  const one = split();
  const request = { kind: 'merge', span: whole } as const;
  assert.deepEqual(one.tell({ kind: 'AskTable', id: 'f', askId: 2, request }), [
    'dm-a StopDispatcher',
    'dm-a StopDispatcher',
  ]);
  one.says('a', high, 'stopped', 50);
  assert.deepEqual(one.says('a', low, 'stopped', 60), ['dm-a HeartbeatTaken', 'port Reslot']);
  assert.deepEqual(reslotted(one, whole, ok({ kind: 'Reslotted' })), [
    'manager TableAnswered',
    'dm-a ScheduleDispatcher',
  ]);
  assert.deepEqual(answers(one), ['Done']);
  assert.equal(one.state.table.get(whole)!.checkpointTs, 50);
});

test('a downstream that cannot say whether slots were divided is asked again, and nothing is scheduled meanwhile', () => {
  const one = splitting();
  one.tell(splitAnswer(null));
  one.says('a', whole, 'stopped', 33);
  assert.deepEqual(reslotted(one, whole, failed(lost)), []);
  assert.deepEqual(one.tick(), []);
  one.nowMs += 1_000;
  assert.ok(one.tick().includes('port Reslot'));
  const fenced = failure('SINK_FENCED', 'newer');
  reslotted(one, whole, failed(fenced));
  assert.equal(one.state.phase.at, 'ended');
});

test('DESIGN §10: before a DDL on a split table runs, its parts are joined; another table is not touched', () => {
  for (const [sql, isJoined] of [
    ['ALTER TABLE T ADD UNIQUE KEY u (v)', true],
    ['DROP DATABASE s', true],
    ['ALTER TABLE x ADD FOREIGN KEY (a) REFERENCES t(id)', true],
    ['ALTER TABLE x ADD COLUMN a INT', false],
    ['TRUNCATE t', false],
  ] as const) {
    const one = split();
    const statement = { ...ddl, schema: 's', sql };
    const lines = one.beat('a', 39, {
      resolvedTs: 39,
      ddl: { ddl: statement, resolved: at(39) },
    });
    assert.equal(lines.includes('dm-a StopDispatcher'), isJoined, sql);
    assert.equal(lines.includes('port SaveCheckpoint'), !isJoined, sql);
    if (!isJoined) continue;
    one.says('a', low, 'stopped', 39);
    one.says('a', high, 'stopped', 39);
    reslotted(one, whole, ok({ kind: 'Reslotted' }));
    assert.ok(one.says('a', whole, 'working', 39).includes('port SaveCheckpoint'));
  }
});

test('a table that waits to be split is asked about again when a DDL has run', () => {
  const one = splitting();
  one.beat('a', 39, { resolvedTs: 39, ddl: { ddl, resolved: at(39) } });
  one.saved();
  one.sink('ddl', { kind: 'DdlDone', ran: true });
  assert.ok(one.groups().includes('port CheckSplit'));
  assert.deepEqual(one.tell(splitAnswer(null, 1)), []);
  assert.deepEqual(one.tell(splitAnswer(null, 2)), ['dm-a StopDispatcher']);
});

test('the next maintainer takes the parts from the slots, and stops who serves the table otherwise', () => {
  const one = new Told({ nodes: ['a', 'b'] });
  one.raises({ parts: [low, high] });
  one.bootstrap('a');
  one.bootstrap('b');
  one.adopt('a', [[low, 8]], true);
  one.adopt(
    'b',
    [
      [whole, 7],
      ['u.v#0-9', 9],
    ],
    true,
  );
  const lines = one.groups();
  assert.equal(lines.filter((line) => line === 'dm-b StopDispatcher').length, 2);
  assert.deepEqual(
    [...one.state.table.rows()].map(({ span, node }) => [span, node]),
    [
      [low, 'a'],
      [high, 'b'],
    ],
  );
});

/** Windows of 15 s in each of which so many rows of the table are told; what was done in the last. */
function windows(one: Told, count: number, rows: number, span: string): string[] {
  let lines: string[] = [];
  for (let i = 0; i < count; i++) {
    one.beat('a', 50, { loads: [{ span, rows }] });
    one.nowMs += 15_000;
    lines = one.tick();
  }
  return lines;
}

test('spec/01 §1.8 balance split: a table that is hot for two windows is split, one that has long been cold is joined', () => {
  const one = undivided({ splitAbove: 1_000 });
  assert.ok(!windows(one, 1, 16_000, whole).includes('port CheckSplit'));
  assert.ok(!windows(one, 1, 14_000, whole).includes('port CheckSplit'));
  assert.ok(!windows(one, 1, 16_000, whole).includes('port CheckSplit'));
  assert.ok(windows(one, 1, 16_000, whole).includes('port CheckSplit'));
  one.tell(splitAnswer(null));
  one.says('a', whole, 'stopped', 50);
  reslotted(one, whole, ok({ kind: 'Reslotted' }));
  for (const part of [low, high]) one.says('a', part, 'working', 50);
  assert.ok(!windows(one, 7, 3_000, low).includes('dm-a StopDispatcher'));
  assert.ok(!windows(one, 1, 4_000, low).includes('dm-a StopDispatcher'));
  assert.ok(windows(one, 8, 3_000, low).includes('dm-a StopDispatcher'));
});

test('spec/01 §1.8 balance split: who does not want it is left alone, and so is a table that may not be split', () => {
  assert.ok(!windows(undivided(), 4, 90_000, whole).includes('port CheckSplit'));
  const one = undivided({ splitAbove: 1_000 });
  windows(one, 2, 90_000, whole);
  one.tell(splitAnswer('it has no primary key'));
  assert.ok(!windows(one, 4, 90_000, whole).includes('port CheckSplit'));
  assert.equal(one.state.wishes.size, 0);
});

test('spec/01 §1.8 basic: parts of a table go to the node that has fewest of them', () => {
  const one = new Told({ nodes: ['a', 'b'] });
  one.raises({ parts: evenParts(whole, 4) });
  one.bootstrap('a');
  one.bootstrap('b');
  one.adopt('a', [], true);
  one.adopt(
    'b',
    [
      ['s.u', 7],
      ['s.v', 8],
      ['s.w', 9],
    ],
    true,
  );
  one.groups();
  const nodes = evenParts(whole, 4).map((part) => one.state.table.get(part)!.node);
  assert.deepEqual(nodes.toSorted(), ['a', 'a', 'b', 'b']);
});
