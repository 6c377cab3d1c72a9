import { FailureError, fail } from '#src/base/failure.ts';
import { classifyStatement } from '#src/model/ddl-statement.ts';
import { quoteTable } from './batch/identifier.ts';
import { readFingerprint } from './ddl-fingerprint.ts';
import { DdlJournal } from './ddl-journal.ts';
import { DdlSession, ddlRefusal } from './ddl-session.ts';
import { judge } from './ddl-verdict.ts';
import { isPassing } from './server-error.ts';

import type { DdlStatement } from '#src/model/ddl-statement.ts';
import type { DdlEvent } from '#src/model/position.ts';
import type { DdlOwner } from './ddl-session.ts';
import type { ServerError } from './command-answer.ts';
import type { WriterParts } from './transaction.ts';

const tryCountMax = 6;
const pauseMsMin = 200;
const ansiQuotesBit = 4;
const noBackslashEscapesBit = 2 ** 20;
/** Errors of a statement that was cut off from outside: the journal and the tables tell what came of it. */
const cutOff: ReadonlySet<number> = new Set([1053, 1317, 1927, 3024, 1969]);
/**
 * Runs each DDL exactly once (RELIABILITY I-14, I-15): intent line, statement, done line, all on the session that holds the
 * feed's DDL lock. Whoever finds an intent without its end compares how the objects looked before with how they look.
 */
export class DdlRunner {
  readonly #parts: WriterParts;
  /** Per changefeed: the session that holds its lock. */
  readonly #sessions = new Map<string, DdlSession>();

  constructor(parts: WriterParts) {
    this.#parts = parts;
  }

  /** True when the statement ran now; false when it had run before. One call at a time. */
  async run(owner: DdlOwner, ddl: DdlEvent): Promise<boolean> {
    const statement = readStatement(ddl);
    for (let tryCount = 1; ; tryCount++) {
      try {
        return await this.#try(owner, ddl, statement);
      } catch (error) {
        if (!(error instanceof FailureError)) throw error;
        const isDead = this.#sessions.get(owner.changefeed)?.session.connection.isOpen !== true;
        if (isDead || error.failure.code === 'SINK_FENCED') await this.#drop(owner.changefeed);
        if (!isPassing(error.failure) || tryCount === tryCountMax) throw error;
        const { code } = error.failure;
        this.#parts.log('warn', 'sink-ddl-again', { code, ts: ddl.ts, tryCount });
        await this.#parts.sleep(pauseMsMin * 2 ** (tryCount - 1));
      }
    }
  }

  async #try(owner: DdlOwner, ddl: DdlEvent, statement: DdlStatement): Promise<boolean> {
    const held = await this.#session(owner, ddl.schema);
    const journal = new DdlJournal(this.#parts, held);
    const record = await journal.read(ddl);
    if (record?.state === 'done') return false;
    let finishes = false;
    if (record?.state === 'intent') {
      const now = await readFingerprint(held.session, statement);
      const verdict = judge(statement, ddl.sql, { before: record.before, now });
      this.#parts.log('warn', 'sink-ddl-resumed', { ts: ddl.ts, verdict });
      if (verdict === 'uncertain') {
        fail(
          'SINK_DDL_UNCERTAIN',
          `a DDL at position ${ddl.ts} was under way when its runner died; it is not clear whether it ran. Compare by hand, then set its state in the table ddl to done or refused`,
          { detail: { ts: ddl.ts } },
        );
      }
      if (verdict === 'done') {
        await journal.end(ddl, 'done');
        return false;
      }
      finishes = verdict === 'finish';
    } else {
      await journal.intend(ddl, await readFingerprint(held.session, statement));
    }
    const error = await held.run(ddl, finishes ? dropRest(statement) : sqlOf(ddl, statement));
    if (error === null) {
      await journal.end(ddl, 'done');
      return true;
    }
    return this.#refused(error, { held, journal, ddl });
  }

  async #refused(
    error: ServerError,
    at: { readonly held: DdlSession; readonly journal: DdlJournal; readonly ddl: DdlEvent },
  ): Promise<never> {
    // Cut off is not refused: it may have done its work, so the intent stands.
    if (cutOff.has(error.errno)) at.held.session.destroy();
    else await at.journal.end(at.ddl, 'refused');
    throw ddlRefusal(error, at.ddl);
  }

  /** A session with the lock, our token, and `schema` as its default database where that exists. */
  async #session(owner: DdlOwner, schema: string): Promise<DdlSession> {
    for (let tryCount = 0; tryCount < 2; tryCount++) {
      const known = this.#sessions.get(owner.changefeed);
      const usable =
        known !== undefined && known.owner.token === owner.token && known.session.connection.isOpen;
      if (!usable) await this.#drop(owner.changefeed);
      const held = usable ? known : await DdlSession.open(this.#parts, owner);
      this.#sessions.set(owner.changefeed, held);
      await held.demandToken();
      if (await held.chooseDefault(schema)) return held;
      await this.#drop(owner.changefeed);
    }
    return fail('SINK_BUSY', 'the default database of a DDL came and went', { retry: 'Again' });
  }

  async #drop(changefeed: string): Promise<void> {
    const held = this.#sessions.get(changefeed);
    this.#sessions.delete(changefeed);
    await held?.bury();
  }
}

function readStatement(ddl: DdlEvent): DdlStatement {
  const mode = ddl.sqlMode ?? 0;
  const statement = classifyStatement(ddl.sql, ddl.schema, {
    ansiQuotes: isSet(mode, ansiQuotesBit),
    noBackslashEscapes: isSet(mode, noBackslashEscapesBit),
  });
  if (statement.kind === 'ddl') return statement;
  const what = 'verb' in statement ? statement.verb : statement.kind;
  return fail('SINK_UNSUPPORTED', `${what} at position ${ddl.ts} is not a statement on tables`, {
    detail: { ts: ddl.ts },
  });
}

function isSet(mode: number, bit: number): boolean {
  return Math.floor(mode / bit) % 2 === 1;
}

/** Drops what a cut DROP left: a server that drops all or nothing would refuse the statement itself by now. */
function dropRest(statement: DdlStatement): string {
  const names = statement.tables.map(({ schema, table }) => quoteTable(schema, table));
  return `DROP ${statement.object.toUpperCase()} IF EXISTS ${names.join(',')}`;
}

/** The statement without the clause by which MySQL marks CREATE TABLE … SELECT in its log: the rows follow by themselves. */
function sqlOf(ddl: DdlEvent, statement: DdlStatement): string {
  return statement.startTransactionAt < 0
    ? ddl.sql
    : ddl.sql.slice(0, statement.startTransactionAt);
}
