/** A maintainer that begins: it raises, hears every node, takes on what runs, and starts what does not (spec/01 §1.9). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SpanReport } from '#src/protocol/maintainer.ts';
import { told } from '../cell-env.ts';
import { Told, facts } from './told.ts';

test('it raises before it asks anybody, and stores the start before history flows', () => {
  const one = new Told();
  assert.deepEqual(told(one.effects), ['timer tick 50', 'port Open']);
  const opened = { kind: 'Opened', version: '1', serverId: 'd', laneCount: 1 } as const;
  assert.deepEqual(one.sink('open', opened), ['port RaiseFeed']);
  assert.deepEqual(one.sink('raise', { kind: 'FeedRaised', checkpoint: null, parts: [] }), [
    'orchestrator BootstrapFeed',
  ]);
  assert.deepEqual(one.bootstrap('a'), ['dm-a AdoptManager']);
  assert.deepEqual(one.adopt('a'), ['dm-a CheckSource']);
  assert.deepEqual(one.tell({ kind: 'SourceChecked', facts }), ['port ReadGroups']);
  assert.deepEqual(one.groups(), ['port SaveCheckpoint', 'dm-a StartSource']);
});

test('a server is not copied to itself, whether its log is still to be read or a manager reads it already', () => {
  for (const isStreaming of [false, true]) {
    const one = new Told();
    one.raises({ serverId: facts.serverId });
    one.bootstrap('a');
    one.adopt('a', [], isStreaming);
    if (!isStreaming) one.tell({ kind: 'SourceChecked', facts });
    one.close('a');
    one.retired();
    assert.deepEqual(one.lastWord, ['failed', undefined, 'SINK_IS_UPSTREAM']);
  }
});

test('spec/01 §1.9: it goes on when every node has answered, and asks the silent ones again', () => {
  const one = new Told({ nodes: ['a', 'b'] });
  one.raises();
  one.bootstrap('a');
  assert.deepEqual(one.adopt('a'), []);
  one.nowMs = 500;
  assert.deepEqual(one.tick(), ['orchestrator BootstrapFeed']);
  one.bootstrap('b');
  assert.deepEqual(one.adopt('b'), ['dm-a CheckSource']);
});

test('what runs is adopted under its tokens; of two claims the higher token stays', () => {
  const one = new Told({ nodes: ['a', 'b'] });
  one.raises();
  one.bootstrap('a');
  one.bootstrap('b');
  one.adopt('a', [['s', 7]], true);
  assert.deepEqual(
    one.adopt(
      'b',
      [
        ['s', 8],
        ['t', 9],
      ],
      true,
    ),
    ['port ReadGroups'],
  );
  const lines = one.groups();
  assert.ok(lines.includes('dm-a StopDispatcher'));
  assert.deepEqual(
    [...one.state.table.rows()].map(({ span, node, token, state }) => [span, node, token, state]),
    [
      ['s', 'b', 8, 'replicating'],
      ['t', 'b', 9, 'replicating'],
    ],
  );
});

test('P2: what ends between its adoption and the first placing is not taken before the table knows of it', () => {
  const one = new Told();
  one.raises({ checkpointTs: 10 });
  one.bootstrap('a');
  one.adopt('a', [['s', 7]], true);
  const spans: SpanReport[] = [
    { span: 's', token: 7, is: 'stopped', checkpointTs: 12, failure: null },
  ];
  // The manager tells it again until it is taken, and counts the span till then.
  assert.deepEqual(one.beat('a', 12, { spans, resolvedTs: 40 }), []);
  one.groups();
  assert.equal(one.state.table.get('s')!.state, 'replicating');
  assert.deepEqual(one.beat('a', 12, { spans, resolvedTs: 40 }), [
    'dm-a HeartbeatTaken',
    'dm-a ScheduleDispatcher',
  ]);
  one.beat('a', 40);
  assert.equal(one.checkpoint, 10);
});

test('E6: one that is refused because a newer has closed ends', () => {
  const one = new Told();
  one.raises();
  one.orchestrator('a', { kind: 'FeedBootstrapped', is: 'refused', manager: null });
  assert.equal(one.lastWord[2], 'SINK_FENCED');
});
