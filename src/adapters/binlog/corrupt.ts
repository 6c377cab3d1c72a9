import { fail } from '#src/base/failure.ts';

/** Throws SOURCE_CORRUPT: bytes of the log do not say what their format promises. `what` names the part, never its content. */
export function corrupt(what: string): never {
  return fail('SOURCE_CORRUPT', `the binary log is malformed: ${what}`);
}

/** Throws SOURCE_UNSUPPORTED: the log uses something that Sluice does not replicate. */
export function unsupported(what: string): never {
  return fail('SOURCE_UNSUPPORTED', what);
}
