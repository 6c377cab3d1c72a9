/**
 * What a sink that can split tables promises (spec/01 §1.7 split and merge, FENCE §1.2): slots are divided in one
 * transaction, rows go by their keys, and nothing is lost, repeated or written by who is late. Run on the same downstreams
 * as the general suite.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { resumeOf } from '#src/model/lane-resume.ts';
import { evenParts } from '#src/model/span.ts';
import type { SinkPort, SinkRequest, SlotState } from '#src/ports/sink.ts';
import {
  askSink,
  blockOf,
  changefeed,
  conformanceTable,
  preparedSink,
  refusedBySink,
  type Change,
  type SinkUnderTest,
} from './sink-conformance.ts';

const whole = 'conformance.item';
const halves = evenParts(whole, 2);
const farTs = 2 ** 50;
/** Tokens of an epoch begin here; the feed's own is the first. */
const epoch = 2 ** 20;

/** One feed on one sink, and what was read so far of its tables. */
class Feed {
  readonly sink: SinkPort;
  readonly downstream: SinkUnderTest;
  token = epoch;

  private constructor(downstream: SinkUnderTest, sink: SinkPort) {
    this.downstream = downstream;
    this.sink = sink;
  }

  static async open(downstream: SinkUnderTest): Promise<Feed> {
    return new Feed(downstream, await preparedSink(downstream, epoch));
  }

  async raise(span: string, ts = 0, token = ++this.token): Promise<readonly SlotState[]> {
    const request = { kind: 'RaiseSpan', changefeed, span, token, ts } as const;
    return (await askSink(this.sink, request, 'SpanRaised')).lanes;
  }

  /** Applies transactions as who holds the span now, from where its slots stand; answers what they were raised at. */
  async apply(
    span: string,
    transactions: readonly Transaction[],
    untilTs = farTs,
  ): Promise<number> {
    const { startTs: afterTs } = resumeOf(await this.raise(span), 0);
    await askSink(this.sink, this.applying(span, transactions, { afterTs, untilTs }), 'Applied');
    return afterTs;
  }

  applying(
    span: string,
    transactions: readonly Transaction[],
    more: { afterTs?: number; untilTs?: number; token?: number } = {},
  ): SinkRequest {
    const { afterTs = 0, untilTs = farTs, token = this.token } = more;
    const blocks = [blockOf(conformanceTable, transactions)];
    const rest = { stage: 'whole', idempotent: false, schemaVersion: 1, blocks } as const;
    return { kind: 'Apply', changefeed, span, token, afterTs, untilTs, ...rest };
  }

  reslotting(
    from: readonly string[],
    to: readonly string[],
    spanToken = ++this.token,
    token = epoch,
  ): SinkRequest {
    return { kind: 'Reslot', changefeed, token, spanToken, from, to };
  }

  async reslot(from: readonly string[], to: readonly string[]): Promise<void> {
    await askSink(this.sink, this.reslotting(from, to), 'Reslotted');
  }

  /** Rows by id. */
  async rows(): Promise<Map<number, string | null>> {
    return new Map(await this.downstream.readRows!());
  }
}

type Transaction = readonly [ts: number, changes: readonly Change[]];

const ids = Array.from({ length: 40 }, (_, i) => i + 1);
const inserts = (ts: number): Transaction => [ts, ids.map((id): Change => [null, [id, 'a']])];
const updates = (ts: number, from: string, to: string): Transaction => [
  ts,
  ids.map((id): Change => [
    [id, from],
    [id, to],
  ]),
];
const names = (rows: ReadonlyMap<number, string | null>): string =>
  ids.map((id) => rows.get(id) ?? '-').join('');

type Case = [string, (feed: Feed) => Promise<void>];

const cases: Case[] = [
  [
    'a table is split: each part applies the rows of its keys, from where the whole stood',
    async (feed) => {
      await feed.apply(whole, [inserts(10)]);
      await feed.reslot([whole], halves);
      assert.equal(await feed.apply(halves[0]!, [inserts(10), updates(20, 'a', 'b')]), 10);
      const half = names(await feed.rows());
      assert.ok(half.includes('a') && half.includes('b'), half);
      assert.equal(await feed.apply(halves[1]!, [inserts(10), updates(20, 'a', 'b')]), 10);
      assert.equal(names(await feed.rows()), 'b'.repeat(ids.length));
    },
  ],
  [
    'a merged table begins where its hindmost part stood, and applies nothing again',
    async (feed) => {
      await feed.apply(whole, [inserts(10)]);
      await feed.reslot([whole], halves);
      const history = [updates(20, 'a', 'b'), updates(30, 'b', 'c'), updates(40, 'c', 'd')];
      await feed.apply(halves[0]!, history, 30);
      await feed.apply(halves[1]!, history, 20);
      await feed.reslot(halves, [whole]);
      // An update of what is not at `b` or `c` any more would be refused: none is sent twice.
      assert.equal(await feed.apply(whole, history, 30), 20);
      assert.equal(names(await feed.rows()), 'c'.repeat(ids.length));
      assert.equal(await feed.apply(whole, history), 30);
      assert.equal(names(await feed.rows()), 'd'.repeat(ids.length));
    },
  ],
  [
    'a merged table that is raised again half way still knows what its parts had applied',
    async (feed) => {
      await feed.apply(whole, [inserts(10)]);
      await feed.reslot([whole], halves);
      const history = [updates(20, 'a', 'b'), updates(30, 'b', 'c'), updates(40, 'c', 'd')];
      await feed.apply(halves[1]!, history, 40);
      await feed.reslot(halves, [whole]);
      assert.equal(await feed.apply(whole, history, 20), 10);
      assert.equal(await feed.apply(whole, history, 30), 20);
      assert.equal(await feed.apply(whole, history, 40), 30);
      assert.equal(names(await feed.rows()), 'd'.repeat(ids.length));
    },
  ],
  [
    'a table is split again before its merge was worked off, and otherwise than before',
    async (feed) => {
      await feed.apply(whole, [inserts(10)]);
      await feed.reslot([whole], halves);
      const history = [updates(20, 'a', 'b'), updates(30, 'b', 'c')];
      await feed.apply(halves[1]!, history, 30);
      await feed.reslot(halves, [whole]);
      const thirds = evenParts(whole, 3);
      await feed.reslot([whole], thirds);
      for (const part of thirds) await feed.apply(part, history);
      assert.equal(names(await feed.rows()), 'c'.repeat(ids.length));
    },
  ],
  [
    'an update that moves a row to the key of another part takes it from the one and gives it to the other',
    async (feed) => {
      await feed.apply(whole, [inserts(10)]);
      await feed.reslot([whole], halves);
      const moved: Transaction = [
        20,
        ids.map((id): Change => [
          [id, 'a'],
          [id + 1_000, 'm'],
        ]),
      ];
      for (const part of halves) await feed.apply(part, [moved]);
      const rows = await feed.rows();
      assert.deepEqual(
        [...rows],
        ids.map((id) => [id + 1_000, 'm']),
      );
    },
  ],
  [
    'who held the span before it was split, or raises it late, writes nothing',
    async (feed) => {
      await feed.apply(whole, [inserts(10)]);
      const held = feed.token;
      await feed.reslot([whole], halves);
      const late = feed.applying(whole, [updates(20, 'a', 'b')], { afterTs: 10, token: held });
      assert.equal((await refusedBySink(feed.sink, late)).code, 'SINK_FENCED');
      const raise = {
        kind: 'RaiseSpan',
        changefeed,
        span: whole,
        token: held + 1,
        ts: 10,
      } as const;
      assert.equal((await refusedBySink(feed.sink, raise)).code, 'SINK_FENCED');
      await feed.reslot(halves, [whole]);
      const part = { ...raise, span: halves[0]!, token: feed.token };
      assert.equal((await refusedBySink(feed.sink, part)).code, 'SINK_FENCED');
      assert.equal(names(await feed.rows()), 'a'.repeat(ids.length));
    },
  ],
  [
    'the same request again changes nothing, and one that comes late neither',
    async (feed) => {
      await feed.apply(whole, [inserts(10)]);
      const first = feed.reslotting([whole], halves);
      await askSink(feed.sink, first, 'Reslotted');
      await askSink(feed.sink, first, 'Reslotted');
      for (const part of halves) await feed.apply(part, [updates(20, 'a', 'b')]);
      await askSink(feed.sink, first, 'Reslotted');
      await feed.reslot(halves, [whole]);
      assert.equal((await refusedBySink(feed.sink, first)).code, 'SINK_REFUSED');
      assert.equal(await feed.apply(whole, [updates(30, 'b', 'c')]), 20);
      assert.equal(names(await feed.rows()), 'c'.repeat(ids.length));
    },
  ],
  [
    'the next owner of the feed is told of the parts, and the former one divides nothing',
    async (feed) => {
      await feed.apply(whole, [inserts(10)]);
      await feed.reslot([whole], halves);
      const next = feed.downstream.open();
      await askSink(next, { kind: 'Open', changefeed }, 'Opened');
      const raise = { kind: 'RaiseFeed', changefeed, token: 2 * epoch } as const;
      const { parts } = await askSink(next, raise, 'FeedRaised');
      assert.deepEqual(parts.toSorted(), halves.toSorted());
      const late = feed.reslotting(halves, [whole]);
      assert.equal((await refusedBySink(feed.sink, late)).code, 'SINK_FENCED');
      await next.close();
    },
  ],
];

const unsplittable: [definition: string, why: RegExp][] = [
  ['(id INT)', /no primary key/],
  ['(id INT PRIMARY KEY, u INT, UNIQUE KEY other(u))', /unique key other/],
  ['(id VARCHAR(40) CHARACTER SET latin1 PRIMARY KEY)', /different spellings/],
];

/** Declares the suite; `start` gives a fresh downstream for each test. */
export function testSplitConformance(name: string, start: () => Promise<SinkUnderTest>): void {
  const runs = async (run: (feed: Feed) => Promise<void>): Promise<void> => {
    const downstream = await start();
    try {
      const feed = await Feed.open(downstream);
      await run(feed);
      await feed.sink.close();
    } finally {
      await downstream.stop();
    }
  };
  describe(`${name} as a sink that splits tables`, () => {
    for (const [title, run] of cases) test(title, () => runs(run));
    test('says why a table may not be split, and nothing of one that may', () =>
      runs(async ({ sink }) => {
        const check = async (span: string): Promise<string | null> => {
          const request = { kind: 'CheckSplit', changefeed, span } as const;
          return (await askSink(sink, request, 'SplitChecked')).refusal;
        };
        assert.equal(await check(whole), null);
        for (const [i, [definition, why]] of unsplittable.entries()) {
          const sql = `CREATE TABLE conformance.other${i} ${definition}`;
          const ddl = { ts: 100 + i, gtid: `0-1-${100 + i}`, commitMs: 1_000, schema: '', sql };
          await askSink(sink, { kind: 'RunDdl', changefeed, token: epoch, ddl }, 'DdlDone');
          assert.match((await check(`conformance.other${i}`)) ?? '', why);
        }
      }));
  });
}
