import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { commonSettings, makePlace, writeConfig } from './mariadb.ts';
import { obtainDebianServer } from './debian-server.ts';
import { SqlServer } from './sql-server.ts';

import type { UnpackedServer } from './debian-server.ts';

/** A running private MySQL. */
export type MysqlServer = SqlServer;

/** How to start a private MySQL. */
export interface MysqlOptions {
  /** Settings of `[mysqld]` added to or replacing the usual ones. */
  readonly config?: Readonly<Record<string, string>>;
  /** A directory to live in, kept after `stop`; its data are used again if it has any. Default: a new one, removed. */
  readonly directory?: string;
}

type Unpacked = Extract<UnpackedServer, { version: string }>;

/** The newest MySQL that Debian has, or why there is none here. */
export function obtainMysql(): Promise<UnpackedServer> {
  return obtainDebianServer('mysql');
}

/**
 * Starts a private MySQL with row logging, full metadata and GTIDs; about two seconds. Throws when this machine has no
 * way to a MySQL: see {@link mysqlMissing} for tests that then have nothing to test.
 */
export async function startMysql(options: MysqlOptions = {}): Promise<MysqlServer> {
  const obtained = await obtainMysql();
  if ('unavailable' in obtained) throw new Error(`no MySQL here: ${obtained.unavailable}`);
  const place = makePlace('mysql', options.directory);
  if (!existsSync(join(place.dataDirectory, 'mysql'))) {
    execFileSync('cp', ['-a', '--sparse=always', dataTemplate(obtained), place.dataDirectory]);
  }
  return SqlServer.start(
    {
      flavor: 'mysql',
      command: (port, config) => {
        const file = join(place.directory, 'my.cnf');
        const settings = { ...commonSettings(place, port), ...mysqlSettings(obtained) };
        writeConfig(file, 'mysqld', { ...settings, tmpdir: place.directory, ...config });
        return {
          program: obtained.command[0]!,
          args: [...obtained.command.slice(1), `--defaults-file=${file}`],
          directory: place.directory,
          logFile: join(place.directory, 'server.log'),
        };
      },
    },
    place,
    options.config ?? {},
  );
}

/**
 * `false` when a MySQL can be had here, otherwise the reason, also said loudly on standard error: fits the `skip` option
 * of a test that would have nothing to run against.
 */
export async function mysqlMissing(): Promise<false | string> {
  const obtained = await obtainMysql();
  if (!('unavailable' in obtained)) return false;
  process.stderr.write(
    `\n*** NO MYSQL: tests against MySQL do not run: ${obtained.unavailable}\n\n`,
  );
  return obtained.unavailable;
}

function mysqlSettings(mysql: Unpacked): Record<string, string> {
  const share = join(mysql.root, 'usr/share/mysql');
  return {
    basedir: join(mysql.root, 'usr'),
    lc_messages_dir: share,
    character_sets_dir: join(share, 'charsets'),
    plugin_dir: join(mysql.root, 'usr/lib/mysql/plugin'),
    mysqlx: 'OFF',
    secure_file_priv: 'NULL',
    gtid_mode: 'ON',
    enforce_gtid_consistency: 'ON',
    performance_schema: 'OFF',
    innodb_buffer_pool_size: '64M',
    table_open_cache: '400',
    innodb_redo_log_capacity: '64M',
  };
}

/** A fresh data directory of this version, made once and copied by every server that starts. */
function dataTemplate(mysql: Unpacked): string {
  const { uid } = userInfo();
  const template = join(tmpdir(), `sluice-mysql-template-${mysql.version}-${uid}`);
  if (existsSync(template)) return template;
  const work = mkdtempSync(join(tmpdir(), 'sluice-mysql-init-'));
  const data = join(work, 'data');
  // The account is one of 127.0.0.1 too: the servers do not look up names.
  const statements = [
    "CREATE USER root@'127.0.0.1' IDENTIFIED BY '';",
    "GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;",
  ];
  writeFileSync(join(work, 'init.sql'), `${statements.join('\n')}\n`);
  writeConfig(join(work, 'my.cnf'), 'mysqld', {
    ...mysqlSettings(mysql),
    ...(uid === 0 ? { user: 'root' } : {}),
    datadir: data,
    init_file: join(work, 'init.sql'),
    tmpdir: work,
    disable_log_bin: '',
  });
  try {
    const args = [`--defaults-file=${join(work, 'my.cnf')}`, '--initialize-insecure'];
    execFileSync(mysql.command[0]!, [...mysql.command.slice(1), ...args], { stdio: 'pipe' });
    // Each copy makes its own, or all would claim to be one server.
    rmSync(join(data, 'auto.cnf'), { force: true });
    if (!existsSync(template)) renameSync(data, template);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return template;
}
