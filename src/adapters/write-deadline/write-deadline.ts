/** The write deadline port over the process's shared memory (port: src/ports/write-deadline.ts). */
import { ok } from '#src/base/failure.ts';
import type { DeadlineSink } from '#src/ports/deadline-sink.ts';
import type { WriteDeadlinePort } from '#src/ports/write-deadline.ts';

/** Publishes into `sink` within the call, not in its promise: nothing may come between a loss and the fence. */
export function openWriteDeadline(sink: DeadlineSink): WriteDeadlinePort {
  return {
    call: (request) => {
      if (request.kind === 'Fence') {
        sink.fence(request.reason);
        return Promise.resolve(ok({ kind: 'Fenced' }));
      }
      sink.publish(nanoseconds(request.deadlineMs), nanoseconds(request.sentAtMs));
      return Promise.resolve(ok({ kind: 'Published' }));
    },
    close: () => Promise.resolve(),
  };
}

/** Rounded down: an earlier deadline and an earlier sending only shorten the right to write. */
function nanoseconds(milliseconds: number): bigint {
  return BigInt(Math.floor(milliseconds * 1e6));
}
