import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { obtainDebianServer } from './debian-server.ts';
import { commonSettings, makePlace, mariadbSettings, writeConfig } from './mariadb.ts';
import { SqlServer } from './sql-server.ts';

import type { UnpackedServer } from './debian-server.ts';
import type { MariadbOptions, MariadbServer } from './mariadb.ts';

type Unpacked = Extract<UnpackedServer, { version: string }>;

/** The scripts that make the system tables, in order. */
const SYSTEM_SCRIPTS = [
  'mariadb_system_tables.sql',
  'mariadb_performance_tables.sql',
  'mariadb_system_tables_data.sql',
];

/**
 * Starts the newest MariaDB that Debian has (11.8 at the time of writing), with the settings of `startMariadb`. It is
 * another release than the one Sluice is built for first: VECTOR columns, timestamps after 2038, other collation ids,
 * and a log that leaves out more.
 */
export async function startUnstableMariadb(options: MariadbOptions = {}): Promise<MariadbServer> {
  const obtained = await obtainDebianServer('mariadb');
  if ('unavailable' in obtained) throw new Error(`no newer MariaDB here: ${obtained.unavailable}`);
  const place = makePlace('mariadbn', options.directory);
  if (!existsSync(join(place.dataDirectory, 'mysql'))) {
    execFileSync('cp', ['-a', '--sparse=always', dataTemplate(obtained), place.dataDirectory]);
  }
  return SqlServer.start(
    {
      flavor: 'mariadb',
      command: (port, config) => {
        const file = join(place.directory, 'my.cnf');
        writeConfig(file, 'mariadbd', {
          ...commonSettings(place, port),
          ...mariadbSettings(place),
          ...baseSettings(obtained),
          ...config,
        });
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

/** `false` when a newer MariaDB can be had here, otherwise the reason, also said loudly; for the `skip` of a test. */
export async function unstableMariadbMissing(): Promise<false | string> {
  const obtained = await obtainDebianServer('mariadb');
  if (!('unavailable' in obtained)) return false;
  process.stderr.write(`\n*** NO NEWER MARIADB: its tests do not run: ${obtained.unavailable}\n\n`);
  return obtained.unavailable;
}

function baseSettings(mariadb: Unpacked): Record<string, string> {
  const share = join(mariadb.root, 'usr/share/mariadb');
  return {
    basedir: join(mariadb.root, 'usr'),
    lc_messages_dir: share,
    character_sets_dir: join(share, 'charsets'),
    plugin_dir: join(mariadb.root, 'usr/lib/mysql/plugin'),
  };
}

/** A fresh data directory, made by the server itself from its own scripts. */
function dataTemplate(mariadb: Unpacked): string {
  const { uid } = userInfo();
  const template = join(tmpdir(), `sluice-mariadb-template-${mariadb.version}-${uid}`);
  if (existsSync(template)) return template;
  const work = mkdtempSync(join(tmpdir(), 'sluice-mariadb-init-'));
  const data = join(work, 'data');
  mkdirSync(data);
  writeConfig(join(work, 'my.cnf'), 'mariadbd', {
    ...baseSettings(mariadb),
    ...(uid === 0 ? { user: 'root' } : {}),
    datadir: data,
    tmpdir: work,
    innodb_log_file_size: '10M',
  });
  const share = join(mariadb.root, 'usr/share/mariadb');
  const scripts = SYSTEM_SCRIPTS.map((name) => readFileSync(join(share, name), 'utf8'));
  const head =
    'CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket = NULL, @skip_auth_anonymous = 1;';
  const account = `REPLACE INTO global_priv SELECT '127.0.0.1', User, Priv FROM global_priv
    WHERE User = 'root' AND Host = 'localhost';`;
  try {
    const args = [`--defaults-file=${join(work, 'my.cnf')}`, '--bootstrap'];
    execFileSync(mariadb.command[0]!, [...mariadb.command.slice(1), ...args], {
      input: [head, ...scripts, account].join('\n'),
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    if (!existsSync(template)) renameSync(data, template);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return template;
}
