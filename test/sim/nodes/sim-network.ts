/**
 * The network between the nodes of a simulation: the peers port in virtual time (src/ports/peers.ts). One link per pair,
 * direction and class; in order, at most once. Links are delayed, cut one way or both ways, and break: what is under way
 * then is lost. Envelopes travel as frames of the real codec.
 */
import type { Envelope } from '#src/kernel/message.ts';
import type { PeerClass, PeerMember } from '#src/ports/peers.ts';
import { must } from '#src/base/assert.ts';
import { classOf } from '#workers/peer-links.ts';
import { decodeFrame, encodeEnvelope } from '#workers/peer-frame.ts';
import type { Dice } from '../dice.ts';
import type { World } from '../world.ts';

/** One end of links: a life of a node. */
export interface NetworkNode {
  /** Capture id. */
  readonly id: string;
  /** The machine it runs on: cuts are between machines. */
  readonly machine: string;
  readonly isDead: () => boolean;
  readonly arrive: (envelope: Envelope) => void;
}

interface Frame {
  readonly bytes: Uint8Array;
  readonly dueMs: number;
}

interface Link {
  readonly from: NetworkNode;
  readonly to: string;
  readonly dice: Dice;
  /** Frames under way, in order. */
  frames: Frame[];
  isPumping: boolean;
  /** Counts connections; what belongs to an earlier one never arrives. */
  connection: number;
  /** A broken link is connected again then. */
  downUntilMs: number;
}

/** A word that an epoch governs, as it was sent. */
interface Word {
  readonly to: string;
  readonly envelope: Envelope;
}

/** What maintainers and coordinators say to those they govern. */
const governed: readonly string[] = [
  'AddMaintainer',
  'RemoveMaintainer',
  'BootstrapManager',
  'SetDrainTarget',
  'AdoptManager',
  'StartSource',
  'ScheduleDispatcher',
  'StopDispatcher',
  'ResumeStream',
  'HeartbeatTaken',
  'CloseStream',
  'CloseManager',
];
/** Words that are remembered, the last so many. */
const wordCountMax = 200;

/** Frames of one link under way at most: a full queue takes no more. */
const queuedMax = 2_000;
const reconnectMsMax = 300;

/** See the top of this file. */
export class SimNetwork {
  /** Multiplies delays. */
  slow = 1;
  readonly #world: World;
  readonly #delayMsMax: number;
  readonly #nodes = new Map<string, NetworkNode>();
  /** Whom each node knows, by capture id. */
  readonly #members = new Map<string, ReadonlySet<string>>();
  readonly #links = new Map<string, Link>();
  /** Directed pairs of machines that hear nothing of each other. */
  readonly #cuts = new Map<string, number>();
  readonly #words: Word[] = [];

  constructor(world: World, delayMsMax: number) {
    this.#world = world;
    this.#delayMsMax = delayMsMax;
  }

  /** A node listens from now on. */
  join(node: NetworkNode): void {
    this.#nodes.set(node.id, node);
  }

  /** A node is gone: what others send it is lost; of what it had sent, a part may still arrive. */
  leave(id: string): void {
    this.#nodes.delete(id);
    this.#members.delete(id);
    for (const link of this.#links.values()) {
      if (link.from.id !== id) continue;
      link.frames.length = Math.min(link.frames.length, link.dice.pick(link.frames.length + 1));
    }
  }

  /** Whom a node is linked to, as its peer keeper says: everything for the others is dropped. */
  setMembers(id: string, members: readonly PeerMember[]): void {
    const known = new Set(members.map(({ captureId }) => captureId));
    this.#members.set(id, known);
    for (const [key, link] of this.#links)
      if (link.from.id === id && !known.has(link.to)) this.#drop(key, link);
  }

  /** Sends an envelope to the node it names. */
  send(from: NetworkNode, envelope: Envelope): void {
    const to = must(envelope.to.node, 'a node');
    if (this.#members.get(from.id)?.has(to) !== true) return this.#world.mark('no peer');
    const peerClass = classOf(envelope);
    const link = this.#link(from, to, peerClass);
    if (link.frames.length >= queuedMax) return this.#world.mark('peer congested');
    const dueMs = this.#world.now + link.dice.next() * this.#delayMsMax * this.slow;
    link.frames.push({ bytes: encodeEnvelope(envelope), dueMs });
    this.#pump(link);
  }

  /** Nothing goes from one machine to another for a while; cuts add up. */
  cut(from: string, to: string, forMs: number): void {
    const key = `${from}>${to}`;
    const until = Math.max(this.#cuts.get(key) ?? 0, this.#world.now + forMs);
    this.#cuts.set(key, until);
  }

  /** Every link between two machines breaks. */
  sever(one: string, other: string): void {
    for (const link of this.#links.values()) {
      const to = this.#nodes.get(link.to)?.machine;
      const from = link.from.machine;
      if ((from === one && to === other) || (from === other && to === one)) this.#break(link);
    }
  }

  /**
   * One of the words heard so far is heard again where it was: with epoch 0, as a version without epochs would say it, and
   * marked, so that whoever takes it is seen; or
   * as it was, if it is of a maintainerEpoch below `epoch` (a coordinator's carry terms and stay out of this).
   */
  sayAgain(as: 'zero' | 'past', pick: number, epoch: number): void {
    const words = this.#words.filter(({ to, envelope }) => {
      const isThere = this.#nodes.get(to)?.isDead() === false;
      const isMaintainers = envelope.from.path.includes('/maintainers/');
      return isThere && (as === 'zero' || (isMaintainers && envelope.epoch < epoch));
    });
    const word = words[pick % Math.max(1, words.length)];
    if (word === undefined) return;
    this.#world.mark(`old word ${as}`);
    const { envelope } = word;
    const message = { ...envelope.message, ofNoEpoch: true };
    this.#nodes.get(word.to)?.arrive(as === 'zero' ? { ...envelope, epoch: 0, message } : envelope);
  }

  /** No cuts, no delays from here on. */
  heal(): void {
    this.#cuts.clear();
    this.slow = 1;
  }

  #link(from: NetworkNode, to: string, peerClass: PeerClass): Link {
    const key = `${peerClass} ${from.id} ${to}`;
    let link = this.#links.get(key);
    if (link === undefined) {
      const dice = this.#world.dice(`peers ${key}`);
      link = { from, to, dice, frames: [], isPumping: false, connection: 1, downUntilMs: 0 };
      this.#links.set(key, link);
    }
    return link;
  }

  #drop(key: string, link: Link): void {
    link.frames = [];
    link.connection++;
    this.#links.delete(key);
  }

  #break(link: Link): void {
    if (link.frames.length > 0) this.#world.mark('frames lost with their link');
    link.frames = [];
    link.connection++;
    link.isPumping = false;
    link.downUntilMs = this.#world.now + link.dice.next() * reconnectMsMax;
  }

  #pump(link: Link): void {
    const first = link.frames[0];
    if (first === undefined || link.isPumping) return;
    link.isPumping = true;
    const { connection } = link;
    const { now } = this.#world;
    const dueMs = Math.max(first.dueMs, link.downUntilMs, this.#blockedUntil(link));
    this.#world.after(Math.max(0, dueMs - now), () => {
      if (link.connection !== connection) return;
      link.isPumping = false;
      if (this.#blockedUntil(link) > this.#world.now) return this.#stalled(link);
      const frame = link.frames.shift();
      if (frame !== undefined) this.#deliver(link, frame);
      this.#pump(link);
    });
  }

  /** What waits behind a cut goes on afterwards, or its connection does not survive. */
  #stalled(link: Link): void {
    this.#world.mark('cut between nodes');
    if (link.dice.chance(0.5)) this.#break(link);
    this.#pump(link);
  }

  #blockedUntil(link: Link): number {
    const to = this.#nodes.get(link.to)?.machine;
    if (to === undefined || to === link.from.machine) return 0;
    return this.#cuts.get(`${link.from.machine}>${to}`) ?? 0;
  }

  #deliver(link: Link, { bytes }: Frame): void {
    const receiver = this.#nodes.get(link.to);
    if (receiver === undefined || receiver.isDead()) return;
    // Whoever is not in its view is refused.
    if (this.#members.get(receiver.id)?.has(link.from.id) !== true)
      return this.#world.mark('stranger refused');
    const decoded = decodeFrame(bytes, link.from.id);
    if (!decoded.ok) return this.#world.violate(decoded.failure.message);
    for (const envelope of decoded.value) {
      this.#remember({ to: receiver.id, envelope });
      receiver.arrive(envelope);
    }
  }

  #remember(word: Word): void {
    if (!governed.includes(word.envelope.message.kind)) return;
    this.#words.push(word);
    if (this.#words.length > wordCountMax) this.#words.shift();
  }
}
