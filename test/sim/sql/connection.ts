/**
 * The server's side of one connection: commands come in as bytes, are run one after the other, and go on whatever
 * becomes of the client; its going is noticed between commands only (FENCE §0.1).
 */
import { PacketReader } from '#src/adapters/mysql-sink/wire.ts';
import { Execution, Session, deadlock, lockTimeout } from './execution.ts';
import { Killed } from './killed.ts';
import { AnswerWriter, statusBit } from './packets.ts';
import { statementsOf } from './parse-statement.ts';
import { runStatement } from './statement.ts';
import { SqlError, UnknownSql, toInteger } from './value.ts';

import type { Run, ServerState, Wait } from './execution.ts';
import type { ParsedStatement } from './parse-statement.ts';

/** Where connections live: virtual time and chance. */
export interface SimHost {
  /** Milliseconds. */
  readonly now: () => number;
  /** 0 ≤ n < 1. */
  readonly random: () => number;
  /** Runs `run` after `ms`; the answer drops it. */
  readonly after: (ms: number, run: () => void) => () => void;
}

/** What a connection needs around it. */
export interface ConnectionParts {
  readonly host: SimHost;
  readonly state: ServerState;
  /** Milliseconds that the next statement waits before it runs, 0 mostly. */
  readonly statementMs: () => number;
  /** Milliseconds until a kill is noticed. */
  readonly killMs: () => number;
  /** A lock that was waited for is there. */
  readonly resumed: () => void;
  /** A statement met an error. */
  readonly refused: (errno: number) => void;
  /** Bytes for the client. */
  readonly send: (bytes: Buffer) => void;
  /** The connection is over: rolled back, all locks free. */
  readonly ended: () => void;
}

const command = { quit: 0x01, query: 0x03, setOption: 0x1b } as const;
const payloadBytesMax = 64 << 20;
/** Parsed commands that are kept: guards differ each time, questions do not. */
const parsed = new Map<string, readonly ParsedStatement[]>();
const parsedCountMax = 256;
const parsedBytesMax = 8 << 10;

/** One connection, as the server has it. */
export class ServerConnection {
  readonly session: Session;
  readonly #execution: Execution;
  readonly #parts: ConnectionParts;
  readonly #packets: PacketReader;
  readonly #commands: { readonly code: number; readonly text: string }[] = [];
  #run: Run<void> | null = null;
  #wait: {
    readonly isCommit: boolean;
    readonly isLock: boolean;
    readonly drop: () => void;
  } | null = null;
  #isOver = false;
  #isKilled = false;
  #clientIsGone = false;
  #takesSeveral = true;
  #idleSince = 0;

  constructor(id: number, parts: ConnectionParts) {
    this.session = new Session(id);
    this.#parts = parts;
    this.#execution = new Execution(parts.state, this.session);
    this.#packets = new PacketReader((payload) => {
      this.#commands.push({ code: payload[0] ?? 0, text: payload.toString('latin1', 1) });
      this.#packets.expect(0);
    }, payloadBytesMax);
    this.#watchIdle(0);
  }

  /** Whether a statement waits for a lock. */
  get isBlocked(): boolean {
    return this.#wait?.isLock === true;
  }

  /** Whether nothing is asked or under way. */
  get isIdle(): boolean {
    return this.#run === null && this.#commands.length === 0;
  }

  /** Bytes of the client arrive. */
  receive(bytes: Buffer): void {
    if (this.#isOver) return;
    this.#packets.push(bytes);
    this.#next();
  }

  /** The end of the client's bytes arrives: what came before it is still run. */
  receiveEnd(): void {
    this.#clientIsGone = true;
    this.#next();
  }

  /** Ends the session soon, but not in the middle of a commit. */
  kill(): void {
    if (this.#isKilled || this.#isOver) return;
    this.#isKilled = true;
    this.#parts.host.after(this.#parts.killMs(), () => {
      if (this.#wait?.isCommit !== true) this.end();
    });
  }

  /** The server dies: a commit under way may have reached the log. */
  crash(): void {
    if (this.#wait?.isCommit === true && this.#parts.host.random() < 0.5) {
      this.#execution.finishCommit();
    }
    this.end();
  }

  /** Ends the session at once. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#wait?.drop();
    this.#wait = null;
    this.#run = null;
    this.#commands.length = 0;
    // Named locks outlive the transaction: who gets one knows that nothing of this session is left (FENCE §0.4).
    this.#execution.rollback();
    this.#parts.state.otherLocks.releaseAll(this.session);
    this.#parts.ended();
  }

  #next(): void {
    if (this.#run !== null || this.#isOver) return;
    if (this.#isKilled) return;
    const asked = this.#commands.shift();
    if (asked === undefined) {
      this.#idleSince = this.#parts.host.now();
      if (this.#clientIsGone) this.end();
      return;
    }
    if (asked.code === command.quit) return this.end();
    const run = this.#serve(asked.code, asked.text);
    this.#run = run;
    this.#advance(() => run.next());
  }

  #advance(step: () => IteratorResult<Wait, void>): void {
    let result: IteratorResult<Wait, void>;
    try {
      result = step();
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      return this.end();
    }
    if (this.#isOver) return;
    if (result.done === true) {
      this.#run = null;
      if (this.#isKilled) this.end();
      else this.#next();
    } else this.#waitFor(result.value);
  }

  #waitFor(wait: Wait): void {
    const { host } = this.#parts;
    const run = this.#run!;
    const go = (step: () => IteratorResult<Wait, void>): void => {
      this.#wait = null;
      if (this.#isKilled) return this.end();
      this.#advance(step);
    };
    if (wait.kind === 'pause') {
      const drop = host.after(wait.ms, () => {
        if (wait.isCommit) {
          // What has begun is done, killed or not.
          this.#wait = null;
          this.#advance(() => run.next());
        } else go(() => run.next());
      });
      this.#wait = { isCommit: wait.isCommit, isLock: false, drop };
      return;
    }
    const { manager, request, timeoutMs } = wait;
    const dropTimer = host.after(timeoutMs, () => {
      manager.cancel(request);
      go(() => run.throw(lockTimeout()));
    });
    let dropResume = (): void => {};
    request.settle = (outcome) => {
      dropTimer();
      dropResume = host.after(0, () => {
        if (outcome === 'granted') this.#parts.resumed();
        go(() => (outcome === 'granted' ? run.next() : run.throw(deadlock())));
      });
    };
    const drop = (): void => {
      dropTimer();
      dropResume();
      manager.cancel(request);
    };
    this.#wait = { isCommit: false, isLock: true, drop };
  }

  *#serve(code: number, text: string): Run<void> {
    const answer = new AnswerWriter();
    if (code === command.setOption) {
      this.#takesSeveral = text.charCodeAt(0) === 0;
      answer.end(this.#status(true));
    } else if (code === command.query) yield* this.#query(text, answer);
    else throw new UnknownSql(`command ${code}`, text);
    this.#parts.send(answer.bytes());
  }

  /** Statements one by one; an error ends the command, and what stands behind it is never read. */
  *#query(sql: string, answer: AnswerWriter): Run<void> {
    try {
      for (const { statement, isLast } of parsedStatements(sql)) {
        if (!isLast && !this.#takesSeveral) {
          throw new SqlError(1064, 'You have an error in your SQL syntax');
        }
        const ms = this.#parts.statementMs();
        if (ms > 0) yield { kind: 'pause', ms, isCommit: false };
        const result = yield* runStatement(this.#execution, statement);
        if (this.#isKilled) throw new Killed();
        if (result.kind === 'rows') answer.rows(result.names, result.rows, this.#status(isLast));
        else answer.done(result.affected, this.#status(isLast));
      }
    } catch (error) {
      if (!(error instanceof SqlError)) throw error;
      this.#parts.refused(error.errno);
      answer.error(error);
    }
  }

  #status(isLast: boolean): number {
    const open = this.session.isExplicit ? statusBit.inTransaction : 0;
    return open | statusBit.autocommit | (isLast ? 0 : statusBit.more);
  }

  /** Ends the session when it was idle for too long, sooner within a transaction. One timer, armed again when it was early. */
  #watchIdle(afterMs: number): void {
    this.#parts.host.after(afterMs, () => {
      if (this.#isOver) return;
      const limit = this.#idleMsMax();
      const idleMs = this.#parts.host.now() - this.#idleSince;
      if (this.isIdle && idleMs >= limit) this.end();
      else
        this.#watchIdle(
          this.isIdle
            ? Math.max(1, limit - idleMs)
            : Math.max(this.#parts.state.secondMs(), limit / 4),
        );
    });
  }

  #idleMsMax(): number {
    const seconds = (name: string): number => Number(toInteger(this.#execution.variable(name)!));
    const open = this.session.isExplicit ? seconds('idle_transaction_timeout') : 0;
    const idle = seconds('wait_timeout');
    return this.#parts.state.secondMs() * (open > 0 ? Math.min(open, idle) : idle);
  }
}

function* parsedStatements(sql: string): Generator<ParsedStatement> {
  const known = parsed.get(sql);
  if (known !== undefined) return yield* known;
  const all: ParsedStatement[] = [];
  for (const next of statementsOf(sql)) {
    all.push(next);
    yield next;
  }
  if (sql.length > parsedBytesMax) return;
  if (parsed.size >= parsedCountMax) parsed.clear();
  parsed.set(sql, all);
}
