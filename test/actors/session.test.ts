import assert from 'node:assert/strict';
import { test } from 'node:test';
import { session, type SessionInbox, type SessionState } from '#actors/session/session.ts';
import { failed, failure, ok, type Outcome } from '#src/base/failure.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { readCaptureInfo } from '#src/model/capture-info.ts';
import type { CoordinationAnswer, KeyValue } from '#src/ports/coordination.ts';
import { envOf, refOf, told } from './cell-env.ts';

const key = '/sluice/c/capture/n1';
const record = '/sluice/c/capture-record/n1';
const unreachable = failed(failure('COORDINATION_UNREACHABLE', 'x', { retry: 'Again' }));
const over = failed(failure('COORDINATION_SESSION_LOST', 'x'));

type Asked = Extract<Effect, { kind: 'CallPort' }>;
type Tag = Extract<SessionInbox, { kind: 'CoordinationAnswered' }>['tag'];

/** A session that is told one message after another. */
class Told {
  state: SessionState;
  effects: readonly Effect[];

  constructor() {
    const props = {
      clusterId: 'c',
      captureId: 'n1',
      ttlMs: 10_000,
      apiAddress: 'a:1',
      peerAddress: 'a:2',
      version: '0',
    };
    [this.state, this.effects] = session.init(props, envOf());
  }

  tell(message: SessionInbox, from = 'x'): string[] {
    [this.state, this.effects] = session.receive(this.state, message, envOf(from));
    return this.lines;
  }

  answer(tag: Tag, outcome: Outcome<CoordinationAnswer>): string[] {
    return this.tell({ kind: 'CoordinationAnswered', tag, outcome });
  }

  stop(): string[] {
    [this.state, this.effects] = session.signal!(this.state, { kind: 'StopAsked' }, envOf());
    return this.lines;
  }

  get lines(): string[] {
    return told(this.effects);
  }

  asked(port: string): Asked['request'][] {
    return this.effects.flatMap((effect) =>
      effect.kind === 'CallPort' && effect.port === port ? [effect.request] : [],
    );
  }

  get phase(): string {
    return this.state.phase.name;
  }

  /** Up to a lease, its registration under way. */
  static joining(): Told {
    const one = new Told();
    one.answer('open', opened());
    return one;
  }

  /** Up to a registered capture with one follower. */
  static member(): Told {
    const one = Told.joining();
    one.tell({ kind: 'FollowSession' }, 'membership');
    one.answer('join', transacted(true));
    return one;
  }
}

function opened(lease = 'L', sentAtMs = 1_000): Outcome<CoordinationAnswer> {
  return ok({ kind: 'SessionOpened', lease, ttlMs: 10_000, sentAtMs, answeredAtMs: 1_100 });
}

function kept(sentAtMs: number, answeredAtMs = sentAtMs + 100): Outcome<CoordinationAnswer> {
  return ok({ kind: 'KeptAlive', lease: 'L', ttlMs: 10_000, sentAtMs, answeredAtMs });
}

function ownKey(lease: string | null): KeyValue {
  return lease === null
    ? { key, value: null, revision: 9, createRevision: 0, lease: '' }
    : { key, value: '{}', revision: 9, createRevision: 9, lease };
}

function transacted(succeeded: boolean, lease: string | null = 'L'): Outcome<CoordinationAnswer> {
  return ok({ kind: 'Transacted', succeeded, entries: [ownKey(lease)], revision: 9 });
}

test('a capture is registered by two keys that were not there, and may write only then', () => {
  const one = new Told();
  assert.deepEqual(one.lines, ['port OpenSession']);
  assert.deepEqual(one.answer('open', opened()), [
    'timer renewal 1900',
    'timer expiry 7890',
    'port Transact',
  ]);
  assert.deepEqual(one.asked('write-deadline'), []);
  const [join] = one.asked('coordination') as unknown as {
    compares: unknown;
    puts: { key: string; lease?: string; value: string }[];
  }[];
  assert.deepEqual(join!.compares, [
    { key, target: 'createRevision', equals: 0 },
    { key: record, target: 'createRevision', equals: 0 },
  ]);
  assert.deepEqual(
    join!.puts.map((put) => [put.key, put.lease]),
    [
      [key, 'L'],
      [record, undefined],
    ],
  );
  assert.equal(readCaptureInfo(join!.puts[0]!.value)?.isWriteStopped, false);
  one.answer('join', transacted(true));
  assert.equal(one.phase, 'member');
  // Sent at 1,000: 10 s less a fifth and the drift of two clocks.
  assert.deepEqual(one.asked('write-deadline'), [
    { kind: 'Publish', deadlineMs: 8_990, sentAtMs: 1_000 },
  ]);
  assert.deepEqual(one.asked('coordination'), [
    { kind: 'NextEvents', prefix: key, after: 9, waitMs: 10_000 },
  ]);
});

test('the deadline counts from the sending of the renewal that was answered', () => {
  const one = Told.member();
  assert.deepEqual(one.tell({ kind: 'RenewalDue' }), ['port KeepAlive']);
  // One at a time: a second would only wait behind the first.
  assert.deepEqual(one.tell({ kind: 'RenewalDue' }), []);
  assert.deepEqual(one.answer('renew', kept(3_000, 4_400)), [
    'port Publish',
    'timer renewal 600',
    'timer expiry 6590',
    'membership SessionJoined',
  ]);
  assert.deepEqual(one.asked('write-deadline'), [
    { kind: 'Publish', deadlineMs: 10_990, sentAtMs: 3_000 },
  ]);
});

test('a renewal that fails is tried again soon and moves no deadline', () => {
  const one = Told.member();
  one.tell({ kind: 'RenewalDue' });
  assert.deepEqual(one.answer('renew', unreachable), ['timer renewal 500']);
  assert.deepEqual(one.tell({ kind: 'RenewalDue' }), ['port KeepAlive']);
  assert.equal(one.phase, 'member');
});

test('whatever way the claim is lost, the fence comes first, and it is never taken back', () => {
  const gone = ok({ kind: 'Events', events: [ownKey(null)], after: 10 } as const);
  const taken = ok({ kind: 'Events', events: [ownKey('other')], after: 10 } as const);
  const missing = ok({ kind: 'Reset', entries: [], after: 10 } as const);
  const cases: [string, (one: Told) => string[]][] = [
    ['no renewal was answered in time', (one) => one.tell({ kind: 'ExpiryDue' })],
    ['the lease is over', (one) => one.answer('renew', over)],
    ['the key of this capture is gone', (one) => one.answer('watch', gone)],
    ['the key of this capture is gone', (one) => one.answer('watch', taken)],
    ['the key of this capture is gone', (one) => one.answer('watch', missing)],
  ];
  for (const [reason, lose] of cases) {
    const one = Told.member();
    assert.deepEqual(lose(one), ['port Fence', 'membership SessionLost']);
    assert.deepEqual(one.effects[0], {
      kind: 'CallPort',
      port: 'write-deadline',
      request: { kind: 'Fence', reason: `session: ${reason}` },
      answer: 'DeadlineAnswered',
    });
    assert.deepEqual(one.answer('renew', kept(5_000)), []);
    assert.deepEqual(one.tell({ kind: 'RenewalDue' }), []);
    assert.deepEqual(one.tell({ kind: 'ExpiryDue' }), []);
    assert.deepEqual(one.answer('watch', gone), []);
    assert.deepEqual(one.tell({ kind: 'FollowSession' }, 'late'), ['late SessionLost']);
    assert.equal(one.phase, 'lost');
    assert.deepEqual(one.stop(), ['stop self']);
  }
});

test('the own key is watched on: other keys and other times change nothing', () => {
  const one = Told.member();
  const other = { ...ownKey(null), key: `${key}0` };
  const events = ok({ kind: 'Events', events: [other], after: 12 } as const);
  assert.deepEqual(one.answer('watch', events), ['port NextEvents']);
  const list = ok({ kind: 'Reset', entries: [ownKey('L'), other], after: 20 } as const);
  assert.deepEqual(one.answer('watch', list), ['port NextEvents']);
  assert.deepEqual(one.answer('watch', unreachable), ['timer watch 500']);
  one.tell({ kind: 'RetryDue', tag: 'watch' });
  assert.deepEqual(one.asked('coordination'), [
    { kind: 'NextEvents', prefix: key, after: 20, waitMs: 10_000 },
  ]);
});

test('opening and joining are tried until they succeed', () => {
  const one = new Told();
  assert.deepEqual(one.answer('open', unreachable), ['timer open 500']);
  assert.deepEqual(one.tell({ kind: 'RetryDue', tag: 'open' }), ['port OpenSession']);
  one.answer('open', opened());
  assert.deepEqual(one.answer('join', unreachable), ['timer join 500']);
  assert.deepEqual(one.tell({ kind: 'RetryDue', tag: 'join' }), ['port Transact']);
  // The first try had been performed: the key there is under our own lease.
  one.answer('join', transacted(false, 'L'));
  assert.equal(one.phase, 'member');
});

test('a store that stays away is told of seldom', () => {
  const one = new Told();
  let logCount = 0;
  for (let count = 1; count <= 600; count++) {
    one.answer('open', unreachable);
    logCount += one.effects.filter(({ kind }) => kind === 'Log').length;
  }
  assert.equal(logCount, 11);
});

test('an id that lived before is lost at once: its former life may have been fenced', () => {
  for (const lease of ['older', null]) {
    const one = Told.joining();
    assert.deepEqual(one.answer('join', transacted(false, lease)), ['port Fence']);
    assert.equal(one.phase, 'lost');
  }
});

test('a lease that ends before the capture is registered is replaced: nothing was written under it', () => {
  const ends: ((one: Told) => string[])[] = [
    (one) => one.answer('join', over),
    (one) => one.answer('renew', over),
    (one) => one.tell({ kind: 'ExpiryDue' }),
  ];
  for (const end of ends) {
    const one = Told.joining();
    assert.deepEqual(end(one), ['port OpenSession']);
    one.answer('open', opened('M'));
    // A late word about the former lease is no proof for this one.
    assert.deepEqual(one.answer('renew', kept(2_000)), []);
    assert.equal(one.phase, 'joining');
  }
});

test('a node that leaves says that it has stopped writing, then gives its lease back', () => {
  const one = Told.member();
  assert.deepEqual(one.stop(), ['port Transact']);
  const [leave] = one.asked('coordination') as unknown as {
    compares: unknown;
    puts: { value: string; lease: string }[];
    deletes: unknown;
  }[];
  assert.deepEqual(leave!.compares, [{ key, target: 'lease', equals: 'L' }]);
  assert.equal(readCaptureInfo(leave!.puts[0]!.value)?.isWriteStopped, true);
  assert.equal(leave!.puts[0]!.lease, 'L');
  assert.deepEqual(leave!.deletes, [record]);
  assert.deepEqual(
    one.answer('watch', ok({ kind: 'Events', events: [ownKey(null)], after: 10 })),
    [],
  );
  assert.deepEqual(one.stop(), []);
  assert.deepEqual(one.answer('leave', unreachable), ['port CloseSession']);
  assert.deepEqual(one.answer('close', unreachable), ['stop self']);
});

test('a session that ends with its process has no deadline and needs no renewal', () => {
  const one = new Told();
  const endless = { lease: 'L', ttlMs: Number.POSITIVE_INFINITY, sentAtMs: 1, answeredAtMs: 1 };
  assert.deepEqual(one.answer('open', ok({ kind: 'SessionOpened', ...endless })), [
    'port Transact',
  ]);
  const [join] = one.asked('coordination') as unknown as { puts: { value: string }[] }[];
  assert.equal(readCaptureInfo(join!.puts[0]!.value)?.ttlMs, null);
  assert.deepEqual(one.answer('join', transacted(true)), ['port NextEvents']);
});

test('followers are told when they come and when it changes; one that ended is not', () => {
  const one = Told.joining();
  assert.deepEqual(one.tell({ kind: 'FollowSession' }, 'a'), []);
  assert.deepEqual(one.tell({ kind: 'FollowSession' }, 'a'), []);
  assert.deepEqual(
    one.answer('join', transacted(true)).filter((line) => line.includes('Session')),
    ['a SessionJoined'],
  );
  assert.deepEqual(one.tell({ kind: 'FollowSession' }, 'b'), ['b SessionJoined']);
  const ended = { kind: 'Terminated', ref: refOf('a'), exit: { kind: 'normal' } } as const;
  const earlier = { ...ended, ref: refOf('a', 2) };
  [one.state] = session.signal!(one.state, earlier, envOf());
  assert.deepEqual(
    one.state.followers.map(({ path }) => path),
    ['a', 'b'],
  );
  [one.state] = session.signal!(one.state, ended, envOf());
  assert.deepEqual(one.tell({ kind: 'ExpiryDue' }), ['port Fence', 'b SessionLost']);
});
