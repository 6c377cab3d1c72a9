/** The dispatcher manager as a table: what it is told, and what it does about it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dispatcherManager } from '#actors/dispatcher-manager/dispatcher-manager.ts';
import type {
  DispatcherManagerInbox,
  DispatcherManagerState,
} from '#actors/dispatcher-manager/manager-state.ts';
import { failure } from '#src/base/failure.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Exit } from '#src/kernel/exit.ts';
import type { Signal } from '#src/kernel/message.ts';
import type { Ref } from '#src/kernel/ref.ts';
import type { ManagerAdopted, ManagerHeartbeat } from '#src/protocol/maintainer.ts';
import { envOf, refOf, told } from './cell-env.ts';

const busy = failure('SINK_BUSY', 'busy', { retry: 'Again' });
const at = (ts: number): { ts: number; gtid: string } => ({ ts, gtid: `0-1-${ts}` });
const facts = {
  start: at(10),
  newest: at(90),
  timeline: [],
  serverId: 's',
  version: '1',
  warnings: [],
};
const routing = { rules: ['*.*'], groups: {} };
const ddl = { ts: 40, gtid: '0-1-40', commitMs: 1, schema: 'd', sql: 'DDL' };

/** A manager that is told one message after another. */
class Told {
  state: DispatcherManagerState;
  effects: readonly Effect[] = [];

  constructor() {
    [this.state] = dispatcherManager.init(
      {
        changefeed: 'f',
        epoch: 3,
        memoryQuota: 1 << 20,
        workThreads: ['work-1', 'work-2'],
        storeBytesMax: 1000,
      },
      envOf(),
    );
  }

  tell(message: DispatcherManagerInbox, from: string | Ref = 'maintainer'): string[] {
    const sender = typeof from === 'string' ? refOf(from) : from;
    const env = { ...envOf(), from: sender };
    [this.state, this.effects] = dispatcherManager.receive(this.state, message, env);
    return told(this.effects);
  }

  signal(signal: Signal): string[] {
    [this.state, this.effects] = dispatcherManager.signal!(this.state, signal, envOf());
    return told(this.effects);
  }

  started(id: string): string[] {
    return this.signal({ kind: 'ChildStarted', id, ref: refOf(`x/${id}`) });
  }

  gone(id: string, exit: Exit = { kind: 'shutdown' }): string[] {
    return this.signal({ kind: 'Terminated', ref: refOf(`x/${id}`), exit });
  }

  /** Streaming from 10, governed by `maintainer`. */
  static streaming(): Told {
    const one = new Told();
    one.tell({ kind: 'AdoptManager' });
    one.started('event-service:f:1');
    one.started('log-puller:f:1');
    one.tell({ kind: 'StartSource', position: at(10), facts, routing, until: null });
    return one;
  }

  schedule(span: string, token = 1, startTs = 10): string[] {
    return this.tell({ kind: 'ScheduleDispatcher', span, token, startTs });
  }

  /** Scheduled, started, and heard of once. */
  working(span: string, token = 1, ts = 20): void {
    this.schedule(span, token);
    this.started(`dispatcher:f:${span}`);
    this.watermark(span, ts);
  }

  watermark(span: string, checkpointTs: number): void {
    const counts = { rows: 2, writtenRows: 1, transactions: 1 };
    const message = { kind: 'DispatcherWatermark', span, checkpointTs, ...counts } as const;
    this.tell(message, `x/dispatcher:f:${span}`);
  }

  resolved(ts: number): void {
    const message = { position: at(ts), commitMs: 1, byteCount: 1, transactionCount: 1 };
    this.tell({ kind: 'ResolvedAdvanced', ...message }, 'x/event-service:f:1');
  }

  beat(): ManagerHeartbeat | undefined {
    this.tell({ kind: 'HeartbeatDue' });
    return sent(this.effects, 'ManagerHeartbeat') as ManagerHeartbeat | undefined;
  }

  reports(): (readonly [string, number, string, number | null])[] {
    return (this.beat()?.spans ?? []).map(({ span, token, is, checkpointTs }) => [
      span,
      token,
      is,
      checkpointTs,
    ]);
  }
}

function sent(effects: readonly Effect[], kind: string): unknown {
  for (const effect of effects)
    if (effect.kind === 'Send' && effect.message.kind === kind) return effect.message;
  return undefined;
}

test('its source cells carry the number of its life; nothing is asked of them before both run', () => {
  const one = new Told();
  assert.deepEqual(one.tell({ kind: 'AdoptManager' }), ['maintainer ManagerAdopted']);
  assert.deepEqual(one.tell({ kind: 'CheckSource', startAt: { kind: 'now' } }), []);
  one.started('event-service:f:1');
  assert.deepEqual(one.started('log-puller:f:1'), ['x/log-puller:f:1 OpenSource']);
  assert.deepEqual(one.tell({ kind: 'UpstreamChecked', facts }), ['maintainer SourceChecked']);
  assert.deepEqual(one.tell({ kind: 'CheckSource', startAt: { kind: 'now' } }), [
    'maintainer SourceChecked',
  ]);
  const start = { kind: 'StartSource', position: at(10), facts, routing, until: null } as const;
  assert.deepEqual(one.tell(start), [
    'x/event-service:f:1 OpenStream',
    'x/log-puller:f:1 StartPulling',
  ]);
  assert.deepEqual(one.tell(start), []);
});

test('what troubled the check of the upstream is over when it is checked', () => {
  const one = new Told();
  one.tell({ kind: 'AdoptManager' });
  const why = failure('SOURCE_DISCONNECTED', 'lost', { retry: 'Reconnect' });
  one.tell({ kind: 'UpstreamTroubled', failure: why });
  assert.equal(one.beat()?.trouble, why);
  one.tell({ kind: 'UpstreamChecked', facts });
  assert.equal(one.beat()?.trouble, null);
});

test('a schedule before the stream runs waits for it', () => {
  const one = new Told();
  one.tell({ kind: 'AdoptManager' });
  assert.deepEqual(one.schedule('a'), []);
  one.started('event-service:f:1');
  one.started('log-puller:f:1');
  const lines = one.tell({ kind: 'StartSource', position: at(10), facts, routing, until: null });
  assert.ok(lines.includes('spawn dispatcher:f:a'));
});

test('dispatchers are spread evenly over the work threads, under the epoch the manager was made in', () => {
  const one = Told.streaming();
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

test('spec/01 §1.5 rule 2: seq rises with each assignment, and the watermark counts it from its start', () => {
  const one = Told.streaming();
  one.resolved(50);
  assert.deepEqual([one.beat()?.seq, one.state.seq], [0, 0]);
  one.schedule('a', 1, 12);
  const beat = one.beat();
  assert.deepEqual([beat?.seq, beat?.checkpointTs, beat?.hindmost], [1, 12, 'a']);
  one.started('dispatcher:f:a');
  one.watermark('a', 30);
  assert.equal(one.beat()?.checkpointTs, 30);
  one.watermark('a', 50);
  assert.equal(one.beat()?.hindmost, '');
});

test('E14: a create that is there already is told again, never started twice', () => {
  const one = Told.streaming();
  one.working('a', 7);
  assert.deepEqual(one.reports(), [['a', 7, 'working', 20]]);
  one.tell({ kind: 'HeartbeatTaken', beat: one.state.beat });
  assert.deepEqual(one.schedule('a', 7), []);
  assert.deepEqual(one.reports(), [['a', 7, 'working', 20]]);
});

test('a create under a lower token than what runs is answered as not there', () => {
  const one = Told.streaming();
  one.working('a', 7);
  assert.deepEqual(one.schedule('a', 6), []);
  assert.ok(
    one.reports().some(([, token, is, ts]) => token === 6 && is === 'stopped' && ts === null),
  );
});

test('a create under a higher token ends what runs first, and waits for its end', () => {
  const one = Told.streaming();
  one.working('a', 7);
  assert.deepEqual(one.schedule('a', 8), ['stop x/dispatcher:f:a']);
  // Its end is told at once: whoever moves the span waits for it.
  assert.deepEqual(one.gone('dispatcher:f:a'), ['spawn dispatcher:f:a', 'timer heartbeat 1']);
});

test('P2: what has ended holds the watermark until its report is taken', () => {
  const one = Told.streaming();
  one.resolved(90);
  one.working('a', 7, 20);
  one.gone('dispatcher:f:a', { kind: 'failure', failure: busy });
  const beat = one.beat();
  assert.deepEqual([beat?.checkpointTs, beat?.spans[0]?.failure?.code], [20, 'SINK_BUSY']);
  assert.equal(one.beat()?.checkpointTs, 20);
  one.tell({ kind: 'HeartbeatTaken', beat: one.state.beat });
  assert.equal(one.beat()?.checkpointTs, 90);
  assert.deepEqual(one.reports(), []);
});

test('what a dispatcher said last is about its own end only: its successor is not judged by it', () => {
  const never = failure('SINK_UNSUPPORTED', 'of an engine without transactions');
  const said = { kind: 'DispatcherFailed', span: 'a', failure: never } as const;
  const lostThread: Exit = { kind: 'thread-lost', thread: 'work-1' };
  const cases: readonly (readonly [
    speaker: 1 | 2,
    when: 'starting' | 'started',
    Exit,
    why: string,
  ])[] = [
    [2, 'starting', lostThread, 'SINK_UNSUPPORTED Never'],
    [2, 'started', lostThread, 'SINK_UNSUPPORTED Never'],
    [1, 'starting', lostThread, 'INTERNAL_FAULT Again'],
    [1, 'started', lostThread, 'INTERNAL_FAULT Again'],
    [1, 'started', { kind: 'failure', failure: busy }, 'SINK_BUSY Again'],
  ];
  for (const [speaker, when, exit, why] of cases) {
    const one = Told.streaming();
    const id = 'dispatcher:f:a';
    // The first one, in life 1, has made room for the second.
    one.working('a', 1);
    one.schedule('a', 2);
    one.gone(id);
    const start = (): string[] =>
      one.signal({ kind: 'ChildStarted', id, ref: refOf(`x/${id}`, 2) });
    if (when === 'started') start();
    one.tell(said, refOf(`x/${id}`, speaker));
    if (when === 'starting') start();
    one.signal({ kind: 'Terminated', ref: refOf(`x/${id}`, 2), exit });
    const [report] = one.beat()?.spans ?? [];
    assert.deepEqual([report?.token, report?.is], [2, 'stopped']);
    assert.equal(`${report?.failure?.code} ${report?.failure?.retry}`, why, `${speaker} ${when}`);
  }
});

test('an older heartbeat that was taken says nothing about what came later', () => {
  const one = Told.streaming();
  one.working('a', 7);
  one.beat();
  const { beat } = one.state;
  one.gone('dispatcher:f:a', { kind: 'killed' });
  one.tell({ kind: 'HeartbeatTaken', beat });
  assert.deepEqual(one.reports(), [['a', 7, 'stopped', 20]]);
});

test('a stop ends the dispatcher and reports where it stood; one that is not there is answered too (9.2.12)', () => {
  const one = Told.streaming();
  one.working('a', 7);
  assert.deepEqual(one.tell({ kind: 'StopDispatcher', span: 'a', token: 7 }), [
    'stop x/dispatcher:f:a',
  ]);
  one.gone('dispatcher:f:a');
  assert.deepEqual(one.reports(), [['a', 7, 'stopped', 20]]);
  one.tell({ kind: 'StopDispatcher', span: 'b', token: 9 });
  assert.ok(
    one.reports().some(([span, , is, ts]) => span === 'b' && is === 'stopped' && ts === null),
  );
});

test('spans that the stream shows are told until they are taken', () => {
  const one = Told.streaming();
  one.tell({ kind: 'SpansSeen', spans: ['a', 'b'] });
  assert.deepEqual(one.beat()?.seen, ['a', 'b']);
  assert.deepEqual(one.beat()?.seen, ['a', 'b']);
  one.tell({ kind: 'HeartbeatTaken', beat: one.state.beat });
  assert.deepEqual(one.beat()?.seen, undefined);
});

test('E13: the next maintainer adopts what lives; what waits for an end is the former one’s, and is dropped', () => {
  const one = Told.streaming();
  one.working('a', 7);
  one.working('b', 8);
  one.gone('dispatcher:f:b', { kind: 'killed' });
  one.schedule('a', 9);
  one.tell({ kind: 'AdoptManager' }, 'next');
  const adopted = sent(one.effects, 'ManagerAdopted') as ManagerAdopted | undefined;
  assert.deepEqual(adopted?.served, [{ span: 'a', token: 7, checkpointTs: 20 }]);
  assert.deepEqual(adopted?.idle, ['b']);
  assert.equal(adopted?.source, facts);
  assert.deepEqual(one.gone('dispatcher:f:a'), ['timer heartbeat 1']);
});

test('a stream that failed or ended under the former maintainer is not adopted: the next one gets a manager of its own', () => {
  const spent: readonly DispatcherManagerInbox[] = [
    { kind: 'UpstreamFailed', failure: failure('SOURCE_DIVERGED', 'gone') },
    { kind: 'UpstreamClosed', resolvedTs: 90 },
  ];
  for (const message of spent) {
    const one = Told.streaming();
    one.tell(message, 'x/log-puller:f:1');
    assert.deepEqual(one.tell({ kind: 'AdoptManager' }), ['maintainer ManagerAdopted']);
    assert.deepEqual(one.tell({ kind: 'AdoptManager' }, 'next'), ['stop self'], message.kind);
  }
});

test('a stream that is being ended under the former maintainer is not adopted either', () => {
  const one = Told.streaming();
  assert.deepEqual(one.tell({ kind: 'CloseStream' }), ['x/log-puller:f:1 CloseSource']);
  assert.deepEqual(one.tell({ kind: 'AdoptManager' }), ['maintainer ManagerAdopted']);
  assert.deepEqual(one.tell({ kind: 'AdoptManager' }, 'next'), ['stop self']);
});

test('the same maintainer asking again changes nothing', () => {
  const one = Told.streaming();
  one.working('a', 7);
  one.gone('dispatcher:f:a', { kind: 'killed' });
  one.tell({ kind: 'AdoptManager' });
  assert.deepEqual(one.reports(), [['a', 7, 'stopped', 20]]);
});

test('a DDL that holds the stream is told again and again, and ends by its own resume only', () => {
  const one = Told.streaming();
  one.tell({ kind: 'StreamHeld', ddl, resolved: at(30) });
  assert.deepEqual(one.beat()?.ddl, { ddl, resolved: at(30) });
  const told = Array.from({ length: 30 }, () => one.beat()?.ddl?.ddl.ts).filter(Boolean);
  assert.deepEqual(told, [40]);
  assert.deepEqual(one.tell({ kind: 'ResumeStream', ddlTs: 39, routing }), []);
  assert.deepEqual(one.tell({ kind: 'ResumeStream', ddlTs: 40, routing }), [
    'x/event-service:f:1 ResumeSource',
  ]);
  assert.deepEqual(one.tell({ kind: 'ResumeStream', ddlTs: 40, routing }), []);
});

test('a source cell that ends takes the manager with it: the orchestrator says so, a new one begins', () => {
  const one = Told.streaming();
  assert.deepEqual(one.gone('event-service:f:1', { kind: 'killed' }), ['stop self']);
});

test('trouble of the source that a new beginning heals ends the manager; what cannot heal is told', () => {
  const one = Told.streaming();
  const lost = failure('STORE_FAILED', 'x', { retry: 'Again' });
  assert.deepEqual(one.tell({ kind: 'UpstreamFailed', failure: lost }), [
    'maintainer ManagerHeartbeat',
    'stop self',
  ]);
  const other = Told.streaming();
  const gone = failure('SOURCE_BINLOG_PURGED', 'gone');
  assert.deepEqual(other.tell({ kind: 'UpstreamFailed', failure: gone }), [
    'maintainer ManagerHeartbeat',
  ]);
});

test('a close ends dispatchers, then the source, says so, and waits to be heard', () => {
  const one = Told.streaming();
  one.working('a', 7);
  assert.deepEqual(one.tell({ kind: 'CloseManager' }), [
    'x/log-puller:f:1 CloseSource',
    'stop x/dispatcher:f:a',
  ]);
  assert.deepEqual(one.schedule('b', 8), []);
  assert.deepEqual(one.gone('dispatcher:f:a'), [
    'stop x/log-puller:f:1',
    'stop x/event-service:f:1',
  ]);
  one.gone('log-puller:f:1');
  assert.deepEqual(one.gone('event-service:f:1'), [
    'maintainer ManagerHeartbeat',
    'timer closed 1000',
  ]);
  const last = sent(one.effects, 'ManagerHeartbeat') as ManagerHeartbeat | undefined;
  assert.equal(last?.isClosed, true);
  const { beat } = one.state;
  assert.deepEqual(one.tell({ kind: 'HeartbeatTaken', beat }), ['stop self']);
  assert.deepEqual(one.tell({ kind: 'CloseDue' }), ['stop self']);
});
