/** The claim of a process without a cluster: embedded coordination on main, a session as long as the process. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openEmbeddedCoordination } from '#src/adapters/embedded-coordination/embedded-coordination.ts';
import { ClaimNode, until } from './node.ts';

test('a process alone may write from the start and sees itself; one that was killed leaves nothing to wait for', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-alone-'));
  try {
    const first = await ClaimNode.startAlone('a', directory);
    assert.equal(first.mayWrite(), true);
    await first.sees('a alive');
    assert.equal(await first.phase(), 'member');
    await first.stop();
    // What a killed process leaves: its record, its session gone with it.
    const left = openEmbeddedCoordination({ directory: join(directory, 'coordination') });
    const record = '/sluice/c/capture-record/killed';
    const value =
      '{"form":1,"apiAddress":"","peerAddress":"","version":"","ttlMs":null,"isWriteStopped":false}';
    const compares = [{ key: record, target: 'revision', equals: 0 }] as const;
    await left.call({ kind: 'Transact', compares, puts: [{ key: record, value }] });
    const listed = await left.call({ kind: 'List', prefix: '/sluice/c/' });
    assert.ok(listed.ok && listed.value.kind === 'Listed');
    // The one that left in order took its own record with it.
    assert.deepEqual(
      listed.value.entries.map(({ key }) => key),
      [record],
    );
    await left.close();
    const second = await ClaimNode.startAlone('b', directory);
    await second.sees('b alive');
    await until(
      () => second.mayWrite(),
      () => second.phase(),
    );
    assert.deepEqual(second.fences, []);
    await second.stop();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
