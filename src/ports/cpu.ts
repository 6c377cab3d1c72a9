/**
 * Stateless CPU work for other threads than the one that asks (DESIGN §4): no state behind it, so any of it may be killed at
 * will. For work of a millisecond and more; what is shorter costs less where it is.
 */
import type { Outcome } from '../base/failure.ts';
import type { Port } from './port.ts';

/** Requests of the port. */
export type CpuRequest =
  /** Unpacks the events of a compressed transaction of MySQL. SOURCE_CORRUPT when they are not what they claim. */
  {
    readonly kind: 'UnpackTransaction';
    /** Copied; the caller keeps them. */
    readonly packed: Uint8Array;
    readonly unpackedByteCount: number;
  };

/** Answers of the port. */
export interface CpuAnswer {
  readonly kind: 'Unpacked';
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** The port for CPU work. CPU_BUSY when its bounded queue is full, INTERNAL_STOPPED when it was closed. */
export interface CpuPort extends Port<CpuRequest, CpuAnswer> {
  /** `signal` cancels the call, also while a thread works on it: INTERNAL_STOPPED. */
  readonly call: (request: CpuRequest, signal?: AbortSignal) => Promise<Outcome<CpuAnswer>>;
}
