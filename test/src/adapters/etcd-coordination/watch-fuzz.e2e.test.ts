/**
 * Readers of etcd through a connection that is cut, frozen and reset at random, while keys change and history is compacted: what
 * a reader puts together from lists and events is, at the revision it is told, what the store held then.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openEtcdCoordination } from '#src/adapters/etcd-coordination/etcd-coordination.ts';
import { TestRandom } from '#test/fixtures/random.ts';
import { Proxy } from '#test/net/proxy.ts';
import { startEtcd, type EtcdServer } from '#test/servers/etcd.ts';
import { CoordinationClient } from '../coordination-client.ts';

let server: EtcdServer;
before(async () => {
  server = await startEtcd();
});
after(() => server.stop());

const prefix = '/fuzz/';
const transactionCount = 1_500;
/** A quick store goes on until the reader has met enough; a reader that meets nothing is a failure by then. */
const transactionCountMax = 20_000;

/** The store's keys after each revision, as the writer knows them. */
type Past = Map<number, ReadonlyMap<string, string>>;

async function write(
  client: CoordinationClient,
  random: TestRandom,
  past: Past,
  isEnough: () => boolean,
): Promise<void> {
  const now = new Map<string, string>();
  for (let i = 0; i < transactionCountMax && (i < transactionCount || !isEnough()); i++) {
    const keys = Array.from({ length: 1 + random.below(4) }, () => `${prefix}${random.below(12)}`);
    const unique = [...new Set(keys)];
    const deletes = unique.filter((key) => now.has(key) && random.below(3) === 0);
    const puts = unique
      .filter((key) => !deletes.includes(key))
      .map((key) => ({ key, value: `${i}` }));
    const { revision } = await client.transact({
      compares: [{ key: '/fuzz-none', target: 'createRevision', equals: 0 }],
      puts,
      deletes,
    });
    for (const key of deletes) now.delete(key);
    for (const { key, value } of puts) now.set(key, value);
    past.set(revision, new Map(now));
  }
}

async function disturb(proxy: Proxy, random: TestRandom, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    await sleep(random.below(60));
    const kind = random.below(4);
    if (kind === 0) proxy.reset();
    if (kind === 1) proxy.fault = { kind: 'cut', byteCount: 200 + random.below(20_000) };
    if (kind === 2) proxy.fault = { kind: 'none' };
    if (kind === 3) {
      proxy.frozen = true;
      await sleep(random.below(40));
      if (random.below(2) === 0) proxy.reset();
      proxy.frozen = false;
    }
    if (random.below(6) === 0) {
      const { header } = (await server.call('kv/range', { key: 'AA==' })) as {
        readonly header: { readonly revision: string };
      };
      await server.call('kv/compaction', { revision: header.revision });
    }
  }
  proxy.fault = { kind: 'none' };
}

test('what a reader puts together is what the store held, whatever happens to its connection', async () => {
  const random = new TestRandom(Number(process.env['SLUICE_SEED'] ?? 7));
  const direct = new CoordinationClient(openEtcdCoordination({ urls: server.endpoint }));
  const proxy = await Proxy.start(server.port);
  const reader = openEtcdCoordination({ urls: `http://127.0.0.1:${proxy.port}`, callMs: 500 });
  const past: Past = new Map([[0, new Map()]]);
  const heard = { lists: 0, batches: 0, failures: 0 };
  const isEnough = (): boolean => heard.lists > 1 && heard.batches > 20 && heard.failures > 0;
  const state = { isOver: false };
  try {
    const writing = write(direct, random, past, isEnough).finally(() => {
      state.isOver = true;
    });
    const disturbing = disturb(proxy, random, () => state.isOver);
    let own = new Map<string, string>();
    let seen: number | null = null;
    const last = (): number => Math.max(...past.keys());
    for (let tries = 0; tries < 20_000 && !(state.isOver && seen === last()); tries++) {
      const outcome = await reader.call({ kind: 'NextEvents', prefix, after: seen, waitMs: 50 });
      if (!outcome.ok) {
        assert.equal(outcome.failure.code, 'COORDINATION_UNREACHABLE');
        heard.failures++;
        continue;
      }
      const answer = outcome.value;
      assert.ok(answer.kind === 'Events' || answer.kind === 'Reset');
      if (answer.kind === 'Reset') {
        own = new Map(answer.entries.map(({ key, value }) => [key, value!]));
        heard.lists++;
      } else {
        let revision: number = seen!;
        for (const event of answer.events) {
          assert.ok(event.revision >= revision && event.revision > seen!, 'in order, none twice');
          revision = event.revision;
          if (event.value === null) own.delete(event.key);
          else own.set(event.key, event.value);
        }
        if (answer.events.length > 0) heard.batches++;
      }
      seen = answer.after;
      // The writer may not have its own answer yet.
      while (!past.has(seen) && !state.isOver) await sleep(1);
      assert.deepEqual([...own].sort(), [...(past.get(seen) ?? [])].sort(), `at ${seen}`);
    }
    await Promise.all([writing, disturbing]);
    assert.equal(seen, last());
    assert.ok(isEnough(), JSON.stringify(heard));
  } finally {
    await reader.close();
    await direct.port.close();
    await proxy.stop();
  }
});

test('a reader far behind, whose connection is cut while it catches up, goes on where the events ended', async () => {
  const direct = new CoordinationClient(openEtcdCoordination({ urls: server.endpoint }));
  const proxy = await Proxy.start(server.port);
  const reader = openEtcdCoordination({ urls: `http://127.0.0.1:${proxy.port}` });
  const behind = '/behind/';
  const count = 2_500;
  try {
    const { after } = await direct.next(behind, null);
    const compares = [{ key: '/none', target: 'createRevision', equals: 0 }] as const;
    const pad = 'x'.repeat(100);
    for (let i = 0; i < count; i += 50) {
      await Promise.all(
        Array.from({ length: 50 }, (_, j) =>
          direct.transact({ compares, puts: [{ key: `${behind}${i + j}`, value: pad }] }),
        ),
      );
    }
    // etcd sends a thousand revisions at a time, each time with the header of the newest.
    proxy.fault = { kind: 'cut', byteCount: 300_000 };
    const heard = new Set<string>();
    let at = after;
    for (let tries = 0; tries < 200 && heard.size < count; tries++) {
      const outcome = await reader.call({
        kind: 'NextEvents',
        prefix: behind,
        after: at,
        waitMs: 500,
      });
      if (heard.size > 0) proxy.fault = { kind: 'none' };
      if (!outcome.ok) continue;
      assert.ok(outcome.value.kind === 'Events');
      for (const event of outcome.value.events) {
        assert.ok(!heard.has(event.key));
        heard.add(event.key);
      }
      at = outcome.value.after;
    }
    assert.equal(heard.size, count);
    assert.ok(proxy.connectionCount > 1, 'the connection was never cut');
  } finally {
    await reader.close();
    await direct.port.close();
    await proxy.stop();
  }
});
