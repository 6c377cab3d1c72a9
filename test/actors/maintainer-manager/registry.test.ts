/** Admission of maintainers on a node (spec/04 E9, E10, §4b registry tables). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { admitAdd, admitRemove, type Registered } from '#actors/maintainer-manager/registry.ts';
import { blankStatus } from '#src/protocol/changefeed.ts';

function registered(epoch: number, is: Registered['is']): Registered {
  const status = blankStatus('f');
  const report = {
    id: 'f',
    epoch,
    isWorking: true,
    isBootstrapped: false,
    isClosed: false,
    status,
  };
  return { id: 'f', epoch, is, ref: null, report, removal: null };
}

test('E9: an Add is taken on when there is none, or the former has fully stopped and is older', () => {
  assert.equal(admitAdd(undefined, 3), 'add');
  assert.equal(admitAdd(registered(2, 'stopped'), 3), 'add');
  for (const is of ['opening', 'starting', 'running'] as const)
    assert.equal(admitAdd(registered(2, is), 3), 'refused');
  assert.equal(admitAdd(registered(4, 'stopped'), 3), 'refused');
  assert.equal(admitAdd(registered(3, 'running'), 3), 'known');
  assert.equal(admitAdd(registered(3, 'stopped'), 3), 'known');
});

test('§4e.6: of Adds 3, 2, 1, 0 the newest survives, whatever their order', () => {
  let known: Registered | undefined;
  for (const epoch of [3, 2, 1, 0]) {
    if (admitAdd(known, epoch) === 'add') known = registered(epoch, 'running');
  }
  assert.equal(known?.epoch, 3);
  assert.equal(admitAdd(undefined, 0), 'refused');
});

test('a Remove means one instance; what is not here has stopped, or is closed from here when it cascades', () => {
  const rows = [
    [registered(3, 'running'), 3, false, 'forward'],
    [registered(3, 'opening'), 3, true, 'forward'],
    [registered(3, 'running'), 2, true, 'stale'],
    [registered(3, 'running'), 4, true, 'stale'],
    [undefined, 3, false, 'stopped'],
    [undefined, 3, true, 'close'],
    [registered(3, 'stopped'), 3, true, 'stopped'],
    [registered(2, 'stopped'), 3, true, 'close'],
    [undefined, 0, true, 'stale'],
  ] as const;
  for (const [known, epoch, cascade, answer] of rows)
    assert.equal(admitRemove(known, { epoch, cascade }), answer);
});
