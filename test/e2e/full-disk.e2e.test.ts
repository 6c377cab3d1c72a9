// A downstream whose disk is full: a clear and passing failure, nothing lost, and the copy goes on by itself when there is
// room again. The disk is a small tmpfs, which takes root.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { compareTables, describeDifferences } from '#test/fixtures/compare.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { ReplicateProcess } from './replicate-process.ts';

import type { MariadbServer } from '#test/servers/mariadb.ts';

const mebibyte = 2 ** 20;
const limitMs = 60_000;

function mountMissing(): false | string {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-mount-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', directory], { stdio: 'pipe' });
    execFileSync('umount', [directory], { stdio: 'pipe' });
    return false;
  } catch {
    process.stderr.write('\n*** NO TMPFS: the test of a full downstream disk does not run\n\n');
    return 'a tmpfs cannot be mounted';
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

describe('a downstream on a full disk', { skip: mountMissing() }, () => {
  let directory: string;
  let disk: string;
  let upstream: MariadbServer;
  let downstream: MariadbServer;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'sluice-full-'));
    disk = join(directory, 'disk');
    mkdirSync(disk);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=320m', 'tmpfs', disk]);
    // A server that cannot write its binary log waits for room by itself; here its tables run out of it.
    const config = { skip_log_bin: '', innodb_log_file_size: '16M' };
    upstream = await startMariadb();
    downstream = await startMariadb({ directory: join(disk, 'server'), config });
  });
  after(async () => {
    await Promise.all([upstream.stop(), downstream.stop()]);
    execFileSync('umount', ['-l', disk]);
    rmSync(directory, { recursive: true, force: true });
  });

  test('it is said, nothing is lost, and the copy goes on when there is room', async () => {
    await upstream.script(
      'CREATE DATABASE app; CREATE TABLE app.wide (id INT PRIMARY KEY AUTO_INCREMENT, v MEDIUMTEXT CHARACTER SET latin1)',
    );
    const run = new ReplicateProcess({ upstream, downstream, directory: join(directory, 'run') });
    await write(5);
    await until(
      'the first rows',
      async () => (await count(downstream)) === (await count(upstream)),
    );

    const filler = join(disk, 'filler');
    const { bavail, bsize } = statfsSync(disk);
    writeFileSync(filler, Buffer.alloc(Math.max(0, bavail * bsize - 12 * mebibyte), 1));
    await write(60);
    await until('the failure', () => Promise.resolve(run.log.includes('SINK_FULL')));
    assert.ok(run.running, 'a full disk ends nothing');
    const stored = await count(downstream);
    assert.ok(stored < (await count(upstream)), 'not everything fits');

    rmSync(filler);
    await until('everything', async () => (await count(downstream)) === (await count(upstream)));
    assert.ok(run.running, run.log.slice(-2_000));
    await run.kill();
    const compared = await compareTables(upstream, downstream, { schemas: ['app'] });
    assert.equal(describeDifferences(compared), '');
  });

  /** Transactions of one MiB each. */
  async function write(transactionCount: number): Promise<void> {
    for (let i = 0; i < transactionCount; i++) {
      await upstream.query(
        `INSERT INTO app.wide (v) SELECT RPAD(CONCAT(${i}, ' ', seq), 10000, MD5(seq)) FROM app.seq_1_to_105`,
      );
    }
  }

  async function count(server: MariadbServer): Promise<number> {
    const [row] = await server
      .query<{ n: number }>('SELECT COUNT(*) AS n FROM app.wide')
      .catch(() => []);
    return Number(row?.n ?? -1);
  }

  async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + limitMs;
    while (!(await isSo())) {
      if (performance.now() > deadline) assert.fail(`waited too long for ${what}`);
      await sleep(100);
    }
  }
});
