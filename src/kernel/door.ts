import type { Guard } from './behaviour.ts';
import type { Envelope } from './message.ts';

/** What the door of a cell compares against. `owner` is the path of the cell that may govern it; null: nobody yet. */
export interface Admission {
  readonly epoch: number;
  readonly owner: string | null;
}

/** Why a delivery was refused; counted per kind and reason, never an error (DESIGN §7). */
export type Refusal =
  | 'no-such-cell'
  | 'stale-incarnation'
  | 'epoch-zero'
  | 'stale-epoch'
  | 'future-epoch'
  | 'not-owner'
  | 'own-kind-from-outside'
  | 'mailbox-full';

/**
 * The one place where a delivery is refused (spec/04 E1–E9): null when the envelope may reach the behaviour. Epoch 0 is
 * refused wherever an epoch counts (strict mode; spec/09).
 */
export function refuse(
  guard: Guard | undefined,
  admission: Admission,
  envelope: Envelope,
): Refusal | null {
  switch (guard) {
    case 'open':
    case 'stream':
      return null;
    case undefined:
      return 'own-kind-from-outside';
    case 'owner':
      return refuseOwner(admission, envelope);
    case 'echo':
      if (envelope.epoch === 0) return 'epoch-zero';
      return compareEpoch(admission, envelope);
    case 'raise':
      if (envelope.epoch === 0) return 'epoch-zero';
      if (envelope.epoch > admission.epoch) return null;
      return refuseOwner(admission, envelope);
    case 'close':
      if (envelope.epoch === 0) return 'epoch-zero';
      return envelope.epoch > admission.epoch ? null : refuseOwner(admission, envelope);
  }
}

/** What the cell's admission becomes once `envelope` is let in under `guard`. */
export function admit(
  guard: Guard | undefined,
  admission: Admission,
  envelope: Envelope,
): Admission {
  if (guard !== 'raise' || envelope.epoch === admission.epoch) return admission;
  return { epoch: envelope.epoch, owner: envelope.from.path };
}

function refuseOwner(admission: Admission, envelope: Envelope): Refusal | null {
  if (envelope.epoch === 0) return 'epoch-zero';
  return (
    compareEpoch(admission, envelope) ??
    (envelope.from.path === admission.owner ? null : 'not-owner')
  );
}

function compareEpoch(admission: Admission, envelope: Envelope): Refusal | null {
  if (envelope.epoch === admission.epoch) return null;
  return envelope.epoch < admission.epoch ? 'stale-epoch' : 'future-epoch';
}
