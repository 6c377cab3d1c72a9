import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { requireProgram } from './requirements.ts';
import { claimDirectory } from './server-process.ts';
import { SqlServer } from './sql-server.ts';

import type { ServerCommand } from './server-process.ts';
import type { SqlServerPlace } from './sql-server.ts';

/** A running private MariaDB. */
export type MariadbServer = SqlServer;

/** How to start a private MariaDB. */
export interface MariadbOptions {
  /** Settings of `[mariadbd]` added to or replacing the usual ones, e.g. `{ binlog_row_image: 'MINIMAL' }`. */
  readonly config?: Readonly<Record<string, string>>;
  /** A directory to live in, kept after `stop`; its data are used again if it has any. Default: a new one, removed. */
  readonly directory?: string;
}

/** A socket path longer than this does not fit the kernel's 108 bytes in every program. */
const SOCKET_PATH_MAX = 100;

/** Starts a private MariaDB with row logging, full metadata and strict GTIDs; about half a second. */
export async function startMariadb(options: MariadbOptions = {}): Promise<MariadbServer> {
  const program = requireProgram('mariadbd');
  const place = makePlace('mariadb', options.directory);
  if (!existsSync(join(place.dataDirectory, 'mysql'))) {
    execFileSync('cp', ['-a', '--sparse=always', dataTemplate(), place.dataDirectory]);
  }
  return SqlServer.start(
    { flavor: 'mariadb', command: (port, config) => command(program, place, { port, config }) },
    place,
    options.config ?? {},
  );
}

/** A place for a server: the given directory, or a new one below the temporary folder that is removed at the end. */
export function makePlace(name: string, directory?: string): SqlServerPlace {
  const ownsDirectory = directory === undefined;
  const own = directory ?? mkdtempSync(join(tmpdir(), `sluice-${name}-`));
  if (ownsDirectory) claimDirectory(own);
  else mkdirSync(own, { recursive: true });
  let socket = join(own, 's.sock');
  if (socket.length > SOCKET_PATH_MAX) {
    const short = mkdtempSync('/tmp/sluice-s-');
    claimDirectory(short);
    socket = join(short, 's.sock');
  }
  return { directory: own, dataDirectory: join(own, 'data'), socket, ownsDirectory };
}

/** Writes a my.cnf section; a setting with an empty value is written as a bare flag. */
export function writeConfig(
  file: string,
  section: string,
  settings: Readonly<Record<string, string>>,
): void {
  const lines = Object.entries(settings).map(([key, value]) =>
    value === '' ? key : `${key}=${value}`,
  );
  writeFileSync(file, `[${section}]\n${lines.join('\n')}\n`);
}

/** The settings every private server has, of either make. */
export function commonSettings(place: SqlServerPlace, port: number): Record<string, string> {
  return {
    ...(userInfo().uid === 0 ? { user: 'root' } : {}),
    datadir: place.dataDirectory,
    socket: place.socket,
    pid_file: join(place.directory, 'pid'),
    port: String(port),
    bind_address: '127.0.0.1',
    skip_name_resolve: 'ON',
    server_id: String(port),
    log_bin: 'binlog',
    binlog_format: 'ROW',
    binlog_row_image: 'FULL',
    binlog_row_metadata: 'FULL',
    binlog_checksum: 'CRC32',
    innodb_buffer_pool_size: '128M',
    // Written at each commit, so that a killed server keeps what it confirmed; never forced to the disk.
    innodb_flush_log_at_trx_commit: '2',
    sync_binlog: '0',
    max_allowed_packet: '1G',
    max_connections: '500',
    character_set_server: 'utf8mb4',
  };
}

/** The settings that only MariaDB knows, of any release. */
export function mariadbSettings(place: SqlServerPlace): Record<string, string> {
  return {
    tmpdir: place.directory,
    gtid_strict_mode: 'ON',
    log_slave_updates: 'ON',
    innodb_log_file_size: '96M',
  };
}

function command(
  program: string,
  place: SqlServerPlace,
  run: { port: number; config: Readonly<Record<string, string>> },
): ServerCommand {
  const file = join(place.directory, 'my.cnf');
  writeConfig(file, 'mariadbd', {
    ...commonSettings(place, run.port),
    ...mariadbSettings(place),
    ...run.config,
  });
  return {
    program,
    args: [`--defaults-file=${file}`],
    directory: place.directory,
    logFile: join(place.directory, 'server.log'),
  };
}

/** A fresh data directory of the installed version, made once and copied by every server that starts. */
function dataTemplate(): string {
  const mariadbd = requireProgram('mariadbd');
  const version = execFileSync(mariadbd, ['--no-defaults', '--version'], { encoding: 'utf8' });
  const label = /Ver (\S+)/.exec(version)?.[1]?.replaceAll(/[^\w.+-]/g, '_') ?? 'unknown';
  const { uid, username } = userInfo();
  const template = join(tmpdir(), `sluice-mariadb-template-${label}-${uid}`);
  if (existsSync(template)) return template;
  const fresh = mkdtempSync(`${template}.`);
  const settings = [
    '--no-defaults',
    `--user=${username}`,
    `--datadir=${fresh}`,
    '--auth-root-authentication-method=normal',
    '--skip-test-db',
    '--skip-name-resolve',
    '--innodb-log-file-size=10M',
  ];
  execFileSync(requireProgram('mariadb-install-db'), settings, { stdio: 'pipe' });
  try {
    renameSync(fresh, template);
  } catch {
    // Another process was faster; its template is as good as this one.
    rmSync(fresh, { recursive: true, force: true });
  }
  return template;
}
