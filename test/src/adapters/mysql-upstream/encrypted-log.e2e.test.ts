// A MariaDB whose binary log is encrypted on its disk: what it sends is not, and is read like any other log.
import assert from 'node:assert/strict';
import { readFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openCpuPool } from '#src/adapters/cpu-pool/cpu-pool.ts';
import { openMysqlUpstream } from '#src/adapters/mysql-upstream/mysql-upstream.ts';
import { mariadbExtrasMissing, obtainMariadbExtras } from '#test/servers/mariadb-extras.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { check, readHistory } from './history.ts';

test(
  'an encrypted log comes whole, also from its middle',
  { skip: await mariadbExtrasMissing() },
  async () => {
    const extras = await obtainMariadbExtras();
    assert.ok('plugins' in extras);
    const directory = mkdtempSync(join(tmpdir(), 'sluice-keys-'));
    const keys = join(directory, 'keys');
    writeFileSync(keys, `1;${'0123456789abcdef'.repeat(4)}\n`);
    const server = await startMariadb({
      config: {
        plugin_dir: extras.plugins,
        plugin_load_add: 'file_key_management',
        file_key_management_filename: keys,
        encrypt_binlog: 'ON',
      },
    });
    const port = openMysqlUpstream({
      uri: server.uri({ 'heartbeat-ms': '200' }),
      log: () => undefined,
      cpu: openCpuPool(),
    });
    try {
      await server.script(
        'CREATE DATABASE a; CREATE TABLE a.t (id INT PRIMARY KEY, v VARCHAR(30))',
      );
      for (let i = 0; i < 6; i++) {
        await server.query(`INSERT INTO a.t VALUES (${i}, 'plainly written')`);
        if (i === 2) await server.query('FLUSH BINARY LOGS');
      }
      assert.ok(
        server.binlogFiles().every((file) => !readFileSync(file, 'latin1').includes('plainly')),
        'the files are encrypted',
      );
      const checked = await check(port, { kind: 'oldest' });
      const untilTs = checked.newest.ts;
      const { history } = await readHistory(port, { start: checked.start, untilTs });
      assert.equal(history.lines().length, 8, 'two DDL and six rows');
      const middle = await check(port, { kind: 'gtid', gtid: `0-${server.port}-4` });
      const rest = await readHistory(port, { start: middle.start, untilTs });
      assert.deepEqual(rest.history.lines(), history.lines(middle.start.ts));
      assert.equal(rest.history.lines().length, 4);
    } finally {
      await port.close();
      await server.stop();
      rmSync(directory, { recursive: true, force: true });
    }
  },
);
