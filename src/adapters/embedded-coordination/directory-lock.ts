import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fail, messageOf } from '#src/base/failure.ts';

/**
 * Holds `directory` for one owner: an exclusive transaction on `coordination.lock`, a SQLite file. The operating system
 * releases it when the process dies, however it dies, so a lock that a dead process left is free at once and there is no
 * pid to misjudge. COORDINATION_FAILED, with the holder's pid, while another holds it. Answers the release.
 */
export function lockDirectory(directory: string): () => void {
  mkdirSync(directory, { recursive: true });
  const holderPath = join(directory, 'coordination.pid');
  const database = new DatabaseSync(join(directory, 'coordination.lock'), { timeout: 0 });
  try {
    database.exec('PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    fail(
      'COORDINATION_FAILED',
      `another process holds the data directory: ${readHolder(holderPath)}`,
      {
        scope: 'Node',
        cause: messageOf(error),
      },
    );
  }
  writeFileSync(holderPath, `${process.pid}\n`);
  return () => database.close();
}

function readHolder(path: string): string {
  try {
    return `pid ${readFileSync(path, 'latin1').trim()}`;
  } catch {
    return 'pid unknown';
  }
}
