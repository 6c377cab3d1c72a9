import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { mariadbSettings } from './mariadb.ts';
import { runOnce, startUnpacked, unpackedMissing } from './unpacked-server.ts';

import type { MariadbOptions, MariadbServer } from './mariadb.ts';
import type { Unpacked, UnpackedMake } from './unpacked-server.ts';

/**
 * Starts the newest MariaDB that Debian has (11.8 at the time of writing), with the settings of `startMariadb`. It is
 * another release than the one Sluice is built for first: VECTOR columns, timestamps after 2038, other collation ids,
 * and a log that leaves out more.
 */
export function startUnstableMariadb(options: MariadbOptions = {}): Promise<MariadbServer> {
  return startUnpacked(mariadb, options);
}

/** `false` when a newer MariaDB can be had here, otherwise the reason, also said loudly; for the `skip` of a test. */
export function unstableMariadbMissing(): Promise<false | string> {
  return unpackedMissing('mariadb');
}

/** The scripts that make the system tables, in order. */
const systemScripts = [
  'mariadb_system_tables.sql',
  'mariadb_performance_tables.sql',
  'mariadb_system_tables_data.sql',
];
const head =
  'CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket = NULL, @skip_auth_anonymous = 1;';
const account = `REPLACE INTO global_priv SELECT '127.0.0.1', User, Priv FROM global_priv
  WHERE User = 'root' AND Host = 'localhost';`;

const mariadb: UnpackedMake = {
  make: 'mariadb',
  section: 'mariadbd',
  settings: (server, place) => ({ ...mariadbSettings(place), ...baseSettings(server) }),
  fill: (server, { work, data }) => {
    mkdirSync(data);
    const share = join(server.root, 'usr/share/mariadb');
    const scripts = systemScripts.map((name) => readFileSync(join(share, name), 'utf8'));
    runOnce(server, {
      work,
      section: 'mariadbd',
      settings: { ...baseSettings(server), datadir: data, innodb_log_file_size: '10M' },
      argument: '--bootstrap',
      input: [head, ...scripts, account].join('\n'),
    });
  },
};

function baseSettings({ root }: Unpacked): Record<string, string> {
  const share = join(root, 'usr/share/mariadb');
  return {
    basedir: join(root, 'usr'),
    lc_messages_dir: share,
    character_sets_dir: join(share, 'charsets'),
    plugin_dir: join(root, 'usr/lib/mysql/plugin'),
  };
}
