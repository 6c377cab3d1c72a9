import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { obtainDebianServer } from './debian-server.ts';
import { runOnce, startUnpacked, unpackedMissing } from './unpacked-server.ts';

import type { UnpackedServer } from './debian-server.ts';
import type { MariadbOptions } from './mariadb.ts';
import type { SqlServer } from './sql-server.ts';
import type { Unpacked, UnpackedMake } from './unpacked-server.ts';

/** A running private MySQL. */
export type MysqlServer = SqlServer;

/** The newest MySQL that Debian has, or why there is none here. */
export function obtainMysql(): Promise<UnpackedServer> {
  return obtainDebianServer('mysql');
}

/**
 * Starts a private MySQL with row logging, full metadata and GTIDs; about two seconds. Throws when this machine has no
 * way to a MySQL: see {@link mysqlMissing} for tests that then have nothing to test.
 */
export function startMysql(options: MariadbOptions = {}): Promise<MysqlServer> {
  return startUnpacked(mysql, options);
}

/** `false` when a MySQL can be had here, otherwise the reason, also said loudly; for the `skip` of a test. */
export function mysqlMissing(): Promise<false | string> {
  return unpackedMissing('mysql');
}

// The account is one of 127.0.0.1 too: the servers do not look up names.
const accounts = `CREATE USER root@'127.0.0.1' IDENTIFIED BY '';
GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;
`;

const mysql: UnpackedMake = {
  make: 'mysql',
  section: 'mysqld',
  settings,
  fill: (server, { work, data }) => {
    const init = join(work, 'init.sql');
    writeFileSync(init, accounts);
    runOnce(server, {
      work,
      section: 'mysqld',
      settings: { ...settings(server), datadir: data, init_file: init, disable_log_bin: '' },
      argument: '--initialize-insecure',
    });
    // Each copy makes its own, or all would claim to be one server.
    rmSync(join(data, 'auto.cnf'), { force: true });
  },
};

function settings({ root }: Unpacked): Record<string, string> {
  const share = join(root, 'usr/share/mysql');
  return {
    basedir: join(root, 'usr'),
    lc_messages_dir: share,
    character_sets_dir: join(share, 'charsets'),
    plugin_dir: join(root, 'usr/lib/mysql/plugin'),
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
