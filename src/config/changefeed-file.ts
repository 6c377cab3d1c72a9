/** A changefeed's configuration file (TOML, TiCDC's keys where the meaning is the same): all problems in one Failure. */
import { readFileSync } from 'node:fs';
import { parse } from 'smol-toml';
import { z } from 'zod';
import { fail, messageOf } from '../base/failure.ts';

const schema = z.strictObject({
  'memory-quota': z
    .int()
    .min(16 * 2 ** 20)
    .max(2 ** 40)
    .default(128 * 2 ** 20)
    .describe('bytes that all queues of the feed may hold together'),
  'changefeed-error-stuck-duration': z
    .string()
    .regex(/^\d+(s|m|h)$/, 'a number with s, m or h, e.g. 30m')
    .default('30m')
    .describe('without progress for this long the feed is failed'),
  filter: z
    .strictObject({
      rules: z
        .array(z.string())
        .min(1)
        .default(['*.*'])
        .describe('table filter rules, the last match wins'),
    })
    .prefault({}),
  scheduler: z
    .strictObject({
      'enable-table-across-nodes': z
        .boolean()
        .default(false)
        .describe('tables with many writes are split over dispatchers and nodes, and joined again'),
      'write-key-threshold': z
        .int()
        .min(1)
        .max(10 ** 9)
        .default(20_000)
        .describe('rows a second above which a table is split'),
    })
    .prefault({}),
  sink: z
    .strictObject({
      'lane-count': z
        .int()
        .min(1)
        .max(64)
        .default(2)
        .describe('transactions of one table that may commit side by side'),
    })
    .prefault({}),
});

/** What the file says, with defaults filled in. Bytes and milliseconds. */
export interface ChangefeedFile {
  readonly memoryQuota: number;
  readonly stuckAfterMs: number;
  readonly rules: readonly string[];
  readonly laneCount: number;
  /** Rows a second above which a table is split; null: by hand only. */
  readonly splitAbove: number | null;
}

const unitMs = { s: 1_000, m: 60_000, h: 3_600_000 } as const;

/** Reads `path`, or the defaults when it is undefined; CONFIG_INVALID lists every problem with its key. */
export function readChangefeedFile(path: string | undefined): ChangefeedFile {
  return parseChangefeedConfig(path === undefined ? {} : readToml(path), path ?? 'configuration');
}

/** The file's keys and values as data, unchecked: what the command line sends to a server. */
export function readToml(path: string): unknown {
  try {
    return parse(readFileSync(path, 'utf8'));
  } catch (error) {
    return fail('CONFIG_INVALID', `${path}: ${messageOf(error)}`);
  }
}

/** Checks a configuration; CONFIG_INVALID, beginning with `where`, lists every problem with its key. */
export function parseChangefeedConfig(value: unknown, where: string): ChangefeedFile {
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    return fail('CONFIG_INVALID', `${where}: ${problemsOf(parsed.error, 'file').join('; ')}`);
  }
  const { filter, scheduler, sink, ...rest } = parsed.data;
  const stuck = rest['changefeed-error-stuck-duration'];
  return {
    memoryQuota: rest['memory-quota'],
    stuckAfterMs: Number.parseInt(stuck, 10) * unitMs[stuck.at(-1) as keyof typeof unitMs],
    rules: filter.rules,
    laneCount: sink['lane-count'],
    splitAbove: scheduler['enable-table-across-nodes'] ? scheduler['write-key-threshold'] : null,
  };
}

/** One sentence for each problem zod found, with its key; `whole` names the value itself. */
export function problemsOf(error: z.ZodError, whole: string): readonly string[] {
  return error.issues.map((issue) => `${issue.path.join('.') || whole}: ${issue.message}`);
}
