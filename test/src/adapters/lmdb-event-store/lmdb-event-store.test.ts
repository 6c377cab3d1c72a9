import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as fc from 'fast-check';
import { openLmdbEventStore } from '#src/adapters/lmdb-event-store/lmdb-event-store.ts';
import { BlockWriter, readBlockInfo, visitBlock } from '#src/model/block.ts';
import type {
  EventStoreAnswer,
  EventStorePort,
  EventStoreRequest,
  StoreCursor,
  StoredBlock,
} from '#src/ports/event-store.ts';

const directories: string[] = [];
after(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-store-'));
  directories.push(directory);
  return directory;
}

function openStore(directory = newDirectory(), byteCountMax = 64 << 20): EventStorePort {
  return openLmdbEventStore({ directory, byteCountMax, log: () => undefined });
}

async function ask<K extends EventStoreAnswer['kind']>(
  store: EventStorePort,
  request: EventStoreRequest,
  kind: K,
): Promise<Extract<EventStoreAnswer, { kind: K }>> {
  const outcome = await store.call(request);
  assert.ok(outcome.ok, outcome.ok ? '' : outcome.failure.message);
  assert.equal(outcome.value.kind, kind);
  return outcome.value as Extract<EventStoreAnswer, { kind: K }>;
}

const map = new Uint8Array(24);

/** A block of complete transactions firstTs…lastTs. */
function block(span: string, firstTs: number, lastTs = firstTs, bodyBytes = 10): StoredBlock {
  const writer = new BlockWriter(span, 'mariadb');
  for (let ts = firstTs; ts <= lastTs; ts++) {
    writer.begin(ts, ts, `0-1-${ts}`);
    writer.rows('t', map, 23, new Uint8Array(bodyBytes).fill(ts));
    writer.commit();
  }
  return writer.take()!;
}

async function readAll(
  store: EventStorePort,
  span: string,
  untilTs = 2 ** 52,
): Promise<StoredBlock[]> {
  const blocks: StoredBlock[] = [];
  let after: StoreCursor = { ts: 0, part: 0 };
  for (;;) {
    const request = { kind: 'Read', span, after, untilTs, byteCountMax: 100 } as const;
    const answer = await ask(store, request, 'Blocks');
    blocks.push(...answer.blocks);
    after = answer.cursor;
    if (!answer.more) return blocks;
  }
}

function commitTs(bytes: Uint8Array): number[] {
  const found: number[] = [];
  visitBlock(bytes, {
    transaction: (ts) => void found.push(ts),
    table: () => undefined,
    rows: () => undefined,
  });
  return found;
}

/** Memory of this process is given back with `content` in it, for whoever asks next. */
function giveBackMemoryWith(content: string): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const pages = Array.from({ length: 5_000 }, () => Buffer.allocUnsafeSlow(4096).fill(content));
  assert.ok(pages.at(-1)!.includes(content));
  pages.length = 0;
  collect();
}

describe('the LMDB event store', () => {
  test('writes nothing into its file that the process had in its memory before', async () => {
    const canary = 's3cr3t-canary ';
    // Which memory it is given is chance: one store of three met some.
    for (let i = 0; i < 12; i++) {
      const directory = newDirectory();
      const store = openStore(directory);
      giveBackMemoryWith(canary);
      for (let ts = 1; ts <= 40; ts++)
        await ask(store, { kind: 'Append', blocks: [block(`a.t${ts}`, ts)] }, 'Appended');
      await store.close();
      const names = readdirSync(directory, { recursive: true, encoding: 'utf8' });
      const [file] = names.filter((name) => name.endsWith('data.mdb'));
      const bytes = readFileSync(join(directory, file!));
      assert.ok(bytes.includes('a.t40'));
      assert.equal(bytes.includes(canary), false);
    }
  });

  test('gives back what was appended, in order and per span, up to untilTs', async () => {
    const store = openStore();
    const blocks = [block('a.b', 1, 3), block('c.d', 4), block('a.b', 5, 6), block('a.b', 300)];
    const expected = blocks.map((one) => one.bytes.slice());
    await ask(store, { kind: 'Append', blocks }, 'Appended');
    // The caller's buffers are its own again.
    for (const one of blocks) one.bytes.fill(0);
    const read = await readAll(store, 'a.b', 299);
    assert.deepEqual(
      read.map((one) => one.bytes),
      [expected[0], expected[2]],
    );
    assert.deepEqual(read[1]!.info, readBlockInfo('a.b', expected[2]!));
    assert.equal((await readAll(store, 'a.b')).length, 3);
    assert.equal((await readAll(store, 'no.such')).length, 0);
    await store.close();
  });

  test('answers at least one block however small the byte count, and says whether more follow', async () => {
    const store = openStore();
    const blocks = [block('a.b', 1, 1, 9000), block('a.b', 2, 2, 9000)];
    await ask(store, { kind: 'Append', blocks }, 'Appended');
    const request = { kind: 'Read', span: 'a.b', untilTs: 9, byteCountMax: 1 } as const;
    const first = await ask(store, { ...request, after: { ts: 0, part: 0 } }, 'Blocks');
    assert.equal(first.blocks.length, 1);
    assert.equal(first.more, true);
    assert.deepEqual(first.cursor, { ts: 1, part: 0 });
    const second = await ask(store, { ...request, after: first.cursor }, 'Blocks');
    assert.equal(second.blocks.length, 1);
    assert.equal(second.more, false);
    await store.close();
  });

  test('keeps the parts of a transaction of several blocks apart and in order', async () => {
    const store = openStore();
    const writer = new BlockWriter('a.b', 'mariadb');
    const blocks: StoredBlock[] = [];
    writer.begin(7, 0, 'g');
    for (let part = 0; part < 3; part++) {
      writer.rows('t', map, 23, new Uint8Array([part]));
      if (part === 2) writer.commit();
      blocks.push(writer.take()!);
    }
    await ask(store, { kind: 'Append', blocks }, 'Appended');
    const read = await readAll(store, 'a.b');
    assert.deepEqual(read, blocks);
    await store.close();
  });

  test('is full above its bound until blocks are collected', async () => {
    const one = block('a.b', 1, 1, 1000);
    const store = openStore(newDirectory(), one.bytes.byteLength * 2);
    await ask(store, { kind: 'Append', blocks: [one, block('a.b', 2, 2, 1000)] }, 'Appended');
    const refused = await store.call({ kind: 'Append', blocks: [block('a.b', 3)] });
    assert.ok(!refused.ok);
    assert.equal(refused.failure.code, 'STORE_FULL');
    assert.equal(refused.failure.retry, 'Again');
    const collected = await ask(store, { kind: 'Collect', span: 'a.b', ts: 1 }, 'Collected');
    assert.equal(collected.byteCount, one.bytes.byteLength);
    await ask(store, { kind: 'Append', blocks: [block('a.b', 3)] }, 'Appended');
    assert.deepEqual(
      (await readAll(store, 'a.b')).map((found) => found.info.lastTs),
      [2, 3],
    );
    await store.close();
  });

  test('discards what is after a position but keeps transactions before it that share a block', async () => {
    const store = openStore();
    const cut = block('a.b', 1, 3);
    await ask(store, { kind: 'Append', blocks: [cut, block('c.d', 3)] }, 'Appended');
    await ask(store, { kind: 'DiscardAfter', ts: 2 }, 'Discarded');
    const [kept, ...others] = await readAll(store, 'a.b');
    assert.equal(others.length, 0);
    assert.deepEqual(commitTs(kept!.bytes), [1, 2]);
    assert.equal(kept!.info.lastTs, 2);
    assert.equal(kept!.info.unfinished, false);
    assert.equal(kept!.info.eventCount, 2);
    assert.equal((await readAll(store, 'c.d')).length, 0);
    await ask(store, { kind: 'Append', blocks: [block('a.b', 3, 4)] }, 'Appended');
    assert.deepEqual(
      (await readAll(store, 'a.b')).flatMap((found) => commitTs(found.bytes)),
      [1, 2, 3, 4],
    );
    await store.close();
  });

  test('is seen by another instance of the same process', async () => {
    const directory = newDirectory();
    const writer = openStore(directory);
    const reader = openStore(directory);
    const longName = `group:${'long.table+'.repeat(400)}x.y`;
    for (let ts = 1; ts <= 3; ts++) {
      const blocks = [block('a.b', ts), block(longName, ts)];
      await ask(writer, { kind: 'Append', blocks }, 'Appended');
      assert.equal((await readAll(reader, 'a.b')).length, ts);
      assert.equal((await readAll(reader, longName)).length, ts);
    }
    await reader.close();
    await writer.close();
  });

  test('drops what dead processes left and nothing of its own', async () => {
    const directory = newDirectory();
    // No process has a pid this high: the kernel's limit is 2^22.
    mkdirSync(join(directory, 'events-99999999-12345'));
    mkdirSync(join(directory, 'other'));
    const store = openStore(directory);
    const left = readdirSync(directory);
    assert.equal(left.length, 2);
    assert.ok(left.includes('other'));
    assert.ok(!left.includes('events-99999999-12345'));
    await store.close();
  });

  test('answers INTERNAL_STOPPED after it was closed', async () => {
    const store = openStore();
    await store.close();
    const outcome = await store.call({ kind: 'Collect', span: 'a.b', ts: 1 });
    assert.ok(!outcome.ok);
    assert.equal(outcome.failure.code, 'INTERNAL_STOPPED');
    await store.close();
  });

  test('throws STORE_FAILED at open when its directory can not be made', () => {
    const file = join(newDirectory(), 'file');
    writeFileSync(file, '');
    assert.throws(() => openStore(join(file, 'store')), /STORE_FAILED/);
  });

  test('equals a list of transactions under any sequence of requests', async () => {
    const step = fc.oneof(
      {
        weight: 5,
        arbitrary: fc.record({ kind: fc.constant('append'), by: fc.integer({ min: 1, max: 4 }) }),
      },
      {
        weight: 1,
        arbitrary: fc.record({ kind: fc.constant('collect'), by: fc.integer({ min: 0, max: 20 }) }),
      },
      {
        weight: 1,
        arbitrary: fc.record({ kind: fc.constant('discard'), by: fc.integer({ min: 0, max: 6 }) }),
      },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const store = openStore();
        let model: number[] = [];
        let last = 0;
        for (const { kind, by } of steps) {
          if (kind === 'append') {
            await ask(
              store,
              { kind: 'Append', blocks: [block('a.b', last + 1, last + by)] },
              'Appended',
            );
            for (let ts = last + 1; ts <= last + by; ts++) model.push(ts);
            last += by;
          } else if (kind === 'discard') {
            last = Math.max(0, last - by);
            await ask(store, { kind: 'DiscardAfter', ts: last }, 'Discarded');
            model = model.filter((ts) => ts <= last);
          } else {
            const ts = Math.max(0, last - by);
            await ask(store, { kind: 'Collect', span: 'a.b', ts }, 'Collected');
            // A block goes as a whole, when all of it is behind ts.
            const left = (await readAll(store, 'a.b')).flatMap((found) => commitTs(found.bytes));
            assert.deepEqual(left, model.slice(model.length - left.length));
            assert.ok(model.slice(0, model.length - left.length).every((gone) => gone <= ts));
            model = left;
          }
        }
        const read = (await readAll(store, 'a.b')).flatMap((found) => commitTs(found.bytes));
        assert.deepEqual(read, model);
        await store.close();
      }),
      { numRuns: 60 },
    );
  });
});
