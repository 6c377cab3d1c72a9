import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { serverCache, unavailable } from './debian-server.ts';
import { withLock } from './lock-file.ts';

const run = promisify(execFile);
const limitMs = 120_000;

/** What the core package of MariaDB leaves out, for the installed version; or why it cannot be had. */
export type MariadbExtras =
  | {
      /** Folder of the plugins, `file_key_management` among them. */
      readonly plugins: string;
      /** The library that makes a server a node of a Galera cluster. */
      readonly galera: string;
    }
  | { readonly unavailable: string };

/** Downloads both packages once from the machine's own Debian archive (5 MB) and unpacks them beside the system. */
export async function obtainMariadbExtras(): Promise<MariadbExtras> {
  try {
    const query = ['-W', '-f', '${Version}', 'mariadb-server-core'];
    const { stdout: version } = await run('dpkg-query', query);
    const cache = join(serverCache(), `mariadb-extras-${version.replaceAll(/[^\w.+-]/g, '_')}`);
    const root = join(cache, 'root');
    mkdirSync(cache, { recursive: true });
    await withLock(join(cache, 'lock'), async () => {
      if (!existsSync(root)) await unpack(cache, root, [`mariadb-server=${version}`, 'galera-4']);
    });
    return {
      plugins: join(root, 'usr/lib/mysql/plugin'),
      galera: join(root, 'usr/lib/galera/libgalera_smm.so'),
    };
  } catch (error) {
    return unavailable(error);
  }
}

/** `false` when they can be had, otherwise the reason, also said loudly; for the `skip` of a test. */
export async function mariadbExtrasMissing(): Promise<false | string> {
  const extras = await obtainMariadbExtras();
  if (!('unavailable' in extras)) return false;
  process.stderr.write(
    `\n*** NO PLUGINS OF MARIADB: tests of encrypted logs and Galera do not run: ${extras.unavailable}\n\n`,
  );
  return extras.unavailable;
}

async function unpack(cache: string, root: string, packages: readonly string[]): Promise<void> {
  const fresh = join(cache, 'fresh');
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh);
  const sandbox = process.getuid?.() === 0 ? ['-o', 'APT::Sandbox::User=root'] : [];
  await run('apt-get', [...sandbox, 'download', ...packages], { cwd: fresh, timeout: limitMs });
  for (const name of readdirSync(fresh).filter((each) => each.endsWith('.deb'))) {
    await run('dpkg', ['-x', join(fresh, name), fresh]);
  }
  renameSync(fresh, root);
}
