import type { Env, Role } from './behaviour.ts';
import type { Admission } from './door.ts';
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
  state: unknown = undefined;
  alive = true;
  /** True while it stands in the shell's run queue. */
  queued = false;
  /** Envelopes sent so far. */
  seq = 0;
  /** Deliveries refused so far. */
  refusalCount = 0;
  readonly timers = new Map<string, () => void>();

  constructor(start: CellStart, role: Role, host: Pick<Host, 'now' | 'random'>) {
    this.ref = start.ref;
    this.roleName = start.role;
    this.role = role;
    this.mailbox = new Mailbox(start.mailbox);
    this.life = start.life;
    this.env = { self: start.ref, now: host.now, random: host.random, from: start.ref };
    this.admission = { epoch: start.epoch, owner: start.owner };
  }
}
