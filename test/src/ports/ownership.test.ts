import assert from 'node:assert/strict';
import { test } from 'node:test';
import { must } from '#src/base/assert.ts';
import type {
  CoordinationAnswer,
  CoordinationRequest,
  KeyValue,
  Transact,
} from '#src/ports/coordination.ts';
import {
  absent,
  campaign,
  ownershipAfter,
  ownershipIn,
  resign,
  stillOwner,
  unchanged,
} from '#src/ports/ownership.ts';
import { SimCoordination } from '#test/sim/sim-coordination.ts';
import { World } from '#test/sim/world.ts';

type Transacted = Extract<CoordinationAnswer, { kind: 'Transacted' }>;
/** A store whose calls are answered at once. */
class Store {
  readonly sim = new SimCoordination(new World(1));

  ask(request: CoordinationRequest): CoordinationAnswer {
    let answer: CoordinationAnswer | null = null;
    this.sim.perform(request, 0, (outcome) => {
      assert.ok(outcome.ok);
      answer = outcome.value;
    });
    return must<CoordinationAnswer>(answer, 'an answer at once');
  }

  transact(request: Transact): Transacted {
    const answer = this.ask(request);
    assert.equal(answer.kind, 'Transacted');
    return answer as Transacted;
  }

  session(): string {
    const answer = this.ask({ kind: 'OpenSession', ttlMs: 10_000 });
    assert.equal(answer.kind, 'SessionOpened');
    return (answer as { readonly lease: string }).lease;
  }
}

const key = '/sluice/c/coordinator';

test('the first candidate owns the key; the next hears who does', () => {
  const store = new Store();
  const [a, b] = [store.session(), store.session()];
  const won = store.transact(campaign(key, 'capture-a', a));
  const lost = store.transact(campaign(key, 'capture-b', b));
  assert.deepEqual([won.succeeded, lost.succeeded], [true, false]);
  assert.deepEqual(ownershipAfter(won), { key, owner: 'capture-a', revision: 1, lease: a });
  assert.deepEqual(ownershipAfter(lost), ownershipAfter(won));
});

test('an owner that resigns frees the key; a former one that resigns late changes nothing', () => {
  const store = new Store();
  const first = must(ownershipAfter(store.transact(campaign(key, 'a', store.session()))), 'owner');
  assert.equal(store.transact(resign(first)).succeeded, true);
  const second = must(ownershipAfter(store.transact(campaign(key, 'b', store.session()))), 'owner');
  assert.ok(second.revision > first.revision);
  assert.equal(store.transact(resign(first)).succeeded, false);
  assert.deepEqual(ownershipIn(store.sim.store.get(key)), second);
});

test('a write of an owner whose key ended meanwhile is refused, though its name owns the key again', () => {
  const store = new Store();
  const lease = store.session();
  const first = must(ownershipAfter(store.transact(campaign(key, 'a', lease))), 'owner');
  const write = (): Transacted =>
    store.transact({
      kind: 'Transact',
      compares: [stillOwner(first), absent('/sluice/c/changefeed/f/info')],
      puts: [{ key: '/sluice/c/changefeed/f/info', value: '{}' }],
    });
  store.sim.revoke(lease);
  assert.equal(write().succeeded, false);
  store.transact(campaign(key, 'a', store.session()));
  assert.equal(write().succeeded, false);
});

test('what was changed since it was read is not written over', () => {
  const store = new Store();
  const put = (entry: KeyValue, value: string): boolean =>
    store.transact({
      kind: 'Transact',
      compares: [unchanged(entry)],
      puts: [{ key: 'k', value }],
    }).succeeded;
  const read = store.sim.store.get('k');
  assert.equal(put(read, 'one'), true);
  assert.equal(put(read, 'two'), false);
  assert.equal(put(store.sim.store.get('k'), 'two'), true);
});
