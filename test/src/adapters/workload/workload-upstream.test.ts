import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RowEvent } from '#src/adapters/binlog/row-event.ts';
import type { RowImage } from '#src/adapters/binlog/row-image.ts';
import { type TableMap, readTableMap } from '#src/adapters/binlog/table-map.ts';
import { type Value, readValue } from '#src/adapters/binlog/value.ts';
import { openingBalance } from '#src/adapters/workload/bank-workload.ts';
import { workloadModel } from '#src/adapters/workload/workload-history.ts';
import { openWorkloadUpstream } from '#src/adapters/workload/workload-upstream.ts';
import { visitBlock } from '#src/model/block.ts';
import type {
  UpstreamAnswer,
  UpstreamChunk,
  UpstreamPort,
  UpstreamRequest,
} from '#src/ports/upstream.ts';
import type { Routing } from '#src/model/start-at.ts';

const everything: Routing = { rules: ['*.*'], groups: {} };

function open(uri: string): UpstreamPort {
  return openWorkloadUpstream({ uri, log: () => undefined, clock: () => 1_767_225_600_000 });
}

async function ask<K extends UpstreamAnswer['kind']>(
  port: UpstreamPort,
  request: UpstreamRequest,
  kind: K,
): Promise<Extract<UpstreamAnswer, { kind: K }>> {
  const outcome = await port.call(request);
  assert.ok(outcome.ok, outcome.ok ? '' : outcome.failure.message);
  assert.equal(outcome.value.kind, kind);
  return outcome.value as Extract<UpstreamAnswer, { kind: K }>;
}

/** All chunks of a stream from `ts` until `untilTs` is resolved. */
async function readUntil(
  uri: string,
  untilTs: number,
  more: { ts?: number; routing?: Routing; byteCountMax?: number } = {},
): Promise<UpstreamChunk[]> {
  const port = open(uri);
  const position = { ts: more.ts ?? 0, gtid: '' };
  const routing = more.routing ?? everything;
  await ask(port, { kind: 'Open', position, timeline: [], routing }, 'Opened');
  const chunks: UpstreamChunk[] = [];
  do {
    const byteCountMax = more.byteCountMax ?? 1 << 20;
    chunks.push(await ask(port, { kind: 'Next', byteCountMax }, 'Chunk'));
  } while (chunks.at(-1)!.resolved.ts < untilTs);
  await port.close();
  return chunks;
}

/** Tables rebuilt from the row events, as a reader of the log would. */
class Replica {
  readonly tables = new Map<string, Map<Value, Value[]>>();
  #event = new RowEvent();

  apply(chunks: readonly UpstreamChunk[]): void {
    for (const { blocks } of chunks) for (const { bytes } of blocks) this.#block(bytes);
  }

  #block(bytes: Uint8Array): void {
    const maps: TableMap[] = [];
    visitBlock(bytes, {
      transaction: (ts, _ms, gtid) => {
        assert.equal(gtid, `0-1-${ts}`);
      },
      table: (index, body) => {
        maps[index] = readTableMap(body, 'mariadb');
      },
      rows: (index, type, body) => this.#rows(maps[index]!, type, body),
    });
  }

  #rows(map: TableMap, type: number, body: Uint8Array): void {
    const name = `${map.schema}.${map.table}`;
    const table = this.tables.get(name) ?? new Map<Value, Value[]>();
    this.tables.set(name, table);
    this.#event.open(type, body, map);
    while (this.#event.next()) {
      if (this.#event.operation !== 'insert') {
        const before = rowOf(map, this.#event.before);
        assert.deepEqual(
          table.get(before[0]!),
          before,
          'the image before is the row that is there',
        );
        table.delete(before[0]!);
      }
      if (this.#event.operation !== 'delete') {
        const after = rowOf(map, this.#event.after);
        assert.ok(!table.has(after[0]!));
        table.set(after[0]!, after);
      }
    }
  }
}

/** All rows events of each transaction, in any order of tables, by commitTs. */
function digests(chunks: readonly UpstreamChunk[]): Map<number, string> {
  const events = new Map<number, string[]>();
  for (const { blocks } of chunks) {
    for (const { info, bytes } of blocks) {
      let current: string[] = [];
      visitBlock(bytes, {
        transaction: (ts) => {
          current = events.get(ts) ?? [];
          events.set(ts, current);
        },
        table: () => undefined,
        rows: (_index, type, body) => {
          current.push(`${info.span} ${type} ${Buffer.from(body).toString('hex')}`);
        },
      });
    }
  }
  return new Map([...events].map(([ts, lines]) => [ts, lines.sort().join()]));
}

function rowOf(map: TableMap, image: RowImage): Value[] {
  return map.columns.map((column, i) =>
    image.state(i) === 1 ? null : readValue(column, image.bytes, image.start(i), image.end(i)),
  );
}

function byId(a: Value[], b: Value[]): number {
  return Number(a[0]) - Number(b[0]);
}

function assertEqualsModel(replica: Replica, uri: string, ts: number): void {
  const model = workloadModel(uri, ts);
  assert.ok(model.length > 0);
  for (const { schema, table, rows, rowCount } of model) {
    const found = [...(replica.tables.get(`${schema}.${table}`)?.values() ?? [])].sort(byId);
    assert.deepEqual(found, [...rows]);
    assert.equal(found.length, rowCount);
  }
}

const uris = [
  'workload://bank?seed=7&accounts=250&transactions=1500',
  'workload://bank?seed=8&accounts=2&tables=1&transactions=500',
  'workload://insert?seed=7&rows=13&tables=3&transactions=200',
  'workload://hot?seed=7&rows=3&transactions=500',
];

describe('the workload upstream', () => {
  for (const uri of uris) {
    test(`gives row events that make exactly the contents of its model: ${uri}`, async () => {
      const port = open(uri);
      const checked = await ask(port, { kind: 'Check', startAt: { kind: 'now' } }, 'Checked');
      await port.close();
      assert.equal(checked.flavor, 'workload');
      assert.equal(checked.start.ts, 0);
      const lastTs = checked.newest.ts;
      const chunks = await readUntil(uri, lastTs, { byteCountMax: 20_000 });
      const replica = new Replica();
      replica.apply(chunks);
      assertEqualsModel(replica, uri, lastTs);
      const model = workloadModel(uri, lastTs);
      const ddl = chunks.flatMap((chunk) => (chunk.ddl === undefined ? [] : [chunk.ddl]));
      assert.deepEqual(
        ddl.map((one) => one.ts),
        [1, ...model.map((_, i) => i + 2)],
      );
      assert.match(ddl[0]!.sql, /^CREATE DATABASE/);
      for (const [i, { schema, table }] of model.entries()) {
        assert.ok(ddl[i + 1]!.sql.startsWith(`CREATE TABLE \`${schema}\`.\`${table}\``));
      }
    });
  }

  test('keeps the sum of the bank constant at every transaction', () => {
    const uri = 'workload://bank?seed=3&accounts=40&transactions=300';
    for (const ts of [8, 9, 50, 307]) {
      let total = 0n;
      for (const { sums } of workloadModel(uri, ts)) total += sums['balance'] ?? 0n;
      assert.equal(total, BigInt(40 * openingBalance));
    }
  });

  test('gives the same history from any place and with any chunk size', async () => {
    const uri = uris[0]!;
    const untilTs = 1400;
    const whole = digests(await readUntil(uri, untilTs));
    for (const [from, byteCountMax] of [
      [0, 1],
      [6, 5000],
      [700, 100],
      [1399, 1 << 20],
    ] as const) {
      const found = digests(await readUntil(uri, untilTs, { ts: from, byteCountMax }));
      assert.ok(Math.min(...found.keys()) > from);
      let compared = 0;
      for (const [ts, digest] of whole) {
        if (ts <= from || ts > untilTs) continue;
        assert.equal(found.get(ts), digest);
        compared++;
      }
      assert.ok(compared >= Math.min(untilTs - from, untilTs - 6));
    }
  });

  test('resolves a transaction only when all of it was handed over', async () => {
    const uri = 'workload://insert?seed=1&rows=30000&transactions=2';
    const chunks = await readUntil(uri, 4, { byteCountMax: 200_000 });
    let handedTs = 0;
    let unfinished = 0;
    for (const { blocks, resolved } of chunks) {
      for (const { info } of blocks) {
        if (info.unfinished) unfinished++;
        else handedTs = info.lastTs;
      }
      if (resolved.ts > 2) assert.equal(resolved.ts, handedTs);
    }
    assert.ok(unfinished > 5);
    const replica = new Replica();
    replica.apply(chunks);
    assertEqualsModel(replica, uri, 4);
  });

  test('hands over only what the rules want, in the spans the groups say', async () => {
    const groups = { 'bank.account_0': 'group:x', 'bank.account_1': 'group:x' };
    const routing = { rules: ['bank.*', '!bank.audit', '!bank.account_3'], groups };
    const chunks = await readUntil(uris[0]!, 1000, { routing });
    const spans = new Set(chunks.flatMap(({ blocks }) => blocks.map(({ info }) => info.span)));
    assert.deepEqual([...spans].sort(), ['bank.account_2', 'group:x']);
    const ddl = chunks.flatMap((chunk) => chunk.ddl?.ts ?? []);
    assert.deepEqual(ddl, [1, 2, 3, 4]);
  });

  test('waits at its end until it is closed, and answers the waiting call then', async () => {
    const uri = 'workload://hot?seed=1&transactions=3';
    const port = open(uri);
    const position = { ts: 6, gtid: '0-1-6' };
    await ask(port, { kind: 'Open', position, timeline: [], routing: everything }, 'Opened');
    const last = await ask(port, { kind: 'Next', byteCountMax: 1000 }, 'Chunk');
    assert.equal(last.resolved.ts, 6);
    assert.equal(last.blocks.length, 0);
    const waiting = port.call({ kind: 'Next', byteCountMax: 1000 });
    await new Promise((resolve) => void setImmediate(resolve));
    await ask(port, { kind: 'Close' }, 'Closed');
    const outcome = await waiting;
    assert.ok(!outcome.ok && outcome.failure.code === 'INTERNAL_STOPPED');
    await port.close();
  });

  test('paces transactions by its rate, not the filling of the tables', async () => {
    const uri = 'workload://bank?seed=1&accounts=500&rate=2000&transactions=20';
    const chunks = await readUntil(uri, 6 + 5 + 20);
    assert.equal(chunks.at(-1)!.resolved.ts, 31);
    const replica = new Replica();
    replica.apply(chunks);
    assertEqualsModel(replica, uri, 31);
  });

  test('refuses a place that its history does not have', async () => {
    const port = open('workload://hot?transactions=3');
    for (const gtid of ['0-1-7', '1-1-1', 'x']) {
      const outcome = await port.call({ kind: 'Check', startAt: { kind: 'gtid', gtid } });
      assert.ok(!outcome.ok && outcome.failure.code === 'SOURCE_DIVERGED', gtid);
    }
    const startAt = { kind: 'gtid', gtid: '0-1-6' } as const;
    assert.equal((await ask(port, { kind: 'Check', startAt }, 'Checked')).start.ts, 6);
    await port.close();
  });

  test('names every problem of its URI at once', () => {
    assert.throws(
      () => open('workload://bnak?seed=x&acounts=3&tables=0'),
      /CONFIG_INVALID: .*kind.*acounts.*seed.*tables/,
    );
    assert.throws(() => open('workload:/bank'), /CONFIG_INVALID/);
  });
});

test('a stream ends behind the transaction that is asked for, also before a DDL, and at once when it was read before', async () => {
  for (const [until, ts] of [
    [9, 0],
    [1, 0],
    [9, 9],
  ] as const) {
    const port = open('workload://bank?accounts=5');
    const position = { ts, gtid: '' };
    const request = { position, timeline: [], routing: everything, until: `0-1-${until}` };
    await ask(port, { kind: 'Open', ...request }, 'Opened');
    const chunks: UpstreamChunk[] = [];
    while (chunks.at(-1)?.isEnd !== true)
      chunks.push(await ask(port, { kind: 'Next', byteCountMax: 1 << 20 }, 'Chunk'));
    assert.equal(chunks.at(-1)!.resolved.ts, until);
    assert.ok(chunks.every(({ blocks }) => blocks.every(({ info }) => info.lastTs <= until)));
    await port.close();
  }
});
