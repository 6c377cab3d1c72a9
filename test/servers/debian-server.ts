import { messageOf } from '#src/base/failure.ts';
import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findProgram } from './requirements.ts';
import { withLock } from './lock-file.ts';

const run = promisify(execFile);

/** A server unpacked beside the system, or why there is none. */
export type UnpackedServer =
  | {
      /** The server's version, e.g. `9.7.4`. */
      readonly version: string;
      /** The folder that holds the unpacked `/usr` with its own C library. */
      readonly root: string;
      /** The start of a command line that runs the server with that C library. */
      readonly command: readonly string[];
    }
  | { readonly unavailable: string };

/** The makes that Debian's unstable suite has in newer versions than the stable one. */
export type ServerMake = 'mysql' | 'mariadb';

interface Make {
  readonly debianPackage: string;
  /** The server program inside the unpacked root. */
  readonly program: string;
  readonly isVersion: (text: string) => boolean;
}

const MAKES: Readonly<Record<ServerMake, Make>> = {
  mysql: {
    debianPackage: 'mysql-server-core',
    program: 'usr/sbin/mysqld',
    isVersion: (text) => !text.includes('MariaDB'),
  },
  mariadb: {
    debianPackage: 'mariadb-server-core',
    program: 'usr/sbin/mariadbd',
    isVersion: (text) => text.includes('MariaDB'),
  },
};

/** The dynamic loader by processor, inside the unpacked root. */
const LOADERS: Readonly<Record<string, readonly [folder: string, file: string]>> = {
  x64: ['usr/lib/x86_64-linux-gnu', 'ld-linux-x86-64.so.2'],
  arm64: ['usr/lib/aarch64-linux-gnu', 'ld-linux-aarch64.so.1'],
};

const LIMIT_MS = 240_000;

/** Where packages are kept between runs: $SLUICE_CACHE, by default below the temporary folder. */
export function serverCache(): string {
  return process.env['SLUICE_CACHE'] ?? join(tmpdir(), 'sluice-cache');
}

/**
 * The newest server of a make in Debian's unstable suite, unpacked into {@link serverCache} without being installed, each make in a root of its own. The first call downloads 60 to 80 MB from
 * the machine's own Debian mirror; the packages are kept, because the suite moves on.
 */
export async function obtainDebianServer(name: ServerMake): Promise<UnpackedServer> {
  const make = MAKES[name];
  const loader = LOADERS[process.arch];
  if (loader === undefined) return { unavailable: `no ${name} package for ${process.arch}` };
  for (const program of ['apt-get', 'dpkg']) {
    if (findProgram(program) === null) return { unavailable: `${program} is not on this machine` };
  }
  const cache = join(serverCache(), name);
  try {
    mkdirSync(join(cache, 'debs'), { recursive: true });
    return await withLock(join(cache, 'lock'), async () => {
      const root = join(cache, 'root');
      if (!existsSync(root)) {
        if (listDebs(cache).length === 0) await download(cache, make);
        await unpack(cache, root, make);
      }
      return await describe(root, make, loader);
    });
  } catch (error) {
    return unavailable(error);
  }
}

async function describe(
  root: string,
  make: Make,
  [folder, file]: readonly [string, string],
): Promise<UnpackedServer> {
  const libraries = join(root, folder);
  const command = [join(libraries, file), '--library-path', libraries, join(root, make.program)];
  const { stdout } = await run(command[0]!, [...command.slice(1), '--no-defaults', '--version']);
  const version = /Ver (\d+\.\d+\.\d+)/.exec(stdout)?.[1];
  if (version === undefined || !make.isVersion(stdout)) {
    return { unavailable: `not the server that was asked for: ${stdout.trim()}` };
  }
  return { version, root, command };
}

function listDebs(cache: string): string[] {
  const folder = join(cache, 'debs');
  return readdirSync(folder)
    .filter((name) => name.endsWith('.deb'))
    .map((name) => join(folder, name));
}

/** Downloads a server package and all it needs through an apt root of its own; the system's is not touched. */
async function download(cache: string, make: Make): Promise<void> {
  const mirror = debianMirror();
  const apt = join(cache, 'apt');
  rmSync(apt, { recursive: true, force: true });
  const archives = join(apt, 'cache/archives');
  for (const folder of ['state/lists/partial', 'cache/archives/partial', 'etc']) {
    mkdirSync(join(apt, folder), { recursive: true });
  }
  writeFileSync(join(apt, 'status'), '');
  writeFileSync(
    join(apt, 'etc/sources.list'),
    `deb ${mirror.keyring === null ? '' : `[signed-by=${mirror.keyring}] `}${mirror.uri} sid main\n`,
  );
  const settings = [
    `Dir::State=${join(apt, 'state')}`,
    `Dir::State::status=${join(apt, 'status')}`,
    `Dir::Cache=${join(apt, 'cache')}`,
    `Dir::Cache::archives=${archives}`,
    `Dir::Etc::sourcelist=${join(apt, 'etc/sources.list')}`,
    'Dir::Etc::sourceparts=/dev/null',
    'Dir::Etc::preferencesparts=/dev/null',
    'Acquire::Languages=none',
    'Acquire::Retries=3',
    'APT::Update::Post-Invoke-Success::=',
    ...(process.getuid?.() === 0 ? ['APT::Sandbox::User=root'] : []),
  ].flatMap((setting) => ['-o', setting]);
  const options = {
    timeout: LIMIT_MS,
    maxBuffer: 16 << 20,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  };
  await run('apt-get', [...settings, 'update'], options);
  const install = ['install', '-y', '--download-only', '--no-install-recommends'];
  await run('apt-get', [...settings, ...install, make.debianPackage], options);
  for (const name of readdirSync(archives).filter((each) => each.endsWith('.deb'))) {
    renameSync(join(archives, name), join(cache, 'debs', name));
  }
  rmSync(apt, { recursive: true, force: true });
}

async function unpack(cache: string, root: string, make: Make): Promise<void> {
  const debs = listDebs(cache);
  if (!debs.some((deb) => deb.includes(make.debianPackage))) {
    throw new Error(`no ${make.debianPackage} package in ${join(cache, 'debs')}`);
  }
  const fresh = mkdtempSync(`${root}.`);
  for (const deb of debs) await run('dpkg', ['-x', deb, fresh]);
  renameSync(fresh, root);
}

/** The Debian archive this machine installs from, and the keyring its entry names. */
function debianMirror(): { uri: string; keyring: string | null } {
  const parts = '/etc/apt/sources.list.d';
  const files = existsSync(parts) ? readdirSync(parts).map((name) => join(parts, name)) : [];
  for (const file of ['/etc/apt/sources.list', ...files].filter((each) => existsSync(each))) {
    const text = readFileSync(file, 'utf8');
    const uri =
      /^URIs:\s*(\S+\/debian\/?)\s*$/m.exec(text)?.[1] ??
      /^deb\s+(?:\[[^\]]*\]\s+)?(\S+\/debian\/?)\s/m.exec(text)?.[1];
    if (uri === undefined) continue;
    const keyring = /signed-by[=:]\s*([^\]\s]+)/i.exec(text)?.[1] ?? null;
    return { uri, keyring };
  }
  throw new Error('this machine names no Debian archive in its apt sources');
}

/** Why a server cannot be had, in one line: the end of what the tool said. */
export function unavailable(error: unknown): { readonly unavailable: string } {
  return { unavailable: messageOf(error).trim().split('\n').slice(-3).join(' | ') };
}
