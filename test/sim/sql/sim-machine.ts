/** What a real sink is given instead of a machine: virtual time, names by number, connections to a simulated server. */
import { FailureError, failure } from '#src/base/failure.ts';

import type { ServerLink, Surroundings } from '#src/adapters/mysql-sink/surroundings.ts';
import type { SimHost } from './connection.ts';
import type { Drain } from './drain.ts';
import type { SimMariadb, SimServerLink } from './server.ts';

/** What becomes of a transaction's first bytes when a process writes them; the connection they are written to breaks. */
export interface Mishap {
  /** They never arrive, they arrive but their answer does not, or they arrive `lateMs` later. */
  readonly how: 'lost' | 'unanswered' | 'late';
  /** So many transactions begin well before. */
  readonly after: number;
  /** The connection breaks so long after the write. */
  readonly brokenAfterMs: number;
  readonly lateMs: number;
  /** All connections of the process break with it, and for so long it gets no other; 0: only this one. */
  readonly offlineMs: number;
}

/** What a process lives in. */
export interface SimMachineParts {
  readonly host: SimHost;
  readonly server: SimMariadb;
  readonly drain: Drain;
  /**
   * Lets `run` happen in the process: at once, or when it is resumed. Bytes it wrote before are on their way all the same.
   * Default: at once.
   */
  readonly deliver?: (run: () => void) => void;
  /** How long what it writes now stays in the system's buffers, milliseconds. Default: not at all. */
  readonly heldMs?: () => number;
  /** Whether the server can be reached. Default: it can. */
  readonly isReachable?: () => boolean;
  /** Told of each connection the process gets, by the server's number. */
  readonly connected?: (id: number) => void;
}

/** The sinks of one process: they die together. */
export class SimMachine {
  /** For `openMysqlSink`. */
  readonly surroundings: Surroundings;
  readonly #parts: SimMachineParts;
  readonly #links = new Set<SimServerLink>();
  #isDead = false;
  #mishap: Mishap | null = null;
  #beginningsBefore = 0;
  #onlineAt = 0;

  constructor(parts: SimMachineParts) {
    const { host, server } = parts;
    this.#parts = parts;
    this.surroundings = {
      now: host.now,
      timer: (afterMs, due) => host.after(afterMs, () => this.deliver(due)),
      uniqueName: () => server.uniqueName(),
      connect: () => this.#connect(),
    };
  }

  /** Ends the process: none of its timers, answers or promises goes on; what it sent is on its way, then its sockets close. */
  die(): void {
    this.#isDead = true;
    for (const link of this.#links) link.destroy();
    this.#links.clear();
  }

  /** Something happens to a transaction that the process begins; what was said before and has not happened is forgotten. */
  meet(mishap: Mishap): void {
    this.#mishap = mishap;
    this.#beginningsBefore = mishap.after;
  }

  /** Lets something happen in the process. */
  deliver(run: () => void): void {
    const { deliver = (now) => now(), drain } = this.#parts;
    deliver(() => {
      if (this.#isDead) return;
      drain.mark();
      run();
    });
  }

  #connect(): Promise<ServerLink> {
    return new Promise((resolve, reject) => {
      this.#parts.server.connect((link) => {
        if (link === null || !this.#isOnline()) {
          link?.destroy();
          this.deliver(() => reject(unreachable()));
          return;
        }
        this.#parts.connected?.(link.id);
        if (this.#isDead) link.destroy();
        else this.#links.add(link);
        this.deliver(() => resolve(this.#wrapped(link)));
      });
    });
  }

  #isOnline(): boolean {
    return this.#parts.host.now() >= this.#onlineAt && this.#parts.isReachable?.() !== false;
  }

  #write(link: SimServerLink, bytes: Uint8Array): void {
    const heldMs = this.#parts.heldMs?.() ?? 0;
    if (heldMs > 0) link.holdUp(heldMs);
    const mishap = this.#mishap;
    if (mishap === null || !isBeginning(bytes) || this.#beginningsBefore-- > 0)
      return link.write(bytes);
    this.#mishap = null;
    const { how, brokenAfterMs, lateMs, offlineMs } = mishap;
    const { host } = this.#parts;
    if (how === 'late') link.holdUp(lateMs);
    if (how !== 'lost') link.write(bytes);
    if (offlineMs > 0) this.#onlineAt = host.now() + offlineMs;
    const broken = offlineMs > 0 ? [...this.#links] : [link];
    host.after(brokenAfterMs, () => {
      for (const one of broken) one.cut();
    });
  }

  #wrapped(link: SimServerLink): ServerLink {
    return {
      id: link.id,
      listen: (listener) => {
        link.listen({
          data: (chunk) => this.deliver(() => listener.data(chunk)),
          end: (reason) => this.deliver(() => listener.end(reason)),
        });
      },
      write: (bytes) => {
        if (!this.#isDead) this.#write(link, bytes);
      },
      destroy: () => {
        this.#links.delete(link);
        link.destroy();
      },
    };
  }
}

/** Whether a command begins a transaction: its text stands behind four bytes of header and one that says what it is. */
function isBeginning(bytes: Uint8Array): boolean {
  return bytes.byteLength > 10 && Buffer.from(bytes.subarray(5, 10)).toString('latin1') === 'BEGIN';
}

function unreachable(): FailureError {
  const says = 'the simulated server is down';
  return new FailureError(failure('SINK_UNREACHABLE', says, { retry: 'Reconnect' }));
}
