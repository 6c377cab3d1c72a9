/**
 * Reads an upstream the way its actor does: pulls chunks, and after a failure that asks for a new connection forgets
 * what is not resolved and opens again there. The outcome is a plain history that can be compared whatever the chunks were.
 */
import { createHash, type Hash } from 'node:crypto';
import { visitBlock } from '#src/model/block.ts';
import type { Failure } from '#src/base/failure.ts';
import type { Position, TimelineSegment } from '#src/model/position.ts';
import type { UpstreamChecked, UpstreamChunk, UpstreamPort } from '#src/ports/upstream.ts';
import type { Routing, StartAt } from '#src/model/start-at.ts';

/** All tables, each a span of its own. */
export const allTables: Routing = { rules: ['*.*'], groups: {} };

/** `Check`, or its failure thrown as an error whose `failure` tells. */
export async function check(port: UpstreamPort, startAt: StartAt): Promise<UpstreamChecked> {
  const outcome = await port.call({ kind: 'Check', startAt });
  if (!outcome.ok) throw new UnexpectedFailure(outcome.failure);
  if (outcome.value.kind !== 'Checked') throw new Error(outcome.value.kind);
  return outcome.value;
}

/** The failure of `Check`; an error when it succeeds. */
export async function checkFailure(port: UpstreamPort, startAt: StartAt): Promise<Failure> {
  const outcome = await port.call({ kind: 'Check', startAt });
  if (outcome.ok) throw new Error('the check was to fail');
  return outcome.failure;
}

/** A failure where none was expected. */
export class UnexpectedFailure extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(`${failure.code}: ${failure.message} ${failure.cause ?? ''}`);
    this.failure = failure;
  }
}

/** Opens the stream; the failure when it does not. */
export async function open(
  port: UpstreamPort,
  from: { readonly position: Position; readonly timeline: readonly TimelineSegment[] },
  routing: Routing = allTables,
): Promise<Failure | undefined> {
  const { position, timeline } = from;
  const outcome = await port.call({ kind: 'Open', position, timeline, routing });
  return outcome.ok ? undefined : outcome.failure;
}

/** One chunk or the failure. */
export async function next(
  port: UpstreamPort,
  byteCountMax = 1 << 20,
): Promise<UpstreamChunk | Failure> {
  const outcome = await port.call({ kind: 'Next', byteCountMax });
  if (!outcome.ok) return outcome.failure;
  if (outcome.value.kind !== 'Chunk') throw new Error(outcome.value.kind);
  return outcome.value;
}

/** How to read. */
export interface ReadOptions {
  readonly start: Position;
  readonly timeline?: readonly TimelineSegment[];
  /** Reads until resolved.ts reaches this. */
  readonly untilTs: number;
  readonly byteCountMax?: number;
  readonly routing?: Routing;
  readonly onChunk?: (chunk: UpstreamChunk) => void | Promise<void>;
  /** Called before each new connection after a failure. */
  readonly onFailure?: (failure: Failure) => void | Promise<void>;
}

/** A history: one line for each DDL and for the rows of each span in each transaction, in order of commitTs. */
export class History {
  readonly #rows = new Map<string, { ts: number; span: string; gtid: string; hash: Hash }>();
  readonly #ddls = new Map<number, string>();

  /** Takes in a chunk. */
  add(chunk: UpstreamChunk): void {
    for (const { info, bytes } of chunk.blocks) {
      let ts = 0;
      let gtid = '';
      visitBlock(bytes, {
        transaction: (commitTs, _ms, id) => {
          ts = commitTs;
          gtid = id;
        },
        table: () => undefined,
        rows: (_index, type, body) => {
          const key = `${ts} ${info.span}`;
          const entry = this.#rows.get(key) ?? {
            ts,
            span: info.span,
            gtid,
            hash: createHash('sha1'),
          };
          this.#rows.set(key, entry);
          entry.hash.update(Uint8Array.of(type)).update(body);
        },
      });
    }
    if (chunk.ddl !== undefined) this.#ddls.set(chunk.ddl.ts, chunk.ddl.sql);
  }

  /** Forgets what lies behind a position. */
  discardAfter(ts: number): void {
    for (const [key, entry] of this.#rows) if (entry.ts > ts) this.#rows.delete(key);
    for (const at of this.#ddls.keys()) if (at > ts) this.#ddls.delete(at);
  }

  /** The lines after `ts`. */
  lines(ts = 0): readonly string[] {
    const lines: { ts: number; text: string }[] = [];
    for (const [at, sql] of this.#ddls) lines.push({ ts: at, text: `${at} 0 ${sql}` });
    for (const entry of this.#rows.values()) {
      const digest = entry.hash.copy().digest('hex').slice(0, 12);
      lines.push({ ts: entry.ts, text: `${entry.ts} 1 ${entry.span} ${entry.gtid} ${digest}` });
    }
    return lines
      .filter((line) => line.ts > ts)
      .sort((a, b) => a.ts - b.ts || (a.text < b.text ? -1 : 1))
      .map((line) => line.text);
  }
}

/** At most this many connections in one reading. */
const connectionsMax = 200;

/** Reads from `start` until `untilTs` is resolved. A failure that does not ask for a new connection is thrown. */
export async function readHistory(
  port: UpstreamPort,
  options: ReadOptions,
): Promise<{ readonly history: History; readonly resolved: Position }> {
  const history = new History();
  const timeline = options.timeline ?? [];
  let resolved = options.start;
  for (let connection = 0; connection < connectionsMax; connection++) {
    let broken = await open(port, { position: resolved, timeline }, options.routing);
    while (broken === undefined) {
      if (resolved.ts >= options.untilTs) return { history, resolved };
      const chunk = await next(port, options.byteCountMax);
      if ('code' in chunk) broken = chunk;
      else {
        if (chunk.resolved.ts < resolved.ts) throw new Error('resolved went back');
        history.add(chunk);
        resolved = chunk.resolved;
        await options.onChunk?.(chunk);
      }
    }
    if (broken.retry !== 'Reconnect' && broken.retry !== 'Again')
      throw new UnexpectedFailure(broken);
    await options.onFailure?.(broken);
    history.discardAfter(resolved.ts);
  }
  throw new Error('too many connections');
}
