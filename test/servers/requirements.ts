import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The Debian package that brings each program the tests run. */
const PACKAGES = {
  mariadbd: 'mariadb-server-core',
  'mariadb-install-db': 'mariadb-server-core',
  mariadb: 'mariadb-client-core',
  'mariadb-binlog': 'mariadb-client',
  etcd: 'etcd-server',
  sysbench: 'sysbench',
} as const;

/** A program that a test may ask for. */
export type Program = keyof typeof PACKAGES;

/** Where Debian keeps server programs, even when an ordinary user's PATH leaves them out. */
const EXTRA_FOLDERS = ['/usr/sbin', '/usr/local/sbin', '/sbin', '/usr/bin', '/usr/local/bin'];

/** The absolute path of a program; throws one line that names the Debian package when it is missing. */
export function requireProgram(program: Program): string {
  const found = findProgram(program);
  if (found !== null) return found;
  throw new Error(
    `${program} is not installed: apt-get install --no-install-recommends ${PACKAGES[program]}`,
  );
}

/** The absolute path of any executable in PATH or a system folder, or null. */
export function findProgram(program: string): string | null {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  for (const folder of [...folders, ...EXTRA_FOLDERS]) {
    const path = join(folder, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder: try the next.
    }
  }
  return null;
}
