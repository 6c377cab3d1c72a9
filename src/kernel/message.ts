import type { Exit } from './exit.ts';
import type { Ref } from './ref.ts';

/**
 * A message: plain readonly data with a `kind`. Field `moved`, when present, holds byte arrays that travel by transfer
 * between threads instead of being encoded; the sender must not touch them again.
 */
export interface Message {
  readonly kind: string;
  readonly moved?: readonly Uint8Array<ArrayBuffer>[];
}

/** What the kernel tells a cell; signals overtake messages and are never refused for a full mailbox. */
export type Signal =
  /** A supervisor asks the cell to end; it answers by a `Stop` effect on itself within its shutdown time. */
  | { readonly kind: 'StopAsked' }
  /** A watched cell ended. */
  | { readonly kind: 'Terminated'; readonly ref: Ref; readonly exit: Exit }
  /** A cell asked for by a `Spawn` effect runs. */
  | { readonly kind: 'ChildStarted'; readonly id: string; readonly ref: Ref }
  /** A cell asked for by a `Spawn` effect could not be started. */
  | { readonly kind: 'ChildRefused'; readonly id: string; readonly exit: Exit };

/**
 * The door's answer to a message under guard `close` whose sender does not govern the cell (spec/04 E5): sent back by the
 * shell under the request's own epoch, so a stale closer learns that it may end and who is there now. Who sends such
 * messages lists the kind `NotOwner` in its own guards, as `echo`.
 */
export interface NotOwner {
  readonly kind: 'NotOwner';
  /** The kind that was refused. */
  readonly of: string;
  /** Address of the owner now ({@link addressOf}); null: nobody yet. */
  readonly owner: string | null;
  readonly epoch: number;
}

/**
 * A message under way. `epoch` is the maintainerEpoch its sender held (0: none); the door compares it (DESIGN §7).
 * `seq` counts the envelopes of one sending cell, for traces.
 */
export interface Envelope {
  readonly to: Ref;
  readonly from: Ref;
  readonly epoch: number;
  readonly seq: number;
  readonly message: Message;
}
