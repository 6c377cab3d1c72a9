import { type Failure, failure, FailureError, messageOf } from '#src/base/failure.ts';

/** How sure it is that a request that failed has changed nothing. */
export type Certainty = 'nothing-done' | 'unknown';

/** An error of the client as a Failure, and what it says about the request. */
export interface EtcdTrouble {
  readonly failure: Failure;
  readonly certainty: Certainty;
  /** Another member may do better. */
  readonly isLocal: boolean;
}

/** Our own timer ran out before the member answered. */
export class EtcdTimeout extends Error {
  override readonly name = 'EtcdTimeout';
}

/** The client loses gRPC's status code but for the text, `14 UNAVAILABLE: …`. */
const statusPattern = /\b(\d{1,2}) [A-Z_]+: /;

/** gRPC: CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, ABORTED, INTERNAL, UNAVAILABLE. */
const transientCodes = new Set([1, 2, 4, 10, 13, 14]);

/** What stands in the message when the request can not have left, or was turned down before it was proposed. */
const neverSent =
  /No connection established|Name resolution failed|ECONNREFUSED|etcdserver: no leader|too many requests|not capable/i;

/** Reads an error of the etcd client; what it shows names the member, never the account. */
export function readEtcdError(error: unknown, host: string): EtcdTrouble {
  if (error instanceof FailureError)
    return { failure: error.failure, certainty: 'nothing-done', isLocal: false };
  const text = messageOf(error);
  const detail = { member: host };
  const make = (code: Failure['code'], message: string, retry: Failure['retry']): Failure =>
    failure(code, message, { retry, scope: 'Node', detail, cause: text });
  if (/requested lease not found/.test(text)) {
    const lost = make('COORDINATION_SESSION_LOST', 'etcd knows no such session', 'Never');
    return { failure: lost, certainty: 'nothing-done', isLocal: false };
  }
  if (
    /authentication failed|permission denied|user name (is empty|not found)|auth token/i.test(text)
  ) {
    const denied = make(
      'COORDINATION_ACCESS_DENIED',
      `etcd at ${host} refuses the account`,
      'Again',
    );
    return { failure: denied, certainty: 'nothing-done', isLocal: false };
  }
  const code = error instanceof EtcdTimeout ? 4 : Number(statusPattern.exec(text)?.[1] ?? 2);
  if (transientCodes.has(code)) {
    const silent = make('COORDINATION_UNREACHABLE', `etcd at ${host} does not answer`, 'Again');
    const certainty = neverSent.test(text) ? 'nothing-done' : 'unknown';
    return { failure: silent, certainty, isLocal: true };
  }
  const message = /space exceeded/.test(text)
    ? `etcd at ${host} is out of space: raise its quota, compact and defragment it`
    : `etcd at ${host} refused the call`;
  return {
    failure: make('COORDINATION_FAILED', message, 'Again'),
    certainty: 'nothing-done',
    isLocal: false,
  };
}
