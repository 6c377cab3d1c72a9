import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startUnstableMariadb, unstableMariadbMissing } from './mariadb-unstable.ts';

test(
  'a newer MariaDB runs beside the installed one and keeps its data over a kill',
  { skip: await unstableMariadbMissing() },
  async () => {
    const server = await startUnstableMariadb();
    try {
      const [row] = await server.query('SELECT @@gtid_strict_mode g, @@binlog_row_metadata m');
      assert.deepEqual(row, { g: 1, m: 'FULL' });
      await server.script('CREATE DATABASE d; CREATE TABLE d.t (v VECTOR(2) NOT NULL)');
      await server.query("INSERT INTO d.t VALUES (Vec_FromText('[1,2]'))");
      await server.kill('SIGKILL');
      await server.restart();
      assert.deepEqual(await server.query('SELECT HEX(v) h FROM d.t'), [{ h: '0000803F00000040' }]);
      assert.ok(Number.parseFloat(server.version) >= 11.4, server.version);
    } finally {
      await server.stop();
    }
  },
);
