/**
 * Sluice is killed again and again, at any moment, while a bank works upstream; the downstream's own binary log then
 * proves that every change came exactly once and behind the fence. `SLUICE_KILLS` sets how often (default 100),
 * `SLUICE_SEED` repeats a run.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { compareTables, describeDifferences } from '#test/fixtures/compare.ts';
import { TestRandom } from '#test/fixtures/random.ts';
import { bank } from '#test/fixtures/workload.ts';
import { checkChains } from '#test/history/row-chains.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { claimDirectory, releaseDirectory } from '#test/servers/server-process.ts';
import { extentOf, isAccount, provesHistory } from './bank-proof.ts';
import { ReplicateProcess } from './replicate-process.ts';

import type { Bank } from '#test/fixtures/workload.ts';
import type { MariadbServer } from '#test/servers/mariadb.ts';

const killCount = Number(process.env['SLUICE_KILLS'] ?? 100);
const seed = Number(process.env['SLUICE_SEED'] ?? Date.now() % 1_000_000);
/** Milliseconds from the start, for kills while starting; from the first word of the changefeed, for the others. */
const startingMsMax = 700;
const workingMsMax = 600;
const bulkRows = 3_000;

let upstream: MariadbServer;
let downstream: MariadbServer;
let directory: string;
let accounts: Bank;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-kill-'));
  claimDirectory(directory);
  [upstream, downstream] = await Promise.all([startMariadb(), startMariadb()]);
  accounts = bank(upstream, { tables: 3, accounts: 20, balance: 1_000_000 });
  await accounts.setup();
  await upstream.script(
    `CREATE DATABASE app; USE app; CREATE TABLE moving (id INT PRIMARY KEY AUTO_INCREMENT, v INT);
     CREATE TABLE bulk (id INT PRIMARY KEY, pad VARCHAR(80), version INT NOT NULL);
     INSERT INTO bulk SELECT seq, REPEAT('p', 80), 0 FROM seq_1_to_${bulkRows}`,
  );
});
after(async () => {
  await Promise.all([upstream.stop(), downstream.stop()]);
  releaseDirectory(directory);
});

test(`${killCount} kills at any moment lose, repeat and disorder nothing`, async (t) => {
  t.diagnostic(`seed ${seed}`);
  const random = new TestRandom(seed);
  const working = new AbortController();
  const work = Promise.allSettled([transfers(working.signal), changes(working.signal)]);
  try {
    for (let kill = 1; kill <= killCount; kill += 1) {
      const run = replicate(random.pick(variants()));
      const isStarting = random.chance(20);
      if (!isStarting) await run.speaks(30_000);
      const lifeMs = random.below(isStarting ? startingMsMax : workingMsMax);
      // Twenty times the downstream has trouble of its own in the same moment.
      const troubled = kill % 5 === 0 ? trouble(kill / 5, random.below(lifeMs + 1)) : undefined;
      await Promise.all([sleep(lifeMs), troubled]);
      assert.ok(run.running, `run ${kill} ended by itself:\n${run.log.slice(-2_000)}`);
      await run.kill();
    }
  } finally {
    working.abort();
    await work;
  }
  for (const done of await work) assert.equal(done.status, 'fulfilled', JSON.stringify(done));
  const last = replicate(['--until-caught-up']);
  const result = await last.result(60_000);
  assert.equal(result['ok'], true, last.log.slice(-2_000));
  await provesEqual(t.diagnostic.bind(t));
});

/** Options of a run: the same changefeed with and without a data directory, with few lanes and many. */
function variants(): readonly (readonly string[])[] {
  const config = (lanes: number): readonly string[] => {
    const file = join(directory, `lanes-${lanes}.toml`);
    writeFileSync(file, `[sink]\nlane-count = ${lanes}\n`);
    return ['--config', file];
  };
  const kept = ['--data-dir', join(directory, 'data')];
  return [[], kept, config(1), config(4), [...config(3), ...kept]];
}

function replicate(args: readonly string[]): ReplicateProcess {
  return new ReplicateProcess({ upstream, downstream, directory, args });
}

/** Breaks connections of the downstream, or the downstream itself, after a while. */
async function trouble(round: number, afterMs: number): Promise<void> {
  await sleep(afterMs);
  if (round % 8 === 3) {
    await downstream.kill();
    await downstream.restart();
  } else if (round % 8 === 7) await downstream.restart();
  else {
    const server = round % 4 === 1 ? upstream : downstream;
    // Upstream the writers have connections too: they go on.
    const which = server === upstream ? "= 'Binlog Dump'" : "IN ('Query', 'Sleep')";
    const rows = await server.query<{ id: number }>(
      `SELECT id FROM information_schema.PROCESSLIST WHERE COMMAND ${which} AND ID <> CONNECTION_ID() AND USER = 'root'`,
    );
    for (const { id } of rows) await server.query(`KILL CONNECTION ${id}`).catch(() => undefined);
  }
}

/** Money moves within and across tables, over three connections. */
async function transfers(signal: AbortSignal): Promise<void> {
  for (let round = 0; !signal.aborted; round += 1) {
    await accounts.transfer(15, { connections: 3, seed: round, perTransaction: 1 + (round % 3) });
    await sleep(40);
  }
}

/** Now and then a transaction of several blocks, and DDL with rows before and after. */
async function changes(signal: AbortSignal): Promise<void> {
  for (let round = 0; !signal.aborted; round += 1) {
    await upstream.query(`INSERT INTO app.moving (v) VALUES (${round})`);
    if (round % 24 === 8) await writeBulk();
    if (round % 8 === 3)
      await upstream.query('ALTER TABLE app.moving ADD COLUMN extra INT DEFAULT 7 FIRST');
    if (round % 8 === 7) await upstream.query('ALTER TABLE app.moving DROP COLUMN extra');
    await sleep(400);
  }
}

/** Two transactions of several blocks, one right behind the other. */
async function writeBulk(): Promise<void> {
  for (let n = 0; n < 2; n += 1) await upstream.query('UPDATE app.bulk SET version = version + 1');
}

async function provesEqual(say: (text: string) => void): Promise<void> {
  assert.equal(await accounts.sum(), accounts.total);
  assert.equal(await accounts.sum(downstream), accounts.total);
  const schemas = ['bank', 'app'];
  const compared = await compareTables(upstream, downstream, { schemas, definitions: true });
  assert.equal(describeDifferences(compared), '');
  assert.equal(compared.tables, 5);
  const isReplicated = (table: string): boolean => isAccount(table) || table.startsWith('app.');
  const history = await provesHistory(downstream, accounts, isReplicated);
  const { dataTransactions, raises } = history;
  say(extentOf(history));
  assert.ok(dataTransactions > killCount, `only ${dataTransactions} transactions`);
  assert.ok(raises > killCount, `only ${raises} raises`);
  const isFollowed = (table: string): boolean => isAccount(table) || table === 'app.bulk';
  const chains = await checkChains(upstream, downstream, { isFollowed });
  assert.deepEqual(chains.violations, []);
  say(JSON.stringify({ up: chains.upstreamSteps, down: chains.downstreamSteps }));
}
