import { MysqlSink } from '#src/adapters/mysql-sink/sink.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { mysqlMissing, startMysql } from '#test/servers/mysql.ts';

import type { BatchInput, BatchPlan } from '#src/adapters/mysql-sink/batch/batch.ts';
import type { MysqlSinkOptions } from '#src/adapters/mysql-sink/sink.ts';
import type { Outcome } from '#src/base/failure.ts';
import type { SinkAnswer, SinkRequest } from '#src/ports/sink.ts';
import type { SqlServer } from '#test/servers/sql-server.ts';

/** A log that keeps its lines. */
export interface KeptLog {
  readonly lines: { readonly event: string; readonly detail: unknown }[];
}

/** The makes of server that the suites run on. */
export const makes = [
  { make: 'MariaDB', start: (): Promise<SqlServer> => startMariadb(), skip: false },
  { make: 'MySQL', start: (): Promise<SqlServer> => startMysql(), skip: await mysqlMissing() },
] as const;

/** Name of the changefeed in these tests. */
export const changefeed = 'cf-1';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Statements per lane as one block: the planner of a hand-made sink reads them back. */
export function handMade(lanes: readonly (readonly string[])[]): Uint8Array {
  return encoder.encode(JSON.stringify(lanes));
}

/** A sink whose blocks are made by {@link handMade}: everything but the planning is the real thing. */
export function openHandMadeSink(
  server: Pick<SqlServer, 'uri'>,
  options: Partial<MysqlSinkOptions> & { readonly kept?: KeptLog } = {},
): MysqlSink {
  const { kept, ...rest } = options;
  return new MysqlSink(
    {
      uri: server.uri(),
      log: (_level, event, detail) => kept?.lines.push({ event, detail }),
      owner: 'node-a',
      ...rest,
    },
    () => ({
      plan,
      splitRefusal: () => Promise.resolve(null),
      forget: () => {},
      groups: () => Promise.resolve({}),
    }),
  );
}

function plan(input: BatchInput): Promise<BatchPlan> {
  const lanes = input.blocks.flatMap((block) => JSON.parse(decoder.decode(block)) as string[][]);
  return Promise.resolve({
    lanes: lanes.map((statements) => ({
      statements: statements.map((sql) => encoder.encode(sql)),
      writtenRowCount: statements.length,
    })),
    rowCount: lanes.flat().length,
    transactionCount: 1,
    lastTs: input.untilTs,
    commitMs: 1_000,
    gtid: `0-1-${input.untilTs}`,
  });
}

/** The value of an answer of kind `kind`, or an error with what came instead. */
export async function want<Kind extends SinkAnswer['kind']>(
  kind: Kind,
  outcome: Promise<Outcome<SinkAnswer>>,
): Promise<Extract<SinkAnswer, { kind: Kind }>> {
  const found = await outcome;
  if (found.ok && found.value.kind === kind) {
    return found.value as Extract<SinkAnswer, { kind: Kind }>;
  }
  throw new Error(`wanted ${kind}, got ${JSON.stringify(found)}`);
}

/** The code of a Failure, or an error when the call succeeded. */
export async function wantFailure(outcome: Promise<Outcome<SinkAnswer>>): Promise<string> {
  const found = await outcome;
  if (found.ok) throw new Error(`wanted a failure, got ${JSON.stringify(found.value)}`);
  return found.failure.code;
}

/** An `Apply` of hand-made statements. */
export function apply(
  more: Partial<Extract<SinkRequest, { kind: 'Apply' }>> & {
    readonly lanes: readonly (readonly string[])[];
  },
): SinkRequest {
  const { lanes, ...rest } = more;
  return {
    kind: 'Apply',
    changefeed,
    span: 'd.t',
    token: 5,
    afterTs: 0,
    untilTs: 1,
    stage: 'whole',
    idempotent: false,
    schemaVersion: 1,
    blocks: [handMade(lanes)],
    ...rest,
  };
}

/** Opens the sink and raises span `d.t`. */
export async function openAndRaise(sink: MysqlSink, token = 5, ts = 0): Promise<void> {
  await want('Opened', sink.call({ kind: 'Open', changefeed }));
  await want('SpanRaised', sink.call({ kind: 'RaiseSpan', changefeed, span: 'd.t', token, ts }));
}
