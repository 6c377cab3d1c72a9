/** How one process keeps a changefeed in its coordination store: what was asked for, and whether it is to run. */
import { z } from 'zod';
import { fail } from '#src/base/failure.ts';
import type { Failure } from '#src/base/failure.ts';

const positionShape = z.object({
  ts: z.number(),
  gtid: z.string(),
  file: z.string().optional(),
  offset: z.number().optional(),
});

const shape = z.object({
  version: z.literal(1),
  id: z.string(),
  /** The store's file is readable by its owner only; these hold credentials. */
  upstreamUri: z.string(),
  sinkUri: z.string(),
  start: z.object({
    position: positionShape,
    timeline: z.array(
      z.object({ server: z.string(), fileBase: z.number(), firstGtid: z.string() }),
    ),
  }),
  config: z.object({
    memoryQuota: z.number(),
    stuckAfterMs: z.number(),
    rules: z.array(z.string()),
    laneCount: z.number(),
  }),
  createdMs: z.number(),
  /** `normal` is started with the server; the others stay as they are until somebody resumes them. */
  state: z.enum(['normal', 'stopped', 'failed', 'finished']),
  /** What was known when it last ended. */
  checkpoint: positionShape.nullable(),
  failure: z.custom<Failure>((value) => typeof value === 'object').nullable(),
});

/** See the top of this file. */
export type ChangefeedRecord = Readonly<z.infer<typeof shape>>;

/** The stored form. */
export function printRecord(record: ChangefeedRecord): string {
  return JSON.stringify(record);
}

/** Reads the stored form; COORDINATION_FAILED when it is not one of ours. */
export function readRecord(key: string, text: string): ChangefeedRecord {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    data = undefined;
  }
  const parsed = shape.safeParse(data);
  if (!parsed.success) return fail('COORDINATION_FAILED', `the value of ${key} is damaged`);
  return parsed.data;
}
