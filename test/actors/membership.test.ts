import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  membership,
  type MembershipInbox,
  type MembershipState,
} from '#actors/membership/membership.ts';
import { failed, failure, ok, type Outcome } from '#src/base/failure.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { printCaptureInfo } from '#src/model/capture-info.ts';
import { captureKey, captureRecordKey } from '#src/model/coordination-key.ts';
import type { CoordinationAnswer, KeyValue } from '#src/ports/coordination.ts';
import type { NodesChanged } from '#src/protocol/membership.ts';
import { envOf, refOf, told } from './cell-env.ts';

/** Membership that is told one message after another. */
class Told {
  state: MembershipState;
  effects: readonly Effect[];

  constructor() {
    const props = {
      clusterId: 'c',
      captureId: 'me',
      session: refOf('session'),
      followers: [refOf('elector')],
    };
    [this.state, this.effects] = membership.init(props, envOf());
  }

  tell(message: MembershipInbox, from = 'x'): string[] {
    [this.state, this.effects] = membership.receive(this.state, message, envOf(from));
    return told(this.effects);
  }

  list(...entries: readonly KeyValue[]): string[] {
    const outcome = ok({ kind: 'Reset', entries, after: 5 } as const);
    return this.tell({ kind: 'CoordinationAnswered', tag: 'watch', outcome });
  }

  events(...events: readonly KeyValue[]): string[] {
    const outcome = ok({ kind: 'Events', events, after: 6 } as const);
    return this.tell({ kind: 'CoordinationAnswered', tag: 'watch', outcome });
  }

  /** What a newcomer is told. */
  get view(): NodesChanged {
    const [, effects] = membership.receive(this.state, { kind: 'FollowNodes' }, envOf('new'));
    const [word] = effects.flatMap((effect) => (effect.kind === 'Send' ? [effect.message] : []));
    return word as NodesChanged;
  }

  get lines(): string[] {
    return this.view.members.map((one) => `${one.captureId} ${one.state}`);
  }
}

function info(ttlMs: number | null, isWriteStopped = false): string {
  return printCaptureInfo({
    apiAddress: 'h:1',
    peerAddress: 'h:2',
    version: '0.1',
    ttlMs,
    isWriteStopped,
  });
}

function alive(id: string, value = info(10_000)): KeyValue {
  return { key: captureKey('c', id), value, revision: 3, createRevision: 3, lease: `L${id}` };
}

function record(id: string, value = info(10_000)): KeyValue {
  return { key: captureRecordKey('c', id), value, revision: 3, createRevision: 3, lease: '' };
}

function gone(entry: KeyValue): KeyValue {
  return { ...entry, value: null, createRevision: 0, lease: '' };
}

test('nothing is known before the first list, and that is said', () => {
  const one = new Told();
  assert.deepEqual(told(one.effects), [
    'session FollowSession',
    'port NextEvents',
    'timer tell 1000',
  ]);
  assert.equal(one.view.isComplete, false);
  assert.deepEqual(one.list(), ['elector NodesChanged', 'port NextEvents']);
  assert.equal(one.view.isComplete, true);
});

test('nodes come into the view with their addresses', () => {
  const one = new Told();
  one.list(alive('b'), record('b'), alive('a'), record('a'));
  assert.deepEqual(one.view, {
    kind: 'NodesChanged',
    self: 'me',
    nodes: ['a', 'b'],
    lease: null,
    isComplete: true,
    members: ['a', 'b'].map((captureId) => ({
      captureId,
      apiAddress: 'h:1',
      peerAddress: 'h:2',
      version: '0.1',
      state: 'alive',
    })),
  });
  assert.deepEqual(one.events(alive('c'), record('c')), [
    'elector NodesChanged',
    'port NextEvents',
  ]);
  assert.deepEqual(one.view.nodes, ['a', 'b', 'c']);
  // What changes nothing in the view is not told.
  assert.deepEqual(one.events(), ['port NextEvents']);
});

test('a node that ends without a word lingers for half its session, ten seconds at least', () => {
  for (const [ttlMs, delayMs] of [
    [3_000, 10_000],
    [10_000, 10_000],
    [30_000, 15_000],
  ] as const) {
    const one = new Told();
    const value = info(ttlMs);
    one.list(alive('a', value), record('a', value));
    assert.deepEqual(one.events(gone(alive('a'))), [
      `timer linger a ${delayMs}`,
      'elector NodesChanged',
      'port NextEvents',
    ]);
    assert.deepEqual([one.view.nodes, one.lines], [[], ['a lingering']]);
    assert.deepEqual(one.tell({ kind: 'LingerDue', captureId: 'a' }), [
      'port Transact',
      'timer linger a 5000',
      'elector NodesChanged',
    ]);
    assert.deepEqual(one.lines, []);
    const [remove] = one.effects.flatMap((effect) =>
      effect.kind === 'CallPort' ? [effect.request] : [],
    );
    assert.deepEqual(remove, {
      kind: 'Transact',
      compares: [
        { key: captureKey('c', 'a'), target: 'createRevision', equals: 0 },
        { key: captureRecordKey('c', 'a'), target: 'revision', equals: 3 },
      ],
      deletes: [captureRecordKey('c', 'a')],
    });
    assert.deepEqual(one.events(gone(record('a'))), ['port NextEvents']);
    assert.deepEqual(one.tell({ kind: 'LingerDue', captureId: 'a' }), []);
  }
});

test('an observer that started after the end of a node waits as well (spec/09 9.2.5)', () => {
  const one = new Told();
  assert.deepEqual(one.list(record('a'), alive('me'), record('me')), [
    'timer linger a 10000',
    'elector NodesChanged',
    'port NextEvents',
  ]);
  assert.deepEqual(one.lines, ['a lingering', 'me alive']);
  // The list again, as after a compaction, does not begin the delay anew.
  assert.deepEqual(one.list(record('a'), alive('me'), record('me')), ['port NextEvents']);
});

test('whoever has waited frees the others', () => {
  const one = new Told();
  one.list(record('a'));
  assert.deepEqual(one.events(gone(record('a'))), ['elector NodesChanged', 'port NextEvents']);
  assert.deepEqual(one.lines, []);
});

test('a node that has stopped writing leaves the view at once', () => {
  const one = new Told();
  one.list(alive('a'), record('a'));
  const leaving = alive('a', info(10_000, true));
  one.events(leaving, gone(record('a')));
  assert.deepEqual(one.lines, []);
  assert.deepEqual(one.events(gone(leaving)), ['port NextEvents']);
  // Also for an observer that starts between the word and the end of the session.
  const late = new Told();
  late.list(leaving);
  assert.deepEqual(late.lines, []);
});

test('a node that comes back while it lingers is alive', () => {
  const one = new Told();
  one.list(record('a'));
  one.events(alive('a'));
  assert.deepEqual(one.lines, ['a alive']);
  assert.deepEqual(one.tell({ kind: 'LingerDue', captureId: 'a' }), []);
  assert.deepEqual(one.lines, ['a alive']);
});

test('a record that could not be deleted is tried again and stays out of the view', () => {
  const one = new Told();
  one.list(record('a'));
  one.tell({ kind: 'LingerDue', captureId: 'a' });
  const outcome = failed(failure('COORDINATION_UNREACHABLE', 'x', { retry: 'Again' }));
  assert.deepEqual(one.tell({ kind: 'CoordinationAnswered', tag: 'remove', outcome }), []);
  one.list(record('a'));
  assert.deepEqual(one.lines, []);
  assert.deepEqual(one.tell({ kind: 'LingerDue', captureId: 'a' }), [
    'port Transact',
    'timer linger a 5000',
  ]);
});

test('a session that ended with its process leaves nothing under way', () => {
  const one = new Told();
  assert.equal(one.list(record('a', info(null)))[0], 'timer linger a 0');
});

test('a node of a later version is alive as long as its key; strangers are nobody', () => {
  const one = new Told();
  const stranger = { ...alive('a'), key: '/sluice/c/captured' };
  one.list(alive('a', '{"form":2}'), stranger, { ...stranger, key: '/sluice/c/capture/a/b' });
  assert.deepEqual(one.lines, ['a alive']);
  one.events(record('b', 'damaged'));
  assert.deepEqual(one.lines, ['a alive', 'b lingering']);
});

test('trouble of the store leaves the view as it is and goes on where it was', () => {
  const one = new Told();
  one.list(alive('a'), record('a'));
  const outcome = failed(failure('COORDINATION_UNREACHABLE', 'x', { retry: 'Again' }));
  assert.deepEqual(one.tell({ kind: 'CoordinationAnswered', tag: 'watch', outcome }), [
    'timer watch 500',
  ]);
  one.tell({ kind: 'WatchDue' });
  const [again] = one.effects.flatMap((effect) =>
    effect.kind === 'CallPort' ? [effect.request] : [],
  );
  assert.deepEqual(again, {
    kind: 'NextEvents',
    prefix: '/sluice/c/capture',
    after: 5,
    waitMs: 10_000,
  });
  assert.deepEqual(one.lines, ['a alive']);
});

test('a store that stays away is told of seldom, and at once when it goes away again', () => {
  const one = new Told();
  const answer = (outcome: Outcome<CoordinationAnswer>): number => {
    one.tell({ kind: 'CoordinationAnswered', tag: 'watch', outcome });
    return one.effects.filter(({ kind }) => kind === 'Log').length;
  };
  const why = { retry: 'Again', cause: 'self-signed certificate' } as const;
  const away = failed(failure('COORDINATION_UNREACHABLE', 'x', why));
  const told: number[] = [];
  for (let count = 1; count <= 600; count++) if (answer(away) === 1) told.push(count);
  assert.deepEqual(told, [1, 2, 4, 8, 16, 32, 64, 128, 256, 384, 512]);
  answer(ok({ kind: 'Events', events: [], after: 6 }));
  assert.equal(answer(away), 1);
  const [line] = one.effects.flatMap((effect) => (effect.kind === 'Log' ? [effect.detail] : []));
  assert.partialDeepStrictEqual(line, { cause: 'self-signed certificate', inARow: 1 });
});

test('the lease is that of the own session; the same words from others change nothing', () => {
  const one = new Told();
  const joined = { kind: 'SessionJoined', captureId: 'me', lease: 'L' } as const;
  assert.deepEqual(one.tell(joined, 'stranger'), []);
  assert.deepEqual(one.tell(joined, 'session'), ['elector NodesChanged']);
  assert.deepEqual(one.tell(joined, 'session'), []);
  assert.equal(one.view.lease, 'L');
  one.tell({ kind: 'SessionLost', captureId: 'me', reason: 'r' }, 'session');
  assert.equal(one.view.lease, null);
});

test('followers are told when they come, at each change and once a second, until they end', () => {
  const one = new Told();
  assert.deepEqual(one.tell({ kind: 'FollowNodes' }, 'a'), ['a NodesChanged']);
  assert.deepEqual(one.tell({ kind: 'TellDue' }), [
    'elector NodesChanged',
    'a NodesChanged',
    'timer tell 1000',
  ]);
  const ended = { kind: 'Terminated', ref: refOf('a'), exit: { kind: 'normal' } } as const;
  const earlier = { ...ended, ref: refOf('a', 2) };
  [one.state] = membership.signal!(one.state, earlier, envOf());
  assert.deepEqual(
    one.state.followers.map(({ path }) => path),
    ['elector', 'a'],
  );
  [one.state] = membership.signal!(one.state, ended, envOf());
  assert.deepEqual(one.list(alive('n'), record('n')), ['elector NodesChanged', 'port NextEvents']);
});
