import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  coordinator,
  type CoordinatorInbox,
  type CoordinatorState,
} from '#actors/coordinator/coordinator.ts';
import { failed, failure, ok, type Failure } from '#src/base/failure.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Signal } from '#src/kernel/message.ts';
import type { CoordinationRequest, KeyValue } from '#src/ports/coordination.ts';
import { refOf as ref, envOf, told } from './cell-env.ts';

const config = {
  id: 'f',
  startAt: { kind: 'now' } as const,
  rules: ['*.*'],
  untilCaughtUp: false,
  memoryQuota: 1 << 20,
  workThreads: ['work-1'],
  stuckAfterMs: 60_000,
};
const lost = failure('SINK_DISCONNECTED', 'lost', { retry: 'Reconnect' });
const key = '/sluice/c/changefeed/f/epoch';

function entryOf(value: string | null, revision: number): KeyValue {
  return { key, value, revision, createRevision: revision, lease: '' };
}

function minted(revision: number, value: string): CoordinationRequest {
  const compares = [{ key, target: 'revision', equals: revision }] as const;
  return { kind: 'Transact', compares, puts: [{ key, value }] };
}

/** A coordinator that is told one message after another. */
class Told {
  state: CoordinatorState;
  effects: readonly Effect[] = [];
  nowMs = 0;

  constructor() {
    const props = { clusterId: 'c', logPuller: ref('puller'), eventService: ref('service') };
    [this.state] = coordinator.init({ ...props, workThreads: ['work-1'] }, envOf());
  }

  tell(message: CoordinatorInbox, from = 'x'): string[] {
    [this.state, this.effects] = coordinator.receive(this.state, message, envOf(from, this.nowMs));
    return told(this.effects);
  }

  signal(signal: Signal): string[] {
    [this.state, this.effects] = coordinator.signal!(this.state, signal, envOf('x', this.nowMs));
    return told(this.effects);
  }

  got(value: string | null, revision: number): string[] {
    const outcome = ok({ kind: 'Got', entry: entryOf(value, revision) } as const);
    return this.tell({ kind: 'CoordinationAnswered', tag: 'f', outcome });
  }

  put(succeeded: boolean, value: string, revision: number): string[] {
    const entries = [entryOf(value, revision)];
    const outcome = ok({ kind: 'Transacted', succeeded, entries, revision } as const);
    return this.tell({ kind: 'CoordinationAnswered', tag: 'f', outcome });
  }

  word(
    state: 'normal' | 'failed' | 'finished' | 'stopped',
    why: Failure | null,
    epoch = 5,
  ): string[] {
    const status = {
      id: 'f',
      state,
      stage: 's',
      checkpoint: why?.code === 'SINK_FENCED' ? null : { ts: 7, gtid: '' },
      resolvedTs: 9,
      newest: null,
      sourceMs: 0,
      appliedMs: 0,
      spanCount: 0,
      counts: {
        rows: 0,
        transactions: 0,
        writtenRows: 0,
        ddl: 0,
        sourceBytes: 0,
        sourceTransactions: 0,
      },
      failure: why,
      warnings: [],
    };
    return this.tell({ kind: 'MaintainerHeartbeat', status }, pathOf(epoch));
  }

  gone(epoch = 5): string[] {
    return this.signal({ kind: 'Terminated', ref: ref(pathOf(epoch)), exit: { kind: 'normal' } });
  }

  /** Up to a maintainer under epoch 5. */
  static running(): Told {
    const one = new Told();
    one.tell({ kind: 'StartChangefeed', config });
    one.got('4', 8);
    one.put(true, '5', 9);
    one.signal({ kind: 'ChildStarted', id: 'maintainer:f:5', ref: ref(pathOf(5)) });
    return one;
  }

  get asked(): unknown {
    return this.effects.flatMap((effect) =>
      effect.kind === 'CallPort' ? [effect.request] : [],
    )[0];
  }
}

function pathOf(epoch: number): string {
  return `capture/control/maintainers/maintainer:f:${epoch}`;
}

test('an epoch is stored before its maintainer starts, and again when somebody else was first', () => {
  const one = new Told();
  assert.deepEqual(one.tell({ kind: 'StartChangefeed', config }), ['port Get']);
  assert.deepEqual(one.got(null, 0), ['port Transact']);
  assert.deepEqual(one.asked, minted(0, '1'));
  assert.deepEqual(one.put(false, '3', 2), ['port Transact']);
  assert.deepEqual(one.asked, minted(2, '4'));
  assert.deepEqual(one.put(true, '4', 3), ['spawn maintainer:f:4']);
});

test('a changefeed that runs is not started twice', () => {
  const one = Told.running();
  assert.deepEqual(one.tell({ kind: 'StartChangefeed', config }), []);
});

test('a last word stops the maintainer; what follows waits until it is gone', () => {
  const one = Told.running();
  assert.deepEqual(one.word('failed', lost), [`stop ${pathOf(5)}`]);
  assert.deepEqual(one.gone(), ['port Status', 'timer backoff f 190']);
  assert.deepEqual(one.tell({ kind: 'BackoffDue', id: 'f' }), ['port Get']);
});

test('finished, stopped and failures for good are the end', () => {
  for (const [state, why] of [
    ['finished', null],
    ['stopped', null],
    ['failed', failure('SOURCE_DIVERGED', 'gone')],
  ] as const) {
    const one = Told.running();
    one.word(state, why);
    assert.deepEqual(one.gone(), ['port Status']);
    assert.equal(one.state.feeds.get('f')!.phase, 'over');
  }
});

test('a token of an earlier owner asks for an epoch above it, at once', () => {
  const one = Told.running();
  one.word('failed', failure('SINK_FENCED', 'f', { detail: { token: 40 * 2 ** 20 + 3 } }));
  assert.deepEqual(one.gone(), ['port Get']);
  one.got('5', 9);
  assert.deepEqual(one.asked, minted(9, '41'));
});

test('waiting doubles up to ten seconds, progress resets it, and being stuck ends it', () => {
  const one = new Told();
  one.tell({ kind: 'StartChangefeed', config });
  const delays: (string | undefined)[] = [];
  for (let i = 0; i < 8; i++) {
    const outcome = failed(failure('COORDINATION_FAILED', 'x', { retry: 'Again' }));
    delays.push(one.tell({ kind: 'CoordinationAnswered', tag: 'f', outcome })[1]);
    one.tell({ kind: 'BackoffDue', id: 'f' });
  }
  assert.deepEqual(
    delays.map((line) => Number(line?.split(' ')[3])),
    [190, 380, 760, 1520, 3040, 6080, 9500, 9500],
  );
  one.nowMs = 60_001;
  const outcome = failed(failure('COORDINATION_FAILED', 'x', { retry: 'Again' }));
  one.tell({ kind: 'CoordinationAnswered', tag: 'f', outcome });
  assert.equal(one.state.feeds.get('f')!.phase, 'over');
  const other = Told.running();
  other.word('normal', null);
  assert.equal(other.state.feeds.get('f')!.failureCount, 0);
});

test('a word of a maintainer that is not current changes nothing', () => {
  const one = Told.running();
  const before = one.state;
  assert.deepEqual(one.word('failed', lost, 4), []);
  assert.equal(one.state, before);
  assert.deepEqual(one.gone(4), []);
});

test('a maintainer that could not be started is tried again under the next epoch', () => {
  const one = Told.running();
  const exit = { kind: 'killed' } as const;
  assert.deepEqual(one.signal({ kind: 'ChildRefused', id: 'maintainer:f:5', exit }), [
    'port Status',
    'timer backoff f 190',
  ]);
});

test('a stop reaches the maintainer whenever it comes', () => {
  const one = Told.running();
  assert.deepEqual(one.tell({ kind: 'StopChangefeed', id: 'f' }), [`${pathOf(5)} StopMaintainer`]);
  const early = new Told();
  early.tell({ kind: 'StartChangefeed', config });
  early.tell({ kind: 'StopChangefeed', id: 'f' });
  early.got('4', 8);
  early.put(true, '5', 9);
  const started = { kind: 'ChildStarted', id: 'maintainer:f:5', ref: ref(pathOf(5)) } as const;
  assert.deepEqual(early.signal(started), [`${pathOf(5)} StopMaintainer`]);
  one.word('failed', lost);
  assert.deepEqual(one.gone(), ['port Status']);
  assert.equal(one.state.feeds.get('f')!.phase, 'over');
});

test('a store that was restored from a backup does not bring an epoch back (I-6)', () => {
  const one = Told.running();
  one.word('failed', failure('SINK_DISCONNECTED', 'lost', { retry: 'Reconnect' }));
  one.gone();
  one.tell({ kind: 'BackoffDue', id: 'f' });
  assert.deepEqual(one.got('2', 3), ['port Transact']);
  assert.deepEqual(one.asked, minted(3, '6'));
});
