/** What a real sink is given instead of a machine: virtual time, names by number, connections to a simulated server. */
import { FailureError, failure } from '#src/base/failure.ts';

import type { ServerLink, Surroundings } from '#src/adapters/mysql-sink/surroundings.ts';
import type { SimHost } from './connection.ts';
import type { Drain } from './drain.ts';
import type { SimMariadb } from './server.ts';

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
  /** Told of each connection the process gets, by the server's number. */
  readonly connected?: (id: number) => void;
}

/** The sinks of one process: they die together. */
export class SimMachine {
  /** For `openMysqlSink`. */
  readonly surroundings: Surroundings;
  readonly #parts: SimMachineParts;
  readonly #links = new Set<ServerLink>();
  #isDead = false;

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
        if (link !== null) this.#parts.connected?.(link.id);
        if (this.#isDead) link?.destroy();
        else if (link !== null) this.#links.add(link);
        this.deliver(() => {
          if (link !== null) resolve(this.#wrapped(link));
          else reject(unreachable());
        });
      });
    });
  }

  #wrapped(link: ServerLink): ServerLink {
    return {
      id: link.id,
      listen: (listener) => {
        link.listen({
          data: (chunk) => this.deliver(() => listener.data(chunk)),
          end: (reason) => this.deliver(() => listener.end(reason)),
        });
      },
      write: (bytes) => {
        if (!this.#isDead) link.write(bytes);
      },
      destroy: () => {
        this.#links.delete(link);
        link.destroy();
      },
    };
  }
}

function unreachable(): FailureError {
  const says = 'the simulated server is down';
  return new FailureError(failure('SINK_UNREACHABLE', says, { retry: 'Reconnect' }));
}
