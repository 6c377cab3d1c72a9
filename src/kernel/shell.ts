import { assert } from '../base/assert.ts';
import type { Outcome } from '../base/failure.ts';
import { Queue } from '../base/queue.ts';
import type { Overview, Role, Step } from './behaviour.ts';
import { Cell } from './cell.ts';
import { admit, refuse, type EpochMode, type Refusal } from './door.ts';
import type { Effect } from './effect.ts';
import type { Exit } from './exit.ts';
import type { CellStart, GateLife, Host } from './host.ts';
import type { Envelope, Message, NotOwner, Signal } from './message.ts';
import type { Ref } from './ref.ts';

/** Deliveries of one turn before the thread's other work (sockets, timers) gets its chance. */
const turnDeliveryCountMax = 2_000;
/** Deliveries to one cell before the next one has its turn. */
const cellDeliveryCountMax = 32;

/** What inspection sees of one cell. */
export interface CellOverview {
  readonly path: string;
  readonly role: string;
  readonly thread: string;
  readonly incarnation: number;
  readonly epoch: number;
  /** Mail waiting. */
  readonly mailbox: number;
  /** Deliveries its door refused. */
  readonly refusals: number;
  readonly state: Overview;
}

/**
 * Runs the cells of one thread: takes mail, asks the door, calls the behaviour, performs its effects through the
 * {@link Host}. The same shell runs in production and in the simulator.
 *
 * Before each delivery and each effect it reads the fence word of the cell's gate: from the store on, a fenced cell
 * receives nothing and asks for nothing, even in the middle of a turn (FENCE §2.1, spec/03 L1).
 */
export class Shell {
  readonly #host: Host;
  readonly #roles: Readonly<Record<string, Role>>;
  readonly #epochMode: EpochMode;
  readonly #fences: Int32Array;
  readonly #cells = new Map<string, Cell>();
  readonly #runnable = new Queue<Cell>();
  readonly #refusals = new Map<string, number>();
  #scheduled = false;
  /** Who was written to last, and what lives there: most mail comes in runs. Forgotten when any cell starts or ends. */
  #lastTo: Ref | null = null;
  #lastCell: Cell | undefined = undefined;
  /** The envelope being received, for Reply and env.from. */
  #current: Envelope | null = null;

  constructor(host: Host, roles: Readonly<Record<string, Role>>, epochMode: EpochMode = 'strict') {
    this.#host = host;
    this.#roles = roles;
    this.#epochMode = epochMode;
    this.#fences = host.fences;
  }

  /**
   * Starts a cell: its init runs now; the tree hears Started, or Exited when init throws. A start under a fenced life does
   * nothing: the tree has ended that cell already.
   */
  start(start: CellStart): void {
    if (this.#isFenced(start.life)) return;
    const former = this.#cells.get(start.ref.path);
    if (former !== undefined && this.#isFenced(former.life)) this.sweep();
    const role = this.#roles[start.role];
    assert(role !== undefined, `unknown role ${start.role}`);
    assert(!this.#cells.has(start.ref.path), `cell ${start.ref.path} runs already`);
    const cell = new Cell(start, role, this.#host);
    this.#cells.set(start.ref.path, cell);
    this.#lastTo = null;
    this.#host.tree({ kind: 'Started', ref: cell.ref });
    this.#step(cell, () => role.behaviour.init(start.props, cell.env));
  }

  /**
   * Marks every cell of a fenced life dead: mailbox and timers dropped, nothing reported one by one (the tree knows from
   * the fence itself). Waits for nothing. Then the host closes the ports of those lives, and confirms.
   */
  sweep(): void {
    // What is fenced meanwhile is the next sweep's: confirmed is only what was seen before.
    const fenced = this.#fences.slice();
    for (const cell of this.#cells.values()) {
      if (fenced[cell.life.gate]! >= cell.life.generation) this.#drop(cell);
    }
    this.#host.swept(fenced);
  }

  /** Asks a cell to end (signal StopAsked); a cell without a signal handler ends at once. */
  stop(ref: Ref): void {
    const cell = this.#find(ref);
    if (cell === undefined) this.#host.tree({ kind: 'Exited', ref, exit: { kind: 'no-process' } });
    else this.signal(ref, { kind: 'StopAsked' });
  }

  /** Ends a cell now: mailbox dropped, timers dropped, no further delivery. */
  kill(ref: Ref, exit: Exit = { kind: 'killed' }): void {
    const cell = this.#find(ref);
    if (cell !== undefined) this.#end(cell, exit);
  }

  /** Puts a signal in front of the cell's messages; dropped when the cell is gone. */
  signal(to: Ref, signal: Signal): void {
    const cell = this.#find(to);
    if (cell === undefined) return;
    cell.mailbox.pushSignal(signal);
    this.#enqueue(cell);
  }

  /** Delivers an envelope to a cell of this thread through the door; refusals are counted, never thrown. */
  deliver(envelope: Envelope): void {
    const cell = this.#cellAt(envelope.to);
    if (cell === undefined) return this.#refused(envelope, 'no-such-cell');
    if (envelope.to.incarnation !== 0 && envelope.to.incarnation !== cell.ref.incarnation) {
      return this.#refused(envelope, 'stale-incarnation', cell);
    }
    if (this.#isFenced(cell.life)) return this.#refused(envelope, 'fenced', cell);
    if (!cell.mailbox.push(envelope)) {
      this.#refused(envelope, 'mailbox-full', cell);
      // What other nodes send may be lost on the way anyway, and no credit binds them: they end nobody here.
      if (envelope.from.node !== undefined) return;
      // A full mailbox means that a protocol's credit is broken: nothing may be lost silently.
      this.#end(cell, {
        kind: 'fault',
        message: `mailbox of ${cell.ref.path} above its limit ${cell.mailbox.limit} at ${envelope.message.kind}`,
        stack: '',
      });
      return;
    }
    this.#enqueue(cell);
  }

  /** Pictures of all cells, in path order. */
  overview(): readonly CellOverview[] {
    return [...this.#cells.values()]
      .map((cell) => ({
        path: cell.ref.path,
        role: cell.roleName,
        thread: cell.ref.thread,
        incarnation: cell.ref.incarnation,
        epoch: cell.admission.epoch,
        mailbox: cell.mailbox.depth,
        refusals: cell.refusalCount,
        state: cell.role.behaviour.overview(cell.state),
      }))
      .sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  /** Refused deliveries so far, by `kind reason`. */
  refusals(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#refusals);
  }

  #cellAt(to: Ref): Cell | undefined {
    if (to === this.#lastTo) return this.#lastCell;
    this.#lastTo = to;
    this.#lastCell = this.#cells.get(to.path);
    return this.#lastCell;
  }

  #find(ref: Ref): Cell | undefined {
    const cell = this.#cells.get(ref.path);
    if (cell === undefined) return undefined;
    return ref.incarnation === 0 || ref.incarnation === cell.ref.incarnation ? cell : undefined;
  }

  #enqueue(cell: Cell): void {
    if (cell.queued) return;
    cell.queued = true;
    this.#runnable.push(cell);
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#host.schedule(this.#turn);
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    for (let left = turnDeliveryCountMax; left > 0;) {
      const cell = this.#runnable.shift();
      if (cell === undefined) return;
      left -= this.#run(cell, Math.min(left, cellDeliveryCountMax));
    }
    if (this.#runnable.length > 0 && !this.#scheduled) {
      this.#scheduled = true;
      this.#host.schedule(this.#turn);
    }
  };

  /** Lets a cell take what it has, at most `countMax` pieces; the answer says how many, at least 1. */
  #run(cell: Cell, countMax: number): number {
    let count = 0;
    while (count < countMax && cell.alive && cell.mailbox.depth > 0) {
      this.#takeMail(cell);
      count++;
    }
    cell.queued = cell.alive && cell.mailbox.depth > 0;
    if (cell.queued) this.#runnable.push(cell);
    return Math.max(count, 1);
  }

  #takeMail(cell: Cell): void {
    if (this.#isFenced(cell.life)) return this.sweep();
    const signal = cell.mailbox.takeSignal();
    if (signal !== undefined) return this.#takeSignal(cell, signal);
    const envelope = cell.mailbox.takeEnvelope();
    if (envelope === undefined) return;
    if (envelope.from === cell.ref || this.#passesDoor(cell, envelope))
      this.#receive(cell, envelope);
  }

  #takeSignal(cell: Cell, signal: Signal): void {
    const { behaviour } = cell.role;
    if (behaviour.signal !== undefined) {
      this.#step(cell, () => behaviour.signal!(cell.state, signal, cell.env));
    } else if (signal.kind === 'StopAsked') this.#end(cell, { kind: 'shutdown' });
  }

  #passesDoor(cell: Cell, envelope: Envelope): boolean {
    if (cell.admitted.isLike(envelope)) return true;
    const { message } = envelope;
    const guard = cell.role.guards.get(message.kind);
    const refusal = refuse(guard, cell.admission, envelope, this.#epochMode);
    if (refusal !== null) {
      this.#refused(envelope, refusal, cell);
      if (guard === 'close') this.#answerNotOwner(cell, envelope);
      return false;
    }
    if (guard === 'stream') return this.#passesSession(cell, envelope);
    cell.admission = admit(guard, cell.admission, envelope);
    cell.admitted.remember(envelope);
    return true;
  }

  #passesSession(cell: Cell, envelope: Envelope): boolean {
    try {
      const session = cell.role.behaviour.stream;
      assert(session !== undefined, `role ${cell.roleName} has no session for streams`);
      const refusal = session(cell.state, envelope.message, envelope.from);
      if (refusal !== null) this.#refused(envelope, refusal, cell);
      return refusal === null;
    } catch (error) {
      this.#end(cell, faultOf(error));
      return false;
    }
  }

  /** A stale closer must learn that it may end, and never that it closed something (spec/04 E5, 4g.1). */
  #answerNotOwner(cell: Cell, request: Envelope): void {
    const { epoch, owner } = cell.admission;
    const answer: NotOwner = { kind: 'NotOwner', of: request.message.kind, owner, epoch };
    this.#send(cell, request.from, request.epoch, answer);
  }

  /** What a behaviour answers with a step besides the receipt of an envelope. */
  #step(cell: Cell, work: () => Step<unknown>): void {
    cell.env.from = cell.ref;
    try {
      this.#take(cell, work());
    } catch (error) {
      this.#end(cell, faultOf(error));
    }
  }

  #receive(cell: Cell, envelope: Envelope): void {
    this.#current = envelope;
    cell.env.from = envelope.from;
    try {
      this.#take(cell, cell.role.behaviour.receive(cell.state, envelope.message, cell.env));
    } catch (error) {
      this.#end(cell, faultOf(error));
    }
    this.#current = null;
  }

  #take(cell: Cell, step: Step<unknown>): void {
    cell.state = step[0];
    for (const effect of step[1]) {
      if (!cell.alive || this.#isFenced(cell.life)) break;
      this.#perform(cell, effect);
    }
  }

  #perform(cell: Cell, effect: Effect): void {
    switch (effect.kind) {
      case 'Send':
        return this.#send(cell, effect.to, cell.admission.epoch, effect.message);
      case 'Reply': {
        const request = this.#current;
        assert(
          request !== null && request.from !== cell.ref,
          'Reply outside a message from another cell',
        );
        return this.#send(cell, request.from, request.epoch, effect.message);
      }
      case 'CallPort':
        return this.#callPort(cell, effect);
      case 'SetTimer':
        return this.#setTimer(cell, effect.key, effect.afterMs, effect.message);
      case 'DropTimer':
        return cell.dropTimer(effect.key);
      case 'Spawn':
        return this.#host.tree({
          ...effect,
          requester: cell.ref,
          epoch: effect.epoch ?? 0,
          owner: effect.owner ?? null,
        });
      case 'Stop':
        if (effect.target === 'self') return this.#end(cell, effect.exit);
        return this.#host.tree({ kind: 'StopCell', target: effect.target });
      case 'Watch':
        assert(effect.target.node === undefined, 'Watch of a cell of another node');
        return this.#host.tree({ kind: 'Watch', watcher: cell.ref, target: effect.target });
      case 'Log':
        return this.#host.log(effect.level, effect.event, {
          cell: cell.ref.path,
          ...effect.detail,
        });
      case 'Count':
        return this.#host.count(effect.name, effect.value);
    }
  }

  #send(cell: Cell, to: Ref, epoch: number, message: Message): void {
    const envelope: Envelope = { to, from: cell.ref, epoch, seq: ++cell.seq, message };
    if (to.thread === this.#host.thread && to.node === undefined) this.deliver(envelope);
    else this.#host.post(envelope);
  }

  #sendSelf(cell: Cell, message: Message): void {
    if (!cell.alive) return;
    this.deliver({
      to: cell.ref,
      from: cell.ref,
      epoch: cell.admission.epoch,
      seq: ++cell.seq,
      message,
    });
  }

  #callPort(cell: Cell, effect: Extract<Effect, { kind: 'CallPort' }>): void {
    const answered = (outcome: Outcome<unknown>): void =>
      this.#sendSelf(cell, { kind: effect.answer, tag: effect.tag, outcome } as Message);
    this.#host.callPort(effect.port, effect.request, answered, cell.life);
  }

  #setTimer(cell: Cell, key: string, afterMs: number, message: Message): void {
    cell.dropTimer(key);
    const cancel = this.#host.timer(afterMs, () => {
      cell.forgetTimer(key);
      this.#sendSelf(cell, message);
    });
    cell.keepTimer(key, cancel);
  }

  #end(cell: Cell, exit: Exit): void {
    if (!cell.alive) return;
    // What the tree hears of a fenced cell is the fence, whatever its last step threw.
    this.#drop(cell);
    if (!this.#isFenced(cell.life)) this.#host.tree({ kind: 'Exited', ref: cell.ref, exit });
  }

  #drop(cell: Cell): void {
    cell.alive = false;
    cell.mailbox.clear();
    cell.dropTimers();
    this.#cells.delete(cell.ref.path);
    this.#lastTo = null;
    this.#lastCell = undefined;
  }

  #isFenced(life: GateLife): boolean {
    return this.#fences[life.gate]! >= life.generation;
  }

  #refused(envelope: Envelope, refusal: Refusal, cell?: Cell): void {
    if (cell !== undefined) cell.refusalCount++;
    const key = `${envelope.message.kind} ${refusal}`;
    this.#refusals.set(key, (this.#refusals.get(key) ?? 0) + 1);
    this.#host.count(`refused ${key}`, 1);
  }
}

function faultOf(error: unknown): Exit {
  return error instanceof Error
    ? { kind: 'fault', message: error.message, stack: error.stack ?? '' }
    : { kind: 'fault', message: String(error), stack: '' };
}
