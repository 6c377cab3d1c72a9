import type { Routing } from '#src/ports/upstream.ts';
import type { BatchInput, BatchPlan } from './batch/batch.ts';

/** Blocks to statements, with what is known of the downstream's tables. */
export interface Planning {
  /** FailureError when the blocks do not fit the downstream's tables. */
  plan(input: BatchInput): Promise<BatchPlan>;
  /** Drops all table definitions. */
  forget(): void;
  /** Which tables must share a span. */
  groups(rules: readonly string[]): Promise<Routing['groups']>;
}
