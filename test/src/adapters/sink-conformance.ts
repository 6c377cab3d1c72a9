/**
 * What every sink promises behind its port, as one suite of tests: each adapter's own test calls `testSinkConformance`
 * with a way to open instances of one fresh downstream.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { WriterRow, WriterTable } from '#src/adapters/workload/row-event-writer.ts';
import type { Failure } from '#src/base/failure.ts';
import { BlockWriter } from '#src/model/block.ts';
import { resumeOf } from '#src/model/lane-resume.ts';
import type { Checkpoint, DdlEvent } from '#src/model/position.ts';
import { lastTokenOf, tokenAssignments } from '#src/model/token.ts';
import type { SinkAnswer, SinkApplied, SinkPort, SinkRequest, SlotState } from '#src/ports/sink.ts';
import { rowEventOf } from '#test/fixtures/row-event.ts';

/** A fresh downstream of one test. */
export interface SinkUnderTest {
  /** Another instance on the same downstream, as on another thread. */
  readonly open: () => SinkPort;
  /** `[id, name]` of table `conformance.item`, by id; undefined when the sink keeps no rows. */
  readonly readRows?: () => Promise<readonly (readonly [number, string | null])[]>;
  /** Ends the downstream, after all instances were closed. */
  readonly stop: () => Promise<void>;
}

/** The table the suite writes to. */
export const conformanceTable: WriterTable = {
  id: 9,
  schema: 'conformance',
  table: 'item',
  columns: [
    { name: 'id', kind: 'integer', bytes: 4, unsigned: false, nullable: false },
    { name: 'name', kind: 'varchar', length: 40, nullable: true },
  ],
  key: [0],
};

/** The changefeed of the suite. */
export const changefeed = 'conformance';
const span = 'conformance.item';
const farTs = 2 ** 50;

/** One change of a transaction: rows before and after. */
export type Change = readonly [before: WriterRow | null, after: WriterRow | null];

/** A block of transactions given as [ts, changes]; with `isOpen` the last one goes on in another block. */
export function blockOf(
  table: WriterTable,
  transactions: readonly (readonly [ts: number, changes: readonly Change[]])[],
  isOpen = false,
): Uint8Array {
  const writer = new BlockWriter(`${table.schema}.${table.table}`, 'mariadb');
  for (const [ts, changes] of transactions) {
    writer.begin(ts, 1_000_000 + ts, `0-1-${ts}`);
    for (const [before, after] of changes) {
      const { map, type, body } = rowEventOf(table, before, after);
      writer.rows('t', map, type, body);
    }
    if (!(isOpen && ts === transactions.at(-1)![0])) writer.commit();
  }
  return writer.take()!.bytes;
}

function insertAt(ts: number): readonly [number, readonly Change[]] {
  return [ts, [[null, [ts, `row ${ts}`]]]];
}

function rowsOf(...ids: number[]): [number, string][] {
  return ids.map((id) => [id, `row ${id}`]);
}

/** Asks and expects the answer `kind`. */
export async function askSink<K extends SinkAnswer['kind']>(
  sink: SinkPort,
  request: SinkRequest,
  kind: K,
): Promise<Extract<SinkAnswer, { kind: K }>> {
  const outcome = await sink.call(request);
  assert.ok(outcome.ok, outcome.ok ? '' : JSON.stringify(outcome.failure));
  assert.equal(outcome.value.kind, kind);
  return outcome.value as Extract<SinkAnswer, { kind: K }>;
}

/** Asks and expects a failure. */
export async function refusedBySink(sink: SinkPort, request: SinkRequest): Promise<Failure> {
  const outcome = await sink.call(request);
  assert.ok(!outcome.ok, 'the sink refuses');
  return outcome.failure;
}

function ddl(ts: number, sql: string): DdlEvent {
  return { ts, gtid: `0-1-${ts}`, commitMs: 1000, schema: '', sql };
}

function checkpointAt(ts: number): Checkpoint {
  return { version: 1, position: { ts, gtid: `0-1-${ts}` }, timeline: [] };
}

type ApplyParts = Partial<Extract<SinkRequest, { kind: 'Apply' }>>;

function apply(token: number, blocks: readonly Uint8Array[], more: ApplyParts = {}): SinkRequest {
  const request = { kind: 'Apply', changefeed, span, token, blocks } as const;
  const parts = { afterTs: 0, untilTs: farTs, stage: 'whole', idempotent: false } as const;
  return { ...request, ...parts, schemaVersion: 1, ...more };
}

function raiseFeed(
  sink: SinkPort,
  token: number,
): Promise<Extract<SinkAnswer, { kind: 'FeedRaised' }>> {
  return askSink(sink, { kind: 'RaiseFeed', changefeed, token }, 'FeedRaised');
}

async function raiseSpan(sink: SinkPort, token: number, ts = 0): Promise<readonly SlotState[]> {
  const request = { kind: 'RaiseSpan', changefeed, span, token, ts } as const;
  return (await askSink(sink, request, 'SpanRaised')).lanes;
}

function applied(sink: SinkPort, request: SinkRequest): Promise<SinkApplied> {
  return askSink(sink, request, 'Applied');
}

/** Transactions that all lanes together have committed. */
function seqOf(lanes: readonly SlotState[]): number {
  return lanes.reduce((sum, lane) => sum + lane.seq, 0);
}

/** Opens an instance whose feed has `token`, with the table made. */
export async function preparedSink(downstream: SinkUnderTest, token: number): Promise<SinkPort> {
  const sink = downstream.open();
  await askSink(sink, { kind: 'Open', changefeed }, 'Opened');
  await raiseFeed(sink, token);
  const statements = [
    'CREATE DATABASE IF NOT EXISTS `conformance`',
    'CREATE TABLE `conformance`.`item` (`id` int NOT NULL, `name` varchar(40), PRIMARY KEY (`id`))',
  ];
  for (const [i, sql] of statements.entries()) {
    await askSink(sink, { kind: 'RunDdl', changefeed, token, ddl: ddl(i + 1, sql) }, 'DdlDone');
  }
  return sink;
}

async function assertRows(downstream: SinkUnderTest, ...ids: number[]): Promise<void> {
  if (downstream.readRows === undefined) return;
  assert.deepEqual(await downstream.readRows(), rowsOf(...ids));
}

/** Declares the suite; `start` gives a fresh downstream for each test. */
export function testSinkConformance(name: string, start: () => Promise<SinkUnderTest>): void {
  const cases: [string, (downstream: SinkUnderTest) => Promise<void>][] = [
    ...feedCases,
    ...spanCases,
    ...stageCases,
  ];
  describe(`${name} as a sink`, () => {
    for (const [title, run] of cases) {
      test(title, async () => {
        const downstream = await start();
        try {
          await run(downstream);
        } finally {
          await downstream.stop();
        }
      });
    }
  });
}

type Case = [string, (downstream: SinkUnderTest) => Promise<void>];

const feedCases: Case[] = [
  [
    'tells its version, its identity and at least one lane',
    async (downstream) => {
      const sink = downstream.open();
      const opened = await askSink(sink, { kind: 'Open', changefeed }, 'Opened');
      assert.ok(opened.laneCount >= 1);
      assert.notEqual(opened.version, '');
      const other = downstream.open();
      const again = await askSink(other, { kind: 'Open', changefeed }, 'Opened');
      assert.equal(again.serverId, opened.serverId);
      await sink.close();
      await other.close();
    },
  ],
  [
    'raises the feed only to a higher token and names the one that is there',
    async (downstream) => {
      const sink = await preparedSink(downstream, 5);
      for (const token of [5, 4]) {
        const failure = await refusedBySink(sink, { kind: 'RaiseFeed', changefeed, token });
        assert.equal(failure.code, 'SINK_FENCED');
        assert.equal(failure.detail?.['token'], 5);
      }
      assert.equal((await raiseFeed(sink, 6)).checkpoint, null);
      await sink.close();
    },
  ],
  [
    'keeps the checkpoint of the newest owner and never lets it go back',
    async (downstream) => {
      const before = await preparedSink(downstream, 1);
      const save = (token: number, ts: number): SinkRequest => ({
        kind: 'SaveCheckpoint',
        changefeed,
        token,
        checkpoint: checkpointAt(ts),
      });
      await askSink(before, save(1, 10), 'CheckpointSaved');
      await askSink(before, save(1, 10), 'CheckpointSaved');
      await refusedBySink(before, save(1, 9));
      const after = downstream.open();
      await askSink(after, { kind: 'Open', changefeed }, 'Opened');
      assert.deepEqual((await raiseFeed(after, 2)).checkpoint, checkpointAt(10));
      assert.equal((await refusedBySink(before, save(1, 11))).code, 'SINK_FENCED');
      await askSink(after, save(2, 12), 'CheckpointSaved');
      assert.deepEqual((await raiseFeed(after, 3)).checkpoint, checkpointAt(12));
      await before.close();
      await after.close();
    },
  ],
  [
    'lets nobody write a changefeed that rests, until an owner of a later epoch goes on where it stood',
    async (downstream) => {
      const first = (epoch: number): number => epoch * tokenAssignments;
      const retire = (epoch: number): SinkRequest => ({
        kind: 'RetireFeed',
        changefeed,
        token: lastTokenOf(epoch),
      });
      const before = await preparedSink(downstream, first(1));
      await raiseSpan(before, first(1) + 1);
      await applied(before, apply(first(1) + 1, [blockOf(conformanceTable, [insertAt(10)])]));
      // Whoever ends it may have opened nothing.
      const closing = downstream.open();
      await askSink(closing, retire(1), 'FeedRetired');
      await askSink(closing, retire(1), 'FeedRetired');
      const late = apply(first(1) + 1, [blockOf(conformanceTable, [insertAt(20)])], {
        afterTs: 10,
      });
      assert.equal((await refusedBySink(before, late)).code, 'SINK_FENCED');
      for (const name of [span, 'conformance.other']) {
        const again = { kind: 'RaiseSpan', changefeed, span: name, token: first(1) + 9, ts: 0 };
        assert.equal((await refusedBySink(before, again as SinkRequest)).code, 'SINK_FENCED');
      }
      const save = { kind: 'SaveCheckpoint', changefeed, checkpoint: checkpointAt(10) } as const;
      const saved = await refusedBySink(before, { ...save, token: first(1) });
      assert.equal(saved.code, 'SINK_FENCED');
      await assertRows(downstream, 10);
      const after = downstream.open();
      await askSink(after, { kind: 'Open', changefeed }, 'Opened');
      await raiseFeed(after, first(2));
      assert.equal((await refusedBySink(closing, retire(1))).code, 'SINK_FENCED');
      const lanes = await raiseSpan(after, first(2) + 1);
      assert.equal(Math.max(...lanes.map(({ ts }) => ts)), 10);
      await applied(
        after,
        apply(first(2) + 1, [blockOf(conformanceTable, [insertAt(20)])], { afterTs: 10 }),
      );
      await assertRows(downstream, 10, 20);
      for (const sink of [before, closing, after]) await sink.close();
    },
  ],
  [
    'runs a DDL once and not for a stale owner',
    async (downstream) => {
      const before = await preparedSink(downstream, 1);
      const statement = ddl(
        7,
        'CREATE TABLE `conformance`.`other` (`id` int NOT NULL PRIMARY KEY)',
      );
      const run = (token: number, event = statement): SinkRequest => ({
        kind: 'RunDdl',
        changefeed,
        token,
        ddl: event,
      });
      assert.equal((await askSink(before, run(1), 'DdlDone')).ran, true);
      const after = downstream.open();
      await askSink(after, { kind: 'Open', changefeed }, 'Opened');
      await raiseFeed(after, 2);
      const again = await askSink(after, run(2), 'DdlDone');
      if (downstream.readRows !== undefined) assert.equal(again.ran, false);
      const drop = ddl(8, 'DROP TABLE `conformance`.`item`');
      assert.equal((await refusedBySink(before, run(1, drop))).code, 'SINK_FENCED');
      await assertRows(downstream);
      await before.close();
      await after.close();
    },
  ],
];

const spanCases: Case[] = [
  [
    'starts a span at the place it is told and raises it to no lower token',
    async (downstream) => {
      const sink = await preparedSink(downstream, 1);
      const lanes = await raiseSpan(sink, 7, 42);
      assert.equal(seqOf(lanes), 0);
      assert.equal(resumeOf(lanes, 0).startTs, 42);
      await raiseSpan(sink, 7, 42);
      const failure = await refusedBySink(sink, {
        kind: 'RaiseSpan',
        changefeed,
        span,
        token: 6,
        ts: 0,
      });
      assert.equal(failure.code, 'SINK_FENCED');
      await raiseSpan(sink, 8, 42);
      await sink.close();
    },
  ],
  [
    'applies what is after afterTs and up to untilTs, and tells what it did',
    async (downstream) => {
      const sink = await preparedSink(downstream, 1);
      await raiseSpan(sink, 1);
      const first = blockOf(conformanceTable, [1, 2, 3].map(insertAt));
      const second = blockOf(conformanceTable, [4, 5, 6].map(insertAt));
      const done = await applied(sink, apply(1, [first, second], { afterTs: 2, untilTs: 5 }));
      assert.equal(done.ts, 5);
      assert.equal(done.rowCount, 3);
      assert.equal(done.transactionCount, 3);
      assert.equal(done.commitMs, 1_000_005);
      await assertRows(downstream, 3, 4, 5);
      const nothing = await applied(sink, apply(1, [first], { afterTs: 5 }));
      assert.equal(nothing.ts, 5);
      assert.equal(nothing.rowCount, 0);
      await sink.close();
    },
  ],
  [
    'applies inserts, updates and deletes of one key in their order',
    async (downstream) => {
      const sink = await preparedSink(downstream, 1);
      await raiseSpan(sink, 1);
      const changes: Change[] = [
        [null, [1, 'a']],
        [
          [1, 'a'],
          [1, null],
        ],
        [
          [1, null],
          [2, 'moved'],
        ],
        [null, [1, 'row 1']],
        [[2, 'moved'], null],
        [null, [3, 'c']],
        [
          [3, 'c'],
          [3, 'row 3'],
        ],
      ];
      const block = blockOf(conformanceTable, [
        [1, changes.slice(0, 4)],
        [2, changes.slice(4)],
      ]);
      const done = await applied(sink, apply(1, [block]));
      assert.equal(done.rowCount, 7);
      await assertRows(downstream, 1, 3);
      await sink.close();
    },
  ],
  [
    'refuses a writer whose token was raised by another, and takes nothing of it',
    async (downstream) => {
      const before = await preparedSink(downstream, 1);
      await raiseSpan(before, 1);
      await applied(before, apply(1, [blockOf(conformanceTable, [insertAt(1)])]));
      const after = downstream.open();
      await askSink(after, { kind: 'Open', changefeed }, 'Opened');
      const lanes = await raiseSpan(after, 2);
      assert.equal(seqOf(lanes), 1);
      assert.equal(resumeOf(lanes, 0).startTs, 1);
      const late = apply(1, [blockOf(conformanceTable, [insertAt(2)])], { afterTs: 1 });
      assert.equal((await refusedBySink(before, late)).code, 'SINK_FENCED');
      await assertRows(downstream, 1);
      await before.close();
      await after.close();
    },
  ],
  [
    'goes on counting where a lost instance stopped, without loss or repeat',
    async (downstream) => {
      let sink = await preparedSink(downstream, 1);
      for (let ts = 1; ts <= 6; ts++) {
        const lanes = await raiseSpan(sink, ts);
        assert.equal(seqOf(lanes), ts - 1);
        const { startTs } = resumeOf(lanes, 0);
        assert.equal(startTs, ts - 1);
        const block = blockOf(conformanceTable, [1, 2, 3, 4, 5, 6].map(insertAt));
        await applied(sink, apply(ts, [block], { afterTs: startTs, untilTs: ts }));
        await sink.close();
        sink = downstream.open();
        await askSink(sink, { kind: 'Open', changefeed }, 'Opened');
      }
      await assertRows(downstream, 1, 2, 3, 4, 5, 6);
      await sink.close();
    },
  ],
  [
    'writes final states when told that changes may be there already',
    async (downstream) => {
      const sink = await preparedSink(downstream, 1);
      await raiseSpan(sink, 1);
      await applied(sink, apply(1, [blockOf(conformanceTable, [insertAt(1), insertAt(2)])]));
      const again = blockOf(conformanceTable, [
        [
          3,
          [
            [null, [1, 'row 1']],
            [
              [2, 'unknown'],
              [2, 'row 2'],
            ],
            [[9, 'gone'], null],
          ],
        ],
        insertAt(4),
      ]);
      await applied(sink, apply(1, [again], { afterTs: 2, idempotent: true }));
      await assertRows(downstream, 1, 2, 4);
      await sink.close();
    },
  ],
];

const stageCases: Case[] = [
  [
    'commits a transaction of several calls at its end and not before',
    async (downstream) => {
      const sink = await preparedSink(downstream, 1);
      await raiseSpan(sink, 1);
      const part = (ids: readonly number[], isOpen: boolean): Uint8Array => {
        const changes = ids.map((id): Change => [null, [id, `row ${id}`]]);
        return blockOf(conformanceTable, [[5, changes]], isOpen);
      };
      const begun = await applied(
        sink,
        apply(1, [part([1, 2], true)], { stage: 'begin', afterTs: 4 }),
      );
      assert.equal(begun.ts, 4);
      const more = apply(1, [part([3], true)], { stage: 'more', afterTs: 4, untilTs: 5 });
      const added = await applied(sink, more);
      await assertRows(downstream);
      const done = await applied(sink, apply(1, [part([4], false)], { stage: 'end', afterTs: 4 }));
      assert.equal(done.ts, 5);
      const counts = [begun, added, done].map((answer) => answer.transactionCount);
      assert.equal(
        counts.reduce((sum, count) => sum + count, 0),
        1,
        `counted once: ${String(counts)}`,
      );
      await assertRows(downstream, 1, 2, 3, 4);
      const lanes = await raiseSpan(sink, 2);
      assert.equal(seqOf(lanes), 1);
      assert.equal(resumeOf(lanes, 0).startTs, 5);
      await sink.close();
    },
  ],
  [
    'loses a transaction of several calls whole when its instance ends',
    async (downstream) => {
      const before = await preparedSink(downstream, 1);
      await raiseSpan(before, 1);
      const block = blockOf(conformanceTable, [insertAt(3)], true);
      await applied(before, apply(1, [block], { stage: 'begin' }));
      await before.close();
      const after = downstream.open();
      await askSink(after, { kind: 'Open', changefeed }, 'Opened');
      assert.equal(seqOf(await raiseSpan(after, 2)), 0);
      await assertRows(downstream);
      const orphan = apply(2, [block], { stage: 'more' });
      const failure = await refusedBySink(after, orphan);
      assert.notEqual(failure.code, 'INTERNAL_FAULT');
      await applied(after, apply(2, [blockOf(conformanceTable, [insertAt(3)])]));
      await assertRows(downstream, 3);
      await after.close();
    },
  ],
];
