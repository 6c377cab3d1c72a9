import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram } from './requirements.ts';

import type { ChildProcess } from 'node:child_process';

/** What to run and where its words go. */
export interface ServerCommand {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly directory: string;
  /** Standard output and error are appended to this file. */
  readonly logFile: string;
}

/** What must not outlive this process: running servers by pid, and private directories. */
const pids = new Set<number>();
const directories = new Set<string>();
let guarded = false;

const ownerFile = '.owner';

/** Removes `directory` when this process ends without {@link releaseDirectory}; a killed one's, the next test does. */
export function claimDirectory(directory: string): void {
  guardExit();
  directories.add(directory);
  writeFileSync(join(directory, ownerFile), String(process.pid));
}

/** Removes what test processes that were killed have left below the temporary folder. */
function sweepOrphans(): void {
  for (const name of readdirSync(tmpdir())) {
    if (!/^sluice-[a-z]+-\w{6}$/.test(name)) continue;
    const directory = join(tmpdir(), name);
    try {
      const owner = Number(readFileSync(join(directory, ownerFile), 'utf8'));
      if (owner > 0 && !isAlive(owner)) rmSync(directory, { recursive: true, force: true });
    } catch {
      // Not one of ours, not yet claimed, or another user's.
    }
  }
}

/** True while a process of this number exists, whoever owns it. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** True when the system's own table says so of each thread: `T` after the name, which may hold anything. */
function everyThreadStands(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).every((thread) => {
      const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
      return stat.slice(stat.lastIndexOf(')') + 2).startsWith('T');
    });
  } catch {
    // A thread that ended between the two reads.
    return false;
  }
}

/** Removes `directory` now. */
export function releaseDirectory(directory: string): void {
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  directories.delete(directory);
}

/** One running server program: known by pid, ended by pid, never left behind when this process ends. */
export class ServerProcess {
  readonly #child: ChildProcess;
  readonly #logFile: string;
  readonly #exit: Promise<void>;
  #running = true;

  constructor(command: ServerCommand) {
    guardExit();
    const output = openSync(command.logFile, 'a');
    // The kernel ends the server when this process is killed without a chance to do it itself.
    const setpriv = findProgram('setpriv');
    const line = [command.program, ...command.args];
    if (setpriv !== null) line.unshift(setpriv, '--pdeathsig', 'KILL');
    this.#logFile = command.logFile;
    this.#child = spawn(line[0]!, line.slice(1), {
      cwd: command.directory,
      env: { ...process.env, ...command.env },
      stdio: ['ignore', output, output],
    });
    closeSync(output);
    this.#child.unref();
    this.#exit = new Promise((resolve) => {
      const ended = (): void => {
        this.#running = false;
        pids.delete(this.pid);
        resolve();
      };
      this.#child.once('exit', ended);
      this.#child.once('error', ended);
    });
    if (this.#child.pid !== undefined) pids.add(this.#child.pid);
  }

  /** The server's own process id (0 when it could not be started at all). */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** False once the process has ended. */
  get running(): boolean {
    return this.#running;
  }

  /** Its exit status; null while it runs, and when a signal ended it. */
  get exitStatus(): number | null {
    return this.#child.exitCode;
  }

  /** The end of what the server wrote, for error messages. */
  get log(): string {
    try {
      return readFileSync(this.#logFile, 'utf8').slice(-4_000);
    } catch {
      return '(no log)';
    }
  }

  /** Sends a signal; nothing happens when the process has ended. */
  signal(signal: NodeJS.Signals): void {
    if (this.#running) this.#child.kill(signal);
  }

  /**
   * Stops the process as SIGSTOP does and waits until each of its threads stands: the signal alone
   * returns while, on a busy machine, one of them still answers.
   */
  async freeze(): Promise<void> {
    this.signal('SIGSTOP');
    for (let tries = 1; this.#running && !everyThreadStands(this.pid); tries++) {
      if (tries > 2_000) throw new Error(`process ${this.pid} does not stop`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Waits until the process has ended, at most `limitMs`; then it is killed. */
  async ended(limitMs: number): Promise<void> {
    this.#child.ref();
    const timer = setTimeout(() => this.signal('SIGKILL'), limitMs);
    await this.#exit;
    clearTimeout(timer);
  }

  /** Asks the process to end (a stopped one is continued first) and waits for it. */
  async stop(limitMs = 30_000): Promise<void> {
    this.signal('SIGTERM');
    this.signal('SIGCONT');
    await this.ended(limitMs);
  }
}

/** Calls `probe` until it is true, the process has ended or `limitMs` has passed; true when it became ready. */
export async function becomesReady(
  server: ServerProcess,
  probe: () => Promise<boolean>,
  limitMs = 90_000,
): Promise<boolean> {
  const deadline = Date.now() + limitMs;
  while (server.running && Date.now() < deadline) {
    if (await probe()) return true;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  return false;
}

function guardExit(): void {
  if (guarded) return;
  guarded = true;
  sweepOrphans();
  process.once('exit', endEverything);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const onSignal = (): void => {
      endEverything();
      process.removeListener(signal, onSignal);
      // With nobody else listening the signal takes its default way and ends this process.
      if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
    };
    process.on(signal, onSignal);
  }
}

function endEverything(): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Already gone.
    }
  }
  for (const directory of directories) {
    rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
  }
}
