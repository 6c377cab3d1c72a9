/**
 * The store's directory of one process: `events-<pid>-<start>` under the data directory. Each process has its own, so a
 * new process finds it empty, all threads of one process find the same one, and what dead processes left is removed.
 */
import { mkdirSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

const namePattern = /^events-(\d+)-(\d+)$/;
/** Tolerance between the file system's clock and the process's start, milliseconds. */
const clockSlackMs = 50;

/** Makes this process's directory under `directory`, removes those of dead processes, and returns its path. */
export function openProcessDirectory(directory: string): string {
  mkdirSync(directory, { recursive: true });
  const own = `events-${process.pid}-${startTicks(process.pid) ?? '0'}`;
  for (const entry of readdirSync(directory)) {
    const match = namePattern.exec(entry);
    if (match === null || entry === own) continue;
    if (!isAlive(Number(match[1]), match[2]!)) {
      rmSync(join(directory, entry), { recursive: true, force: true });
    }
  }
  const path = join(directory, own);
  if (own.endsWith('-0')) dropWhenOlderThanProcess(path);
  mkdirSync(path, { recursive: true });
  return path;
}

/** Where the system does not tell when a process started, a directory older than this process is not ours. */
function dropWhenOlderThanProcess(path: string): void {
  const found = statSync(path, { throwIfNoEntry: false });
  const startedMs = Date.now() - process.uptime() * 1000;
  if (found !== undefined && found.birthtimeMs < startedMs - clockSlackMs) {
    rmSync(path, { recursive: true, force: true });
  }
}

function isAlive(pid: number, ticks: string): boolean {
  const now = startTicks(pid);
  if (now !== undefined) return now === ticks;
  if (ticks !== '0') return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** When `pid` started, in ticks since boot; undefined when there is no such process or no /proc. */
function startTicks(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  // The process name may hold spaces and parentheses; the numbers begin after the last one.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}
