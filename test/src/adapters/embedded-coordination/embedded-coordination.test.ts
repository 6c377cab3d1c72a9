import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { openEmbeddedCoordination } from '#src/adapters/embedded-coordination/embedded-coordination.ts';
import type { CoordinationPort, KeyValue } from '#src/ports/coordination.ts';

const directories: string[] = [];
after(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-coordination-'));
  directories.push(directory);
  return directory;
}

async function get(port: CoordinationPort, key: string): Promise<KeyValue> {
  const outcome = await port.call({ kind: 'Get', key });
  assert.ok(outcome.ok && outcome.value.kind === 'Got');
  return outcome.value.entry;
}

async function put(
  port: CoordinationPort,
  key: string,
  revision: number,
  value: string,
): Promise<{ succeeded: boolean; entry: KeyValue }> {
  const compares = [{ key, target: 'revision', equals: revision }] as const;
  const outcome = await port.call({ kind: 'Transact', compares, puts: [{ key, value }] });
  assert.ok(outcome.ok && outcome.value.kind === 'Transacted');
  return { succeeded: outcome.value.succeeded, entry: outcome.value.entries[0]! };
}

describe('embedded coordination', () => {
  for (const kind of ['in memory', 'in a directory']) {
    test(`puts only over the revision it was told, ${kind}`, async () => {
      const port = openEmbeddedCoordination({
        directory: kind === 'in memory' ? null : newDirectory(),
      });
      assert.deepEqual(await get(port, 'a'), {
        key: 'a',
        value: null,
        revision: 0,
        createRevision: 0,
        lease: '',
      });
      const first = await put(port, 'a', 0, 'one');
      assert.deepEqual(first.entry, {
        key: 'a',
        value: 'one',
        revision: 1,
        createRevision: 1,
        lease: '',
      });
      const second = await put(port, 'a', 0, 'two');
      assert.equal(second.succeeded, false);
      assert.deepEqual(second.entry, first.entry);
      assert.equal((await put(port, 'b', 0, 'x')).entry.revision, 2);
      assert.equal((await put(port, 'a', 1, 'three')).entry.revision, 3);
      assert.equal((await get(port, 'a')).value, 'three');
      await port.close();
    });
  }

  test('keeps values and revisions over a restart', async () => {
    const directory = newDirectory();
    const before = openEmbeddedCoordination({ directory });
    await put(before, '__proto__', 0, '{"epoch":1}');
    await put(before, '__proto__', 1, '{"epoch":2}');
    await before.close();
    const port = openEmbeddedCoordination({ directory });
    assert.deepEqual(await get(port, '__proto__'), {
      key: '__proto__',
      value: '{"epoch":2}',
      revision: 2,
      createRevision: 1,
      lease: '',
    });
    assert.equal((await put(port, 'new', 0, '')).entry.revision, 3);
    await port.close();
  });

  test('lets one owner have a directory, and the next when it is closed', async () => {
    const directory = newDirectory();
    const port = openEmbeddedCoordination({ directory });
    assert.throws(
      () => openEmbeddedCoordination({ directory }),
      new RegExp(`COORDINATION_FAILED: .*pid ${process.pid}`),
    );
    await port.close();
    await openEmbeddedCoordination({ directory }).close();
  });

  test('takes over the directory of a process that was killed, not of one that lives', async () => {
    const directory = newDirectory();
    const module = new URL(
      '../../../../src/adapters/embedded-coordination/embedded-coordination.ts',
      import.meta.url,
    );
    const script = `const { openEmbeddedCoordination } = await import(${JSON.stringify(module.href)});
      openEmbeddedCoordination({ directory: ${JSON.stringify(directory)} });
      console.log('held'); setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    assert.throws(
      () => openEmbeddedCoordination({ directory }),
      new RegExp(`COORDINATION_FAILED: .*pid ${child.pid}`),
    );
    child.kill('SIGKILL');
    await once(child, 'exit');
    await openEmbeddedCoordination({ directory }).close();
  });

  test('reads a file of the first version: the last change stands for the first', async () => {
    const directory = newDirectory();
    const entries = [{ key: 'a', value: 'x', revision: 3 }];
    writeFileSync(
      join(directory, 'coordination.json'),
      JSON.stringify({ version: 1, revision: 4, entries }),
    );
    const port = openEmbeddedCoordination({ directory });
    const entry = await get(port, 'a');
    assert.deepEqual([entry.value, entry.revision, entry.createRevision], ['x', 3, 3]);
    assert.equal((await put(port, 'a', 3, 'y')).entry.createRevision, 3);
    assert.equal((await get(port, 'a')).revision, 5);
    await port.close();
  });

  test('forgets the keys of sessions over a restart, not the revisions', async () => {
    const directory = newDirectory();
    const before = openEmbeddedCoordination({ directory });
    const opened = await before.call({ kind: 'OpenSession', ttlMs: 10_000 });
    assert.ok(opened.ok && opened.value.kind === 'SessionOpened');
    const { lease } = opened.value;
    const compares = [{ key: 'a', target: 'revision', equals: 0 }] as const;
    await before.call({ kind: 'Transact', compares, puts: [{ key: 'a', value: 'x', lease }] });
    assert.equal((await get(before, 'a')).lease, lease);
    await before.close();
    const port = openEmbeddedCoordination({ directory });
    assert.equal((await get(port, 'a')).value, null);
    assert.equal((await put(port, 'b', 0, 'y')).entry.revision, 2);
    await port.close();
  });

  test('refuses a damaged file instead of starting at revision 0', () => {
    const directory = newDirectory();
    writeFileSync(join(directory, 'coordination.json'), '{"version":1,"revision":');
    assert.throws(() => openEmbeddedCoordination({ directory }), /COORDINATION_FAILED.*damaged/);
  });

  test('refuses entries beyond its bounds and closed calls', async () => {
    const port = openEmbeddedCoordination({ directory: null });
    const value = 'x'.repeat((1 << 20) + 1);
    const compares = [{ key: 'a', target: 'revision', equals: 0 }] as const;
    const outcome = await port.call({ kind: 'Transact', compares, puts: [{ key: 'a', value }] });
    assert.ok(!outcome.ok && outcome.failure.code === 'COORDINATION_TOO_LARGE');
    assert.equal((await get(port, 'a')).revision, 0);
    await port.close();
    const closed = await port.call({ kind: 'Get', key: 'a' });
    assert.ok(!closed.ok && closed.failure.code === 'INTERNAL_STOPPED');
  });
});
