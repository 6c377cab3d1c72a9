/** The {@link DeadlineSink} of a capture: publishes into the shared memory from whichever thread keeps the session. */
import type { DeadlineSink } from '#src/ports/deadline-sink.ts';
import type { Log } from '#src/ports/log.ts';
import type { Gate } from './gate.ts';

/** See the top of this file. `gates` covers every gate a plan may have: losing the session fences the capture whole. */
export function leaseDeadline(gate: Gate, gates: readonly number[], log: Log): DeadlineSink {
  const { deadline } = gate.words;
  return {
    publish: (deadlineNs, sentNs) => {
      const current = Atomics.load(deadline, 0);
      // The marks of `no deadline` and `awaited` are below every deadline.
      if (current < deadlineNs) Atomics.store(deadline, 0, deadlineNs);
      const probation = Atomics.load(deadline, 1);
      // A newer gap that the watchdog found meanwhile keeps its probation.
      if (probation !== 0n && probation < sentNs)
        Atomics.compareExchange(deadline, 1, probation, 0n);
    },
    fence: (reason) => {
      if (gate.fence(gates)) log('warn', 'fence', { reason });
    },
  };
}
