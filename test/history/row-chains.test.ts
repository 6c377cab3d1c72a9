import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RowChains } from './row-chains.ts';

import type { LoggedRow, LoggedTransaction } from './binlog-text.ts';
import type { ChainReport } from './row-chains.ts';

type Change = readonly [id: number, from: string | null, to: string | null];

function transaction(index: number, changes: readonly Change[]): LoggedTransaction {
  const rows = changes.map(([id, from, to]): LoggedRow => {
    const image = (value: string | null): (string | null)[] =>
      value === null ? [] : [null, String(id), value];
    const kind = from === null ? 'insert' : to === null ? 'delete' : 'update';
    return { table: 'app.t', kind, before: image(from), after: image(to) };
  });
  return { gtid: `0-1-${index}`, isDdl: false, tables: new Map([['app.t', rows.length]]), rows };
}

function follow(upstream: readonly Change[][], downstream: readonly Change[][]): ChainReport {
  const chains = new RowChains({ isFollowed: () => true });
  for (const [index, changes] of upstream.entries()) {
    chains.addUpstream(transaction(index, changes));
  }
  for (const [index, changes] of downstream.entries()) {
    chains.addDownstream(transaction(index, changes));
  }
  return chains.finish();
}

const history: Change[][] = [
  [[1, null, 'a']],
  [
    [1, 'a', 'b'],
    [2, null, 'x'],
  ],
  [[1, 'b', 'c']],
  [[2, 'x', null]],
];

test('the same changes, and changes folded over transactions, are good', () => {
  assert.deepEqual(follow(history, history).violations, []);
  const folded: Change[][] = [[[1, null, 'c']]];
  const report = follow(history, folded);
  assert.deepEqual(report.violations, []);
  assert.deepEqual([report.rows, report.upstreamSteps, report.downstreamSteps], [2, 5, 1]);
});

test('a replaced row, written as delete and insert, is one change', () => {
  const replaced: Change[][] = [
    [[1, null, 'a']],
    [
      [1, 'a', null],
      [1, null, 'c'],
    ],
  ];
  assert.deepEqual(follow(history, replaced).violations, []);
});

test('a replay that changes nothing is good', () => {
  const again: Change[][] = [
    [[1, null, 'c']],
    [
      [1, 'c', null],
      [1, null, 'c'],
    ],
  ];
  assert.deepEqual(follow(history, again).violations, []);
});

test('a lost change, a state that comes back, and one that never was are found', () => {
  assert.deepEqual(follow(history, [[[1, null, 'b']]]).violations, [
    'app.t (1) never reached its last state',
  ]);
  assert.deepEqual(
    follow(history, [[[1, null, 'c']], [[1, 'c', 'b']], [[1, 'b', 'c']]]).violations,
    [
      'app.t (1) went back to an earlier state at 0-1-1',
      'app.t (1) went back to an earlier state at 0-1-2',
    ],
  );
  assert.deepEqual(follow(history, [[[1, null, 'z']], [[1, 'z', 'c']]]).violations, [
    'app.t (1) took a state it never had upstream at 0-1-0',
  ]);
  assert.deepEqual(
    follow(history, [
      [
        [1, null, 'c'],
        [3, null, 'y'],
      ],
    ]).violations,
    ['app.t (3) took a state it never had upstream at 0-1-0'],
  );
});

test('a lost delete is found', () => {
  const kept: Change[][] = [
    [
      [1, null, 'c'],
      [2, null, 'x'],
    ],
  ];
  assert.deepEqual(follow(history, kept).violations, ['app.t (2) never reached its last state']);
});

test('a row that moves to another key leaves the old one', () => {
  const move: LoggedTransaction = {
    gtid: '0-1-9',
    isDdl: false,
    tables: new Map(),
    rows: [{ table: 'app.t', kind: 'update', before: [null, '1', 'a'], after: [null, '7', 'a'] }],
  };
  const chains = new RowChains({ isFollowed: () => true });
  chains.addUpstream(transaction(1, [[1, null, 'a']]));
  chains.addUpstream(move);
  chains.addDownstream(transaction(1, [[7, null, 'a']]));
  assert.deepEqual(chains.finish().violations, []);
});
