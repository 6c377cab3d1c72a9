import { failure, type Failure } from '#src/base/failure.ts';
import type { TreeOver } from '#src/kernel/tree-io.ts';

/** What a supervision tree that gave up says, as a failure. */
export function overFailure(over: TreeOver): Failure {
  const { offender, reason } = over.kind === 'gave-up' ? over : { offender: '', reason: over.kind };
  return failure('INTERNAL_FAULT', `the supervision tree gave up: ${offender}: ${reason}`);
}
