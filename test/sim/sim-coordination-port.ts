/** The way of one process to the simulated coordination store: delays, lost requests, lost answers, and the bound of each call. */
import { failed, failure, type Outcome } from '#src/base/failure.ts';
import type { CoordinationAnswer, CoordinationRequest } from '#src/ports/coordination.ts';
import type { SimClock, SimCoordination } from './sim-coordination.ts';
import type { SimPort } from './sim-port.ts';

/** What the way of a message does now: `there` to the store, `back` from it. */
export interface SimWay {
  readonly delayMs: () => number;
  readonly isLost: (way: 'there' | 'back') => boolean;
}

/** Longest wait for an answer, as the etcd adapter's: two members tried. */
const callMs = 3_000;
const renewalMs = 1_500;

/** A coordination port over a network, by the clock of its process. Uncertain is what may have been performed. */
export function simCoordinationPort(
  clock: SimClock,
  store: Pick<SimCoordination, 'perform'>,
  way: SimWay,
): SimPort {
  return (asked, answered) => {
    const request = asked as CoordinationRequest;
    const sentAtMs = clock.now;
    let isOver = false;
    const end = (outcome: Outcome<CoordinationAnswer>): void => {
      if (isOver) return;
      isOver = true;
      answered(timed(outcome, clock.now));
    };
    const patienceMs =
      request.kind === 'KeepAlive'
        ? renewalMs
        : callMs + (request.kind === 'NextEvents' ? request.waitMs : 0);
    clock.after(patienceMs, () => end(failed(silence(request))));
    if (way.isLost('there')) return;
    clock.after(way.delayMs(), () =>
      store.perform(request, sentAtMs, (outcome) => {
        if (way.isLost('back')) return;
        clock.after(way.delayMs(), () => end(outcome));
      }),
    );
  };
}

/** The answer's arrival is the client's to say. */
function timed(outcome: Outcome<CoordinationAnswer>, nowMs: number): Outcome<CoordinationAnswer> {
  if (!outcome.ok) return outcome;
  const { value } = outcome;
  return value.kind === 'SessionOpened' || value.kind === 'KeptAlive'
    ? { ok: true, value: { ...value, answeredAtMs: nowMs } }
    : outcome;
}

function silence(request: CoordinationRequest): ReturnType<typeof failure> {
  return request.kind === 'Transact'
    ? failure('COORDINATION_UNCERTAIN', 'no answer', { retry: 'Resync', scope: 'Node' })
    : failure('COORDINATION_UNREACHABLE', 'no answer', { retry: 'Again', scope: 'Node' });
}
