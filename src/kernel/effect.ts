import type { Message } from './message.ts';
import type { Exit } from './exit.ts';
import type { Ref } from './ref.ts';

/**
 * Everything a behaviour may ask of the world; performed by the shell in the order given, after `receive` returned.
 * A new kind needs a decision in ARCHITECTURE.md.
 */
export type Effect =
  /** Delivers a message, at most once, in order per pair of cells; stamped with the sender's epoch. */
  | { readonly kind: 'Send'; readonly to: Ref; readonly message: Message }
  /** Answers the message being received, carrying its epoch (guard `echo`). Illegal for signals and own messages. */
  | { readonly kind: 'Reply'; readonly message: Message }
  /**
   * Calls a port of this thread. The answer comes as an own message `{kind: answer, tag, outcome}`; it is dropped when
   * the cell has ended or restarted meanwhile. What must be durable before a message is sent goes through here first,
   * and the message is sent on the answer.
   */
  | {
      readonly kind: 'CallPort';
      readonly port: string;
      readonly request: { readonly kind: string };
      readonly answer: string;
      readonly tag?: string | number;
    }
  /** Delivers `message` to oneself after `afterMs`; the same key replaces a timer not yet due. */
  | {
      readonly kind: 'SetTimer';
      readonly key: string;
      readonly afterMs: number;
      readonly message: Message;
    }
  /** Drops a timer; nothing happens when it is not set. */
  | { readonly kind: 'DropTimer'; readonly key: string }
  /**
   * Starts a dynamic child under the team at path `team`; answered by signal `ChildStarted` or `ChildRefused`. `epoch`
   * and `owner` (an address, see `addressOf`) are what its door compares (default 0 and none).
   */
  | {
      readonly kind: 'Spawn';
      readonly team: string;
      readonly id: string;
      readonly role: string;
      readonly props: unknown;
      readonly thread: string;
      readonly epoch?: number;
      readonly owner?: string;
    }
  /** Ends a cell: oneself with any exit, or another (then as a supervisor would: StopAsked, then killed in time). */
  | { readonly kind: 'Stop'; readonly target: 'self' | Ref; readonly exit: Exit }
  /**
   * Asks for signal `Terminated` when the cell ends; at once when it is gone. A Fault for a cell of another node: that
   * one's loss is learnt from membership.
   */
  | { readonly kind: 'Watch'; readonly target: Ref }
  | {
      readonly kind: 'Log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly event: string;
      readonly detail?: Readonly<Record<string, string | number | boolean | null>>;
    }
  /** Adds to a counter. */
  | { readonly kind: 'Count'; readonly name: string; readonly value: number };
