import { test } from 'node:test';
import { startMariadb } from '#test/servers/mariadb.ts';
import {
  copyDdl,
  copyEveryType,
  copyFamilies,
  copyHardRows,
  copyOddities,
  copyVolumes,
} from './stories.ts';

test('every type and every kind of key is copied', (t) => copyEveryType(t, startMariadb));

test('200 tables and transactions of 1 to 1,000,000 rows are copied', (t) =>
  copyVolumes(t, startMariadb));

test('DDL is copied in its place among the changes of several writers', (t) =>
  copyDdl(t, startMariadb));

test('families of cascading keys are copied while keys come and go', (t) =>
  copyFamilies(t, startMariadb));

test('values that change hands and rows without identity are copied', (t) =>
  copyHardRows(t, startMariadb));

test('odd names, statements and settings change nothing about the copy', (t) =>
  copyOddities(t, startMariadb));
