import { failure } from '#src/base/failure.ts';
import type { EtcdEndpoints } from './etcd-endpoints.ts';
import { EtcdWatch, type Heard } from './etcd-watch.ts';

/** Watches at once; a reader beyond that is refused. */
const watchCountMax = 256;
/** Watches kept open for a reader that may come again, and how long, milliseconds. */
const idleCountMax = 64;
const idleMsMax = 60_000;

interface Idle {
  readonly watch: EtcdWatch;
  readonly timer: NodeJS.Timeout;
}

/** The watches of one port. Between two calls a watch stays open under what its reader will ask for next. */
export class EtcdWatches {
  readonly #endpoints: EtcdEndpoints;
  readonly #idle = new Map<string, Idle>();
  readonly #busy = new Set<EtcdWatch>();

  constructor(endpoints: EtcdEndpoints) {
    this.#endpoints = endpoints;
  }

  /** What happened below `prefix` after revision `after`. */
  async take(prefix: string, after: number, waitMs: number): Promise<Heard> {
    if (this.#busy.size >= watchCountMax) {
      const refused = failure('COORDINATION_TOO_LARGE', `more than ${watchCountMax} watchers`);
      return { kind: 'failed', failure: refused };
    }
    const watch = this.#resume(prefix, after) ?? new EtcdWatch(this.#endpoints, prefix, after);
    this.#busy.add(watch);
    try {
      const heard = await watch.take(waitMs);
      if (heard.kind === 'events') this.#lay(watch);
      else watch.close();
      return heard;
    } finally {
      this.#busy.delete(watch);
    }
  }

  /** Ends all watches; their readers are answered. */
  close(): void {
    for (const { watch, timer } of this.#idle.values()) {
      clearTimeout(timer);
      watch.close();
    }
    this.#idle.clear();
    for (const watch of this.#busy) watch.close();
  }

  #resume(prefix: string, after: number): EtcdWatch | null {
    const key = idleKey(prefix, after);
    const found = this.#idle.get(key);
    if (found === undefined) return null;
    clearTimeout(found.timer);
    this.#idle.delete(key);
    return found.watch;
  }

  #lay(watch: EtcdWatch): void {
    const key = idleKey(watch.prefix, watch.after);
    // Two readers at the same place: one watch is enough to go on from there.
    if (this.#idle.has(key)) return watch.close();
    const end = (oldKey: string): void => {
      const idle = this.#idle.get(oldKey);
      this.#idle.delete(oldKey);
      if (idle === undefined) return;
      clearTimeout(idle.timer);
      idle.watch.close();
    };
    const timer = setTimeout(() => end(key), idleMsMax);
    timer.unref();
    this.#idle.set(key, { watch, timer });
    for (const oldest of this.#idle.keys()) {
      if (this.#idle.size <= idleCountMax) break;
      end(oldest);
    }
  }
}

function idleKey(prefix: string, after: number): string {
  return `${prefix} ${after}`;
}
