/**
 * Ports whose adapter is loaded at the first call: a driver takes some ten MiB of each thread that has it, and a thread calls few of
 * those it could.
 */
import { failed, failure, FailureError } from '#src/base/failure.ts';
import type { Port } from '#src/ports/port.ts';

/** The port that `open` makes, opened once. When that throws a FailureError, every call answers it. */
export function openLater<Request, Answer>(
  open: () => Promise<Port<Request, Answer>>,
): Port<Request, Answer> {
  let opening: Promise<Port<Request, Answer>> | undefined;
  let isClosed = false;
  return {
    call: async (request) => {
      if (isClosed) return failed(failure('INTERNAL_STOPPED', 'the port is closed'));
      try {
        opening ??= open();
        // Also when it is open: so requests go in as they come.
        return await (await opening).call(request);
      } catch (error) {
        if (error instanceof FailureError) return failed(error.failure);
        throw error;
      }
    },
    close: async () => {
      isClosed = true;
      await (await opening?.catch(() => undefined))?.close();
    },
  };
}
