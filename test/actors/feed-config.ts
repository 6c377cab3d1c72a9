import type { ChangefeedConfig } from '#src/protocol/changefeed.ts';

/** A changefeed's configuration; of most tests only the id matters. */
export function configOf(id: string, more: Partial<ChangefeedConfig> = {}): ChangefeedConfig {
  return {
    id,
    endpoints: null,
    startAt: { kind: 'now' },
    rules: ['*.*'],
    untilCaughtUp: false,
    memoryQuota: 1 << 20,
    stuckAfterMs: 1_800_000,
    ...more,
  };
}
