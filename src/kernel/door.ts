import type { Guard } from './behaviour.ts';
import type { Envelope } from './message.ts';
import { addressOf, type Ref } from './ref.ts';

/** What the door of a cell compares against. `owner` is the address of the cell that may govern it; null: nobody yet. */
export interface Admission {
  readonly epoch: number;
  readonly owner: string | null;
}

/**
 * What epoch 0 means (DESIGN §7). `strict`: refused wherever an epoch counts. `compat`: for rolling upgrades from a version
 * without epochs, admitted until the cell has seen its first epoch above 0, and never after.
 */
export type EpochMode = 'strict' | 'compat';

/** Why the session of a stream does not take a message (spec/07). */
export type StreamRefusal = 'stale-stream' | 'future-stream' | 'repeated-seq';

/** Why a delivery was refused; counted per kind and reason, never an error (DESIGN §7). */
export type Refusal =
  | 'no-such-cell'
  | 'stale-incarnation'
  | 'fenced'
  | 'epoch-zero'
  | 'stale-epoch'
  | 'future-epoch'
  | 'not-owner'
  | 'own-kind-from-outside'
  | 'mailbox-full'
  | StreamRefusal;

/**
 * The one place where a delivery is refused (spec/04 E1–E9): null when the envelope may reach the behaviour. A message
 * under guard `stream` is also shown to the session of the role, which is not compared here.
 */
export function refuse(
  guard: Guard | undefined,
  admission: Admission,
  envelope: Envelope,
  mode: EpochMode = 'strict',
): Refusal | null {
  switch (guard) {
    case 'open':
    case 'stream':
      return null;
    case undefined:
      return 'own-kind-from-outside';
    case 'owner':
      return refuseOwner(admission, envelope, mode);
    case 'echo':
      return refuseZero(admission, envelope, mode) ?? compareEpoch(admission, envelope);
    case 'raise': {
      const isZero = refuseZero(admission, envelope, mode);
      if (isZero !== null || envelope.epoch === 0) return isZero;
      return envelope.epoch > admission.epoch ? null : refuseOwner(admission, envelope, mode);
    }
    case 'close': {
      const isZero = refuseZero(admission, envelope, mode);
      if (isZero !== null || envelope.epoch > admission.epoch) return isZero;
      return refuseOwner(admission, envelope, mode);
    }
  }
}

/** What the cell's admission becomes once `envelope` is let in under `guard`. */
export function admit(
  guard: Guard | undefined,
  admission: Admission,
  envelope: Envelope,
): Admission {
  if (guard !== 'raise') return admission;
  // Equal epochs come from the owner, except 0 in compat mode: there the owner may change (spec/04 CanUpdate).
  if (envelope.epoch === admission.epoch && envelope.epoch !== 0) return admission;
  return { epoch: envelope.epoch, owner: addressOf(envelope.from) };
}

function refuseOwner(admission: Admission, envelope: Envelope, mode: EpochMode): Refusal | null {
  const refusal = refuseZero(admission, envelope, mode) ?? compareEpoch(admission, envelope);
  if (refusal !== null) return refusal;
  const isFree = envelope.epoch === 0 && admission.owner === null;
  return isFree || addressOf(envelope.from) === admission.owner ? null : 'not-owner';
}

function refuseZero(admission: Admission, envelope: Envelope, mode: EpochMode): Refusal | null {
  if (envelope.epoch !== 0) return null;
  return mode === 'compat' && admission.epoch === 0 ? null : 'epoch-zero';
}

function compareEpoch(admission: Admission, envelope: Envelope): Refusal | null {
  if (envelope.epoch === admission.epoch) return null;
  return envelope.epoch < admission.epoch ? 'stale-epoch' : 'future-epoch';
}

/**
 * What a door let in last, so that the next of its like costs three comparisons: {@link refuse} is a function of what is
 * compared here and of the admission, which an admitted message has made what it is. Streams are never remembered.
 */
export class Admitted {
  #kind = '';
  #from: Ref | null = null;
  #epoch = -1;

  /** True when `envelope` is of the kind, the sender and the epoch that were admitted last. */
  isLike(envelope: Envelope): boolean {
    return (
      envelope.from === this.#from &&
      envelope.epoch === this.#epoch &&
      envelope.message.kind === this.#kind
    );
  }

  /** Takes the place of what was remembered. */
  remember(envelope: Envelope): void {
    this.#kind = envelope.message.kind;
    this.#from = envelope.from;
    this.#epoch = envelope.epoch;
  }
}
