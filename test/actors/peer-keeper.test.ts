import assert from 'node:assert/strict';
import { test } from 'node:test';
import { peerKeeper } from '#actors/peer-keeper/peer-keeper.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Member, NodesChanged } from '#src/protocol/membership.ts';
import { envOf, refOf } from './cell-env.ts';

const membership = refOf('membership');

function member(captureId: string, more: Partial<Member> = {}): Member {
  return {
    captureId,
    apiAddress: `${captureId}:8300`,
    peerAddress: `${captureId}:8301`,
    version: '1',
    state: 'alive',
    ...more,
  };
}

function view(members: readonly Member[], isComplete = true): NodesChanged {
  const nodes = members.map(({ captureId }) => captureId);
  return { kind: 'NodesChanged', self: 'a', nodes, lease: null, members, isComplete };
}

/** The members in each request to the port. */
function toldOf(effects: readonly Effect[]): unknown[] {
  return effects.map((effect) => (effect.kind === 'CallPort' ? effect.request : effect.kind));
}

test('it follows membership from its start', () => {
  const [state, effects] = peerKeeper.init({ membership }, envOf());
  assert.deepEqual(effects, [{ kind: 'Send', to: membership, message: { kind: 'FollowNodes' } }]);
  assert.deepEqual(peerKeeper.overview(state), { peers: null });
});

test('each view × what the port was told: what it is told now', () => {
  const b = { captureId: 'b', address: 'b:8301' };
  const c = { captureId: 'c', address: 'c:8301' };
  const request = (members: readonly object[]): object => ({ kind: 'SetMembers', members });
  const cases: readonly (readonly [view: NodesChanged, from: string, told: unknown[]])[] = [
    [view([member('a'), member('b')], false), 'membership', []],
    [view([member('a'), member('b')]), 'somebody', []],
    [view([member('a'), member('b')]), 'membership', [request([b])]],
    [view([member('a'), member('b')]), 'membership', []],
    [view([member('a'), member('b'), member('c')]), 'membership', [request([b, c])]],
    [
      view([member('a'), member('b', { peerAddress: 'd:1' }), member('c')]),
      'membership',
      [request([{ ...b, address: 'd:1' }, c])],
    ],
    // One that lingers has lost its session.
    [
      view([member('a'), member('b', { state: 'lingering' }), member('c')]),
      'membership',
      [request([c])],
    ],
    [view([], false), 'membership', []],
    [view([member('a')]), 'membership', [request([])]],
  ];
  let [state] = peerKeeper.init({ membership }, envOf());
  for (const [message, from, told] of cases) {
    const [next, effects] = peerKeeper.receive(state, message, envOf(from));
    assert.deepEqual(toldOf(effects), told);
    state = next;
  }
});
