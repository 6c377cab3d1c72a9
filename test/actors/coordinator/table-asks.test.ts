/** Questions about tables: asked of the maintainer until it answers, answered once, given up when nobody can. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newFeed, newState, type Feed } from '#actors/coordinator/coordinator-state.ts';
import { askTable, tableAnswered, tableAsksOn } from '#actors/coordinator/table-asks.ts';
import { ok } from '#src/base/failure.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { newRecord } from '#src/protocol/changefeed-record.ts';
import type { Answered } from '#src/protocol/coordinator.ts';
import type { AskTable, TableAnswered } from '#src/protocol/maintainer-manager.ts';
import { envOf, refOf, told } from '../cell-env.ts';
import { configOf } from '../feed-config.ts';

const entry = { key: 'k', value: '{}', revision: 1, createRevision: 1, lease: '' };
const asker = { to: refOf('person'), requestId: 7 };
const split = { kind: 'split', span: 's.t', partCount: 2 } as const;

/** A coordinator with one changefeed, maintained on node `a`. */
class Asked {
  readonly state = newState(
    {
      clusterId: 'c',
      self: 'a',
      nodes: ['a'],
      ownership: { key: 'coordinator', revision: 5 },
      isPrompt: true,
      elector: refOf('elector'),
    } as never,
    envOf(),
  );
  readonly feed: Feed = newFeed(
    'f',
    newRecord(configOf('f'), 0),
    { info: entry, status: entry },
    0,
  );

  constructor() {
    this.feed.placed = { node: 'a', epoch: 1 };
    this.state.feeds.set('f', this.feed);
  }

  on(nowMs: number): readonly Effect[] {
    return tableAsksOn(this.state, envOf('x', nowMs));
  }
}

function answers(effects: readonly Effect[]): unknown[] {
  return effects.flatMap((effect) => {
    if (effect.kind !== 'Send' || effect.message.kind !== 'Answered') return [];
    const { requestId, outcome } = effect.message as Answered;
    return [[requestId, outcome.ok ? outcome.value.kind : outcome.failure.code]];
  });
}

test('a question is sent again until the maintainer has answered, and answered once', () => {
  const one = new Asked();
  const { state, feed } = one;
  const effects = askTable(state, feed, split, asker, envOf());
  assert.equal(told(effects).filter((line) => line.endsWith('AskTable')).length, 1);
  const sent = effects[0]!.kind === 'Send' ? (effects[0].message as AskTable) : null;
  assert.deepEqual(one.on(499), []);
  assert.equal(told(one.on(500)).filter((line) => line.endsWith('AskTable')).length, 1);
  const outcome = ok({ kind: 'Done' as const });
  const answer: TableAnswered = { kind: 'TableAnswered', askId: sent!.askId, outcome };
  assert.deepEqual(answers(tableAnswered(state, answer)), [[7, 'Done']]);
  assert.deepEqual(tableAnswered(state, answer), []);
  assert.deepEqual(one.on(9_000), []);
});

test('while nobody maintains the changefeed the question waits; when it does not run any more it is given up', () => {
  const one = new Asked();
  askTable(one.state, one.feed, split, asker, envOf());
  one.feed.placed = null;
  assert.deepEqual(one.on(5_000), []);
  one.feed.record = { ...one.feed.record, state: 'stopped' };
  assert.deepEqual(answers(one.on(5_100)), [[7, 'CHANGEFEED_STATE']]);
  assert.deepEqual(one.on(6_000), []);
});

test('who asked is told after a minute that it goes on without him', () => {
  const one = new Asked();
  askTable(one.state, one.feed, split, asker, envOf());
  assert.deepEqual(answers(one.on(60_000)), [[7, 'CHANGEFEED_STATE']]);
});
