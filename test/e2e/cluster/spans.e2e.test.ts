/** One table over several dispatchers and nodes while it is written: split, moved in part, joined, and joined by a DDL. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { SpanPlacement } from '#src/protocol/maintainer.ts';
import { ServerPair } from '#test/e2e/server-pair.ts';
import { ongoing, type Ongoing } from '#test/fixtures/ongoing.ts';
import { checkHistory, describeViolations } from '#test/history/check-history.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { NodeCluster, feedBetween } from './node-cluster.ts';

let servers: ServerPair;
let cluster: NodeCluster;
const id = 'parts';
const span = 'd.hot';

before(async () => {
  [servers, cluster] = await Promise.all([ServerPair.start(startMariadb), NodeCluster.start(2)]);
  await servers.upstream.script(
    `CREATE DATABASE d; CREATE TABLE d.hot (id INT PRIMARY KEY, n INT NOT NULL, t VARCHAR(20));
     CREATE TABLE d.named (id INT PRIMARY KEY, u INT, UNIQUE KEY second(u));
     CREATE TABLE d.parent (id INT PRIMARY KEY);
     CREATE TABLE d.child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES d.parent(id));
     INSERT INTO d.named VALUES (1, 1); INSERT INTO d.parent VALUES (1); INSERT INTO d.child VALUES (1, 1)`,
  );
  const config = feedBetween(id, servers.upstream, servers.downstream);
  await cluster.ask({ kind: 'CreateChangefeed', config, createdMs: Date.now() });
});
after(async () => {
  await cluster.stop();
  await servers.stop();
});

test('a table is split over two nodes and merged back under writes, and every row arrives once', async (t) => {
  const work = write(1);
  await arrives();
  await cluster.ask({ kind: 'SplitTable', id, span, partCount: 4 });
  const parts = await spread(4);
  t.diagnostic(JSON.stringify(parts));
  assert.equal(parts.length, 2);
  await arrives();
  const [from, to] = parts;
  const moved = from!.spans.find((one) => one.startsWith(`${span}#`))!;
  await cluster.ask({ kind: 'MoveTable', id, span: moved, node: to!.node! });
  assert.ok((await tables()).some(({ node, spans }) => node === to!.node && spans.includes(moved)));
  await arrives();
  await cluster.ask({ kind: 'MergeTable', id, span });
  assert.ok((await tables()).flatMap(({ spans }) => spans).includes(span));
  await arrives();
  await cluster.ask({ kind: 'SplitTable', id, span, partCount: 3 });
  await spread(3);
  await work.end();
  await provesEqual();
});

test('a DDL that ends what makes a table divisible joins its parts first, and loses nothing', async () => {
  const work = write(2);
  await servers.upstream.script('ALTER TABLE d.hot ADD COLUMN u INT, ADD UNIQUE KEY one(u)');
  await work.end();
  await provesEqual();
  assert.ok((await tables()).flatMap(({ spans }) => spans).includes(span));
  await assert.rejects(
    cluster.ask({ kind: 'SplitTable', id, span, partCount: 2 }),
    /TABLE_UNSPLITTABLE: d\.hot cannot be split: its unique key one could tie/,
  );
});

test('tables whose rows must stay together are refused with the reason', async () => {
  for (const [table, why] of [
    ['d.named', /d\.named cannot be split: its unique key second could tie rows/],
    ['d.child', /d\.child cannot be split: it has a foreign key on d\.parent/],
    ['d.parent', /d\.parent cannot be split: d\.child has a foreign key on it/],
    ['d.nothing', /TABLE_UNKNOWN: parts has no span d\.nothing/],
  ] as const)
    await assert.rejects(cluster.ask({ kind: 'SplitTable', id, span: table, partCount: 2 }), why);
});

test('a maintainer that is moved finds the parts as they are, and joins them', async () => {
  await servers.upstream.script('ALTER TABLE d.hot DROP KEY one');
  const work = write(3);
  await arrives();
  await cluster.ask({ kind: 'SplitTable', id, span, partCount: 2 });
  await spread(2);
  const { maintainer } = await cluster.view(id);
  const other = cluster.nodes.find(({ captureId }) => captureId !== maintainer)!;
  await cluster.ask({ kind: 'MoveChangefeed', id, node: other.captureId });
  await cluster.until(id, (view) => view.maintainer === other.captureId);
  await arrives();
  await spread(2);
  await cluster.ask({ kind: 'MergeTable', id, span });
  await work.end();
  await provesEqual();
});

async function tables(): Promise<readonly SpanPlacement[]> {
  const reply = await cluster.ask({ kind: 'ListTables', id });
  assert.equal(reply.kind, 'Tables');
  return reply.placement;
}

/** Waits until all parts have a place; answers who has which. */
async function spread(partCount: number): Promise<readonly SpanPlacement[]> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const placement = (await tables()).filter(({ node }) => node !== null);
    const parts = placement.flatMap(({ spans }) => spans.filter((one) => one.includes('#')));
    if (parts.length === partCount) return placement;
    assert.ok(performance.now() < deadline, JSON.stringify(placement));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Waits until what was written so far has arrived. */
async function arrives(): Promise<void> {
  const newestTs = await servers.newestTs();
  await cluster.until(id, ({ status }) => (status.checkpoint?.ts ?? 0) >= newestTs);
}

/** Everything written has arrived, once, in order, and under tokens that only rose. */
async function provesEqual(): Promise<void> {
  await arrives();
  await servers.assertEqual(['d']);
  const history = await checkHistory(servers.downstream, {
    isReplicated: (table) => table.startsWith('d.'),
  });
  assert.equal(describeViolations(history), '');
}

/** Rows come, change, change their keys and go, until told to stop; keys of round `round` are its own. */
function write(round: number): Ongoing {
  const base = round * 1_000_000;
  return ongoing(async (count) => {
    const at = base + 40 * count;
    const rows = Array.from({ length: 40 }, (_, i) => `(${at + i}, 0, 'row ${at + i}')`);
    await servers.upstream.script(
      `INSERT INTO d.hot (id, n, t) VALUES ${rows.join()};
       UPDATE d.hot SET n = n + 1 WHERE id >= ${Math.max(base, at - 400)} AND id < ${at + 20};
       BEGIN; UPDATE d.hot SET id = id + 500000 WHERE id >= ${at} AND id < ${at + 8};
       UPDATE d.hot SET n = n + 1 WHERE id >= ${at + 500_000} AND id < ${at + 500_008}; COMMIT;
       DELETE FROM d.hot WHERE id >= ${at + 30} AND id < ${at + 34}`,
    );
  });
}
