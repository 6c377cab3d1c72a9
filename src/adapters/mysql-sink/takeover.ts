import { FailureError, failure } from '#src/base/failure.ts';
import { errno, isPassing, serverFailure } from './server-error.ts';
import { killHolders } from './session.ts';
import { literal } from './sql-text.ts';

import type { Log } from '#src/ports/log.ts';
import type { CommandAnswer } from './command-answer.ts';
import type { MetaTables } from './meta-schema.ts';
import type { SinkSession } from './session.ts';
import type { Sessions } from './sessions.ts';
import type { WriterParts } from './transaction.ts';

/** Tries of one takeover; each waits at most 1 s for the row locks of an earlier owner. */
const tryCountMax = 15;
/** Milliseconds between tries: time for a killed connection to roll back. */
const pauseMs = 50;

/** Slot rows of a changefeed; `spans` null: all of them. */
interface LockedRows {
  readonly changefeed: string;
  readonly spans: readonly string[] | null;
}

/** How a try ended, when not by an error. */
export type TakeoverStep<T> =
  | { readonly kind: 'Done'; readonly value: T }
  | { readonly kind: 'Blocked' }
  | { readonly kind: 'Collided' };

/**
 * Locking transactions over slot rows that others may hold (FENCE §1.2): tried again until they pass. Only when an earlier
 * owner's transaction blocks one, that owner's connections are found by the locks they hold and killed.
 */
export class Takeover {
  readonly #sessions: Sessions;
  readonly #tables: MetaTables;
  readonly #log: Log;
  readonly #sleep: WriterParts['sleep'];

  constructor(parts: WriterParts) {
    this.#sessions = parts.sessions;
    this.#tables = parts.tables;
    this.#log = parts.log;
    this.#sleep = parts.sleep;
  }

  /** Runs `attempt` until it is done; `rows` are those it locks. */
  async run<T>(
    rows: LockedRows,
    attempt: (session: SinkSession) => Promise<TakeoverStep<T>>,
  ): Promise<T> {
    let last = failure('SINK_BUSY', 'an earlier owner keeps the slot rows locked', {
      retry: 'Again',
    });
    for (let tryCount = 0; tryCount < tryCountMax; tryCount++) {
      try {
        const step = await this.#sessions.control.with(attempt);
        if (step.kind === 'Done') return step.value;
        if (step.kind === 'Blocked') await this.#evict(rows);
      } catch (error) {
        if (!(error instanceof FailureError) || !isPassing(error.failure)) throw error;
        last = error.failure;
        // A server that is gone is not waited for here: the caller has the longer patience.
        if (last.code === 'SINK_UNREACHABLE' && tryCount >= 3) break;
      }
      await this.#sleep(pauseMs * (tryCount + 1));
    }
    throw new FailureError(last);
  }

  /** Ends what may hold the rows: all connections of the instances that raised them last, of our own only the dead ones. */
  async #evict({ changefeed, spans }: LockedRows): Promise<void> {
    await this.#sessions.control.with(async (session) => {
      const ofSpans = spans === null ? '' : ` AND span IN (${spans.map(literal).join(',')})`;
      const owners = await session.rows(
        `SELECT DISTINCT owner FROM ${this.#tables.slot} WHERE cf=${literal(changefeed)}${ofSpans}`,
        'find the earlier owner of a slot',
      );
      const locks = owners.flatMap((row) => this.#sessions.lockNamesOf(String(row['owner'])));
      const killCount = await killHolders(session, locks, (id) => !this.#sessions.isLive(id));
      this.#log('warn', 'sink-owner-evicted', {
        changefeed,
        span: spans?.join() ?? '*',
        killCount,
      });
    });
  }
}

/** Null when the command succeeded; what to do when it met others; throws anything else. */
export function blockedBy(
  session: SinkSession,
  answer: CommandAnswer,
  doing: string,
): { readonly kind: 'Blocked' } | { readonly kind: 'Collided' } | null {
  if (answer.error === null) return null;
  session.destroy();
  const number = answer.error.errno;
  if (number === errno.lockWaitTimeout) return { kind: 'Blocked' };
  // Another took the same free slot number, or our locks crossed: the next try sees its rows.
  if (number === errno.duplicateEntry || number === errno.deadlock) return { kind: 'Collided' };
  throw new FailureError(serverFailure(answer.error, doing));
}
