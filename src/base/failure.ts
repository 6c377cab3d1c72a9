import type { FailureCode } from './failures.ts';

/** How the holder of a Failure may go on: not at all, by the same call, by a new connection, or by re-reading state first. */
export type Retry = 'Never' | 'Again' | 'Reconnect' | 'Resync';

/** How much stops when nobody recovers. */
export type Scope = 'Row' | 'Table' | 'Feed' | 'Node';

/**
 * The world said no (STYLE §10): a plain value that survives a thread boundary. `message` names the thing and the
 * fix; it never holds row values, SQL literals or credentials.
 */
export interface Failure {
  readonly code: FailureCode;
  readonly retry: Retry;
  readonly scope: Scope;
  readonly message: string;
  /** Facts for the operator, e.g. table, position, server error number. */
  readonly detail?: Readonly<Record<string, string | number | boolean>>;
  /** What lay below, as text. */
  readonly cause?: string;
}

/** A bug of ours: nobody catches it but the cell boundary, which reports it to the supervisor. */
export class Fault extends Error {
  override readonly name = 'Fault';
}

/** Carries a {@link Failure} through code that may throw (adapters only); the port boundary turns it back into a value. */
export class FailureError extends Error {
  override readonly name = 'FailureError';
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(`${failure.code}: ${failure.message}`);
    this.failure = failure;
  }
}

/** A Failure value; `more` overrides the defaults `Never` and `Feed`. */
export function failure(
  code: FailureCode,
  message: string,
  more: Partial<Omit<Failure, 'code' | 'message'>> = {},
): Failure {
  return { code, retry: 'Never', scope: 'Feed', message, ...more };
}

/** Throws a {@link FailureError}; for adapters. */
export function fail(
  code: FailureCode,
  message: string,
  more: Partial<Omit<Failure, 'code' | 'message'>> = {},
): never {
  throw new FailureError(failure(code, message, more));
}

/** What a thrown thing says of itself, in one text. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Success or Failure as a value. */
export type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly failure: Failure };

/** The good outcome. */
export function ok<T>(value: T): Outcome<T> {
  return { ok: true, value };
}

/** The bad outcome. */
export function failed(failure: Failure): Outcome<never> {
  return { ok: false, failure };
}
