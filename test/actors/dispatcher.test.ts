import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DispatcherInbox, DispatcherState } from '#actors/dispatcher/dispatcher-state.ts';
import { dispatcher } from '#actors/dispatcher/dispatcher.ts';
import { failed, failure, ok } from '#src/base/failure.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { BlockInfo } from '#src/model/block.ts';
import type { SinkRequest, SlotState } from '#src/ports/sink.ts';
import { envOf, refOf, told } from './cell-env.ts';

type Apply = Extract<SinkRequest, { kind: 'Apply' }>;

function info(firstTs: number, lastTs: number, flags = ''): BlockInfo {
  return {
    span: 'd.t',
    firstTs,
    lastTs,
    continues: flags.includes('c'),
    unfinished: flags.includes('u'),
    transactionCount: 1,
    eventCount: 1,
    byteCount: 40,
  };
}

function lane(ts: number, more: Partial<SlotState> = {}): SlotState {
  return { slot: 0, lane: 0, seq: 1, ts, base: ts, lanes: 1, ...more };
}

/** A dispatcher that is told one message after another. */
class Told {
  state: DispatcherState;
  effects: readonly Effect[];
  #seq = 0;

  constructor(lanes: readonly SlotState[] = [lane(10)]) {
    [this.state, this.effects] = dispatcher.init(
      {
        changefeed: 'f',
        span: 'd.t',
        token: 7,
        startTs: 0,
        manager: refOf('manager'),
        eventService: refOf('service'),
        batchBytes: 100,
        creditBytes: 1000,
      },
      envOf(),
    );
    this.tell({ kind: 'RaiseAnswered', outcome: ok({ kind: 'SpanRaised', lanes }) });
  }

  tell(message: DispatcherInbox): string[] {
    [this.state, this.effects] = dispatcher.receive(this.state, message, envOf());
    return told(this.effects);
  }

  events(...infos: BlockInfo[]): string[] {
    const moved = infos.map(() => new Uint8Array(1));
    return this.tell({ kind: 'Events', seq: ++this.#seq, infos, moved, schemaVersion: 1 });
  }

  applied(ts: number): string[] {
    const counts = { rowCount: 1, transactionCount: 1, writtenRowCount: 1, commitMs: 1 };
    const value = { kind: 'Applied', ts, byteCount: 1, ...counts } as const;
    return this.tell({ kind: 'ApplyAnswered', outcome: ok(value) });
  }

  /** The batch that was just sent. */
  get batch(): readonly unknown[] {
    for (const effect of this.effects) {
      if (effect.kind !== 'CallPort') continue;
      const { stage, afterTs, untilTs, idempotent, blocks } = effect.request as Apply;
      return [stage, afterTs, untilTs, idempotent, blocks.length];
    }
    return [];
  }
}

test('the slots say where it goes on', () => {
  const one = new Told([lane(10), lane(30, { lane: 1 })]);
  assert.deepEqual(told(one.effects), ['service Subscribe']);
  assert.equal(one.state.phase, 'streaming');
  assert.equal(one.state.appliedTs, 30);
});

test('while a batch is under way the next ones gather, up to the batch size', () => {
  const one = new Told();
  one.events(info(20, 20));
  assert.deepEqual(one.batch, ['whole', 10, 20, false, 1]);
  assert.deepEqual(one.events(info(30, 30), info(40, 40), info(50, 50)), []);
  assert.deepEqual(one.applied(20), [
    'service GrantCredit',
    'manager DispatcherWatermark',
    'port Apply',
  ]);
  assert.deepEqual(one.batch, ['whole', 20, 40, false, 2]);
});

test('a big transaction is begun, continued and ended, and moves the position at its end only', () => {
  const one = new Told();
  one.events(info(20, 20, 'u'), info(20, 20, 'cu'), info(20, 30, 'c'));
  assert.deepEqual(one.batch, ['begin', 10, 20, false, 1]);
  one.applied(10);
  assert.deepEqual(one.batch, ['more', 10, 20, false, 1]);
  one.applied(10);
  assert.deepEqual(one.batch, ['end', 10, 30, false, 1]);
  assert.equal(one.state.appliedTs, 10);
  one.applied(30);
  assert.equal(one.state.appliedTs, 30);
});

test('a big transaction without further rows here ends when it is resolved, or at the next block', () => {
  const one = new Told();
  one.events(info(20, 20, 'u'));
  one.applied(10);
  assert.deepEqual(one.tell({ kind: 'Resolved', ts: 15 }), []);
  one.tell({ kind: 'Resolved', ts: 20 });
  assert.deepEqual(one.batch, ['end', 10, 20, false, 0]);
  const other = new Told();
  other.events(info(20, 20, 'u'), info(30, 30));
  other.applied(10);
  assert.deepEqual(other.batch, ['end', 10, 20, false, 0]);
});

test('a batch cut between lanes is applied again as final states, up to where it ended', () => {
  const cut = lane(30, { base: 10, lanes: 2, batch: 'b' });
  const one = new Told([cut, lane(10, { lane: 1 })]);
  assert.deepEqual(
    [one.state.phase, one.state.appliedTs, one.state.recoverTs],
    ['recovering', 10, 30],
  );
  one.events(info(20, 40));
  assert.deepEqual(one.batch, ['whole', 10, 30, true, 1]);
  one.applied(30);
  assert.equal(one.state.phase, 'streaming');
  assert.deepEqual(one.batch, ['whole', 30, 40, false, 1]);
});

test('a recovery ends also when nothing of the cut batch comes again', () => {
  const one = new Told([lane(30, { base: 10, lanes: 2, batch: 'b' }), lane(10, { lane: 1 })]);
  one.events(info(50, 50, 'u'));
  assert.equal(one.state.phase, 'streaming');
  assert.deepEqual(one.batch, ['begin', 10, 50, false, 1]);
});

test('with nothing to do its watermark follows what is resolved', () => {
  const one = new Told();
  assert.deepEqual(one.tell({ kind: 'Resolved', ts: 90 }), ['manager DispatcherWatermark']);
  assert.deepEqual(one.tell({ kind: 'Resolved', ts: 90 }), []);
});

test('a sink that applied less than it was given is a fault (P2)', () => {
  const one = new Told();
  one.events(info(20, 30));
  assert.throws(() => one.applied(20), /applied less than it was given/);
});

test('events out of order are a fault', () => {
  const one = new Told();
  const events = { kind: 'Events', seq: 2, infos: [], moved: [], schemaVersion: 1 } as const;
  assert.throws(() => one.tell(events), /out of order/);
});

test('a failure is its last word', () => {
  const one = new Told();
  one.events(info(20, 20));
  const outcome = failed(failure('SINK_FENCED', 'fenced', { retry: 'Resync' }));
  assert.deepEqual(one.tell({ kind: 'ApplyAnswered', outcome }), [
    'service Unsubscribe',
    'port Release',
    'manager DispatcherFailed',
    'stop self',
  ]);
});

test('blocks that the slots hold already are granted back and never applied', () => {
  const one = new Told([lane(20)]);
  // A large transaction that was committed before the restart comes again in parts, with a later one behind it.
  assert.deepEqual(one.events(info(20, 20, 'u')), ['service GrantCredit']);
  assert.deepEqual(one.batch, []);
  assert.deepEqual(one.events(info(20, 30, 'c')), ['port Apply']);
  assert.deepEqual(one.batch, ['whole', 20, 30, false, 1]);
});
