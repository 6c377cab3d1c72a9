/**
 * Coordination by etcd ≥ 3.4 (port: src/ports/coordination.ts). Reads are linearizable, writes are transactions, watches
 * survive reconnections and compactions, sessions are leases that their keeper renews by single round trips. Each call
 * is tried on up to two members; a transaction is repeated only when it has surely done nothing.
 */
import type { IRangeResponse, IResponseHeader } from 'etcd3';
import { failed, failure, FailureError, fail, ok, type Outcome } from '#src/base/failure.ts';
import { coordinationRefusal } from '#src/ports/coordination-bounds.ts';
import {
  type CoordinationAnswer,
  type CoordinationPort,
  type CoordinationRequest,
  absentKey,
  comparedKeys,
  coordinationLimits,
  type KeyValue,
  type Transact,
} from '#src/ports/coordination.ts';
import { EtcdEndpoints } from './etcd-endpoints.ts';
import { EtcdSessions } from './etcd-session.ts';
import { parseEtcdUrls } from './etcd-url.ts';
import { EtcdWatches } from './etcd-watches.ts';
import {
  exactNumber,
  keyBytes,
  prefixRange,
  readKeyValue,
  transactionRequest,
} from './etcd-wire.ts';

/** What coordination by etcd needs to open. */
export interface EtcdCoordinationOptions {
  /** The option `--etcd` as given: may hold a password. */
  readonly urls: string;
  /** Longest wait for an answer of one member, milliseconds; default 3 s. */
  readonly callMs?: number;
}

const pageCount = 500;
const listTryCountMax = 3;

/** Opens coordination by etcd; CONFIG_INVALID when the URLs are wrong. Members are called when something is asked. */
export function openEtcdCoordination(options: EtcdCoordinationOptions): CoordinationPort {
  const endpoints = new EtcdEndpoints(parseEtcdUrls(options.urls));
  const etcd = new EtcdCoordination(endpoints, options.callMs ?? 3_000);
  return { call: (request) => etcd.call(request), close: () => Promise.resolve(etcd.close()) };
}

class EtcdCoordination {
  readonly #endpoints: EtcdEndpoints;
  readonly #sessions: EtcdSessions;
  readonly #watches: EtcdWatches;
  readonly #callMs: number;
  #isClosed = false;

  constructor(endpoints: EtcdEndpoints, callMs: number) {
    this.#endpoints = endpoints;
    this.#sessions = new EtcdSessions(endpoints);
    this.#watches = new EtcdWatches(endpoints);
    this.#callMs = callMs;
  }

  async call(request: CoordinationRequest): Promise<Outcome<CoordinationAnswer>> {
    if (this.#isClosed) return stopped();
    const refused = coordinationRefusal(request);
    if (refused !== null) return failed(refused);
    try {
      return ok(await this.#answer(request));
    } catch (error) {
      if (this.#isClosed) return stopped();
      if (error instanceof FailureError) return failed(error.failure);
      throw error;
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#watches.close();
    this.#endpoints.close();
  }

  async #answer(request: CoordinationRequest): Promise<CoordinationAnswer> {
    switch (request.kind) {
      case 'Get':
        return { kind: 'Got', entry: await this.#get(request.key) };
      case 'List':
        return { kind: 'Listed', ...(await this.#list(request.prefix)) };
      case 'Transact':
        return await this.#transact(request);
      case 'NextEvents':
        return await this.#nextEvents(request);
      case 'OpenSession':
        return { kind: 'SessionOpened', ...(await this.#sessions.open(request.ttlMs)) };
      case 'KeepAlive':
        return { kind: 'KeptAlive', ...(await this.#sessions.keepAlive(request.lease)) };
      case 'CloseSession':
        await this.#sessions.close(request.lease);
        return { kind: 'SessionClosed' };
    }
  }

  async #get(key: string): Promise<KeyValue> {
    const { kvs } = await this.#endpoints.run('read', this.#callMs, ({ client }, options) =>
      client.kv.range({ key: keyBytes(key) }, options),
    );
    return kvs[0] === undefined ? absentKey(key) : readKeyValue(kvs[0]);
  }

  async #transact(request: Transact): Promise<CoordinationAnswer> {
    const transaction = transactionRequest(request);
    const answer = await this.#endpoints.run('write', this.#callMs, ({ client }, options) =>
      client.kv.txn(transaction, options),
    );
    const keys = comparedKeys(request);
    const reads = answer.responses.slice(-keys.length).map((one) => one.response_range.kvs[0]);
    return {
      kind: 'Transacted',
      succeeded: answer.succeeded,
      entries: keys.map((key, index) => {
        const found = reads[index];
        return found === undefined ? absentKey(key) : readKeyValue(found);
      }),
      revision: exactNumber(answer.header.revision),
    };
  }

  async #nextEvents(
    request: Extract<CoordinationRequest, { kind: 'NextEvents' }>,
  ): Promise<CoordinationAnswer> {
    const { prefix, after } = request;
    if (after !== null) {
      const waitMs = Math.min(request.waitMs, coordinationLimits.waitMs);
      const heard = await this.#watches.take(prefix, after, waitMs);
      if (heard.kind === 'failed') throw new FailureError(heard.failure);
      if (heard.kind === 'events')
        return { kind: 'Events', events: heard.events, after: heard.after };
    }
    const { entries, revision } = await this.#list(prefix);
    return { kind: 'Reset', entries, after: revision };
  }

  /** All keys below a prefix of one revision, page by page; from the start when that revision is compacted meanwhile. */
  async #list(
    prefix: string,
  ): Promise<{ readonly entries: readonly KeyValue[]; readonly revision: number }> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#listOnce(prefix);
      } catch (error) {
        const isCompacted =
          error instanceof FailureError && /compacted/.test(error.failure.cause ?? '');
        if (!isCompacted || tries >= listTryCountMax) throw error;
      }
    }
  }

  async #listOnce(
    prefix: string,
  ): Promise<{ readonly entries: readonly KeyValue[]; readonly revision: number }> {
    const { range_end, key } = prefixRange(prefix);
    const entries: KeyValue[] = [];
    let from = key;
    let header: IResponseHeader | null = null;
    for (;;) {
      const revision = header?.revision ?? 0;
      const page: IRangeResponse = await this.#endpoints.run(
        'read',
        this.#callMs,
        ({ client }, options) =>
          client.kv.range({ key: from, range_end, limit: pageCount, revision }, options),
      );
      header ??= page.header;
      entries.push(...page.kvs.map((kv) => readKeyValue(kv)));
      if (entries.length > coordinationLimits.listCount)
        fail(
          'COORDINATION_TOO_LARGE',
          `more than ${coordinationLimits.listCount} keys at ${prefix}`,
        );
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined)
        return { entries, revision: exactNumber(header.revision) };
      from = Buffer.concat([last.key, Buffer.from([0])]);
    }
  }
}

function stopped(): Outcome<never> {
  return failed(failure('INTERNAL_STOPPED', 'coordination is closed'));
}
