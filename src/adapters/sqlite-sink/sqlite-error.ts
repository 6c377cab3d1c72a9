import { type Failure, FailureError, Fault, failure, messageOf } from '#src/base/failure.ts';

/** SQLite's primary result codes that we tell apart. */
const code = {
  busy: 5,
  locked: 6,
  readOnly: 8,
  ioError: 10,
  full: 13,
  cantOpen: 14,
  constraint: 19,
} as const;

/** The primary result code of what SQLite threw; 0 when it is no error of SQLite. */
export function sqliteCode(error: unknown): number {
  const { errcode } = error as { readonly errcode?: unknown };
  // Extended codes carry the primary one in their low byte.
  return typeof errcode === 'number' ? errcode & 255 : 0;
}

/** True when another connection holds the lock: the transaction did nothing and may be tried again. */
export function isBusy(error: unknown): boolean {
  const found = sqliteCode(error);
  return found === code.busy || found === code.locked;
}

/** True when a row with the same key is there already. */
export function isDuplicate(error: unknown): boolean {
  return sqliteCode(error) === code.constraint;
}

/** The Failure for whatever was thrown while talking to SQLite. SQLite's messages name tables and columns, not values. */
export function translateSqliteError(error: unknown): Failure {
  if (error instanceof FailureError) return error.failure;
  const cause = messageOf(error);
  if (error instanceof Fault) return failure('INTERNAL_FAULT', cause);
  const errno = sqliteCode(error);
  const more = { detail: { errno }, cause } as const;
  switch (errno) {
    case code.busy:
    case code.locked:
      return failure('SINK_BUSY', 'the SQLite file stayed locked', { ...more, retry: 'Again' });
    case code.readOnly:
      return failure('SINK_READ_ONLY', 'the SQLite file is read-only', { ...more, retry: 'Again' });
    case code.full:
      return failure('SINK_FULL', 'no room for the SQLite file', { ...more, retry: 'Again' });
    case code.cantOpen:
      return failure('SINK_UNREACHABLE', 'the SQLite file can not be opened', {
        ...more,
        retry: 'Reconnect',
      });
    case code.ioError:
      return failure('SINK_DISCONNECTED', 'the SQLite file could not be read or written', {
        ...more,
        retry: 'Reconnect',
      });
    case 0:
      return failure('INTERNAL_FAULT', 'the SQLite sink broke', { cause });
    default:
      return failure('SINK_REFUSED', `SQLite refused a statement with code ${errno}`, more);
  }
}
