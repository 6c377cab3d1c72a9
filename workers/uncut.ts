/**
 * Calls that a thread's end must not cut. `Worker.terminate` stops a thread at its next step of JavaScript, wherever that is. Within
 * a call of LMDB's binding it leaves the writer's lock behind, for which the thread's own clean-up then waits for ever, or it
 * aborts the process. So a thread shows in shared memory that it is inside such a call, and who ends it waits until it is
 * out; from then on it does not go in again.
 */
import { assert } from '#src/base/assert.ts';
import { fail } from '#src/base/failure.ts';
import type { Gate } from './gate.ts';
import type { AnyPort } from './thread-host.ts';

const inside = 1;
const ending = 2;

/** A port of which neither the opening nor what a call does before it first waits is cut. */
export function uncutPort(gate: Gate, open: () => AnyPort): AnyPort {
  const port = uncut(gate, open);
  return {
    call: (request) => uncut(gate, () => port.call(request)),
    close: () => uncut(gate, () => port.close()),
  };
}

/** Runs `call` whole; FailureError INTERNAL_STOPPED once this thread is being ended. Does not nest. */
function uncut<T>(gate: Gate, call: () => T): T {
  const { cuts } = gate.words;
  const before = Atomics.or(cuts, gate.thread, inside);
  assert((before & inside) === 0, 'an uncut call within another');
  try {
    if ((before & ending) !== 0) fail('INTERNAL_STOPPED', 'this thread is being ended');
    return call();
  } finally {
    const was = Atomics.and(cuts, gate.thread, ~inside);
    if ((was & ending) !== 0) Atomics.notify(cuts, gate.thread);
  }
}

/**
 * Lets `end` terminate a thread of index `thread`: now, or when it is out of an uncut call, `withinMs` from now at the latest.
 * From now on it begins none.
 */
export function endUncut(gate: Gate, thread: number, withinMs: number, end: () => void): void {
  const { cuts } = gate.words;
  Atomics.or(cuts, thread, ending);
  const untilMs = performance.now() + withinMs;
  const look = (): void => {
    const seen = Atomics.load(cuts, thread);
    const leftMs = untilMs - performance.now();
    if ((seen & inside) === 0 || leftMs <= 0) return end();
    const waiting = Atomics.waitAsync(cuts, thread, seen, leftMs);
    if (waiting.async) void waiting.value.then(look);
    else look();
  };
  look();
}

/** Milliseconds that the end of the process waits for uncut calls. */
const exitWithinMs = 2_000;
const guarded = new Map<Gate, number>();

/**
 * Makes an end of the process that nobody prepared (`process.exit`, an uncaught error) wait for the uncut calls of threads 1 to
 * `threadCount`: it terminates them too, and would never be over. The answer takes it back.
 */
export function guardExit(gate: Gate, threadCount: number): () => void {
  if (guarded.size === 0) process.on('exit', leaveUncut);
  guarded.set(gate, threadCount);
  return () => {
    guarded.delete(gate);
    if (guarded.size === 0) process.off('exit', leaveUncut);
  };
}

function leaveUncut(): void {
  const untilMs = performance.now() + exitWithinMs;
  for (const [{ words }, threadCount] of guarded) {
    for (let thread = 1; thread <= threadCount; thread++) {
      Atomics.or(words.cuts, thread, ending);
      for (;;) {
        const seen = Atomics.load(words.cuts, thread);
        const leftMs = untilMs - performance.now();
        if ((seen & inside) === 0 || leftMs <= 0) break;
        Atomics.wait(words.cuts, thread, seen, leftMs);
      }
    }
  }
}
