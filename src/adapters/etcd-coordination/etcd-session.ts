/**
 * Sessions of etcd: leases, each renewed by single round trips that their keeper asks for (FENCE §2.1). The client's own
 * lease object is not used: it reads the wall clock and tells of a loss after twice the time (decision 6).
 */
import type { ILeaseKeepAliveResponse } from 'etcd3';
import { fail, FailureError } from '#src/base/failure.ts';
import type { SessionProof } from '#src/ports/coordination.ts';
import { type EtcdEndpoints, type EtcdMember, endStream, streamOptions } from './etcd-endpoints.ts';

/** Longest wait for the answer to one renewal on one member, milliseconds. */
const renewalMsMax = 1_500;
/** Sessions one port remembers the length of. */
const sessionCountMax = 1_024;

/** Opens, renews and ends the leases of one port. */
export class EtcdSessions {
  readonly #endpoints: EtcdEndpoints;
  readonly #ttlMs = new Map<string, number>();

  constructor(endpoints: EtcdEndpoints) {
    this.#endpoints = endpoints;
  }

  /** A new lease. When its answer is lost the lease that may exist ends by itself. */
  async open(ttlMs: number): Promise<SessionProof> {
    let sentAtMs = 0;
    const granted = await this.#endpoints.run('read', renewalMsMax, async ({ client }, options) => {
      sentAtMs = machineMs();
      return await client.leaseClient.leaseGrant({ TTL: Math.ceil(ttlMs / 1_000) }, options);
    });
    if (granted.error !== '')
      fail('COORDINATION_FAILED', `etcd granted no lease: ${granted.error}`, { retry: 'Again' });
    const lease = granted.ID;
    if (this.#ttlMs.size >= sessionCountMax) this.#ttlMs.clear();
    this.#ttlMs.set(lease, Number(granted.TTL) * 1_000);
    return this.#proof(lease, granted.TTL, sentAtMs);
  }

  /** One renewal, on up to two members. */
  async keepAlive(lease: string): Promise<SessionProof> {
    // Two tries must fit into the fifth of the time between two renewals, or nearly so.
    const ttlMs = this.#ttlMs.get(lease) ?? renewalMsMax * 7;
    const waitMs = Math.min(renewalMsMax, Math.max(200, ttlMs * 0.15));
    let sentAtMs = 0;
    const answer = await this.#endpoints.run('read', waitMs + 100, async (member) => {
      sentAtMs = machineMs();
      return await renewOnce(member, lease, waitMs);
    });
    if (Number(answer.TTL) <= 0) {
      this.#ttlMs.delete(lease);
      fail('COORDINATION_SESSION_LOST', 'etcd says that the session is over', { scope: 'Node' });
    }
    return this.#proof(lease, answer.TTL, sentAtMs);
  }

  /** Revokes a lease; its keys are gone when this resolves. */
  async close(lease: string): Promise<void> {
    this.#ttlMs.delete(lease);
    try {
      await this.#endpoints.run('read', renewalMsMax, ({ client }, options) =>
        client.leaseClient.leaseRevoke({ ID: lease }, options),
      );
    } catch (error) {
      if (error instanceof FailureError && error.failure.code === 'COORDINATION_SESSION_LOST')
        return;
      throw error;
    }
  }

  #proof(lease: string, ttl: string | number, sentAtMs: number): SessionProof {
    return { lease, ttlMs: Number(ttl) * 1_000, sentAtMs, answeredAtMs: machineMs() };
  }
}

/**
 * One question and one answer on a stream of its own, so that a late answer can never be taken for that of a later
 * question.
 */
async function renewOnce(
  { client }: EtcdMember,
  lease: string,
  waitMs: number,
): Promise<ILeaseKeepAliveResponse> {
  const stream = await client.leaseClient.leaseKeepAlive(streamOptions);
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise((resolve, reject) => {
      timer = setTimeout(() => reject(new Error('14 UNAVAILABLE: no answer in time')), waitMs);
      stream
        .on('data', resolve)
        .on('error', reject)
        .on('end', () => reject(new Error('14 UNAVAILABLE: the stream ended')));
      stream.write({ ID: lease });
    });
  } finally {
    clearTimeout(timer);
    endStream(stream);
  }
}

/** Milliseconds of the machine's monotonic clock. */
function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
