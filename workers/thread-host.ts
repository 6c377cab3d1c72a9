/** The production host of a shell: real clock, real randomness, message ports, adapters behind ports. */
import { fail, failed, failure, FailureError, type Outcome, messageOf } from '#src/base/failure.ts';
import type { GateLife, Host, TreeRequest } from '#src/kernel/host.ts';
import type { Envelope } from '#src/kernel/message.ts';
import type { Log } from '#src/ports/log.ts';
import type { Port } from '#src/ports/port.ts';
import { isPortOf, type FeedPorts, type OpenFeed } from './feed-ports.ts';
import type { Gate } from './gate.ts';

/** Any port, as the host calls it. */
export type AnyPort = Port<{ readonly kind: string }, unknown>;

/** What a thread gives its host. */
export interface ThreadParts {
  readonly thread: string;
  readonly post: (envelope: Envelope) => void;
  readonly tree: (request: TreeRequest) => void;
  readonly gate: Gate;
  /** Factories of the ports; each port belongs to one life of a subtree, whose right to write it asks for. */
  readonly ports: Readonly<Record<string, (life: GateLife) => AnyPort>>;
  /** Ports that each changefeed has for itself. */
  readonly feeds: FeedPorts;
  readonly log: Log;
}

interface OpenPort {
  readonly name: string;
  readonly life: GateLife;
  readonly port: AnyPort;
}

/** A host whose ports open at their first call and stay open until their life is fenced, or `close`. */
export class ThreadHost implements Host {
  readonly thread: string;
  readonly post: (envelope: Envelope) => void;
  readonly tree: (request: TreeRequest) => void;
  readonly log: Host['log'];
  readonly counters = new Map<string, number>();
  readonly fences: Int32Array;
  readonly #gate: Gate;
  readonly #factories: ThreadParts['ports'];
  readonly #feeds: FeedPorts;
  readonly #ports = new Map<string, OpenPort>();
  /** Ports of fenced lives: shut, but perhaps still telling the other side. */
  readonly #closing = new Set<Promise<void>>();

  constructor(parts: ThreadParts) {
    this.thread = parts.thread;
    this.post = parts.post;
    this.tree = parts.tree;
    this.log = parts.log;
    this.#factories = parts.ports;
    this.#feeds = parts.feeds;
    this.#gate = parts.gate;
    this.fences = parts.gate.words.fences;
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
    life: GateLife,
  ): void => {
    void this.#call(name, request, life).then(answered);
  };

  /** Destroys the ports of every fenced life, all before waiting for any, then confirms to all threads. */
  readonly swept = (fenced: Int32Array): void => {
    for (const [key, { life, port }] of this.#ports) {
      if (fenced[life.gate]! < life.generation) continue;
      this.#ports.delete(key);
      const closing = port
        .close()
        .catch((error: unknown) => this.#closeFailed(key, error))
        .finally(() => this.#closing.delete(closing));
      this.#closing.add(closing);
    }
    this.#gate.confirm(fenced);
  };

  /** Makes a changefeed's ports callable; those to former endpoints of it are closed when this resolves. */
  async openFeed(feed: OpenFeed): Promise<void> {
    if (this.#feeds.open(feed)) await this.#closeFeedPorts(feed.id);
  }

  /** Closes a changefeed's ports. */
  async closeFeed(id: string): Promise<void> {
    this.#feeds.close(id);
    await this.#closeFeedPorts(id);
  }

  async #closeFeedPorts(id: string): Promise<void> {
    const ports = [...this.#ports].filter(([, { name }]) => isPortOf(name, id));
    for (const [key] of ports) this.#ports.delete(key);
    await Promise.allSettled(ports.map(([, { port }]) => port.close()));
  }

  /** Closes every port that was opened. */
  async close(): Promise<void> {
    const ports = [...this.#ports.values()];
    this.#ports.clear();
    await Promise.allSettled([...ports.map(({ port }) => port.close()), ...this.#closing]);
  }

  #closeFailed(key: string, error: unknown): void {
    this.log('warn', 'port-close-failed', { port: key, message: String(error) });
  }

  async #call(
    name: string,
    request: { readonly kind: string },
    life: GateLife,
  ): Promise<Outcome<unknown>> {
    try {
      return await this.#port(name, life).call(request);
    } catch (error) {
      // A port answers with values; whatever it throws is a bug of the adapter, kept from killing the thread.
      if (error instanceof FailureError) return failed(error.failure);
      const message = `port ${name}, ${request.kind}: ${messageOf(error)}`;
      this.log('error', 'port-fault', {
        message,
        stack: error instanceof Error ? (error.stack ?? '') : '',
      });
      return failed(failure('INTERNAL_FAULT', message, { retry: 'Again' }));
    }
  }

  #port(name: string, life: GateLife): AnyPort {
    const key = `${name} ${life.gate}.${life.generation}`;
    const open = this.#ports.get(key);
    if (open !== undefined) return open.port;
    if (this.fences[life.gate]! >= life.generation) {
      return fail('INTERNAL_STOPPED', `port ${name} of a fenced subtree`);
    }
    const factory = this.#factories[name] ?? this.#feeds.factory(name);
    if (factory === null) throw new Error(`thread ${this.thread} has no port ${name}`);
    const port = factory(life);
    this.#ports.set(key, { name, life, port });
    return port;
  }
}
