import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  dispatcherManager,
  type DispatcherManagerInbox,
  type DispatcherManagerState,
} from '#actors/dispatcher-manager/dispatcher-manager.ts';
import { failure } from '#src/base/failure.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Exit } from '#src/kernel/exit.ts';
import type { Signal } from '#src/kernel/message.ts';
import type { DispatcherLost, ManagerHeartbeat } from '#src/protocol/maintainer.ts';
import { envOf, refOf, told } from './cell-env.ts';

const busy = failure('SINK_BUSY', 'busy', { retry: 'Again' });

/** A manager that is told one message after another. */
class Told {
  state: DispatcherManagerState;
  effects: readonly Effect[] = [];

  constructor() {
    [this.state] = dispatcherManager.init(
      {
        changefeed: 'f',
        epoch: 3,
        maintainer: refOf('maintainer'),
        eventService: refOf('service'),
        workThreads: ['work-1', 'work-2'],
        creditBytes: 100,
        batchBytes: 10,
      },
      envOf(),
    );
  }

  tell(message: DispatcherManagerInbox): string[] {
    [this.state, this.effects] = dispatcherManager.receive(this.state, message, envOf());
    return told(this.effects);
  }

  signal(signal: Signal): string[] {
    [this.state, this.effects] = dispatcherManager.signal!(this.state, signal, envOf());
    return told(this.effects);
  }

  schedule(span: string, token = 1): string[] {
    return this.tell({ kind: 'ScheduleDispatcher', span, token, startTs: 0 });
  }

  watermark(span: string, checkpointTs: number): void {
    const counts = { rows: 2, writtenRows: 1, transactions: 1, commitMs: 5 };
    this.tell({ kind: 'DispatcherWatermark', span, checkpointTs, ...counts });
  }

  ended(span: string, exit: Exit): string[] {
    return this.signal({ kind: 'Terminated', ref: refOf(`x/dispatcher:f:${span}`), exit });
  }

  get lost(): DispatcherLost | undefined {
    return this.effects.flatMap((effect) =>
      effect.kind === 'Send' && effect.message.kind === 'DispatcherLost'
        ? [effect.message as DispatcherLost]
        : [],
    )[0];
  }
}

test('dispatchers are spread evenly over the work threads', () => {
  const one = new Told();
  const threads = ['a', 'b', 'c', 'd'].map((span) => {
    one.schedule(span);
    const [effect] = one.effects;
    return effect?.kind === 'Spawn' ? [effect.id, effect.thread, effect.epoch] : [];
  });
  assert.deepEqual(threads, [
    ['dispatcher:f:a', 'work-1', 3],
    ['dispatcher:f:b', 'work-2', 3],
    ['dispatcher:f:c', 'work-1', 3],
    ['dispatcher:f:d', 'work-2', 3],
  ]);
});

test('a heartbeat sums up what moved since the one before', () => {
  const one = new Told();
  one.watermark('a', 10);
  one.watermark('a', 20);
  one.watermark('b', 5);
  one.tell({ kind: 'HeartbeatDue' });
  const [beat] = one.effects;
  const message = beat?.kind === 'Send' ? (beat.message as ManagerHeartbeat) : undefined;
  assert.deepEqual(message, {
    kind: 'ManagerHeartbeat',
    watermarks: [
      ['a', 20],
      ['b', 5],
    ],
    rows: 6,
    writtenRows: 3,
    transactions: 3,
    commitMs: 5,
  });
  assert.deepEqual(one.tell({ kind: 'HeartbeatDue' }), ['timer heartbeat 20']);
});

test('a dispatcher that ended is reported once, behind its last watermarks', () => {
  const one = new Told();
  one.schedule('a');
  one.watermark('a', 10);
  assert.deepEqual(one.ended('a', { kind: 'failure', failure: busy }), [
    'maintainer ManagerHeartbeat',
    'maintainer DispatcherLost',
  ]);
  assert.equal(one.lost?.failure, busy);
  assert.deepEqual(one.ended('a', { kind: 'no-process' }), []);
});

test('an exit that says why counts more than a last word of an earlier life', () => {
  const one = new Told();
  one.tell({ kind: 'DispatcherFailed', span: 'a', failure: failure('SINK_FENCED', 'old') });
  one.schedule('a');
  one.ended('a', { kind: 'failure', failure: busy });
  assert.equal(one.lost?.failure.code, 'SINK_BUSY');
  one.schedule('a');
  one.ended('a', { kind: 'killed' });
  assert.deepEqual([one.lost?.failure.code, one.lost?.failure.retry], ['INTERNAL_FAULT', 'Again']);
});

test('a schedule for a span whose dispatcher still runs waits for its end', () => {
  const one = new Told();
  one.schedule('a', 1);
  assert.deepEqual(one.schedule('a', 2), []);
  assert.deepEqual(one.ended('a', { kind: 'killed' }), ['spawn dispatcher:f:a']);
  assert.equal(one.lost, undefined);
});

test('a dispatcher that could not be started is lost', () => {
  const one = new Told();
  one.schedule('a.b c');
  const id = `dispatcher:f:${encodeURIComponent('a.b c')}`;
  one.signal({ kind: 'ChildRefused', id, exit: { kind: 'killed' } });
  assert.equal(one.lost?.span, 'a.b c');
});

test('it ends with its maintainer and takes its dispatchers along', () => {
  const one = new Told();
  one.schedule('a');
  one.signal({ kind: 'ChildStarted', id: 'dispatcher:f:a', ref: refOf('x/dispatcher:f:a', 9) });
  const ref = refOf('maintainer');
  assert.deepEqual(one.signal({ kind: 'Terminated', ref, exit: { kind: 'normal' } }), [
    'stop x/dispatcher:f:a',
    'stop self',
  ]);
});
