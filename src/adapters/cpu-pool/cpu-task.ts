/** What the threads of the pool do: one request, no state. Loaded by piscina. */
import { move } from 'piscina';
import { FailureError, type Failure } from '#src/base/failure.ts';
import type { CpuRequest } from '#src/ports/cpu.ts';
import { unpackZstd } from '../binlog/stream/transaction-payload.ts';

/** What a task gives back: the bytes, moved to the caller, or why there are none. */
export type CpuResult = Uint8Array<ArrayBuffer> | Failure;

/** Performs a request. */
export function perform(request: CpuRequest): CpuResult {
  try {
    return move(unpackZstd(request.packed, request.unpackedByteCount)) as CpuResult;
  } catch (error) {
    if (error instanceof FailureError) return error.failure;
    throw error;
  }
}
