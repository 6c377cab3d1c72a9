import { assert } from '../base/assert.ts';
import type { StreamRefusal } from './door.ts';
import type { Effect } from './effect.ts';
import type { Message, Signal } from './message.ts';
import type { Ref } from './ref.ts';

/** The new state and what to do about it. */
export type Step<S> = readonly [state: S, effects: readonly Effect[]];

/** What a behaviour may know of the world while it runs. */
export interface Env {
  readonly self: Ref;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Sender of the message being received; oneself for own messages and signals. */
  readonly from: Ref;
}

/** A cheap picture of a cell for inspection: plain data. */
export type Overview = Readonly<Record<string, unknown>>;

/**
 * What an actor is (DESIGN §6): pure and synchronous. All waiting is a phase of its state; all I/O is an effect whose
 * answer returns as an own message. A thrown Fault kills the cell.
 */
export interface Behaviour<S, M extends Message, P> {
  readonly init: (props: P, env: Env) => Step<S>;
  readonly receive: (state: S, message: M, env: Env) => Step<S>;
  /** Without it, StopAsked ends the cell at once and other signals are dropped. */
  readonly signal?: (state: S, signal: Signal, env: Env) => Step<S>;
  /**
   * Asked for each message under guard `stream`, before it is received: null when the session the sender holds with this
   * cell takes it (streamEpoch and seq, spec/07). Gaps are for the behaviour, which resets; the past is refused here.
   */
  readonly stream?: (state: S, message: M, from: Ref) => StreamRefusal | null;
  readonly overview: (state: S) => Overview;
}

/** How the door admits one kind of message (DESIGN §7). */
export type Guard =
  /** Epoch equals the cell's and the sender is its owner. */
  | 'owner'
  /** Epoch higher, or equal with the same owner; admitting it makes the sender the owner. */
  | 'raise'
  /** As `owner`, or epoch strictly higher; anything else is answered `NotOwner`, not only dropped. */
  | 'close'
  /** Epoch equals the cell's: an answer to a request the cell sent under its current epoch. */
  | 'echo'
  /** The role's stream session admits it ({@link Behaviour.stream}). */
  | 'stream'
  | 'open';

/** Guard of each message kind a role receives from others; kinds not listed are own messages, refused from others. */
export type Guards<M extends Message> = Readonly<Partial<Record<M['kind'], Guard>>>;

/** A behaviour with its guards, erased to what the shell needs. */
export interface Role {
  readonly behaviour: Behaviour<unknown, Message, unknown>;
  readonly guards: ReadonlyMap<string, Guard>;
}

/** Erases the types of a behaviour so that shells can host it; the one cast of the kernel. */
export function role<S, M extends Message, P>(
  behaviour: Behaviour<S, M, P>,
  guards: Guards<M>,
): Role {
  const table = new Map(Object.entries<Guard | undefined>(guards));
  const isStream = [...table.values()].includes('stream');
  assert(!isStream || behaviour.stream !== undefined, 'guard `stream` needs a session');
  return {
    behaviour: behaviour as unknown as Role['behaviour'],
    guards: table as ReadonlyMap<string, Guard>,
  };
}
