/** The production host of a shell: real clock, real randomness, message ports, adapters behind ports. */
import { failed, failure, FailureError, type Outcome } from '#src/base/failure.ts';
import type { Host, TreeRequest } from '#src/kernel/host.ts';
import type { Envelope } from '#src/kernel/message.ts';
import type { Log } from '#src/ports/log.ts';
import type { Port } from '#src/ports/port.ts';

/** Any port, as the host calls it. */
export type AnyPort = Port<{ readonly kind: string }, unknown>;

/** What a thread gives its host. */
export interface ThreadParts {
  readonly thread: string;
  readonly post: (envelope: Envelope) => void;
  readonly tree: (request: TreeRequest) => void;
  readonly ports: Readonly<Record<string, () => AnyPort>>;
  readonly log: Log;
}

/** A host whose ports open at their first call and stay open until `close`. */
export class ThreadHost implements Host {
  readonly thread: string;
  readonly post: (envelope: Envelope) => void;
  readonly tree: (request: TreeRequest) => void;
  readonly log: Host['log'];
  readonly counters = new Map<string, number>();
  readonly #factories: ThreadParts['ports'];
  readonly #ports = new Map<string, AnyPort>();

  constructor(parts: ThreadParts) {
    this.thread = parts.thread;
    this.post = parts.post;
    this.tree = parts.tree;
    this.log = parts.log;
    this.#factories = parts.ports;
  }

  readonly now = (): number => performance.now();
  readonly random = (): number => Math.random();

  readonly schedule = (run: () => void): void => {
    setImmediate(run);
  };

  readonly timer = (afterMs: number, due: () => void): (() => void) => {
    const timer = setTimeout(due, afterMs);
    return () => clearTimeout(timer);
  };

  readonly count = (name: string, value: number): void => {
    this.counters.set(name, (this.counters.get(name) ?? 0) + value);
  };

  readonly callPort = (
    name: string,
    request: { readonly kind: string },
    answered: (outcome: Outcome<unknown>) => void,
  ): void => {
    void this.#call(name, request).then(answered);
  };

  /** Closes every port that was opened. */
  async close(): Promise<void> {
    const ports = [...this.#ports.values()];
    this.#ports.clear();
    await Promise.allSettled(ports.map((port) => port.close()));
  }

  async #call(name: string, request: { readonly kind: string }): Promise<Outcome<unknown>> {
    try {
      return await this.#port(name).call(request);
    } catch (error) {
      // A port answers with values; whatever it throws is a bug of the adapter, kept from killing the thread.
      if (error instanceof FailureError) return failed(error.failure);
      const message = `port ${name}, ${request.kind}: ${error instanceof Error ? error.message : String(error)}`;
      this.log('error', 'port-fault', {
        message,
        stack: error instanceof Error ? (error.stack ?? '') : '',
      });
      return failed(failure('INTERNAL_FAULT', message, { retry: 'Again' }));
    }
  }

  #port(name: string): AnyPort {
    const open = this.#ports.get(name);
    if (open !== undefined) return open;
    const factory = this.#factories[name];
    if (factory === undefined) throw new Error(`thread ${this.thread} has no port ${name}`);
    const port = factory();
    this.#ports.set(name, port);
    return port;
  }
}
