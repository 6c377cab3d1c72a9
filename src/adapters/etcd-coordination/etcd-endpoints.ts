import { InterceptingCall, type Interceptor } from '@grpc/grpc-js';
import { Etcd3, type IDuplexStream, type IOptions } from 'etcd3';
import { FailureError, fail, failure } from '#src/base/failure.ts';
import { EtcdTimeout, readEtcdError } from './etcd-failure.ts';
import type { EtcdAddress } from './etcd-url.ts';

/** One member and the client that talks to it alone. */
export interface EtcdMember {
  readonly host: string;
  readonly client: Etcd3;
}

/** Members tried for one call: the one that worked last, then the next. */
const tryCountMax = 2;

/** The client's own retries and circuit breaker are off: it would repeat writes whose outcome is unknown. */
const untouched = {
  execute: async <T>(run: (context: unknown) => T | PromiseLike<T>): Promise<T> =>
    await run({ signal: new AbortController().signal }),
};

/**
 * Asks the member to end the stream when it loses its leader: without it a member cut off from the others keeps a watch
 * open and says nothing.
 */
const requireLeader: Interceptor = (options, nextCall) =>
  new InterceptingCall(nextCall(options), {
    start: (metadata, listener, next) => {
      metadata.set('hasleader', 'true');
      next(metadata, listener);
    },
  });

/** Call options of a stream. */
export const streamOptions = { interceptors: [requireLeader] };

/**
 * Ends a stream from our side. Not by cancelling at once: the client takes that for a fault of the member and resets its
 * other connections; only a stream that does not end by itself is cancelled.
 */
export function endStream(stream: IDuplexStream<unknown, unknown>): void {
  let isOver = false;
  const over = (): void => {
    isOver = true;
  };
  stream.on('end', over).on('error', over);
  stream.end();
  setTimeout(() => {
    if (!isOver) stream.cancel();
  }, 1_000).unref();
}

/** The members of a cluster: calls go to the one that answered last, and to the next when it fails. */
export class EtcdEndpoints {
  readonly #members: readonly EtcdMember[];
  #current = 0;
  #isClosed = false;

  constructor(address: EtcdAddress) {
    this.#members = address.hosts.map((host) => ({
      host,
      client: new Etcd3(clientOptions(address, host)),
    }));
  }

  /** The member to use now. */
  get current(): EtcdMember {
    return this.#members[this.#current]!;
  }

  /** Turns to the next member when `failedMember` is still the current one. */
  turnFrom(failedMember: EtcdMember): void {
    if (this.current === failedMember) this.#current = (this.#current + 1) % this.#members.length;
  }

  /**
   * Runs one call with `timeoutMs` a try; on another member when the first fails and has surely done nothing, or when the
   * call is a read. A write whose outcome is unknown throws COORDINATION_UNCERTAIN.
   */
  async run<T>(
    kind: 'read' | 'write',
    timeoutMs: number,
    call: (member: EtcdMember, options: { readonly deadline: number }) => Promise<T>,
  ): Promise<T> {
    for (let tries = 1; ; tries++) {
      const member = this.current;
      try {
        return await this.#once(timeoutMs, (options) => call(member, options));
      } catch (error) {
        if (this.#isClosed) fail('INTERNAL_STOPPED', 'closed');
        const trouble = readEtcdError(error, member.host);
        if (trouble.isLocal) this.turnFrom(member);
        if (kind === 'write' && trouble.certainty === 'unknown') throw uncertain(trouble.failure);
        const isLast = tries >= Math.min(tryCountMax, this.#members.length);
        if (!trouble.isLocal || isLast) throw new FailureError(trouble.failure);
      }
    }
  }

  /** Ends all connections. */
  close(): void {
    this.#isClosed = true;
    for (const { client } of this.#members) client.close();
  }

  async #once<T>(
    timeoutMs: number,
    call: (options: { readonly deadline: number }) => Promise<T>,
  ): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new EtcdTimeout('no answer in time')), timeoutMs);
    });
    try {
      // gRPC wants its deadline by the wall clock; the timer above is what counts, this one ends the call on the member.
      return await Promise.race([call({ deadline: Date.now() + timeoutMs }), late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

function uncertain(below: FailureError['failure']): FailureError {
  return new FailureError(
    failure('COORDINATION_UNCERTAIN', 'etcd may or may not have performed the transaction', {
      retry: 'Resync',
      scope: 'Node',
      ...(below.detail === undefined ? {} : { detail: below.detail }),
      ...(below.cause === undefined ? {} : { cause: below.cause }),
    }),
  );
}

function clientOptions(address: EtcdAddress, host: string): IOptions {
  const { account, tls } = address;
  const policy = untouched as unknown as NonNullable<
    NonNullable<IOptions['faultHandling']>['global']
  >;
  return {
    hosts: `${tls === null ? 'http' : 'https'}://${host}`,
    ...(tls === null ? {} : { credentials: credentials(tls) }),
    ...(account === null
      ? {}
      : {
          auth: {
            username: account.user,
            password: account.password.reveal(),
            callOptions: () => ({ deadline: Date.now() + 3_000 }),
          },
        }),
    faultHandling: { global: policy, host: () => policy },
    grpcOptions: {
      // etcd closes connections that ping more often than every 5 s.
      'grpc.keepalive_time_ms': 6_000,
      'grpc.keepalive_timeout_ms': 3_000,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.min_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 1_000,
      // A page of a list and the events of one catch-up, each value at most 1 MiB.
      'grpc.max_receive_message_length': 256 << 20,
    },
  };
}

function credentials(tls: NonNullable<EtcdAddress['tls']>): NonNullable<IOptions['credentials']> {
  return {
    // Without an authority of its own gRPC takes those of the system.
    rootCertificate: tls.ca as Buffer,
    ...(tls.client === null ? {} : { privateKey: tls.client.key, certChain: tls.client.cert }),
  };
}
