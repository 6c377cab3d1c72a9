/** A stand-in for a dispatcher that owns spans: raises them and applies a history of versions, as the port's rules say. */
import { resumeOf } from '#src/model/lane-resume.ts';
import { blockOf } from '#test/src/adapters/sink-conformance.ts';

import type { Outcome } from '#src/base/failure.ts';
import type { SinkAnswer, SinkRequest } from '#src/ports/sink.ts';
import type { WriterTable } from '#src/adapters/workload/row-event-writer.ts';
import type { Change } from '#test/src/adapters/sink-conformance.ts';
import type { SimHost } from './connection.ts';
import type { LivingPort } from '../sim-port.ts';

/** Transactions of one span: each is a list of keys whose version goes up by one; commitTs = place + 1. */
export interface SpanHistory {
  readonly span: string;
  readonly transactions: readonly (readonly number[])[];
}

/** A random history of one span. */
export function randomHistory(random: () => number, span: string): SpanHistory {
  const pick = (count: number): number => Math.floor(random() * count);
  const transactions = Array.from({ length: 10 + pick(30) }, () => {
    // Enough keys now and then for several lanes to be worth it.
    const count = random() < 0.2 ? 100 + pick(100) : 1 + pick(6);
    const first = pick(300);
    return Array.from({ length: count }, (_, i) => (first + i) % 300);
  });
  return { span, transactions };
}

/** Versions after all transactions, by `span key`. */
export function versionsOf({ span, transactions }: SpanHistory): Map<string, number> {
  const versions = new Map<string, number>();
  for (const key of transactions.flat()) {
    versions.set(`${span} ${key}`, (versions.get(`${span} ${key}`) ?? 0) + 1);
  }
  return versions;
}

function tableOf(span: string): WriterTable {
  const [schema = '', table = ''] = span.split('.');
  const number = { kind: 'integer', bytes: 4, unsigned: true, nullable: false } as const;
  const columns = [
    { name: 'k', ...number },
    { name: 'v', ...number },
  ];
  return { id: 7, schema, table, columns, key: [0] };
}

/** The block of transactions `from` to before `to`. */
function blockOfRange({ span, transactions }: SpanHistory, from: number, to: number): Uint8Array {
  const versions = new Map<number, number>();
  const timed: (readonly [number, readonly Change[]])[] = [];
  for (const [i, keys] of transactions.slice(0, to).entries()) {
    const changes = keys.map((key): Change => {
      const before = versions.get(key) ?? 0;
      versions.set(key, before + 1);
      return [before === 0 ? null : [key, before], [key, before + 1]];
    });
    if (i >= from) timed.push([i + 1, changes]);
  }
  return blockOf(tableOf(span), timed);
}

/** What an owner works with. */
export interface OwnerParts {
  readonly host: SimHost;
  readonly sink: LivingPort;
  /** A token above all before it, drawn anew for each raise. */
  readonly nextToken: () => number;
  /** Runs something after so many milliseconds. */
  readonly later: (ms: number, run: () => void) => void;
  /** Told of failures, by code. */
  readonly failed: (code: string) => void;
}

const changefeed = 'feed';

/** Applies a history to its end, or until a newer owner fenced it: answers whether it came to the end. */
export async function ownSpan(parts: OwnerParts, history: SpanHistory): Promise<boolean> {
  const { host, sink, nextToken } = parts;
  const ask = async (request: SinkRequest): Promise<SinkAnswer | null> => {
    const outcome = await new Promise<Outcome<unknown>>((resolve) => {
      sink.call(request, resolve);
    });
    if (outcome.ok) return outcome.value as SinkAnswer;
    parts.failed(outcome.failure.code);
    if (outcome.failure.code === 'SINK_FENCED') throw new Fenced();
    await new Promise<void>((resolve) => parts.later(20 + host.random() * 200, resolve));
    return null;
  };
  try {
    for (;;) {
      const token = nextToken();
      const { span } = history;
      const raised = await ask({ kind: 'RaiseSpan', changefeed, span, token, ts: 0 });
      if (raised?.kind === 'SpanRaised' && (await applyAll(raised, token))) return true;
    }
  } catch (error) {
    if (error instanceof Fenced) return false;
    throw error;
  }

  async function applyAll(
    raised: Extract<SinkAnswer, { kind: 'SpanRaised' }>,
    token: number,
  ): Promise<boolean> {
    const { startTs, redoTs } = resumeOf(raised.lanes, 0);
    for (let at = startTs; at < history.transactions.length;) {
      const to = Math.min(history.transactions.length, at + 1 + Math.floor(host.random() * 6));
      const applied = await ask({
        kind: 'Apply',
        changefeed,
        span: history.span,
        token,
        afterTs: at,
        untilTs: to,
        stage: 'whole',
        idempotent: at < redoTs,
        schemaVersion: 1,
        blocks: [blockOfRange(history, at, to)],
      });
      // Whatever failed: only a raise tells where the span stands.
      if (applied === null) return false;
      at = to;
    }
    return true;
  }
}

class Fenced extends Error {}
