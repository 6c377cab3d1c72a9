import { fail } from '#src/base/failure.ts';
import { PayloadReader } from './wire.ts';

/** One row of a result set: column name to value. Integers as numbers while exact, everything else as utf-8 text. */
export type ResultRow = Readonly<Record<string, string | number | null>>;

/** What one statement of a command answered. */
export interface StatementResult {
  /** Rows changed (or, with CLIENT_FOUND_ROWS, matched); 0 for a result set. */
  readonly affectedRows: number;
  /** Null when the statement returned no result set. */
  readonly rows: readonly ResultRow[] | null;
}

/** An error packet. `statementIndex` counts the statements of the command from 0: those before it succeeded. */
export interface ServerError {
  readonly errno: number;
  readonly sqlState: string;
  /** The server's own words. May hold row values: never to be shown before {@link isSafeMessage}. */
  readonly text: string;
  readonly statementIndex: number;
}

/** What a command answered as a whole. */
export interface CommandAnswer {
  /** How many statements succeeded. */
  readonly statementCount: number;
  /** Results of the statements that returned rows or, for a short command, of all of them. */
  readonly results: readonly StatementResult[];
  readonly error: ServerError | null;
}

/** Results kept per command; a batch of thousands of statements is only counted. */
const resultCountMax = 64;
const moreResults = 0x0008;
const inTransaction = 0x0001;
const integerTypes: ReadonlySet<number> = new Set([1, 2, 3, 8, 9, 13]);

interface Column {
  readonly name: string;
  readonly isInteger: boolean;
}

/**
 * The answer to one COM_QUERY, fed payload by payload: OK, ERR and result sets of several statements in a row.
 * `answer` is null until the last one arrived. Rows are bounded by `rowBytesMax` over the whole command.
 */
export class AnswerReader {
  readonly #rowBytesMax: number;
  #statementCount = 0;
  #results: StatementResult[] = [];
  #columns: Column[] = [];
  #columnsLeft = 0;
  #phase: 'head' | 'columns' | 'columnsEnd' | 'rows' = 'head';
  #rows: ResultRow[] = [];
  #rowBytes = 0;
  /** The finished answer, or null while packets are missing. */
  answer: CommandAnswer | null = null;
  /** Whether the server says that a transaction is open, as of the last OK packet. */
  inTransaction = false;

  constructor(rowBytesMax: number) {
    this.#rowBytesMax = rowBytesMax;
  }

  /** Takes the next payload; throws a FailureError when it breaks the protocol. */
  push(payload: Buffer): void {
    const first = payload[0];
    if (first === undefined) unexpected('an empty packet');
    if (first === 0xff) {
      this.#finish(readError(payload, this.#statementCount));
      return;
    }
    switch (this.#phase) {
      case 'head':
        this.#readHead(payload, first);
        return;
      case 'columns':
        this.#columns.push(readColumn(payload));
        if (--this.#columnsLeft === 0) this.#phase = 'columnsEnd';
        return;
      case 'columnsEnd':
        if (!isEnd(payload)) unexpected('no end of the column list');
        this.#phase = 'rows';
        return;
      case 'rows':
        if (isEnd(payload)) this.#endRows(payload.readUInt16LE(3));
        else this.#readRow(payload);
    }
  }

  #readHead(payload: Buffer, first: number): void {
    // A server that asks for a local file would read this machine's files: never answered.
    if (first === 0xfb) unexpected('a request for a local file');
    const fields = new PayloadReader(payload, first === 0x00 || isEnd(payload) ? 1 : 0);
    if (first === 0x00) {
      const affectedRows = fields.integer() ?? 0;
      fields.integer();
      this.#endStatement({ affectedRows, rows: null }, fields.short());
    } else if (isEnd(payload)) {
      this.#endStatement({ affectedRows: 0, rows: null }, payload.readUInt16LE(3));
    } else {
      this.#columnsLeft = fields.integer() ?? 0;
      if (this.#columnsLeft === 0 || this.#columnsLeft > 4096) unexpected('a broken column count');
      this.#columns = [];
      this.#rows = [];
      this.#phase = 'columns';
    }
  }

  #readRow(payload: Buffer): void {
    this.#rowBytes += payload.byteLength;
    if (this.#rowBytes > this.#rowBytesMax) unexpected('a result above the bound');
    const fields = new PayloadReader(payload);
    // No prototype: column names come from the server.
    const row = Object.create(null) as Record<string, string | number | null>;
    for (const column of this.#columns) row[column.name] = readCell(fields.text(), column);
    this.#rows.push(row);
  }

  #endRows(status: number): void {
    this.#phase = 'head';
    this.#endStatement({ affectedRows: 0, rows: this.#rows }, status);
  }

  #endStatement(result: StatementResult, status: number): void {
    this.#statementCount++;
    this.inTransaction = (status & inTransaction) !== 0;
    if (result.rows !== null || this.#results.length < resultCountMax) this.#results.push(result);
    if ((status & moreResults) === 0) this.#finish(null);
  }

  #finish(error: ServerError | null): void {
    this.answer = { statementCount: this.#statementCount, results: this.#results, error };
  }
}

function isEnd(payload: Buffer): boolean {
  return payload[0] === 0xfe && payload.byteLength === 5;
}

function readCell(text: Buffer | null, column: Column): string | number | null {
  if (text === null) return null;
  const value = text.toString('utf8');
  if (!column.isInteger) return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function readColumn(payload: Buffer): Column {
  const fields = new PayloadReader(payload);
  for (let skipped = 0; skipped < 4; skipped++) fields.text();
  const name = (fields.text() ?? Buffer.alloc(0)).toString('utf8');
  // The type is counted from the end: servers differ in what stands between the names and the fixed tail.
  const type = payload[payload.byteLength - 6];
  return { name, isInteger: type !== undefined && integerTypes.has(type) };
}

function readError(payload: Buffer, statementIndex: number): ServerError {
  if (payload.byteLength < 3) unexpected('an error packet cut short');
  const hasState = payload[3] === 0x23;
  return {
    errno: payload.readUInt16LE(1),
    sqlState: hasState ? payload.toString('latin1', 4, 9) : '',
    text: payload.toString('utf8', hasState ? 9 : 3).slice(0, 1024),
    statementIndex,
  };
}

function unexpected(what: string): never {
  return fail('SINK_DISCONNECTED', `the downstream sent ${what}`, { retry: 'Reconnect' });
}
