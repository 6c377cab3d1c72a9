/** The coordination port (DESIGN §12): the judge of ownership. First version: the changefeed's epoch, by compare-and-swap. */
import type { Port } from './port.ts';

/** A key's value with the revision that last changed it (0: absent). */
export interface KeyValue {
  readonly key: string;
  readonly value: string | null;
  readonly revision: number;
}

/** Requests of the port. */
export type CoordinationRequest =
  | { readonly kind: 'Get'; readonly key: string }
  /** Puts only when the key's revision is still `revision` (0: only when absent): there is no blind put (DESIGN §10). */
  | {
      readonly kind: 'CompareAndPut';
      readonly key: string;
      readonly revision: number;
      readonly value: string;
    };

/** Answers of the port. */
export type CoordinationAnswer =
  | { readonly kind: 'Got'; readonly entry: KeyValue }
  /** `succeeded` false: somebody else was first; `entry` is what is there now. */
  | { readonly kind: 'Put'; readonly succeeded: boolean; readonly entry: KeyValue };

/** The coordination port. */
export type CoordinationPort = Port<CoordinationRequest, CoordinationAnswer>;
