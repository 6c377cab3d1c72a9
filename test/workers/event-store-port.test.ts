/** The event store as the ingest thread calls it: whatever stands between the thread and LMDB, bytes are taken at once. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { BlockInfo } from '#src/model/block.ts';
import { bareSettings } from '#test/fixtures/bare-settings.ts';
import { Gate } from '#workers/gate.ts';
import { openPortOfFeed } from '#workers/ports.ts';

const info: BlockInfo = {
  span: 'd.t',
  firstTs: 1,
  lastTs: 1,
  byteCount: 64,
  unfinished: false,
  continues: false,
  transactionCount: 1,
  eventCount: 1,
};

test('blocks that are moved away right behind an append were taken by it', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-store-port-'));
  const settings = bareSettings(directory, 'c', { storeBytesMax: 1 << 20 });
  const gate = new Gate();
  const port = openPortOfFeed(
    {
      name: 'event-store',
      feed: { id: 'f', endpoints: null },
      life: { gate: 0, generation: gate.begin(0) },
    },
    { settings, gate, log: () => {} },
  );
  try {
    for (let round = 0; round < 3; round += 1) {
      const bytes = new Uint8Array(64).fill(round + 1);
      const append = { kind: 'Append', blocks: [{ info: { ...info, lastTs: round + 1 }, bytes }] };
      const answer = port.call(append);
      structuredClone(bytes, { transfer: [bytes.buffer] });
      assert.partialDeepStrictEqual(await answer, { ok: true, value: { kind: 'Appended' } });
    }
  } finally {
    await port.close();
    rmSync(directory, { recursive: true, force: true });
  }
});
