// What servers and the system say, against the failure an operator is shown.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FailureCode } from '#src/base/failures.ts';
import type { Retry } from '#src/base/failure.ts';
import { missingGrants } from '#src/adapters/mysql-upstream/grants-check.ts';
import { checkSettings } from '#src/adapters/mysql-upstream/settings-check.ts';
import {
  failureOfError,
  failureOfServerError,
} from '#src/adapters/mysql-upstream/source-failure.ts';
import type { LogFlavor } from '#src/model/block.ts';

const dumpErrors: readonly (readonly [string, FailureCode, Retry])[] = [
  [
    'A slave with the same server_uuid/server_id as this slave has connected to the master; the first event',
    'SOURCE_SERVER_ID_TAKEN',
    'Again',
  ],
  [
    'Could not find GTID state requested by slave in any binlog files. Probably the slave state is too old and required binlog files have been purged.',
    'SOURCE_BINLOG_PURGED',
    'Never',
  ],
  ['Could not find first log file name in binary log index file', 'SOURCE_BINLOG_PURGED', 'Never'],
  [
    'Cannot replicate because the source purged required binary logs. Replicate the missing transactions from elsewhere',
    'SOURCE_BINLOG_PURGED',
    'Never',
  ],
  [
    "Error: connecting slave requested to start from GTID 0-1-9, which is not in the master's binlog",
    'SOURCE_DIVERGED',
    'Never',
  ],
  [
    "Replica has more GTIDs than the source has, using the source's SERVER_UUID.",
    'SOURCE_DIVERGED',
    'Never',
  ],
  [
    'Client requested source to start replication from position > file size',
    'SOURCE_DIVERGED',
    'Never',
  ],
  ['event read from binlog did not pass crc check', 'SOURCE_CHECKSUM', 'Reconnect'],
  [
    'binlog truncated in the middle of event; consider out of disk space',
    'SOURCE_CORRUPT',
    'Reconnect',
  ],
  ['bogus data in log event', 'SOURCE_CORRUPT', 'Reconnect'],
  ['something new', 'SOURCE_DISCONNECTED', 'Reconnect'],
];

for (const [message, code, retry] of dumpErrors) {
  test(`error 1236 "${message.slice(0, 50)}…" is ${code}`, () => {
    const failure = failureOfServerError(1236, message);
    assert.deepEqual([failure.code, failure.retry, failure.detail?.['errno']], [code, retry, 1236]);
  });
}

test('server errors outside of the dump have their own meaning', () => {
  assert.equal(failureOfServerError(1045, 'x').code, 'SOURCE_ACCESS_DENIED');
  assert.equal(failureOfServerError(1227, 'x').code, 'SOURCE_GRANT_MISSING');
  assert.equal(failureOfServerError(1040, 'x').retry, 'Again');
  assert.equal(failureOfServerError(1053, 'x').retry, 'Reconnect');
  assert.equal(failureOfServerError(1064, 'x').code, 'SOURCE_UNSUPPORTED');
});

test('errors of the system are told apart from bugs', () => {
  const error = (code: string): Error => Object.assign(new Error('text'), { code });
  assert.equal(failureOfError(error('ECONNREFUSED'), false).code, 'SOURCE_UNREACHABLE');
  assert.equal(failureOfError(error('ECONNRESET'), true).code, 'SOURCE_DISCONNECTED');
  assert.equal(
    failureOfError(error('SELF_SIGNED_CERT_IN_CHAIN'), false).code,
    'SOURCE_UNREACHABLE',
  );
  assert.equal(failureOfError(new TypeError('x is undefined'), true).code, 'INTERNAL_FAULT');
});

test('grants are read from what the server shows', () => {
  const shown = (grants: string): string[] => [
    `GRANT ${grants} ON *.* TO \`a\`@\`%\` IDENTIFIED BY PASSWORD '*'`,
  ];
  assert.deepEqual(missingGrants(shown('ALL PRIVILEGES'), 'mariadb'), []);
  assert.deepEqual(missingGrants(shown('REPLICATION SLAVE, BINLOG MONITOR'), 'mariadb'), []);
  assert.deepEqual(missingGrants(shown('SELECT'), 'mariadb'), [
    'REPLICATION SLAVE',
    'BINLOG MONITOR',
  ]);
  assert.deepEqual(missingGrants(shown('SELECT, REPLICATION SLAVE'), 'mysql'), [
    'REPLICATION CLIENT',
  ]);
  assert.deepEqual(missingGrants(['GRANT REPLICATION SLAVE ON `d`.* TO a'], 'mysql').length, 2);
});

function settings(
  flavor: LogFlavor,
  versionNumber: number,
  changed: Record<string, string> = {},
): string {
  const variables = new Map(
    Object.entries({
      log_bin: 'ON',
      binlog_format: 'ROW',
      binlog_row_metadata: 'FULL',
      binlog_row_image: 'FULL',
      gtid_strict_mode: 'ON',
      gtid_mode: 'ON',
      gtid_binlog_state: '0-1-5,0-2-9',
      ...changed,
    }),
  );
  const report = checkSettings({ flavor, version: 'v', versionNumber, variables });
  return [
    ...report.problems.map((problem) => `${problem.code} ${problem.message}`),
    ...report.warnings,
  ].join('|');
}

test('old versions, several domains and every other setting are judged', () => {
  assert.equal(settings('mariadb', 101119), '');
  assert.equal(settings('mysql', 90704), '');
  assert.match(settings('mariadb', 100428), /^SOURCE_UNSUPPORTED .*MariaDB 10.5/);
  assert.match(settings('mysql', 50744), /^SOURCE_UNSUPPORTED .*MySQL 8.0/);
  assert.match(
    settings('mariadb', 101119, { gtid_binlog_state: '0-1-5,3-1-9' }),
    /domains \(0, 3\)/,
  );
  assert.match(settings('mysql', 80400, { gtid_mode: 'OFF_PERMISSIVE' }), /set gtid_mode=ON/);
  assert.match(
    settings('mysql', 80400, { binlog_row_image: 'NOBLOB' }),
    /^binlog_row_image is NOBLOB/,
  );
});
