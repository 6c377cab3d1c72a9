import { Fault } from './failure.ts';

/** Throws a {@link Fault} unless `condition` holds: a broken promise of our own code, never of the world. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Fault(message);
}

/** The value, or a {@link Fault} naming `what` when it is null or undefined. */
export function must<T>(value: T | null | undefined, what: string): T {
  if (value === null || value === undefined) throw new Fault(`missing: ${what}`);
  return value;
}

/** The end of an exhaustive switch; the compiler proves that it is never reached. */
export function unreachable(value: never): never {
  throw new Fault(`unreachable: ${JSON.stringify(value)}`);
}
