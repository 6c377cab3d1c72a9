import { test } from 'node:test';
import { mysqlMissing, startMysql } from '#test/servers/mysql.ts';
import { copyEveryType } from './stories.ts';

const skip = await mysqlMissing();

test('every type and every kind of key is copied between two MySQL', { skip }, (t) =>
  copyEveryType(t, startMysql));
