import type { Role } from './behaviour.ts';
import type { Admission } from './door.ts';
import type { CellStart } from './host.ts';
import { Mailbox } from './mailbox.ts';
import type { Ref } from './ref.ts';

/** One living actor: its state, mailbox, admission and timers. Only the shell touches it. */
export class Cell {
  readonly ref: Ref;
  readonly roleName: string;
  readonly role: Role;
  readonly mailbox: Mailbox;
  admission: Admission;
  state: unknown = undefined;
  alive = true;
  /** True while it stands in the shell's run queue. */
  queued = false;
  /** Envelopes sent so far. */
  seq = 0;
  readonly timers = new Map<string, () => void>();

  constructor(start: CellStart, role: Role) {
    this.ref = start.ref;
    this.roleName = start.role;
    this.role = role;
    this.mailbox = new Mailbox(start.mailbox);
    this.admission = { epoch: start.epoch, owner: start.owner };
  }
}
