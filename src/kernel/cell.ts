import type { Env, Role } from './behaviour.ts';
import { Admitted, type Admission } from './door.ts';
import type { CellStart, GateLife, Host } from './host.ts';
import { Mailbox } from './mailbox.ts';
import type { Ref } from './ref.ts';

/** One living actor: its state, mailbox, admission and timers. Only the shell touches it. */
export class Cell {
  readonly ref: Ref;
  readonly roleName: string;
  readonly role: Role;
  readonly mailbox: Mailbox;
  readonly life: GateLife;
  /** One object for all steps: only `from` changes, and no behaviour keeps it beyond its step. */
  readonly env: { -readonly [key in keyof Env]: Env[key] };
  admission: Admission;
  /** What its door let in last. */
  readonly admitted = new Admitted();
  state: unknown = undefined;
  alive = true;
  /** True while it stands in the shell's run queue. */
  queued = false;
  /** Envelopes sent so far. */
  seq = 0;
  /** Deliveries refused so far. */
  refusalCount = 0;
  /** What cancels each timer that is set; null as long as none ever was, as in most cells. */
  #timers: Map<string, () => void> | null = null;

  constructor(start: CellStart, role: Role, host: Pick<Host, 'now' | 'random'>) {
    this.ref = start.ref;
    this.roleName = start.role;
    this.role = role;
    this.mailbox = new Mailbox(start.mailbox);
    this.life = start.life;
    this.env = { self: start.ref, now: host.now, random: host.random, from: start.ref };
    this.admission = { epoch: start.epoch, owner: start.owner };
  }

  /** Keeps what cancels timer `key`; the former one of that key has been dropped. */
  keepTimer(key: string, cancel: () => void): void {
    this.#timers ??= new Map();
    this.#timers.set(key, cancel);
  }

  /** Forgets a timer that is due. */
  forgetTimer(key: string): void {
    this.#timers?.delete(key);
  }

  /** Cancels a timer; nothing happens when it is not set. */
  dropTimer(key: string): void {
    this.#timers?.get(key)?.();
    this.#timers?.delete(key);
  }

  /** Cancels all timers. */
  dropTimers(): void {
    for (const cancel of this.#timers?.values() ?? []) cancel();
    this.#timers = null;
  }
}
