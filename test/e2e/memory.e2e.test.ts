/**
 * Memory stays within the quota whatever waits: one transaction of 500 MB, or a downstream that stands still while the
 * upstream writes on. Counted is the anonymous memory of the whole process (RssAnon): code, heap, threads and every
 * buffer. The pages of the event store belong to its file (RssFile); the kernel takes them back whenever it needs them.
 * `SLUICE_LONG=1` lets the downstream stand still for a minute.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { compareTables, describeDifferences } from '#test/fixtures/compare.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { claimDirectory, releaseDirectory } from '#test/servers/server-process.ts';
import { ReplicateProcess } from './replicate-process.ts';

import type { MariadbServer } from '#test/servers/mariadb.ts';

const mebibyte = 2 ** 20;
const quota = 256 * mebibyte;
const allowed = quota * 1.2;
const stillMs = process.env['SLUICE_LONG'] === '1' ? 60_000 : 20_000;
/** A row of the wide table in the log. */
const rowBytes = 10_000;

let upstream: MariadbServer;
let downstream: MariadbServer;
let directory: string;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-memory-'));
  claimDirectory(directory);
  writeFileSync(join(directory, 'feed.toml'), `memory-quota = ${quota}\n`);
  const config = { innodb_log_file_size: '512M' };
  [upstream, downstream] = await Promise.all([startMariadb({ config }), startMariadb({ config })]);
  await upstream.script(
    `CREATE DATABASE app; CREATE TABLE app.wide (id INT PRIMARY KEY AUTO_INCREMENT, kind INT, text MEDIUMTEXT CHARACTER SET latin1);
     CREATE TABLE app.narrow (id INT PRIMARY KEY AUTO_INCREMENT, a INT, b VARCHAR(40))`,
  );
});
after(async () => {
  await Promise.all([upstream.stop(), downstream.stop()]);
  releaseDirectory(directory);
});

test('a transaction of 500 MB stays within the quota', async (t) => {
  await writeWide(500 * mebibyte, 1);
  const run = replicate(['--until-caught-up']);
  const memory = new PeakMemory(run.pid);
  const result = await run.result(150_000);
  t.diagnostic(memory.stop());
  assert.equal(result['ok'], true, run.log.slice(-2_000));
  assert.ok(Number(result['rows']) >= 50_000, String(result['rows']));
  await isEqual();
  assert.ok(memory.peak <= allowed, `RssAnon reached ${memory.peak / mebibyte} MiB`);
});

test('a downstream that stands still makes nothing grow, and what waited arrives', async (t) => {
  const run = replicate([]);
  const memory = new PeakMemory(run.pid);
  await run.speaks(30_000);
  await upstream.query("INSERT INTO app.narrow (a, b) VALUES (0, 'first')");
  const lock = await downstream.connect();
  await arrives();
  await lock.query('FLUSH TABLES WITH READ LOCK');
  const standing = sleep(stillMs);
  for (let round = 0; round < 20; round += 1) {
    await writeWide(10 * mebibyte, 2 + round);
    await upstream.query(
      "INSERT INTO app.narrow (a, b) SELECT seq, CONCAT('row ', seq) FROM app.seq_1_to_20000",
    );
  }
  await standing;
  t.diagnostic(`standing still: ${memory.stop()}`);
  await lock.query('UNLOCK TABLES');
  await lock.end();
  await run.kill();
  const last = replicate(['--until-caught-up']);
  const catchingUp = new PeakMemory(last.pid);
  const result = await last.result(100_000);
  t.diagnostic(`catching up: ${catchingUp.stop()}`);
  assert.equal(result['ok'], true, last.log.slice(-2_000));
  await isEqual();
  const peak = Math.max(memory.peak, catchingUp.peak);
  assert.ok(peak <= allowed, `RssAnon reached ${peak / mebibyte} MiB`);
});

function replicate(args: readonly string[]): ReplicateProcess {
  const config = join(directory, 'feed.toml');
  return new ReplicateProcess({
    upstream,
    downstream,
    directory,
    args: ['--config', config, ...args],
  });
}

/** One transaction of about `bytes` in rows of {@link rowBytes}. */
async function writeWide(bytes: number, kind: number): Promise<void> {
  const rows = Math.ceil(bytes / rowBytes);
  await upstream.query(
    `INSERT INTO app.wide (kind, text) SELECT ${kind}, RPAD(CONCAT(seq, ' of ${kind} '), ${rowBytes}, MD5(seq)) FROM app.seq_1_to_${rows}`,
  );
}

/** Waits until the first row of the narrow table is downstream. */
async function arrives(): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    const rows = await downstream.query('SELECT 1 FROM app.narrow').catch(() => []);
    if (rows.length > 0) return;
    await sleep(50);
  }
  assert.fail('nothing arrived');
}

async function isEqual(): Promise<void> {
  const compared = await compareTables(upstream, downstream, { schemas: ['app'] });
  assert.equal(describeDifferences(compared), '');
  assert.equal(compared.tables, 2);
}

/** The highest anonymous memory of a process, looked at ten times a second. */
class PeakMemory {
  readonly #pid: number;
  readonly #timer: NodeJS.Timeout;
  #anonymous = 0;
  #file = 0;

  constructor(pid: number) {
    this.#pid = pid;
    this.#timer = setInterval(() => this.#look(), 100);
  }

  /** Bytes. */
  get peak(): number {
    return this.#anonymous;
  }

  /** Looks no more; a sentence of what was seen. */
  stop(): string {
    clearInterval(this.#timer);
    assert.ok(this.#anonymous > 0, 'the process was never seen');
    const megabytes = (bytes: number): string => (bytes / mebibyte).toFixed(0);
    return `RssAnon at most ${megabytes(this.#anonymous)} MiB, file pages ${megabytes(this.#file)} MiB, of ${megabytes(quota)} MiB`;
  }

  #look(): void {
    let status: string;
    try {
      status = readFileSync(`/proc/${this.#pid}/status`, 'latin1');
    } catch {
      return;
    }
    const read = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024;
    this.#anonymous = Math.max(this.#anonymous, read('RssAnon'));
    this.#file = Math.max(this.#file, read('RssFile') + read('RssShmem'));
  }
}
