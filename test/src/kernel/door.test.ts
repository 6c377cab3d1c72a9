import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Guard } from '#src/kernel/behaviour.ts';
import { admit, refuse, type Refusal } from '#src/kernel/door.ts';
import type { Envelope } from '#src/kernel/message.ts';

const admission = { epoch: 5, owner: 'a/owner' };

function envelope(epoch: number, from: string): Envelope {
  const thread = 'main';
  return {
    to: { path: 'a/cell', thread, incarnation: 0 },
    from: { path: from, thread, incarnation: 1 },
    epoch,
    seq: 1,
    message: { kind: 'M' },
  };
}

type Row = readonly [epoch: number, from: 'owner' | 'other', refusal: Refusal | null];

const stale: Row = [4, 'owner', 'stale-epoch'];
const tables: Readonly<Record<Guard, readonly Row[]>> = {
  // E1, E3: only the owner of the present epoch governs.
  owner: [
    [5, 'owner', null],
    [5, 'other', 'not-owner'],
    stale,
    [4, 'other', 'stale-epoch'],
    [6, 'owner', 'future-epoch'],
    [0, 'owner', 'epoch-zero'],
  ],
  // E2: the epoch rises only; E3: one owner per epoch.
  raise: [
    [6, 'owner', null],
    [6, 'other', null],
    [5, 'owner', null],
    [5, 'other', 'not-owner'],
    stale,
    [0, 'other', 'epoch-zero'],
  ],
  // E5, E6: a close of a later epoch is heard, one of an earlier is not.
  close: [
    [6, 'other', null],
    [5, 'owner', null],
    [5, 'other', 'not-owner'],
    stale,
    [0, 'owner', 'epoch-zero'],
  ],
  // E7: an answer counts only for the epoch it was asked under, whoever sends it.
  echo: [
    [5, 'other', null],
    [4, 'other', 'stale-epoch'],
    [6, 'other', 'future-epoch'],
    [0, 'other', 'epoch-zero'],
  ],
  stream: [
    [0, 'other', null],
    [4, 'other', null],
  ],
  open: [
    [0, 'other', null],
    [9, 'other', null],
  ],
};

for (const [guard, rows] of Object.entries(tables)) {
  test(`guard ${guard} admits and refuses by epoch and sender`, () => {
    for (const [epoch, from, refusal] of rows) {
      const given = envelope(epoch, `a/${from}`);
      assert.equal(refuse(guard as Guard, admission, given), refusal, `${epoch} ${from}`);
    }
  });
}

test('a kind without a guard is refused from others', () => {
  assert.equal(refuse(undefined, admission, envelope(5, 'a/owner')), 'own-kind-from-outside');
});

test('a cell that nobody owns yet is raised by the first and obeys nobody before', () => {
  const fresh = { epoch: 0, owner: null };
  assert.equal(refuse('owner', fresh, envelope(1, 'a/owner')), 'future-epoch');
  assert.equal(refuse('raise', fresh, envelope(1, 'a/owner')), null);
  assert.deepEqual(admit('raise', fresh, envelope(1, 'a/owner')), { epoch: 1, owner: 'a/owner' });
});

test('only a raise to a higher epoch changes the admission', () => {
  assert.deepEqual(admit('raise', admission, envelope(6, 'a/other')), {
    epoch: 6,
    owner: 'a/other',
  });
  assert.equal(admit('raise', admission, envelope(5, 'a/owner')), admission);
  for (const guard of ['owner', 'close', 'echo', 'stream', 'open'] as const)
    assert.equal(admit(guard, admission, envelope(6, 'a/other')), admission);
});

const zero: Envelope = envelope(0, 'a/owner');

test('in compat mode epoch 0 counts until the first epoch above 0, and never after (DESIGN §7)', () => {
  const young = { epoch: 0, owner: null };
  const owned = { epoch: 0, owner: 'a/owner' };
  for (const guard of ['owner', 'raise', 'close', 'echo'] as const) {
    assert.equal(refuse(guard, young, zero, 'compat'), null, guard);
    assert.equal(refuse(guard, young, zero, 'strict'), 'epoch-zero', guard);
    assert.equal(refuse(guard, admission, zero, 'compat'), 'epoch-zero', guard);
  }
  const other = envelope(0, 'a/other');
  assert.equal(refuse('owner', owned, zero, 'compat'), null);
  assert.equal(refuse('owner', owned, other, 'compat'), 'not-owner');
  // Among epochs of 0 the owner may change (spec/04 CanUpdate).
  assert.equal(refuse('raise', owned, other, 'compat'), null);
  assert.deepEqual(admit('raise', owned, other), { epoch: 0, owner: 'a/other' });
  assert.deepEqual(admit('raise', owned, envelope(1, 'a/x')), { epoch: 1, owner: 'a/x' });
});

test('the same path on another node is another owner (E3)', () => {
  const local = envelope(5, 'a/owner');
  const far: Envelope = { ...local, from: { ...local.from, node: 'n2' } };
  assert.equal(refuse('owner', admission, far), 'not-owner');
  const raised = admit('raise', admission, { ...far, epoch: 6 });
  assert.deepEqual(raised, { epoch: 6, owner: 'n2!a/owner' });
  assert.equal(refuse('owner', raised, { ...far, epoch: 6 }), null);
  assert.equal(refuse('owner', raised, { ...local, epoch: 6 }), 'not-owner');
});

test('after a takeover the former owner is refused everywhere an epoch counts (E1)', () => {
  const taken = admit('raise', admission, envelope(6, 'a/other'));
  for (const guard of ['owner', 'raise', 'close', 'echo'] as const)
    assert.equal(refuse(guard, taken, envelope(5, 'a/owner')), 'stale-epoch');
});
