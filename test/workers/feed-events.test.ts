/** The event store of a changefeed begins empty at each opening, within one process too, and nothing of it stays. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Outcome } from '#src/base/failure.ts';
import { BlockWriter } from '#src/model/block.ts';
import type { EventStoreAnswer, EventStorePort, StoredBlock } from '#src/ports/event-store.ts';
import { bareSettings } from '#test/fixtures/bare-settings.ts';
import { Gate } from '#workers/gate.ts';
import { dropFeedEvents, openPortOfFeed } from '#workers/ports.ts';

function block(span: string, ts: number): StoredBlock {
  const writer = new BlockWriter(span, 'mariadb');
  writer.begin(ts, ts, `0-1-${ts}`);
  writer.rows('t', new Uint8Array(24), 23, new Uint8Array(10).fill(ts));
  writer.commit();
  return writer.take()!;
}

async function ask(
  store: EventStorePort,
  request: Parameters<EventStorePort['call']>[0],
): Promise<EventStoreAnswer> {
  const outcome: Outcome<EventStoreAnswer> = await store.call(request);
  assert.ok(outcome.ok, JSON.stringify(outcome));
  return outcome.value;
}

test('blocks of an earlier life are nobody’s, whichever span has their number now', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-feed-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const settings = bareSettings(directory, 'a', { storeBytesMax: 1 << 24 });
  const gate = new Gate();
  const open = (): EventStorePort =>
    openPortOfFeed(
      {
        name: 'event-store',
        feed: { id: 'f', endpoints: null },
        life: { gate: 0, generation: 1 },
      },
      { settings, gate, log: () => undefined },
    ) as EventStorePort;
  const read = {
    kind: 'Read',
    after: { ts: 0, part: 0 },
    untilTs: 99,
    byteCountMax: 9_999,
  } as const;

  const first = open();
  await ask(first, { kind: 'Append', blocks: [block('d.a', 5), block('d.b', 9)] });
  // A fence closes the ports of a life while the next one opens its own.
  const second = open();
  await ask(second, { kind: 'Append', blocks: [block('d.b', 3)] });
  await first.close();
  for (const [span, count] of [
    ['d.a', 0],
    ['d.b', 1],
  ] as const) {
    const answer = await ask(second, { ...read, span });
    assert.ok(answer.kind === 'Blocks');
    assert.equal(answer.blocks.length, count, span);
  }
  await ask(second, { kind: 'Append', blocks: [block('d.c', 4)] });
  for (let i = 0; i < 100 && readdirSync(join(directory, 'feed-events', 'f')).length > 1; i++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(readdirSync(join(directory, 'feed-events', 'f')).length, 1);
  await second.close();
  await dropFeedEvents(settings, 'f');
  assert.equal(existsSync(join(directory, 'feed-events', 'f')), false);
});

test('blocks may be moved on as soon as their store was called, at its first call too', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-feed-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const settings = bareSettings(directory, 'a', { storeBytesMax: 1 << 24 });
  const store = openPortOfFeed(
    { name: 'event-store', feed: { id: 'f', endpoints: null }, life: { gate: 0, generation: 1 } },
    { settings, gate: new Gate(), log: () => undefined },
  ) as EventStorePort;
  t.after(() => store.close());
  const asked: Promise<Outcome<EventStoreAnswer>>[] = [];
  for (let ts = 1; ts <= 3; ts++) {
    const moved = block('d.a', ts);
    asked.push(store.call({ kind: 'Append', blocks: [moved] }));
    // As a link does that hands it to another thread.
    structuredClone(moved.bytes, { transfer: [moved.bytes.buffer] });
    assert.equal(moved.bytes.byteLength, 0);
    if (ts === 2) await Promise.all(asked);
  }
  for (const outcome of await Promise.all(asked)) assert.ok(outcome.ok, JSON.stringify(outcome));
  const all = { after: { ts: 0, part: 0 }, untilTs: 99, byteCountMax: 9_999 };
  const answer = await ask(store, { kind: 'Read', span: 'd.a', ...all });
  assert.ok(answer.kind === 'Blocks');
  assert.deepEqual(
    answer.blocks.map(({ bytes }) => Buffer.from(bytes)),
    [1, 2, 3].map((ts) => Buffer.from(block('d.a', ts).bytes)),
  );
});
