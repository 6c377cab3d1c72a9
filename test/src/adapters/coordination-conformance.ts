/**
 * What every coordination store promises behind its port, as one suite of tests: each implementation's own test calls
 * `testCoordinationConformance` with a way to open clients of one fresh store.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { coordinationLimits, type CoordinationPort } from '#src/ports/coordination.ts';
import { campaign, ownershipAfter, resign, stillOwner } from '#src/ports/ownership.ts';
import { CoordinationClient, told } from './coordination-client.ts';

/** The store of one test, fresh or with keys of other tests elsewhere. */
export interface CoordinationUnderTest {
  /** Another client of the same store, where one process may have several. */
  readonly open: () => CoordinationPort;
  /** Forgets history up to now. */
  readonly compact: () => Promise<void>;
  /** Ends a session behind its holder's back. */
  readonly revoke: (lease: string) => Promise<void>;
  /** The shortest session that ends by itself, milliseconds; null when sessions end with the process only. */
  readonly expiryMs: number | null;
  readonly stop: () => Promise<void>;
}

let caseCount = 0;

/** Declares the suite. */
export function testCoordinationConformance(
  name: string,
  make: () => Promise<CoordinationUnderTest>,
): void {
  /** A case with a prefix of its own and two clients. */
  const story = (title: string, run: (the: Case) => Promise<void>): void => {
    test(title, async () => {
      const under = await make();
      const prefix = `/case-${++caseCount}/`;
      try {
        const [one, two] = [under.open(), under.open()].map((port) => new CoordinationClient(port));
        await run({ under, one: one!, two: two!, prefix });
      } finally {
        await under.stop();
      }
    });
  };
  describe(name, () => {
    keyStories(story);
    watchStories(story);
    sessionStories(story);
    ownerStories(story);
    boundStories(story);
  });
}

interface Case {
  readonly under: CoordinationUnderTest;
  readonly one: CoordinationClient;
  readonly two: CoordinationClient;
  readonly prefix: string;
}

type Story = (title: string, run: (the: Case) => Promise<void>) => void;

function keyStories(story: Story): void {
  story('a key keeps the revision of its making until it is deleted', async ({ one, prefix }) => {
    const key = `${prefix}k`;
    const none = { key, value: null, revision: 0, createRevision: 0, lease: '' };
    assert.deepEqual(await one.get(key), none);
    const first = await one.put(key, 'one');
    const second = await one.put(key, 'two ü€😀 "\\\n');
    assert.equal(first.createRevision, first.revision);
    assert.equal(second.createRevision, first.revision);
    assert.ok(second.revision > first.revision);
    assert.deepEqual(await one.get(key), second);
    assert.ok((await one.delete(key)) > second.revision);
    assert.deepEqual(await one.get(key), none);
    const again = await one.put(key, '');
    assert.equal(again.value, '');
    assert.equal(again.createRevision, again.revision);
  });

  story('a transaction is performed whole or not at all', async ({ one, two, prefix }) => {
    const [a, b, c] = ['a', 'b', 'c'].map((leaf) => prefix + leaf) as [string, string, string];
    await one.put(a, '1');
    await one.put(b, '1');
    const write = { puts: [{ key: c, value: 'x' }], deletes: [a] };
    const refused = await two.transact({
      compares: [
        { key: b, target: 'value', equals: '2' },
        { key: a, target: 'value', equals: '1' },
      ],
      ...write,
    });
    assert.equal(refused.succeeded, false);
    assert.deepEqual(told(refused.entries), ['b=1', 'a=1']);
    assert.deepEqual(told((await one.list(prefix)).entries), ['a=1', 'b=1']);
    const done = await two.transact({
      compares: [
        { key: b, target: 'value', equals: '1' },
        { key: a, target: 'value', equals: '1' },
        { key: a, target: 'lease', equals: '' },
        { key: c, target: 'createRevision', equals: 0 },
      ],
      ...write,
    });
    assert.equal(done.succeeded, true);
    assert.deepEqual(told(done.entries), ['b=1', 'a=∅', 'c=x']);
    assert.equal(done.entries[2]!.revision, done.revision);
    assert.deepEqual(told((await one.list(prefix)).entries), ['b=1', 'c=x']);
  });

  story('comparisons with a key that is not there', async ({ one, prefix }) => {
    const key = `${prefix}k`;
    const holds = async (
      compare: 'revision' | 'createRevision',
      equals: number,
    ): Promise<boolean> =>
      (await one.transact({ compares: [{ key, target: compare, equals }] })).succeeded;
    const before = await one.put(key, 'x');
    assert.equal(await holds('revision', before.revision), true);
    await one.delete(key);
    assert.equal(await holds('revision', 0), true);
    assert.equal(await holds('createRevision', 0), true);
    assert.equal(await holds('revision', before.revision), false);
    const empty = await one.transact({ compares: [{ key, target: 'value', equals: '' }] });
    assert.equal(empty.succeeded, false);
    const free = await one.transact({ compares: [{ key, target: 'lease', equals: '' }] });
    assert.equal(free.succeeded, true);
  });

  story('a list holds what begins with its prefix, in key order', async ({ one, prefix }) => {
    const leaves = ['b/2', 'b/1', 'b', 'bb', 'a', 'B/1'];
    for (const leaf of leaves) await one.put(prefix + leaf, leaf);
    const { entries, revision } = await one.list(`${prefix}b`);
    assert.deepEqual(
      entries.map((entry) => entry.value),
      ['b', 'b/1', 'b/2', 'bb'],
    );
    assert.ok(entries.every((entry) => entry.revision <= revision));
    assert.deepEqual((await one.list(`${prefix}c`)).entries, []);
  });

  story(
    'of writers who saw the same, one wins: counting loses nothing',
    async ({ one, two, prefix }) => {
      const key = `${prefix}count`;
      const count = async (client: CoordinationClient): Promise<void> => {
        for (let done = 0; done < 15;) {
          const { value, revision } = await client.get(key);
          const put = { key, value: String(Number(value ?? '0') + 1) };
          const compares = [{ key, target: 'revision', equals: revision }] as const;
          if ((await client.transact({ compares, puts: [put] })).succeeded) done++;
        }
      };
      await Promise.all([one, two, one, two].map((client) => count(client)));
      assert.equal((await one.get(key)).value, '60');
    },
  );
}

function watchStories(story: Story): void {
  story('a watcher hears the list first, then every change once', async ({ one, two, prefix }) => {
    await one.put(`${prefix}a`, '1');
    const first = await two.next(prefix, null);
    assert.equal(first.kind, 'Reset');
    assert.deepEqual(first.kind === 'Reset' && told(first.entries), ['a=1']);
    const waiting = two.next(prefix, first.after);
    await one.put('/elsewhere', String(Math.random()));
    await one.put(`${prefix}a`, '2');
    const second = await waiting;
    assert.deepEqual(second.kind === 'Events' && told(second.events), ['a=2']);
    await one.put(`${prefix}b`, '1');
    await one.delete(`${prefix}a`);
    const heard: string[] = [];
    let { after } = second;
    while (heard.length < 2) {
      const more = await two.next(prefix, after);
      assert.ok(more.kind === 'Events');
      heard.push(...told(more.events));
      after = more.after;
    }
    assert.deepEqual(heard, ['b=1', 'a=∅']);
    const nothing = await two.next(prefix, after, 20);
    assert.deepEqual(nothing.kind === 'Events' && nothing.events, []);
    // The same question again, as after a crash, has the same answer.
    const repeated = await two.next(prefix, first.after);
    assert.deepEqual(repeated.kind === 'Events' && told(repeated.events)[0], 'a=2');
  });

  story(
    'a transaction is heard whole, and many in batches lose nothing',
    async ({ one, two, prefix }) => {
      let { after } = await two.next(prefix, null);
      const rounds = 40;
      const keys = Array.from({ length: 20 }, (_, index) => `${prefix}${index}`);
      const writing = (async () => {
        for (let round = 0; round < rounds; round++) {
          await one.transact({
            compares: [{ key: `${prefix}none`, target: 'createRevision', equals: 0 }],
            puts: keys.map((key) => ({ key, value: String(round) })),
          });
        }
      })();
      const heard: string[] = [];
      while (heard.length < rounds * keys.length) {
        const more = await two.next(prefix, after);
        assert.ok(more.kind === 'Events');
        assert.equal(more.events.length % keys.length, 0);
        heard.push(...more.events.map((event) => event.value!));
        after = more.after;
      }
      await writing;
      const expected = Array.from({ length: rounds }, (_, round) => keys.map(() => String(round)));
      assert.deepEqual(heard, expected.flat());
    },
  );

  story('a watcher behind a compaction hears the list; one that is not hears on', async (the) => {
    const { one, two, prefix, under } = the;
    const { after } = await two.next(prefix, null);
    await one.put(`${prefix}a`, '1');
    await one.put(`${prefix}a`, '2');
    const current = await two.next(prefix, null);
    const waiting = two.next(prefix, current.after);
    await under.compact();
    await one.put(`${prefix}a`, '3');
    const next = await waiting;
    assert.deepEqual(next.kind === 'Events' && told(next.events), ['a=3']);
    const behind = await one.next(prefix, after);
    assert.deepEqual(behind.kind === 'Reset' && told(behind.entries), ['a=3']);
    assert.ok(behind.after >= next.after);
  });

  story('a watcher ahead of the store hears the list', async ({ one, two, prefix }) => {
    await one.put(`${prefix}a`, '1');
    const ahead = await two.next(prefix, 2 ** 40);
    assert.deepEqual(ahead.kind === 'Reset' && told(ahead.entries), ['a=1']);
  });
}

function sessionStories(story: Story): void {
  story('keys bound to a session end with it, and watchers hear that', async (the) => {
    const { one, two, prefix, under } = the;
    for (const end of ['closed', 'revoked']) {
      const session = await one.open();
      assert.ok(session.ttlMs >= 10_000);
      assert.ok(session.sentAtMs <= session.answeredAtMs);
      const bound = await one.put(`${prefix}bound`, end, session.lease);
      assert.equal(bound.lease, session.lease);
      await one.put(`${prefix}free`, end);
      const kept = await one.keepAlive(session.lease);
      assert.ok(kept.sentAtMs >= session.answeredAtMs && kept.answeredAtMs >= kept.sentAtMs);
      const { after } = await two.next(prefix, null);
      if (end === 'closed') await one.close(session.lease);
      else await under.revoke(session.lease);
      const heard = await two.next(prefix, after);
      assert.deepEqual(heard.kind === 'Events' && told(heard.events), ['bound=∅']);
      assert.equal((await one.get(`${prefix}free`)).value, end);
      const late = await one.refused({ kind: 'KeepAlive', lease: session.lease });
      assert.equal(late.code, 'COORDINATION_SESSION_LOST');
      await one.close(session.lease);
    }
  });

  story('nothing is written under a session that is over', async ({ one, prefix }) => {
    const { lease } = await one.open();
    await one.close(lease);
    const key = `${prefix}k`;
    const refused = await one.refused({
      kind: 'Transact',
      compares: [{ key, target: 'createRevision', equals: 0 }],
      puts: [
        { key: `${prefix}free`, value: 'x' },
        { key, value: 'x', lease },
      ],
    });
    assert.equal(refused.code, 'COORDINATION_SESSION_LOST');
    assert.deepEqual((await one.list(prefix)).entries, []);
  });

  story('a session that nobody renews ends; one that is renewed does not', async (the) => {
    const { one, two, prefix, under } = the;
    const { expiryMs } = under;
    const [kept, left] = [await one.open(expiryMs ?? 1_000), await one.open(expiryMs ?? 1_000)];
    await one.put(`${prefix}kept`, 'x', kept.lease);
    await one.put(`${prefix}left`, 'x', left.lease);
    if (expiryMs === null) return;
    const { after } = await two.next(prefix, null);
    const state = { isOver: false };
    const keeping = (async () => {
      while (!state.isOver) {
        await one.keepAlive(kept.lease);
        await new Promise((resolve) => setTimeout(resolve, kept.ttlMs / 5));
      }
    })();
    const heard = await two.next(prefix, after, 20_000);
    assert.deepEqual(heard.kind === 'Events' && told(heard.events), ['left=∅']);
    assert.equal((await one.get(`${prefix}kept`)).lease, kept.lease);
    state.isOver = true;
    await keeping;
  });
}

function ownerStories(story: Story): void {
  story(
    'of two candidates one is elected, and the other when it resigns',
    async ({ one, two, prefix }) => {
      const key = `${prefix}owner`;
      const [a, b] = [await one.open(), await two.open()];
      const [first, second] = await Promise.all([
        one.transact(campaign(key, 'a', a.lease)),
        two.transact(campaign(key, 'b', b.lease)),
      ]);
      assert.notEqual(first.succeeded, second.succeeded);
      const owner = ownershipAfter(first)!;
      assert.deepEqual(ownershipAfter(second), owner);
      assert.equal(owner.owner, first.succeeded ? 'a' : 'b');
      const { after } = await two.next(key, null);
      assert.equal((await one.transact(resign(owner))).succeeded, true);
      const heard = await two.next(key, after);
      assert.deepEqual(heard.kind === 'Events' && told(heard.events), ['owner=∅']);
      const next = ownershipAfter(await two.transact(campaign(key, 'c', b.lease)))!;
      assert.ok(next.owner === 'c' && next.revision > owner.revision);
      assert.equal((await one.transact(resign(owner))).succeeded, false);
    },
  );

  story('an owner whose key ended while it was paused writes nothing more', async (the) => {
    const { one, two, prefix, under } = the;
    const key = `${prefix}owner`;
    const [a, b] = [await one.open(), await two.open()];
    const owner = ownershipAfter(await one.transact(campaign(key, 'a', a.lease)))!;
    const write = async (value: string): Promise<boolean> =>
      (
        await one.transact({
          compares: [stillOwner(owner)],
          puts: [{ key: `${prefix}written`, value }],
        })
      ).succeeded;
    assert.equal(await write('in time'), true);
    await under.revoke(a.lease);
    assert.equal(await write('nobody owns'), false);
    await two.transact(campaign(key, 'b', b.lease));
    assert.equal(await write('another owns'), false);
    await two.close(b.lease);
    const later = await two.open();
    await two.transact(campaign(key, 'a', later.lease));
    assert.equal(await write('its name owns'), false);
    assert.equal((await one.get(`${prefix}written`)).value, 'in time');
  });
}

function boundStories(story: Story): void {
  story('what is beyond the bounds is refused, with nothing done', async ({ one, prefix }) => {
    const key = `${prefix}k`;
    const compares = [{ key, target: 'createRevision', equals: 0 }] as const;
    const put = { key, value: 'x' };
    const many = Array.from({ length: 65 }, (_, index) => ({ key: `${key}${index}`, value: '' }));
    const cases = [
      ['COORDINATION_FAILED', { kind: 'Get', key: '' }],
      ['COORDINATION_FAILED', { kind: 'List', prefix: 'schlüssel' }],
      ['COORDINATION_FAILED', { kind: 'Transact', compares, puts: [put, put] }],
      ['COORDINATION_FAILED', { kind: 'Transact', compares, puts: [put], deletes: [key] }],
      ['COORDINATION_FAILED', { kind: 'OpenSession', ttlMs: 1 }],
      ['COORDINATION_TOO_LARGE', { kind: 'Get', key: 'x'.repeat(1_025) }],
      ['COORDINATION_TOO_LARGE', { kind: 'Transact', compares, puts: many }],
      [
        'COORDINATION_TOO_LARGE',
        {
          kind: 'Transact',
          compares,
          puts: [{ key, value: 'ü'.repeat(coordinationLimits.valueBytes / 2 + 1) }],
        },
      ],
    ] as const;
    for (const [code, request] of cases) assert.equal((await one.refused(request)).code, code);
    assert.deepEqual((await one.list(prefix)).entries, []);
    const largest = 'ü'.repeat(coordinationLimits.valueBytes / 2);
    assert.equal((await one.put(key, largest)).value, largest);
  });

  story('a port that is closed answers, waiting readers too', async ({ one, prefix }) => {
    const { after } = await one.next(prefix, null);
    const waiting = one.refused({ kind: 'NextEvents', prefix, after, waitMs: 30_000 });
    await one.port.close();
    assert.equal((await waiting).code, 'INTERNAL_STOPPED');
    assert.equal((await one.refused({ kind: 'Get', key: 'k' })).code, 'INTERNAL_STOPPED');
  });
}
