import { failure, type Failure } from '../base/failure.ts';

/** Decides, without waiting, whether this node may still submit (FENCE §2.1). */
export interface SubmitGate {
  /** Asked immediately before the bytes go to the downstream: no await, no other work in between. */
  mayWrite(): boolean;
  /** Whether it will never be open again; without it every refusal is final. */
  isShut?(): boolean;
}

/**
 * The Failure of a submit that the gate refused. SINK_FENCED when the claim is gone for good; SINK_BUSY when only this thread
 * or process must first show that it is awake (FENCE §2.2).
 */
export function gateFailure(gate: SubmitGate): Failure {
  return gate.isShut?.() === false
    ? failure('SINK_BUSY', 'this thread stood still and may not write yet', {
        retry: 'Again',
        scope: 'Node',
      })
    : failure('SINK_FENCED', 'this node may not write any more', { scope: 'Node' });
}
