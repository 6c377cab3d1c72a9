/**
 * What people do with a cluster, through any of its nodes, while the upstream is written to all the time: move, split, merge,
 * pause, update, resume, drain, resign, remove. Three `sluice server` processes, one etcd, two MariaDB servers; every row
 * arrives once.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { must } from '#src/base/assert.ts';
import type { Ongoing } from '#test/fixtures/ongoing.ts';
import { bank, type Bank } from '#test/fixtures/workload.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { moving, provesEqual } from './bank-proof.ts';
import { ServerCluster, until, type Placed, type ServerMember } from './cluster/server-cluster.ts';
import { ServerPair } from './server-pair.ts';
import { sluice, type JsonLine } from './sluice-command.ts';

const tableCount = 8;
const password = 's3cr3t-canary';
const table = 'bank.account_0';

let servers: ServerPair;
let cluster: ServerCluster;
let accounts: Bank;
const directory = mkdtempSync(join(tmpdir(), 'sluice-operations-'));
let work: Ongoing;
/** Commands go to one node after another. */
let turn = 0;

before(async () => {
  [servers, cluster] = await Promise.all([
    ServerPair.start(startMariadb),
    ServerCluster.start(3, { leaseTtlSeconds: 5 }),
  ]);
  for (const one of [servers.upstream, servers.downstream])
    await one.script(
      `CREATE USER copy@'127.0.0.1' IDENTIFIED BY '${password}'; GRANT ALL ON *.* TO copy@'127.0.0.1' WITH GRANT OPTION`,
    );
  accounts = bank(servers.upstream, { tables: tableCount, accounts: 10, balance: 1_000_000 });
  await accounts.setup();
  work = moving(accounts, 50);
});
after(async () => {
  await work.end();
  await cluster.stop();
  await servers.stop();
  rmSync(directory, { recursive: true });
});

/** A client command by way of the next node that runs; its JSON answer. */
async function client(...args: readonly string[]): Promise<JsonLine> {
  const running = cluster.members.filter(({ isRunning }) => isRunning);
  const { address } = must(running[turn++ % running.length], 'a node that runs');
  const end = await sluice([...args, '--server', `http://${address}`, '--json']);
  assert.equal(end.status, 0, `${args.join(' ')}: ${JSON.stringify(end.result)} ${end.errors}`);
  return end.result;
}

/** A command that is refused: its status, code and words. */
async function refused(...args: readonly string[]): Promise<string> {
  const { address } = cluster.members[turn++ % cluster.members.length]!;
  const end = await sluice([...args, '--server', `http://${address}`, '--json']);
  const { code, message } = end.result['error'] as { code: string; message: string };
  return `${end.status} ${code}: ${message}`;
}

/** Waits until what was written so far has arrived. */
async function arrives(): Promise<void> {
  await cluster.reaches('bank', await servers.newestTs());
}

async function placeOf(name: string): Promise<string> {
  const placed = await cluster.tables('bank');
  return must(
    placed.find(({ tables }) => tables.includes(name)),
    `${name} in ${JSON.stringify(placed)}`,
  ).captureId;
}

interface CaptureRow {
  readonly id: string;
  readonly address: string;
  readonly is_owner: boolean;
  readonly state: string;
  readonly changefeed_count: number;
  readonly table_count: number;
}

async function captures(): Promise<readonly CaptureRow[]> {
  return (await client('capture', 'list'))['items'] as readonly CaptureRow[];
}

async function memberOf(captureId: string): Promise<ServerMember> {
  const { address } = must(
    (await captures()).find(({ id }) => id === captureId),
    captureId,
  );
  return must(
    cluster.members.find((member) => member.address === address),
    address,
  );
}

test('a changefeed with passwords, created at any node: all nodes serve it, and etcd shows no password', async () => {
  const uris = [servers.upstream, servers.downstream].map(
    ({ port }) => `mysql://copy:${password}@127.0.0.1:${port}/`,
  );
  const ends = ['--upstream', uris[0]!, '--sink-uri', uris[1]!, '--start', 'oldest'];
  await client('changefeed', 'create', '-i', 'bank', '--no-confirm', ...ends);
  await cluster.balanced('bank', tableCount, 3);
  await arrives();
  const all = Buffer.from('/sluice/').toString('base64');
  const end = Buffer.from('/sluice0').toString('base64');
  const { kvs } = (await cluster.etcd.call('kv/range', { key: all, range_end: end })) as {
    readonly kvs: readonly { readonly key: string; readonly value: string }[];
  };
  const dump = kvs.map(({ value }) => Buffer.from(value, 'base64').toString()).join('\n');
  assert.match(dump, /mysql:\/\/copy:sealed\.v1\./);
  assert.equal(dump.includes(password), false);
  for (const member of cluster.members) assert.equal(member.log.includes(password), false);
});

test('every node says the same of the cluster, and who leads it', async () => {
  const told = await Promise.all(
    cluster.members.map(async (member) => ({
      status: (await member.get('status')) as {
        readonly is_owner: boolean;
        readonly owner_id: string;
      },
      captures: ((await member.get('captures')) as { readonly items: readonly CaptureRow[] }).items,
      feeds: (
        (await member.get('changefeeds')) as { readonly items: readonly { readonly id: string }[] }
      ).items,
    })),
  );
  assert.equal(told.filter(({ status }) => status.is_owner).length, 1);
  assert.equal(new Set(told.map(({ status }) => status.owner_id)).size, 1);
  const addresses = cluster.members.map(({ address }) => address).sort();
  for (const { captures: seen, feeds, status } of told) {
    assert.deepEqual(seen.map(({ address }) => address).sort(), addresses);
    assert.deepEqual(new Set(seen.map(({ state }) => state)), new Set(['alive']));
    assert.deepEqual(
      seen.filter((one) => one.is_owner).map(({ id }) => id),
      [status.owner_id],
    );
    assert.deepEqual(
      feeds.map(({ id }) => id),
      ['bank'],
    );
  }
});

test('a table is moved to another node', async () => {
  const from = await placeOf(table);
  const to = must(
    (await captures()).find(({ id }) => id !== from),
    'another node',
  ).id;
  await client('changefeed', 'move-table', '-i', 'bank', '-t', table, '-d', to);
  assert.equal(await placeOf(table), to);
  await arrives();
  assert.equal(
    await refused('changefeed', 'move-table', '-i', 'bank', '-t', 'bank.none', '-d', to),
    '1 TABLE_UNKNOWN: bank has no span bank.none',
  );
  assert.equal(
    await refused('changefeed', 'move-table', '-i', 'bank', '-t', table, '-d', 'nobody'),
    '1 CAPTURE_UNKNOWN: there is no capture nobody',
  );
});

test('a table is split and merged', async () => {
  await client('changefeed', 'split-table', '-i', 'bank', '-t', table, '--parts', '3');
  const parts = partsIn(await cluster.tables('bank'));
  assert.equal(parts.length, 3);
  await arrives();
  await client('changefeed', 'merge-table', '-i', 'bank', '-t', table);
  assert.deepEqual(partsIn(await cluster.tables('bank')), []);
  await arrives();
});

function partsIn(placed: readonly Placed[]): readonly string[] {
  return placed.flatMap(({ tables }) => tables.filter((name) => name.startsWith(`${table}#`)));
}

test('the maintainer is moved to another node, and tables stay where they are', async () => {
  const { maintainer_capture_id: from } = await client('changefeed', 'query', '-i', 'bank');
  const to = must(
    (await captures()).find(({ id }) => id !== from),
    'another node',
  ).id;
  await client('changefeed', 'move', '-i', 'bank', '-d', to);
  const moved = await client('changefeed', 'query', '-i', 'bank');
  assert.deepEqual([moved['maintainer_capture_id'], moved['state']], [to, 'normal']);
  await arrives();
});

test('paused, nothing is written; updated and resumed, it goes on where it was', async () => {
  await client('changefeed', 'pause', '-i', 'bank');
  const before = await versions();
  await sleep(1_000);
  assert.equal(await versions(), before);
  assert.deepEqual(await cluster.tables('bank'), []);
  const config = join(directory, 'bank.toml');
  writeFileSync(config, '[filter]\nrules = ["bank.*"]\n[sink]\nlane-count = 3\n');
  const updated = await client('changefeed', 'update', '-i', 'bank', '--config', config);
  assert.partialDeepStrictEqual(updated['config'], { sink: { 'lane-count': 3 } });
  await client('changefeed', 'resume', '-i', 'bank');
  await cluster.balanced('bank', tableCount, 3);
  await arrives();
});

/** Writes that have reached the downstream. */
async function versions(): Promise<number> {
  const sums = Array.from(
    { length: tableCount },
    (_, i) => `(SELECT sum(version) FROM bank.account_${i})`,
  );
  const [row] = await servers.downstream.query<{ sum: string }>(
    `SELECT ${sums.join(' + ')} AS sum`,
  );
  return Number(row!.sum);
}

test('a drained node is empty, is stopped, and takes tables again when it is back', async () => {
  const { maintainer_capture_id: id } = await client('changefeed', 'query', '-i', 'bank');
  const drained = String(id);
  await client('capture', 'drain', '--capture-id', drained);
  const empty = must(
    (await captures()).find((one) => one.id === drained),
    drained,
  );
  assert.deepEqual([empty.state, empty.changefeed_count, empty.table_count], ['draining', 0, 0]);
  await arrives();
  const member = await memberOf(drained);
  await member.signal('SIGTERM');
  await cluster.balanced('bank', tableCount, 2);
  await arrives();
  await member.start();
  // After a drain nothing is evened out for two minutes; what people ask for is done.
  await givesTable(await member.captureId());
});

test('a drain that is cancelled gives the node work again', async () => {
  const { id } = must((await captures())[0], 'a node');
  await client('capture', 'drain', '--capture-id', id, '--no-wait');
  await client('capture', 'drain', '--capture-id', id, '--cancel');
  const row = (await captures()).find((one) => one.id === id);
  assert.equal(row?.state, 'alive');
  await givesTable(id);
});

/** A table from another node is moved there. */
async function givesTable(to: string): Promise<void> {
  const placed = await cluster.tables('bank');
  const [name] = placed.find(({ captureId }) => captureId !== to)?.tables ?? [];
  await client('changefeed', 'move-table', '-i', 'bank', '-t', must(name, 'a table'), '-d', to);
  assert.equal(await placeOf(must(name, 'a table')), to);
  await arrives();
}

test('the coordinator resigns; another leads, and nothing stops', async () => {
  const former = (await captures()).find((one) => one.is_owner);
  await client('coordinator', 'resign');
  const next = (await captures()).find((one) => one.is_owner);
  assert.ok(former !== undefined && next !== undefined);
  assert.notEqual(next.id, former.id);
  const { state } = await client('changefeed', 'query', '-i', 'bank');
  assert.equal(state, 'normal');
  await arrives();
});

test('asks while a coordinator is lost are answered in time: by the next one, or by when to ask again', async (t) => {
  const coordinator = await cluster.coordinator();
  const others = cluster.members.filter((member) => member !== coordinator);
  await coordinator.signal('SIGKILL');
  const absent: number[] = [];
  await until(
    () => 'the next coordinator answers',
    async () => {
      const { address } = others[turn++ % others.length]!;
      const response = await fetch(`http://${address}/api/v2/changefeeds`, {
        signal: AbortSignal.timeout(15_000),
      });
      if (response.status === 200) return true;
      assert.equal(response.status, 503, await response.clone().text());
      assert.equal(response.headers.get('retry-after'), '1');
      absent.push(response.status);
      return false;
    },
  );
  t.diagnostic(`${absent.length} times asked in vain`);
  await arrives();
  await coordinator.start();
  await givesTable(await coordinator.captureId());
});

test('at the end every row is there, once; removed, the changefeed is gone from every node and its copy stays', async () => {
  await work.end();
  await arrives();
  await provesEqual(servers, accounts);
  await client('changefeed', 'remove', '-i', 'bank', '--no-confirm');
  for (const member of cluster.members)
    assert.deepEqual(await member.get('changefeeds'), { total: 0, items: [] });
  assert.equal(
    await refused('changefeed', 'query', '-i', 'bank'),
    '1 CHANGEFEED_UNKNOWN: there is no changefeed bank',
  );
  await servers.assertEqual(['bank']);
});
