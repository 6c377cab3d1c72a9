import { statfsSync } from 'node:fs';
import { Fault, type Failure, FailureError, failure, messageOf } from '#src/base/failure.ts';

/** Below this much free space a write error is taken for a full disk. */
const freeBytesMin = 16 << 20;
/** LMDB's MDB_MAP_FULL and the system's ENOSPC. */
const fullCodes: ReadonlySet<unknown> = new Set([-30792, 28, 'ENOSPC']);

/**
 * The Failure for what LMDB or the file system threw. A short write on a full disk reaches us as a plain I/O error, so
 * the free space decides: STORE_FULL (retry Again) or STORE_FAILED.
 */
export function translateStoreError(error: unknown, directory: string): Failure {
  if (error instanceof FailureError) return error.failure;
  const cause = messageOf(error);
  if (error instanceof Fault) return failure('INTERNAL_FAULT', cause);
  const { code } = error as { readonly code?: unknown };
  if (fullCodes.has(code) || freeBytes(directory) < freeBytesMin) {
    return failure('STORE_FULL', 'the disk of the data directory is full', {
      retry: 'Again',
      cause,
    });
  }
  return failure('STORE_FAILED', 'the event store could not be read or written', { cause });
}

function freeBytes(directory: string): number {
  try {
    const { bavail, bsize } = statfsSync(directory);
    return bavail * bsize;
  } catch {
    return Infinity;
  }
}
