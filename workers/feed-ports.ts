/**
 * Ports that each changefeed has for itself on a thread: `sink:<id>`, `upstream:<id>`, `event-store:<id>`. Where a changefeed
 * reads and writes is known here only, not in messages or logs: the URIs hold credentials.
 */
import { fail } from '#src/base/failure.ts';
import type { GateLife } from '#src/kernel/host.ts';
import type { ChangefeedEndpoints } from '#src/protocol/changefeed.ts';
import type { AnyPort } from './thread-host.ts';

/** A changefeed with its endpoints. */
export interface OpenFeed {
  readonly id: string;
  /** Null: as the process was started. */
  readonly endpoints: ChangefeedEndpoints | null;
}

/** Opens port `name` of a changefeed for one life of a subtree. */
export type FeedPortFactory = (name: string, feed: OpenFeed, life: GateLife) => AnyPort;

/** The changefeeds of one thread. */
export class FeedPorts {
  readonly #feeds = new Map<string, OpenFeed['endpoints']>();
  readonly #open: FeedPortFactory;

  constructor(open: FeedPortFactory, feeds: readonly OpenFeed[] = []) {
    this.#open = open;
    for (const { id, endpoints } of feeds) this.#feeds.set(id, endpoints);
  }

  /** All changefeeds: what a thread that is started anew has to know. */
  list(): readonly OpenFeed[] {
    return [...this.#feeds].map(([id, endpoints]) => ({ id, endpoints }));
  }

  /** Makes a changefeed's ports callable; true when it had other endpoints before, whose ports must close. */
  open({ id, endpoints }: OpenFeed): boolean {
    const before = this.#feeds.get(id);
    this.#feeds.set(id, endpoints);
    if (before === undefined) return false;
    return !isSame(before, endpoints);
  }

  /** Forgets a changefeed, whose ports must close. */
  close(id: string): void {
    this.#feeds.delete(id);
  }

  /** The factory of a port by its full name; null when the name is no changefeed's. */
  factory(fullName: string): ((life: GateLife) => AnyPort) | null {
    const cut = fullName.indexOf(':');
    if (cut < 0) return null;
    const [name, id] = [fullName.slice(0, cut), fullName.slice(cut + 1)];
    const endpoints = this.#feeds.get(id);
    if (endpoints === undefined) {
      return () => fail('INTERNAL_STOPPED', `changefeed ${id} is not open on this thread`);
    }
    return (life) => this.#open(name, { id, endpoints }, life);
  }
}

function isSame(a: OpenFeed['endpoints'], b: OpenFeed['endpoints']): boolean {
  return (
    a?.upstreamUri === b?.upstreamUri && a?.sinkUri === b?.sinkUri && a?.laneCount === b?.laneCount
  );
}

/** Whether a port's full name is one of changefeed `id`. */
export function isPortOf(fullName: string, id: string): boolean {
  return fullName.slice(fullName.indexOf(':') + 1) === id && fullName.includes(':');
}
