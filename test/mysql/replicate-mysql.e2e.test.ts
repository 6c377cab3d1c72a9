import { test } from 'node:test';
import { copyEveryType, copyFamilies } from '#test/e2e/stories.ts';
import { mysqlMissing, startMysql } from '#test/servers/mysql.ts';

const skip = await mysqlMissing();

test('every type and every kind of key is copied between two MySQL', { skip }, (t) =>
  copyEveryType(t, startMysql),
);

test('families of cascading keys are copied between two MySQL', { skip }, (t) =>
  copyFamilies(t, startMysql),
);
