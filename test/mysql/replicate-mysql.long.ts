// The longer copies between two MySQL: part of `npm run test:mysql`, beyond the time that `npm test` has.
import { test } from 'node:test';
import { copyDdl, copyHardRows, copyOddities, copyVolumes } from '#test/e2e/stories.ts';
import { mysqlMissing, startMysql } from '#test/servers/mysql.ts';

const skip = await mysqlMissing();

test('200 tables and transactions of 1 to 1,000,000 rows are copied', { skip }, (t) =>
  copyVolumes(t, startMysql),
);

test('DDL is copied in its place among the changes of several writers', { skip }, (t) =>
  copyDdl(t, startMysql),
);

test('values that change hands and rows without identity are copied', { skip }, (t) =>
  copyHardRows(t, startMysql),
);

test('odd names, statements and settings change nothing about the copy', { skip }, (t) =>
  copyOddities(t, startMysql),
);
