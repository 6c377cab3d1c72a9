import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { mysqlMissing, startMysql } from './mysql.ts';

test(
  'a private MySQL logs full rows with GTIDs and keeps data and port over a kill',
  { skip: await mysqlMissing() },
  async () => {
    const server = await startMysql({ config: { binlog_row_image: 'MINIMAL' } });
    try {
      const [row] = await server.query(
        'SELECT @@gtid_mode g, @@binlog_row_metadata m, @@binlog_row_image i',
      );
      assert.deepEqual(row, { g: 'ON', m: 'FULL', i: 'MINIMAL' });
      await server.script('CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY)');
      await server.query('INSERT INTO d.t VALUES (7)');
      const { port } = server;
      await server.kill('SIGKILL');
      await server.restart();
      assert.equal(server.port, port);
      assert.deepEqual(await server.query('SELECT a FROM d.t'), [{ a: 7 }]);
      assert.equal(server.flavor, 'mysql');
      assert.doesNotMatch(server.version, /MariaDB/);
      assert.ok(server.binlogFiles().every((file) => existsSync(file)));
    } finally {
      await server.stop();
    }
  },
);

test('two MySQL servers have identities of their own', { skip: await mysqlMissing() }, async () => {
  const servers = await Promise.all([startMysql(), startMysql()]);
  try {
    const ids = await Promise.all(servers.map((each) => each.query('SELECT @@server_uuid u')));
    assert.notDeepEqual(ids[0], ids[1]);
  } finally {
    await Promise.all(servers.map((each) => each.stop()));
  }
});
