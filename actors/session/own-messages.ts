/** Private messages of the session, and the effects that lead to them. */
import type { Failure, Outcome } from '#src/base/failure.ts';
import { isSeldom } from '#src/base/seldom.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { renewalMs, writeDeadlineMs } from '#src/model/session-deadline.ts';
import type {
  CoordinationAnswer,
  CoordinationRequest,
  SessionProof,
} from '#src/ports/coordination.ts';
import type { WriteDeadlineRequest } from '#src/ports/write-deadline.ts';

/** Which question an answer of the coordination port belongs to. */
export type Tag = 'open' | 'join' | 'renew' | 'watch' | 'leave' | 'close';

/** Private messages. */
export type SessionOwn =
  | {
      readonly kind: 'CoordinationAnswered';
      readonly tag: Tag;
      readonly outcome: Outcome<CoordinationAnswer>;
    }
  | { readonly kind: 'DeadlineAnswered' }
  | { readonly kind: 'RetryDue'; readonly tag: Tag }
  | { readonly kind: 'RenewalDue' }
  | { readonly kind: 'ExpiryDue' };

const retryMs = 500;

/** Asks for a lease. */
export function openLease(props: { readonly ttlMs: number }): Effect {
  return call('open', { kind: 'OpenSession', ttlMs: props.ttlMs });
}

/** Ends the lease. */
export function close(lease: string): Effect {
  return call('close', { kind: 'CloseSession', lease });
}

/** Asks the coordination port; the answer comes with the tag. */
export function call(tag: Tag, request: CoordinationRequest): Effect {
  return { kind: 'CallPort', port: 'coordination', request, answer: 'CoordinationAnswered', tag };
}

/** Tells the whole process. */
export function deadline(request: WriteDeadlineRequest): Effect {
  return { kind: 'CallPort', port: 'write-deadline', request, answer: 'DeadlineAnswered' };
}

/** A session that ends with the process has no deadline. */
export function publication(proof: SessionProof): readonly Effect[] {
  const { sentAtMs, ttlMs } = proof;
  if (!Number.isFinite(ttlMs)) return [];
  return [deadline({ kind: 'Publish', deadlineMs: writeDeadlineMs(sentAtMs, ttlMs), sentAtMs })];
}

/** The next renewal, counted from the sending of the last, and the end of the right to write. */
export function timers(proof: SessionProof): readonly Effect[] {
  const { sentAtMs, answeredAtMs, ttlMs } = proof;
  if (!Number.isFinite(ttlMs)) return [];
  const leftMs = writeDeadlineMs(sentAtMs, ttlMs) - answeredAtMs;
  const dueMs = renewalMs(ttlMs) - (answeredAtMs - sentAtMs);
  return [
    timer('renewal', Math.max(0, dueMs), { kind: 'RenewalDue' }),
    timer('expiry', Math.max(0, leftMs), { kind: 'ExpiryDue' }),
  ];
}

/** Drops every timer of the session. */
export const noTimers: readonly Effect[] = ['renewal', 'expiry', 'open', 'join', 'watch'].map(
  (key) => ({
    kind: 'DropTimer',
    key,
  }),
);

/** Comes back to a question after a while. */
export function retryLater(tag: Tag): Effect {
  return timer(tag, retryMs, { kind: 'RetryDue', tag });
}

/** After a renewal that failed: sooner than the next one, for the deadline does not wait. */
export function renewSoon(ttlMs: number): Effect {
  return timer('renewal', Math.min(retryMs, renewalMs(ttlMs)), { kind: 'RenewalDue' });
}

function timer(key: string, afterMs: number, message: SessionOwn): Effect {
  return { kind: 'SetTimer', key, afterMs, message };
}

/** Ends the session's cell. */
export const stopSelf: Effect = { kind: 'Stop', target: 'self', exit: { kind: 'shutdown' } };

/** What went wrong, for the log: seldom, when it goes on. */
export function trouble(
  { troubleCount: inARow }: { readonly troubleCount: number },
  what: Tag,
  { code, message, cause = '' }: Failure,
): readonly Effect[] {
  if (!isSeldom(inARow)) return [];
  const detail = { what, code, message, cause, inARow };
  return [{ kind: 'Log', level: 'warn', event: 'session-trouble', detail }];
}
