import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isAlive } from './server-process.ts';

const limitMs = 300_000;

/** Runs `task` while holding a lock file that names this process, waited for at most 5 minutes; a dead process's is taken over. */
export async function withLock<T>(file: string, task: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + limitMs;
  while (!tryLock(file)) {
    if (Date.now() > deadline) throw new Error(`waited too long for ${file}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  try {
    return await task();
  } finally {
    rmSync(file, { force: true });
  }
}

function tryLock(file: string): boolean {
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' });
    return true;
  } catch {
    if (existsSync(file) && isOrphaned(file)) {
      rmSync(file, { force: true });
    }
    return false;
  }
}

function isOrphaned(file: string): boolean {
  const pid = Number(readFileSync(file, 'utf8'));
  // Zero: the holder has made the file but not yet written its number.
  return pid > 0 && !isAlive(pid);
}
