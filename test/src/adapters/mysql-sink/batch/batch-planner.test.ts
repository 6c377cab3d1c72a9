/**
 * Plans without a server: which statements changes become, and that for random histories the statements of all lanes, run
 * in any interleaving, turn the state before into the state after without ever breaking a unique key or a row check.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { evenParts, spanRange } from '#src/model/span.ts';
import { BatchPlanner } from '#src/adapters/mysql-sink/batch/batch-planner.ts';
import { IntegerModel, encodeBlocks, integerCatalog } from './integer-table.ts';

import type { PartProgress } from '#src/ports/sink.ts';
import type { BatchPlan } from '#src/adapters/mysql-sink/batch/batch.ts';
import type { Change, Row } from './integer-table.ts';

const columns = ['id', 'u', 'v'];

interface Plan {
  readonly unique?: readonly string[];
  readonly hasKey?: boolean;
  readonly idempotent?: boolean;
  readonly laneCount?: number;
  readonly afterTs?: number;
  readonly untilTs?: number;
  readonly packetBytesMax?: number;
  readonly span?: string;
  readonly parts?: readonly PartProgress[];
}

function plan(
  transactions: readonly (readonly Change[])[],
  options: Plan = {},
): Promise<BatchPlan> {
  const catalog = integerCatalog(columns, options.unique ?? [], options.hasKey ?? true);
  const planner = new BatchPlanner(catalog, {
    laneCount: options.laneCount ?? 1,
    packetBytesMax: options.packetBytesMax ?? 1 << 20,
  });
  return planner.plan({
    blocks: encodeBlocks(3, transactions, 2),
    span: options.span ?? 's.t',
    afterTs: options.afterTs ?? 0,
    untilTs: options.untilTs ?? Number.MAX_SAFE_INTEGER,
    parts: options.parts ?? [],
    idempotent: options.idempotent ?? false,
    wholeTransactions: false,
  });
}

function texts(planned: BatchPlan, lane = 0): string[] {
  return planned.lanes[lane]!.statements.map((statement) =>
    Buffer.from(statement).toString('latin1'),
  );
}

const add = (...after: (number | null)[]): Change => ({ before: null, after });
const drop = (...before: (number | null)[]): Change => ({ before, after: null });
const set = (before: Row, after: Row): Change => ({ before, after });
const check = (n: number): string =>
  `SET @sluice_ok=IF(ROW_COUNT()=${n},1,18446744073709551615+(ROW_COUNT()+2))`;
const insert = 'INSERT INTO `s`.`t` (`id`,`u`,`v`) VALUES ';

describe('a batch of one key', () => {
  const cases: readonly (readonly [string, readonly Change[], readonly string[]])[] = [
    ['insert', [add(1, 2, 3)], [`${insert}(1,2,3)`]],
    ['insert, delete', [add(1, 2, 3), drop(1, 2, 3)], []],
    ['insert, update', [add(1, 2, 3), set([1, 2, 3], [1, null, -4])], [`${insert}(1,NULL,-4)`]],
    ['update', [set([1, 2, 3], [1, 2, 4])], ['UPDATE `s`.`t` SET `v`=4 WHERE `id`=1', check(1)]],
    [
      'update, update',
      [set([1, 2, 3], [1, 2, 4]), set([1, 2, 4], [1, 5, 4])],
      ['UPDATE `s`.`t` SET `u`=5,`v`=4 WHERE `id`=1', check(1)],
    ],
    ['update and back', [set([1, 2, 3], [1, 2, 4]), set([1, 2, 4], [1, 2, 3])], []],
    [
      'update, delete',
      [set([1, 2, 3], [1, 2, 4]), drop(1, 2, 4)],
      ['DELETE FROM `s`.`t` WHERE `id` IN (1)', check(1)],
    ],
    [
      'delete, insert',
      [drop(1, 2, 3), add(1, 2, 9)],
      ['UPDATE `s`.`t` SET `v`=9 WHERE `id`=1', check(1)],
    ],
    [
      'delete, insert, delete',
      [drop(1, 2, 3), add(1, 2, 9), drop(1, 2, 9)],
      ['DELETE FROM `s`.`t` WHERE `id` IN (1)', check(1)],
    ],
    ['insert, delete, insert', [add(1, 2, 3), drop(1, 2, 3), add(1, 5, 6)], [`${insert}(1,5,6)`]],
    [
      'key change',
      [set([1, 2, 3], [7, 2, 3])],
      ['DELETE FROM `s`.`t` WHERE `id` IN (1)', check(1), `${insert}(7,2,3)`],
    ],
    [
      'key change and back',
      [set([1, 2, 3], [7, 2, 3]), set([7, 2, 3], [1, 2, 8])],
      ['UPDATE `s`.`t` SET `v`=8 WHERE `id`=1', check(1)],
    ],
  ];
  for (const [name, changes, expected] of cases) {
    it(`folds: ${name}`, async () => {
      assert.deepEqual(texts(await plan(changes.map((change) => [change]))), expected);
    });
  }
});

describe('a batch', () => {
  it('sends many updates as one statement that names only what changed', async () => {
    const changes = [1, 2, 3, 4].map((id) => set([id, 0, 0], [id, 0, id]));
    assert.deepEqual(texts(await plan([changes])), [
      'INSERT INTO `s`.`t` (`id`,`v`) VALUES (1,1),(2,2),(3,3),(4,4) ON DUPLICATE KEY UPDATE `id`=IF(`id`=VALUES(`id`),`id`,NULL),`v`=VALUES(`v`)',
      check(8),
    ]);
  });

  it('deletes before it inserts when a unique value changes hands', async () => {
    const changes = [set([1, 10, 0], [1, 20, 0]), set([2, 20, 0], [2, 10, 0])];
    assert.deepEqual(texts(await plan([changes], { unique: ['u'] })), [
      'DELETE FROM `s`.`t` WHERE `id` IN (1,2)',
      check(2),
      `${insert}(1,20,0),(2,10,0)`,
    ]);
  });

  it('writes final states without checks when idempotent', async () => {
    const changes = [add(1, 1, 1), set([2, 2, 2], [2, 2, 3]), drop(3, 3, 3)];
    assert.deepEqual(texts(await plan([changes], { idempotent: true })), [
      'DELETE FROM `s`.`t` WHERE `id` IN (1,2,3)',
      'REPLACE INTO `s`.`t` (`id`,`u`,`v`) VALUES (1,1,1),(2,2,3)',
    ]);
  });

  it('changes one row at a time, found by all its columns, without a key', async () => {
    const changes = [
      add(1, 2, null),
      add(1, 2, null),
      set([1, 2, null], [1, 2, 5]),
      drop(1, 2, null),
    ];
    assert.deepEqual(texts(await plan([changes], { hasKey: false })), [
      `${insert}(1,2,NULL),(1,2,NULL)`,
      'UPDATE `s`.`t` SET `v`=5 WHERE `id`=1 AND `u`=2 AND `v` IS NULL LIMIT 1',
      check(1),
      'DELETE FROM `s`.`t` WHERE `id`=1 AND `u`=2 AND `v` IS NULL LIMIT 1',
      check(1),
    ]);
  });

  it('takes only the transactions it is asked for', async () => {
    const planned = await plan([[add(1, 1, 1)], [add(2, 2, 2), add(3, 3, 3)], [add(4, 4, 4)]], {
      afterTs: 1,
      untilTs: 2,
    });
    assert.deepEqual(texts(planned), [`${insert}(2,2,2),(3,3,3)`]);
    const { lanes, ...facts } = planned;
    assert.equal(lanes[0]!.writtenRowCount, 2);
    assert.deepEqual(facts, {
      rowCount: 2,
      transactionCount: 1,
      lastTs: 2,
      commitMs: 1001,
      gtid: '0-1-2',
    });
  });

  it('has no statements when there is nothing to do', async () => {
    const planned = await plan([[add(1, 1, 1)]], { afterTs: 5 });
    assert.deepEqual(planned, {
      lanes: [{ statements: [], writtenRowCount: 0 }],
      rowCount: 0,
      transactionCount: 0,
      lastTs: 5,
      commitMs: 0,
      gtid: '',
    });
  });

  it('cuts statements before they pass the packet size', async () => {
    const packetBytesMax = 200;
    const changes = Array.from({ length: 100 }, (_, i) => add(i, i, i));
    const planned = await plan([changes], { packetBytesMax });
    const statements = texts(planned);
    assert.ok(statements.length > 3);
    for (const sql of statements) assert.ok(sql.length <= packetBytesMax, sql);
    const model = new IntegerModel(columns, [0]);
    for (const sql of statements) model.run(sql);
    assert.equal(model.rows.length, 100);
    await assert.rejects(plan([changes], { packetBytesMax: 45 }), /SINK_ROW_TOO_LARGE/);
  });
});

/** A random valid history on a table with key `id` and, perhaps, unique `u`. */
interface History {
  readonly start: readonly Row[];
  readonly transactions: readonly (readonly Change[])[];
  readonly end: IntegerModel;
}

const step = fc.record({
  id: fc.nat(800),
  other: fc.nat(800),
  u: fc.option(fc.nat(1000), { nil: null }),
  v: fc.nat(5),
  kind: fc.constantFrom('insert', 'update', 'update', 'rename', 'delete', 'swap', 'commit'),
});

function history(
  steps: readonly (typeof step extends fc.Arbitrary<infer T> ? T : never)[],
  startCount: number,
  unique: readonly number[],
): History {
  const start: Row[] = Array.from({ length: startCount }, (_, i) => [i, i % 3 === 0 ? null : i, 0]);
  const model = new IntegerModel(columns, unique, start);
  const transactions: Change[][] = [[]];
  const change = (before: Row | null, after: Row | null): void => {
    const others = model.rows.filter((row) => row !== before);
    if (after !== null && model.clash(after, others) !== undefined) return;
    model.rows = after === null ? others : [...others, after];
    transactions.at(-1)!.push({ before, after });
  };
  for (const { id, other, u, v, kind } of steps) {
    const row = model.rows.find((found) => found[0] === id) ?? null;
    if (kind === 'commit') transactions.push([]);
    else if (kind === 'insert' && row === null) change(null, [id, u, v]);
    else if (kind === 'delete' && row !== null) change(row, null);
    else if (kind === 'update' && row !== null) change(row, [id, v === 0 ? u : row[1]!, v]);
    else if (kind === 'rename' && row !== null) change(row, [other, row[1]!, v]);
    else if (kind === 'swap' && row !== null) {
      const second = model.rows.find((found) => found[0] === other);
      if (second === undefined || second === row) continue;
      const bare: Row = [id, null, row[2]!];
      change(row, bare);
      change(second, [other, row[1]!, second[2]!]);
      change(
        model.rows.find((found) => found[0] === id)!,
        [id, second[1]!, v],
      );
    }
  }
  return { start, transactions, end: model };
}

/** Runs the lanes' statements interleaved by `choices`. */
function runLanes(model: IntegerModel, planned: BatchPlan, choices: readonly number[]): void {
  const lanes = planned.lanes.map((_, i) => texts(planned, i)).filter((lane) => lane.length > 0);
  for (let turn = 0; lanes.some((lane) => lane.length > 0); turn++) {
    const open = lanes.filter((lane) => lane.length > 0);
    const lane = open[(choices[turn % choices.length] ?? 0) % open.length]!;
    model.run(lane.shift()!);
    // A row check belongs to the statement before it.
    while (lane[0]?.startsWith('SET @sluice_ok') === true) model.run(lane.shift()!);
  }
}

describe('any history', () => {
  // Long enough that lanes are worth it.
  const sizes = { minLength: 1, maxLength: 1500, size: 'max' } as const;
  for (const [name, unique, options] of [
    ['a key alone', [0], {}],
    ['a key alone, in lanes', [0], { laneCount: 4 }],
    ['a second unique key', [0, 1], { unique: ['u'] }],
    ['a second unique key, in lanes', [0, 1], { unique: ['u'], laneCount: 3 }],
    ['no key', [], { hasKey: false }],
  ] as const) {
    it(`ends in the upstream's state with ${name}`, async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, sizes),
          fc.nat(800),
          fc.array(fc.nat(7), { minLength: 1, maxLength: 40 }),
          async (steps, startCount, choices) => {
            const { start, transactions, end } = history(
              steps,
              startCount,
              unique.length === 0 ? [0] : unique,
            );
            const model = new IntegerModel(columns, unique, start);
            runLanes(model, await plan(transactions, options), choices);
            assert.deepEqual(model.content(), end.content());
          },
        ),
        { numRuns: 25, endOnFailure: true },
      );
    });
  }

  it('ends in the same state in lanes when unique values pass from deleted rows to new ones', async () => {
    let laneRuns = 0;
    // One set of runs in fifty has no history that is worth several lanes: ten such sets are a mistake.
    for (let set = 0; set < 10; set++) {
      if (laneRuns > 0) break;
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, sizes),
          fc.array(fc.nat(7), { minLength: 1, maxLength: 40 }),
          async (steps, choices) => {
            // Without changes of unique values, which keep a batch in one lane.
            const calm = steps
              .filter(({ kind }) => kind !== 'swap' && kind !== 'rename')
              .map((one) => ({
                ...one,
                v: one.v + 1,
                id: one.kind === 'insert' ? one.id + 1000 : one.id,
              }));
            const { start, transactions, end } = history(calm, 700, [0, 1]);
            const model = new IntegerModel(columns, [0, 1], start);
            const planned = await plan(transactions, { unique: ['u'], laneCount: 3 });
            if (planned.lanes.filter((lane) => lane.statements.length > 0).length > 1) laneRuns++;
            runLanes(model, planned, choices);
            assert.deepEqual(model.content(), end.content());
          },
        ),
        { numRuns: 25, endOnFailure: true },
      );
    }
    assert.ok(laneRuns > 0);
  });

  it('is completed by an idempotent run after any of its lanes', async () => {
    const options = { unique: ['u'], laneCount: 3 };
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, sizes),
        fc.nat(800),
        fc.nat(7),
        fc.nat(10),
        async (steps, startCount, committed, cut) => {
          const { start, transactions, end } = history(steps, startCount, [0, 1]);
          const model = new IntegerModel(columns, [0, 1], start);
          const planned = await plan(transactions, options);
          planned.lanes.forEach((_, i) => {
            if ((committed & (1 << i)) === 0) return;
            for (const sql of texts(planned, i)) model.run(sql);
          });
          // The replay may come in other batches than the first run.
          const untilTs = Math.floor((transactions.length * cut) / 10);
          runLanes(model, await plan(transactions, { ...options, idempotent: true, untilTs }), [0]);
          runLanes(
            model,
            await plan(transactions, { ...options, idempotent: true, afterTs: untilTs }),
            [0],
          );
          assert.deepEqual(model.content(), end.content());
        },
      ),
      { numRuns: 25, endOnFailure: true },
    );
  });

  it('ends in the same state when a table is split, and joined again where its parts happen to be', async () => {
    let crossings = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, sizes),
        fc.nat(800),
        fc.array(fc.nat(10), { minLength: 2, maxLength: 5 }),
        async (steps, startCount, reached) => {
          const { start, transactions, end } = history(steps, startCount, [0]);
          const model = new IntegerModel(columns, [0], start);
          const spans = evenParts('s.t', reached.length);
          const parts = spans.map((span, i) => {
            const ts = Math.floor((transactions.length * reached[i]!) / 10);
            return { span, ...spanRange(span), ts };
          });
          for (const { span, ts } of parts)
            runLanes(model, await plan(transactions, { span, untilTs: ts }), [0]);
          if (new Set(parts.map(({ ts }) => ts)).size > 1) crossings++;
          const afterTs = Math.min(...parts.map(({ ts }) => ts));
          runLanes(model, await plan(transactions, { afterTs, parts }), [0]);
          assert.deepEqual(model.content(), end.content());
        },
      ),
      { numRuns: 25, endOnFailure: true },
    );
    assert.ok(crossings > 0);
  });
});
