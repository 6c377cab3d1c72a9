import { test } from 'node:test';
import { startMariadb } from '#test/servers/mariadb.ts';
import { copyEveryType } from './stories.ts';

test('every type and every kind of key is copied between two MariaDB', (t) =>
  copyEveryType(t, startMariadb));
