import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { startMariadb } from './mariadb.ts';
import { isAlive } from './server-process.ts';

import type { MariadbServer } from './mariadb.ts';

let server: MariadbServer;

before(async () => {
  server = await startMariadb({ config: { innodb_lock_wait_timeout: '3' } });
});
after(() => server.stop());

test('a private server logs full rows with full metadata under strict GTIDs', async () => {
  const [row] = await server.query(`SELECT @@binlog_format f, @@binlog_row_image i,
    @@binlog_row_metadata m, @@gtid_strict_mode s, @@innodb_lock_wait_timeout w, @@port p`);
  assert.deepEqual(row, { f: 'ROW', i: 'FULL', m: 'FULL', s: 1, w: 3, p: server.port });
  assert.equal(server.flavor, 'mariadb');
  assert.match(server.version, /^\d+\.\d+\.\d+-MariaDB/);
});

test('data, port and a new setting survive a kill and a restart', async () => {
  await server.script('CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY)');
  await server.query('INSERT INTO d.t VALUES (?)', [7]);
  const { port, pid } = server;
  await server.kill('SIGKILL');
  await server.restart({ innodb_lock_wait_timeout: '4' });
  assert.equal(server.port, port);
  assert.notEqual(server.pid, pid);
  assert.deepEqual(await server.query('SELECT a, @@innodb_lock_wait_timeout w FROM d.t'), [
    { a: 7, w: 4 },
  ]);
  assert.ok(server.binlogFiles().every((file) => existsSync(file)));
  assert.ok(server.binlogFiles().length >= 2);
});

test('servers started together live on different ports', async () => {
  const several = await Promise.all([startMariadb(), startMariadb()]);
  const ports = new Set([server.port, ...several.map(({ port }) => port)]);
  assert.equal(ports.size, 3);
  await Promise.all(several.map((each) => each.stop()));
  for (const each of several) assert.equal(existsSync(each.directory), false);
});

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  test(`a server does not outlive a test process ended by ${signal}`, async () => {
    const module = new URL('mariadb.ts', import.meta.url).href;
    const source = `const { startMariadb } = await import(${JSON.stringify(module)});
      const server = await startMariadb();
      console.log(server.pid + ' ' + server.directory);
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const line = await new Promise<string>((resolve) => {
      child.stdout.once('data', (data: Buffer) => resolve(data.toString().trim()));
    });
    const [pid, directory] = [Number(line.split(' ')[0]), line.split(' ')[1]!];
    assert.ok(existsSync(`/proc/${pid}`));
    child.kill(signal);
    await new Promise((resolve) => child.once('exit', resolve));
    for (let tries = 0; tries < 200 && isAlive(pid); tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    assert.equal(isAlive(pid), false);
    // A killed process cannot clean up: the next one that starts a server does it.
    if (signal === 'SIGKILL') {
      const next = spawn(process.execPath, ['--input-type=module', '-e', source], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await new Promise((resolve) => next.stdout.once('data', resolve));
      next.kill('SIGTERM');
      await new Promise((resolve) => next.once('exit', resolve));
    }
    assert.equal(existsSync(directory), false);
  });
}
