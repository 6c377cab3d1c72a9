import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  maintainer,
  type MaintainerInbox,
  type MaintainerState,
} from '#actors/maintainer/maintainer.ts';
import { failed, failure, ok, type Failure } from '#src/base/failure.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Signal } from '#src/kernel/message.ts';
import type { DdlEvent } from '#src/model/position.ts';
import type { SinkAnswer } from '#src/ports/sink.ts';
import type { MaintainerHeartbeat } from '#src/protocol/coordinator.ts';
import type { ScheduleDispatcher } from '#src/protocol/manager.ts';
import { envOf, refOf, told } from './cell-env.ts';

const at = (ts: number): { ts: number; gtid: string } => ({ ts, gtid: `0-1-${ts}` });
const ddl: DdlEvent = { ts: 40, gtid: '0-1-40', commitMs: 1, schema: 'd', sql: 'DDL' };
const lost = failure('SINK_DISCONNECTED', 'lost', { retry: 'Reconnect' });

/** A maintainer under epoch 3 that is told one message after another. */
class Told {
  state: MaintainerState;
  effects: readonly Effect[];
  nowMs = 0;

  constructor(untilCaughtUp = false) {
    const config = {
      id: 'f',
      startAt: { kind: 'now' } as const,
      rules: ['*.*'],
      untilCaughtUp,
      memoryQuota: 1 << 20,
      workThreads: ['work-1'],
      stuckAfterMs: 60_000,
    };
    [this.state, this.effects] = maintainer.init(
      {
        config,
        epoch: 3,
        coordinator: refOf('coordinator'),
        logPuller: refOf('puller'),
        eventService: refOf('service'),
      },
      envOf(),
    );
  }

  tell(message: MaintainerInbox): string[] {
    [this.state, this.effects] = maintainer.receive(this.state, message, envOf('x', this.nowMs));
    return told(this.effects);
  }

  signal(signal: Signal): string[] {
    [this.state, this.effects] = maintainer.signal!(this.state, signal, envOf('x', this.nowMs));
    return told(this.effects);
  }

  sink(tag: 'open' | 'raise' | 'groups' | 'save' | 'ddl', answer: SinkAnswer): string[] {
    return this.tell({ kind: 'SinkAnswered', tag, outcome: ok(answer) });
  }

  saved(): string[] {
    return this.sink('save', { kind: 'CheckpointSaved' });
  }

  fail(tag: 'open' | 'save' | 'ddl', why: Failure = lost): string[] {
    return this.tell({ kind: 'SinkAnswered', tag, outcome: failed(why) });
  }

  check(): string[] {
    return this.tell({
      kind: 'SourceChecked',
      start: at(10),
      newest: at(50),
      timeline: [],
      serverId: 's',
      version: '1',
      warnings: [],
    });
  }

  resolved(ts: number): string[] {
    return this.tell({
      kind: 'ResolvedAdvanced',
      position: at(ts),
      commitMs: 1,
      byteCount: 1,
      transactionCount: 1,
    });
  }

  watermark(span: string, ts: number): string[] {
    const counts = { rows: 1, writtenRows: 1, transactions: 1, commitMs: 1 };
    return this.tell({ kind: 'ManagerHeartbeat', watermarks: [[span, ts]], ...counts });
  }

  /** Up to running, with spans a and b at 10. */
  static running(untilCaughtUp = false): Told {
    const one = new Told(untilCaughtUp);
    one.sink('open', { kind: 'Opened', version: '1', serverId: 's', laneCount: 1 });
    one.sink('raise', { kind: 'FeedRaised', checkpoint: null });
    one.check();
    one.sink('groups', { kind: 'GroupsRead', groups: {} });
    one.signal({ kind: 'ChildStarted', id: 'm', ref: refOf('manager') });
    one.saved();
    one.tell({ kind: 'SpansSeen', spans: ['a', 'b'] });
    return one;
  }

  /** The last word, when there is one. */
  get lastWord(): readonly unknown[] {
    for (const effect of this.effects) {
      if (effect.kind !== 'Send' || effect.message.kind !== 'MaintainerHeartbeat') continue;
      const { status } = effect.message as MaintainerHeartbeat;
      return [status.state, status.checkpoint?.ts, status.failure?.code];
    }
    return [];
  }

  get tokens(): number[] {
    return this.effects.flatMap((effect) =>
      effect.kind === 'Send' && effect.message.kind === 'ScheduleDispatcher'
        ? [(effect.message as ScheduleDispatcher).token]
        : [],
    );
  }
}

test('it raises before it reads, and stores the start before history flows', () => {
  const one = new Told();
  assert.deepEqual(told(one.effects), ['timer tick 50', 'port Open']);
  const opened = { kind: 'Opened', version: '1', serverId: 's', laneCount: 1 } as const;
  assert.deepEqual(one.sink('open', opened), ['port RaiseFeed']);
  assert.deepEqual(one.sink('raise', { kind: 'FeedRaised', checkpoint: null }), [
    'puller OpenSource',
  ]);
  assert.deepEqual(one.check(), ['port ReadGroups']);
  assert.deepEqual(one.sink('groups', { kind: 'GroupsRead', groups: {} }), [
    'spawn dispatcher-manager:f:3',
  ]);
  assert.deepEqual(one.signal({ kind: 'ChildStarted', id: 'm', ref: refOf('manager') }), [
    'port SaveCheckpoint',
    'service OpenStream',
    'puller StartPulling',
  ]);
});

test('the checkpoint is the lowest of source and spans, and a new span begins at it', () => {
  const one = Told.running();
  one.resolved(20);
  one.resolved(30);
  assert.equal(one.state.checkpoint?.ts, 10);
  one.watermark('a', 30);
  assert.equal(one.state.checkpoint?.ts, 10);
  one.watermark('b', 25);
  assert.equal(one.state.checkpoint?.ts, 20);
  one.tell({ kind: 'SpansSeen', spans: ['c'] });
  one.resolved(40);
  one.watermark('b', 40);
  assert.equal(one.state.checkpoint?.ts, 20);
});

test('every assignment has a token of its own, above those of all earlier epochs', () => {
  const one = Told.running();
  assert.deepEqual(one.tokens, [3 * 2 ** 20 + 1, 3 * 2 ** 20 + 2]);
  const message = { kind: 'DispatcherLost', span: 'a', failure: lost } as const;
  assert.deepEqual(one.tell(message), ['timer reschedule a 100']);
  assert.deepEqual(one.tell(message), ['timer reschedule a 200']);
  one.tell({ kind: 'RescheduleDue', span: 'a' });
  assert.deepEqual(one.tokens, [3 * 2 ** 20 + 3]);
});

test('a dispatcher that is lost again and again without progress fails the feed', () => {
  const one = Told.running();
  for (let i = 0; i < 8; i++) one.tell({ kind: 'DispatcherLost', span: 'a', failure: lost });
  assert.equal(one.state.phase.at, 'running');
  one.tell({ kind: 'DispatcherLost', span: 'a', failure: lost });
  assert.deepEqual(one.lastWord, ['failed', 10, 'SINK_DISCONNECTED']);
});

test('a DDL waits for every span, is preceded by its checkpoint, and is followed by the groups', () => {
  const one = Told.running();
  one.resolved(30);
  assert.deepEqual(one.tell({ kind: 'DdlReached', ddl, resolved: at(30) }), []);
  assert.deepEqual(one.watermark('a', 30), []);
  assert.deepEqual(one.watermark('b', 30), ['port SaveCheckpoint']);
  assert.deepEqual(one.saved(), ['port RunDdl']);
  assert.deepEqual(one.sink('ddl', { kind: 'DdlDone', ran: true }), ['port ReadGroups']);
  assert.deepEqual(one.sink('groups', { kind: 'GroupsRead', groups: {} }), [
    'service ResumeSource',
  ]);
  assert.equal(one.state.phase.at, 'running');
});

test('a span lost while a DDL waits is scheduled again, and the DDL waits for it', () => {
  const one = Told.running();
  one.resolved(30);
  one.tell({ kind: 'DdlReached', ddl, resolved: at(30) });
  one.watermark('a', 30);
  one.tell({ kind: 'DispatcherLost', span: 'b', failure: lost });
  assert.deepEqual(one.tell({ kind: 'RescheduleDue', span: 'b' }), ['manager ScheduleDispatcher']);
  assert.deepEqual(one.watermark('b', 30), ['port SaveCheckpoint']);
});

test('a checkpoint that cannot be saved ends the maintainer, which says so', () => {
  const one = Told.running();
  one.resolved(20);
  one.watermark('a', 20);
  one.watermark('b', 20);
  one.nowMs = 1_000;
  assert.ok(one.tell({ kind: 'TickDue' }).includes('port SaveCheckpoint'));
  assert.deepEqual(one.fail('save'), ['puller CloseSource', 'port SaveCheckpoint']);
  assert.deepEqual(one.fail('save'), ['coordinator MaintainerHeartbeat', 'timer end 5000']);
  assert.deepEqual(one.lastWord, ['failed', 20, 'SINK_DISCONNECTED']);
});

test('a stop applies what was read before it ends', () => {
  const one = Told.running();
  one.resolved(20);
  assert.deepEqual(one.tell({ kind: 'StopMaintainer' }), ['puller CloseSource', 'timer stop 8000']);
  one.watermark('a', 20);
  // The log puller may have handed over more than is known here.
  assert.deepEqual(one.watermark('b', 20), []);
  assert.deepEqual(one.tell({ kind: 'SourceClosed', resolvedTs: 30 }), []);
  one.resolved(30);
  one.watermark('a', 30);
  assert.deepEqual(one.watermark('b', 30), ['puller CloseSource', 'port SaveCheckpoint']);
  one.saved();
  assert.deepEqual(one.lastWord, ['stopped', 30, undefined]);
});

test('a feed that is caught up says finished only with its checkpoint saved', () => {
  const one = Told.running(true);
  one.resolved(50);
  one.watermark('a', 50);
  assert.deepEqual(one.watermark('b', 50), ['puller CloseSource', 'port SaveCheckpoint']);
  const other = Told.running(true);
  other.resolved(50);
  other.watermark('a', 50);
  other.watermark('b', 50);
  one.saved();
  assert.deepEqual(one.lastWord, ['finished', 50, undefined]);
  other.fail('save');
  assert.deepEqual(other.lastWord, ['failed', 50, 'SINK_DISCONNECTED']);
});

test('once fenced it saves nothing more', () => {
  const one = Told.running();
  one.resolved(20);
  one.watermark('a', 20);
  one.watermark('b', 20);
  const fenced = failure('SINK_FENCED', 'fenced');
  assert.deepEqual(one.tell({ kind: 'DispatcherLost', span: 'a', failure: fenced }), [
    'puller CloseSource',
    'coordinator MaintainerHeartbeat',
    'timer end 5000',
  ]);
});

test('it ends when its coordinator has heard it, or by itself in time', () => {
  const one = Told.running();
  one.tell({ kind: 'SourceFailed', failure: failure('SOURCE_BINLOG_PURGED', 'gone') });
  assert.deepEqual(one.resolved(90), []);
  assert.deepEqual(one.signal({ kind: 'StopAsked' }), ['stop self']);
  assert.deepEqual(one.tell({ kind: 'EndDue' }), ['stop self']);
});
