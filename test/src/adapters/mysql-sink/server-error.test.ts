/** Error numbers of the downstream become Failures, and their texts show only when they cannot hold values. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { serverFailure } from '#src/adapters/mysql-sink/server-error.ts';

const cases = [
  [1205, 'SINK_BUSY', 'Again'],
  [1213, 'SINK_BUSY', 'Again'],
  [1412, 'SINK_BUSY', 'Again'],
  [1040, 'SINK_BUSY', 'Again'],
  [1290, 'SINK_READ_ONLY', 'Again'],
  [1792, 'SINK_READ_ONLY', 'Again'],
  [1836, 'SINK_READ_ONLY', 'Again'],
  [1021, 'SINK_FULL', 'Again'],
  [1114, 'SINK_FULL', 'Again'],
  [1053, 'SINK_DISCONNECTED', 'Reconnect'],
  [1927, 'SINK_DISCONNECTED', 'Reconnect'],
  [1142, 'SINK_ACCESS_DENIED', 'Never'],
  [1146, 'SINK_TABLE_MISSING', 'Never'],
  [1054, 'SINK_SCHEMA_MISMATCH', 'Never'],
  [1153, 'SINK_ROW_TOO_LARGE', 'Never'],
  [1062, 'SINK_ROW_DUPLICATE', 'Never'],
  [1366, 'SINK_REFUSED', 'Never'],
  [65000, 'SINK_REFUSED', 'Never'],
] as const;

describe('an error of the downstream', () => {
  for (const [errno, code, retry] of cases) {
    it(`${errno} is ${code}, retry ${retry}`, () => {
      const error = { errno, sqlState: 'HY000', text: 'said', statementIndex: 0 };
      const failure = serverFailure(error, 'work');
      assert.deepEqual([failure.code, failure.retry], [code, retry]);
      assert.equal(failure.detail?.['errno'], errno);
    });
  }

  it('1030 is a full disk only when the engine says so', () => {
    const of = (text: string) =>
      serverFailure({ errno: 1030, sqlState: 'HY000', text, statementIndex: 0 }, 'work').code;
    assert.equal(
      of('Got error 28 "No space left on device" from storage engine InnoDB'),
      'SINK_FULL',
    );
    assert.equal(of('Got error 168 from storage engine'), 'SINK_REFUSED');
  });

  it('never shows a text that may hold a value', () => {
    for (const errno of [1062, 1366, 1292, 1406, 1265, 1048, 1064, 4025, 1586]) {
      const error = { errno, sqlState: '23000', text: "value 'hunter2'", statementIndex: 3 };
      assert.doesNotMatch(JSON.stringify(serverFailure(error, 'work')), /hunter2/);
    }
  });
});
