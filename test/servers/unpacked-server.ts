import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { commonSettings, makePlace, writeConfig } from './mariadb.ts';
import { obtainDebianServer } from './debian-server.ts';
import { SqlServer } from './sql-server.ts';

import type { ServerMake, UnpackedServer } from './debian-server.ts';
import type { MariadbOptions } from './mariadb.ts';
import type { SqlServerPlace } from './sql-server.ts';

/** A server that was obtained. */
export type Unpacked = Extract<UnpackedServer, { version: string }>;

/** How servers of a make that are unpacked beside the system are begun and run. */
export interface UnpackedMake {
  readonly make: ServerMake;
  /** The section of my.cnf that the program reads. */
  readonly section: 'mysqld' | 'mariadbd';
  /** Settings beside the common ones. */
  settings(server: Unpacked, place: SqlServerPlace): Readonly<Record<string, string>>;
  /** Makes a fresh data directory `data`; `work` is a folder for files on the way. */
  fill(server: Unpacked, folders: { readonly work: string; readonly data: string }): void;
}

/** Starts a private server of the newest version that Debian has. Throws when there is none here: {@link unpackedMissing}. */
export async function startUnpacked(
  make: UnpackedMake,
  options: MariadbOptions,
): Promise<SqlServer> {
  const server = await obtainDebianServer(make.make);
  if ('unavailable' in server) throw new Error(`no new ${make.make} here: ${server.unavailable}`);
  const place = makePlace(`new-${make.make}`, options.directory);
  if (!existsSync(join(place.dataDirectory, 'mysql'))) {
    execFileSync('cp', ['-a', '--sparse=always', dataTemplate(make, server), place.dataDirectory]);
  }
  return SqlServer.start(
    {
      flavor: make.make,
      command: (port, config) => {
        const file = join(place.directory, 'my.cnf');
        const settings = { ...commonSettings(place, port), ...make.settings(server, place) };
        writeConfig(file, make.section, { ...settings, tmpdir: place.directory, ...config });
        return {
          program: server.command[0]!,
          args: [...server.command.slice(1), `--defaults-file=${file}`],
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
 * `false` when the server can be had here, otherwise the reason, also said loudly on standard error: fits the `skip` option
 * of a test that would have nothing to run against.
 */
export async function unpackedMissing(make: ServerMake): Promise<false | string> {
  const server = await obtainDebianServer(make);
  if (!('unavailable' in server)) return false;
  const what = `NO NEW ${make.toUpperCase()}`;
  process.stderr.write(`\n*** ${what}: its tests do not run: ${server.unavailable}\n\n`);
  return server.unavailable;
}

/** Runs the server's program to its end, with the settings written for it. */
export function runOnce(
  server: Unpacked,
  run: {
    readonly work: string;
    readonly section: UnpackedMake['section'];
    readonly settings: Readonly<Record<string, string>>;
    readonly argument: string;
    readonly input?: string;
  },
): void {
  const file = join(run.work, 'my.cnf');
  const user: Record<string, string> = userInfo().uid === 0 ? { user: 'root' } : {};
  writeConfig(file, run.section, { ...run.settings, ...user, tmpdir: run.work });
  const args = [...server.command.slice(1), `--defaults-file=${file}`, run.argument];
  execFileSync(server.command[0]!, args, { input: run.input ?? '', stdio: 'pipe' });
}

/** A fresh data directory of this version, made once and copied by every server that starts. */
function dataTemplate(make: UnpackedMake, server: Unpacked): string {
  const label = `${make.make}-template-${server.version}-${userInfo().uid}`;
  const template = join(tmpdir(), `sluice-${label}`);
  if (existsSync(template)) return template;
  const work = mkdtempSync(join(tmpdir(), `sluice-${make.make}-init-`));
  const data = join(work, 'data');
  try {
    make.fill(server, { work, data });
    // Another process may have been faster; its template is as good as this one.
    if (!existsSync(template)) renameSync(data, template);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return template;
}
