/**
 * A cluster of three `sluice server` processes, one etcd and two MariaDB servers, over a changefeed of a hundred tables
 * that is written to all the time: nodes are killed in turn, at random, and frozen beyond their lease; nothing is lost,
 * nothing stale is written, and the tables are even again whenever a node has come back.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { must } from '#src/base/assert.ts';
import type { Ongoing } from '#test/fixtures/ongoing.ts';
import { TestRandom } from '#test/fixtures/random.ts';
import { bank, type Bank } from '#test/fixtures/workload.ts';
import { checkChains } from '#test/history/row-chains.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { extentOf, isAccount, moving, provesEqual } from '#test/e2e/bank-proof.ts';
import { ServerPair } from '#test/e2e/server-pair.ts';
import { ServerCluster, until, type ServerMember } from './server-cluster.ts';

const tableCount = 100;
const leaseTtlSeconds = 3;
const randomMs = process.env['SLUICE_LONG'] === '1' ? 300_000 : 60_000;
const seed = Number(process.env['SLUICE_SEED'] ?? Date.now() % 1_000_000);

let servers: ServerPair;
let cluster: ServerCluster;
let accounts: Bank;
let work: Ongoing;

before(async () => {
  [servers, cluster] = await Promise.all([
    ServerPair.start(startMariadb),
    ServerCluster.start(3, { leaseTtlSeconds }),
  ]);
  accounts = bank(servers.upstream, { tables: tableCount, accounts: 4, balance: 1_000_000 });
});
after(async () => {
  await cluster.stop();
  await servers.stop();
});

test('a changefeed of a hundred tables, created by the command line, is spread over three nodes', async () => {
  const range = ['-i', 'bank', '--start', 'oldest', '--no-confirm'];
  const created = await cluster.client('changefeed', 'create', ...range, ...servers.uris);
  assert.equal(created['id'], 'bank');
  await accounts.setup();
  work = moving(accounts, 50);
  await cluster.balanced('bank', tableCount, 3);
});

test('each kind of node is killed in turn; its tables go on elsewhere, and come back with it', async () => {
  const coordinator = await cluster.coordinator();
  const maintainer = await cluster.maintainer('bank');
  const other = cluster.members.find((one) => one !== coordinator && one !== maintainer);
  for (const victim of [must(other, 'a node'), coordinator, maintainer]) {
    await victim.signal('SIGKILL');
    await cluster.balanced('bank', tableCount, 2);
    await victim.start();
    await cluster.balanced('bank', tableCount, 3);
  }
});

test('nodes are killed and frozen at random', async (t) => {
  t.diagnostic(`seed ${seed}`);
  const random = new TestRandom(seed);
  const deadline = performance.now() + randomMs;
  const counts = { kills: 0, freezes: 0 };
  while (performance.now() < deadline) {
    const victim = random.pick(cluster.members);
    const awayMs = random.below(2 * leaseTtlSeconds * 1_000);
    if (random.chance(30)) {
      // Shorter and longer than its lease: it goes on, or is another capture afterwards.
      await victim.signal('SIGSTOP');
      counts.freezes += 1;
      await sleep(awayMs);
      await victim.signal('SIGCONT');
    } else {
      await victim.signal('SIGKILL');
      counts.kills += 1;
      await sleep(awayMs);
      await victim.start();
    }
    if (random.chance(50)) await cluster.balanced('bank', tableCount, 3);
    else await sleep(random.below(4_000));
  }
  await cluster.balanced('bank', tableCount, 3);
  t.diagnostic(JSON.stringify(counts));
});

test('a node that stood still beyond its lease writes nothing more under its former claim, and joins as another', async () => {
  const frozen = await cluster.maintainer('bank');
  const former = await frozen.captureId();
  await frozen.signal('SIGSTOP');
  await until(
    () => 'the others have the tables',
    async () => {
      const placed = await thawedTables(frozen);
      return placed === tableCount;
    },
  );
  await frozen.signal('SIGCONT');
  await until(
    () => `it is another capture: ${frozen.log.slice(-2_000)}`,
    async () => (await frozen.isHealthy()) && (await frozen.captureId()) !== former,
  );
  await cluster.balanced('bank', tableCount, 3);
  const isFence = (line: string): boolean =>
    line.includes('"event":"fence"') && line.includes(former);
  assert.ok(frozen.log.split('\n').some(isFence));
});

test('F40: a changefeed that is paused while a node stands still is not written by it when it wakes up', async () => {
  const [asked, , frozen] = cluster.members;
  assert.ok(asked !== undefined && frozen !== undefined);
  const former = await frozen.captureId();
  await frozen.signal('SIGSTOP');
  await cluster.client('changefeed', 'pause', '-i', 'bank');
  const rest = await slotsAtRest();
  assert.equal(rest['tokens'], 1, 'every slot has the token of the rest');
  await frozen.signal('SIGCONT');
  await until(
    () => `it is another capture: ${frozen.log.slice(-2_000)}`,
    async () => (await frozen.isHealthy()) && (await frozen.captureId()) !== former,
  );
  assert.deepEqual(await slotsAtRest(), rest);
  await cluster.client('changefeed', 'resume', '-i', 'bank');
  await cluster.balanced('bank', tableCount, 3);
});

test('at the end nothing is lost, nothing came twice, and no token of a slot ever fell', async (t) => {
  await work.end();
  await cluster.reaches('bank', await servers.newestTs());
  const history = await provesEqual(servers, accounts);
  t.diagnostic(extentOf(history));
  assert.ok(history.raises > 4 * tableCount, `only ${history.raises} raises`);
  const chains = await checkChains(servers.upstream, servers.downstream, {
    isFollowed: isAccount,
  });
  assert.deepEqual(chains.violations, []);
});

/** Tokens of the changefeed's slots, and how many transactions they have committed. */
async function slotsAtRest(): Promise<Readonly<Record<string, unknown>>> {
  const [row] = await servers.downstream.query(
    "SELECT COUNT(DISTINCT token) AS tokens, MAX(token) AS token, SUM(seq) AS seq FROM sluice_meta.slot WHERE cf='bank'",
  );
  return must(row, 'a row') as Readonly<Record<string, unknown>>;
}

/** Tables that run on members other than `frozen`, whose API does not answer. */
async function thawedTables(frozen: ServerMember): Promise<number> {
  const running = must(
    cluster.members.find((one) => one !== frozen),
    'another node',
  );
  try {
    const { items } = (await running.get('changefeeds/bank/tables')) as {
      readonly items: readonly { readonly node_id: string; readonly tables: readonly string[] }[];
    };
    const alive = await Promise.all(
      cluster.members.filter((one) => one !== frozen).map((one) => one.captureId()),
    );
    return items
      .filter(({ node_id: id }) => alive.includes(id))
      .reduce((sum, { tables }) => sum + tables.length, 0);
  } catch {
    return 0;
  }
}
