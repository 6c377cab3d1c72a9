/**
 * `npm run test:mysql`: obtains MySQL and runs every suite that has something to say about it, the long copies included.
 * Without a MySQL it fails and says why: a suite that did not run has not passed.
 */
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { obtainMysql } from './servers/mysql.ts';

const root = join(import.meta.dirname, '..');
/** A suite that starts MySQL servers names one of these modules. */
const starters = /servers\/mysql\.ts|hand-made-sink\.ts/;

const obtained = await obtainMysql();
if ('unavailable' in obtained) {
  process.stderr.write(`\n*** NO MYSQL: nothing was tested: ${obtained.unavailable}\n\n`);
  process.exitCode = 1;
} else {
  const suites = globSync('test/**/*.e2e.test.ts', { cwd: root }).filter((path) =>
    starters.test(readFileSync(join(root, path), 'utf8')),
  );
  const long = globSync('test/mysql/*.long.ts', { cwd: root });
  const paths = [...suites, ...long].toSorted();
  process.stderr.write(`MySQL ${obtained.version}: ${paths.length} suites\n`);
  const args = ['--test', '--test-concurrency=2', ...paths];
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  process.exitCode = status ?? 1;
}
