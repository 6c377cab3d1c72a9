/** The dispatcher orchestrator: tombstones, pending requests, one manager per changefeed (spec/04 §4b). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  dispatcherOrchestrator,
  type DispatcherOrchestratorState,
} from '#actors/dispatcher-orchestrator/dispatcher-orchestrator.ts';
import { PendingRequests } from '#actors/dispatcher-orchestrator/pending-requests.ts';
import { Tombstones } from '#actors/dispatcher-orchestrator/tombstones.ts';
import { failed, failure, ok } from '#src/base/failure.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Signal } from '#src/kernel/message.ts';
import type { BootstrapFeed, CloseFeed } from '#src/protocol/orchestrator.ts';
import { envOf, refOf } from '../cell-env.ts';
import { configOf } from '../feed-config.ts';

const config = configOf('f');
const bootstrap = (epoch: number): BootstrapFeed => ({ kind: 'BootstrapFeed', config, epoch });
const close = (epoch: number, removed = false): CloseFeed => ({
  kind: 'CloseFeed',
  id: 'f',
  epoch,
  removed,
});

class Told {
  state: DispatcherOrchestratorState;

  constructor() {
    [this.state] = dispatcherOrchestrator.init(
      { workThreads: ['work-1'], storeBytesMax: 1 },
      envOf(),
    );
  }

  tell(message: Parameters<typeof dispatcherOrchestrator.receive>[1], from = 'm'): string[] {
    const [state, effects] = dispatcherOrchestrator.receive(this.state, message, envOf(from));
    this.state = state;
    return effects.map(lineOf);
  }

  signal(signal: Signal): string[] {
    const [state, effects] = dispatcherOrchestrator.signal!(this.state, signal, envOf());
    this.state = state;
    return effects.map(lineOf);
  }

  opened(): string[] {
    return this.tell({ kind: 'FeedsAnswered', tag: 'f', outcome: ok({ kind: 'FeedOpened' }) });
  }

  started(): string[] {
    const id = 'dispatcher-manager:f';
    return this.signal({ kind: 'ChildStarted', id, ref: refOf(`x/${id}`) });
  }

  gone(): string[] {
    const ref = refOf('x/dispatcher-manager:f');
    return this.signal({ kind: 'Terminated', ref, exit: { kind: 'shutdown' } });
  }
}

function lineOf(effect: Effect): string {
  if (effect.kind === 'Spawn') return `spawn ${effect.id} ${effect.epoch} ${effect.owner}`;
  if (effect.kind === 'CallPort') return effect.request.kind;
  if (effect.kind !== 'Send') return effect.kind;
  const { kind, is } = effect.message as { readonly kind: string; readonly is?: string };
  return `${effect.to.path} ${kind} ${is ?? ''}`;
}

test('a manager is made for who bootstraps, under its epoch, when the ports are ready', () => {
  const one = new Told();
  assert.deepEqual(one.tell(bootstrap(3)), ['OpenFeed']);
  assert.deepEqual(one.opened(), ['spawn dispatcher-manager:f 3 m']);
  assert.deepEqual(one.started(), ['Watch', 'm FeedBootstrapped ready']);
  assert.deepEqual(one.tell(bootstrap(3)), ['m FeedBootstrapped ready']);
  // Who is older is judged by the manager's door.
  assert.deepEqual(one.tell(bootstrap(2), 'old'), ['old FeedBootstrapped ready']);
  assert.deepEqual(one.gone(), ['CloseFeed', 'm FeedBootstrapped retry']);
});

test('ports that do not open are tried again by who asked', () => {
  const one = new Told();
  one.tell(bootstrap(3));
  const outcome = failed(failure('CONFIG_INVALID', 'x'));
  assert.deepEqual(one.tell({ kind: 'FeedsAnswered', tag: 'f', outcome }), [
    'Log',
    'CloseFeed',
    'm FeedBootstrapped retry',
  ]);
  assert.deepEqual(one.tell(bootstrap(3)), ['OpenFeed']);
});

test('E6: after a close under an epoch no bootstrap of it or an earlier one makes a manager', () => {
  const one = new Told();
  assert.deepEqual(one.tell(close(5)), ['m FeedClosed closed']);
  assert.deepEqual(one.tell(bootstrap(5)), ['m FeedBootstrapped refused']);
  assert.deepEqual(one.tell(bootstrap(4)), ['m FeedBootstrapped refused']);
  assert.deepEqual(one.tell(bootstrap(6)), ['OpenFeed']);
});

test('E6: not even when a newer manager was made since, and has ended by itself', () => {
  const one = new Told();
  one.tell(close(5));
  one.tell(bootstrap(6));
  one.opened();
  one.started();
  one.gone();
  assert.deepEqual(one.tell(bootstrap(5), 'old'), ['old FeedBootstrapped refused']);
  assert.deepEqual(one.tell(bootstrap(6)), ['OpenFeed']);
});

test('E3: who has the same epoch and is another is not told how the manager fares', () => {
  const one = new Told();
  one.tell(bootstrap(3));
  one.opened();
  one.started();
  assert.deepEqual(one.tell(bootstrap(3), 'other'), ['other FeedBootstrapped ready']);
  assert.deepEqual(one.gone(), ['CloseFeed', 'm FeedBootstrapped retry']);
});

test('§4e.17: what waited for a manager that could not be made is answered', () => {
  const one = new Told();
  one.tell(bootstrap(3));
  assert.deepEqual(one.tell(close(4), 'next'), []);
  const outcome = failed(failure('CONFIG_INVALID', 'x'));
  assert.deepEqual(one.tell({ kind: 'FeedsAnswered', tag: 'f', outcome }), [
    'Log',
    'CloseFeed',
    'm FeedBootstrapped retry',
    'next FeedClosed closed',
  ]);
  assert.deepEqual(one.tell(bootstrap(4)), ['m FeedBootstrapped refused']);
});

test('a manager that fails is told on its own node too, one that ends as asked is not', () => {
  const exits = [
    [{ kind: 'shutdown' }, []],
    [{ kind: 'failure', failure: failure('SECRET_KEY_WRONG', 'x') }, ['Log']],
  ] as const;
  for (const [exit, told] of exits) {
    const one = new Told();
    one.tell(bootstrap(3));
    one.opened();
    one.started();
    const ref = refOf('x/dispatcher-manager:f');
    const lines = one.signal({ kind: 'Terminated', ref, exit });
    assert.deepEqual(lines, [...told, 'CloseFeed', 'm FeedBootstrapped retry']);
  }
});

test('a close while a manager is there names it, until it has ended', () => {
  const one = new Told();
  one.tell(bootstrap(3));
  one.opened();
  one.started();
  assert.deepEqual(one.tell(close(3)), ['m FeedClosed closing']);
  one.gone();
  assert.deepEqual(one.tell(close(3)), ['m FeedClosed closed']);
});

test('§4e.17: what comes while a manager is being made waits for it', () => {
  const one = new Told();
  one.tell(bootstrap(3));
  assert.deepEqual(one.tell(close(4), 'next'), []);
  assert.deepEqual(one.tell(bootstrap(4), 'next'), []);
  one.opened();
  assert.deepEqual(one.started(), [
    'Watch',
    'm FeedBootstrapped ready',
    'next FeedClosed closing',
    'next FeedBootstrapped ready',
  ]);
});

test('§4b tombstones keep the highest epoch, of the last ten thousand changefeeds', () => {
  const tombstones = new Tombstones();
  tombstones.bury('f', 5);
  tombstones.bury('f', 3);
  assert.equal(tombstones.epochOf('f'), 5);
  assert.equal(tombstones.epochOf('g'), 0);
  for (let i = 0; i < 10_001; i++) tombstones.bury(`g${i}`, 1);
  assert.equal(tombstones.size, 10_000);
});

test('§4b pending: one per changefeed and kind, the newest epoch counts, a removal upgrades a close', () => {
  const rows = [
    [[bootstrap(3), bootstrap(4)], [bootstrap(4)]],
    [[bootstrap(4), bootstrap(3)], [bootstrap(4)]],
    [[close(3), close(3, true)], [close(3, true)]],
    [[close(4), close(3, true)], [close(4)]],
    [
      [close(3), bootstrap(3), close(4)],
      [close(4), bootstrap(3)],
    ],
  ] as const;
  for (const [pushed, left] of rows) {
    const pending = new PendingRequests();
    for (const message of pushed) pending.push({ message, from: refOf('m') });
    assert.deepEqual(pending.take('other'), []);
    assert.deepEqual(
      pending.take('f').map(({ message }) => message),
      left,
    );
    assert.equal(pending.size, 0);
  }
});
