/** A changefeed's configuration file (TOML, TiCDC's keys where the meaning is the same): all problems in one Failure. */
import { readFileSync } from 'node:fs';
import { parse } from 'smol-toml';
import { z } from 'zod';
import { fail, messageOf } from '../base/failure.ts';
import { syncedBounds, type SyncedBounds } from '../model/synced-bounds.ts';

const unitMs = { s: 1_000, m: 60_000, h: 3_600_000 } as const;
const durationForm = /^\d+(s|m|h)$/;

function msOf(duration: string): number {
  return Number.parseInt(duration, 10) * unitMs[duration.at(-1) as keyof typeof unitMs];
}

/**
 * The shortest that a feed may go without progress, which is half an hour where nobody is looking (FEATURES 1.2): a failover of
 * either end is no reason to give up. Nothing at all would fail it before it has begun.
 */
const patienceMin = { server: '30m', process: '1s' } as const;
const patienceMax = '8760h';

/** Who runs the changefeed: a server, or a process of its own that somebody looks at. */
export type RunBy = keyof typeof patienceMin;

function patience(runBy: RunBy): z.ZodDefault<z.ZodString> {
  const min = patienceMin[runBy];
  const isWithin = (text: string): boolean =>
    !durationForm.test(text) || (msOf(text) >= msOf(min) && msOf(text) <= msOf(patienceMax));
  return z
    .string()
    .regex(durationForm, 'a number with s, m or h, e.g. 30m')
    .refine(isWithin, `from ${min} to ${patienceMax}`)
    .default('30m')
    .describe('without progress for this long the feed is failed');
}

function seconds(defaultMs: number): z.ZodDefault<z.ZodInt> {
  return z
    .int()
    .min(1)
    .max(24 * 3_600)
    .default(defaultMs / 1_000);
}

const serverSchema = z.strictObject({
  'memory-quota': z
    .int()
    .min(16 * 2 ** 20)
    .max(2 ** 40)
    .default(128 * 2 ** 20)
    .describe('bytes that all queues of the feed may hold together'),
  'changefeed-error-stuck-duration': patience('server'),
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
  'synced-status': z
    .strictObject({
      'synced-check-interval': seconds(syncedBounds.quietMs).describe(
        'seconds without a change upstream after which the changefeed counts as synced',
      ),
      'checkpoint-interval': seconds(syncedBounds.lagMs).describe(
        'seconds that the checkpoint may be behind then',
      ),
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

const schemas = {
  server: serverSchema,
  process: serverSchema.extend({ 'changefeed-error-stuck-duration': patience('process') }),
} as const;

/** What the file says, with defaults filled in. Bytes and milliseconds. */
export interface ChangefeedFile {
  readonly memoryQuota: number;
  readonly stuckAfterMs: number;
  readonly rules: readonly string[];
  readonly laneCount: number;
  /** Rows a second above which a table is split; null: by hand only. */
  readonly splitAbove: number | null;
  readonly synced: SyncedBounds;
}

/** Reads `path`, or the defaults when it is undefined; CONFIG_INVALID lists every problem with its key. */
export function readChangefeedFile(path: string | undefined, runBy: RunBy): ChangefeedFile {
  const value = path === undefined ? {} : readToml(path);
  return parseChangefeedConfig(value, path ?? 'configuration', runBy);
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
export function parseChangefeedConfig(value: unknown, where: string, runBy: RunBy): ChangefeedFile {
  const parsed = schemas[runBy].safeParse(value);
  if (!parsed.success) {
    return fail('CONFIG_INVALID', `${where}: ${problemsOf(parsed.error, 'file').join('; ')}`);
  }
  const { filter, scheduler, sink, 'synced-status': synced, ...rest } = parsed.data;
  return {
    memoryQuota: rest['memory-quota'],
    stuckAfterMs: msOf(rest['changefeed-error-stuck-duration']),
    rules: filter.rules,
    laneCount: sink['lane-count'],
    splitAbove: scheduler['enable-table-across-nodes'] ? scheduler['write-key-threshold'] : null,
    synced: {
      quietMs: synced['synced-check-interval'] * 1_000,
      lagMs: synced['checkpoint-interval'] * 1_000,
    },
  };
}

/** One sentence for each problem zod found, with its key; `whole` names the value itself. */
export function problemsOf(error: z.ZodError, whole: string): readonly string[] {
  return error.issues.map((issue) => `${issue.path.join('.') || whole}: ${issue.message}`);
}
