import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { requireProgram } from '#test/servers/requirements.ts';

/** One row image: cells by column number, 1 first; null for NULL; text without its quotes. */
export type LoggedImage = readonly (string | null)[];

/** One row change as `mariadb-binlog` prints it. */
export interface LoggedRow {
  /** `schema.table`. */
  readonly table: string;
  readonly kind: 'insert' | 'update' | 'delete';
  /** Empty for an insert. */
  readonly before: LoggedImage;
  /** Empty for a delete. */
  readonly after: LoggedImage;
}

/** One transaction of a binary log. */
export interface LoggedTransaction {
  /** `domain-server-sequence`. */
  readonly gtid: string;
  /** A DDL statement, which is a transaction of its own. */
  readonly isDdl: boolean;
  /** Row changes per table. */
  readonly tables: ReadonlyMap<string, number>;
  /** The row changes of the tables asked for, in order. */
  readonly rows: readonly LoggedRow[];
}

const gtidLine = /^#.*\tGTID (\d+-\d+-\d+)(.*)$/;
const rowLine = /^### (INSERT INTO|UPDATE|DELETE FROM) `(.*)`\.`(.*)`$/;
const cellLine = /^### {3}@(\d+)=(.*) \/\* [^*]* \*\/$/;

const kinds = { 'INSERT INTO': 'insert', UPDATE: 'update', 'DELETE FROM': 'delete' } as const;

/**
 * Reads the text that `mariadb-binlog -vv --base64-output=decode-rows` prints, line by line. Row images are kept only for
 * tables that `wants` names; a transaction that never commits (a torn end of file) is not handed over.
 */
export class BinlogTextReader {
  readonly #wants: (table: string) => boolean;
  #gtid: string | null = null;
  #isDdl = false;
  #tables = new Map<string, number>();
  #rows: LoggedRow[] = [];
  #row: { table: string; kind: LoggedRow['kind']; images: (string | null)[][] } | null = null;
  #committed = false;

  constructor(wants: (table: string) => boolean) {
    this.#wants = wants;
  }

  /** Takes one line; answers the transaction that it shows to be complete. */
  line(text: string): LoggedTransaction | null {
    if (text.startsWith('###')) {
      this.#rowText(text);
      return null;
    }
    const gtid = text.startsWith('#') ? gtidLine.exec(text) : null;
    if (gtid !== null) {
      const done = this.end();
      this.#gtid = gtid[1]!;
      this.#isDdl = / ddl\b/.test(gtid[2]!);
      // A DDL has no line that ends it but the next transaction.
      this.#committed = this.#isDdl;
      return done;
    }
    if (text.startsWith('COMMIT')) this.#committed = true;
    return null;
  }

  /** The last transaction, when the log has ended. */
  end(): LoggedTransaction | null {
    this.#closeRow();
    const done =
      this.#gtid !== null && this.#committed
        ? { gtid: this.#gtid, isDdl: this.#isDdl, tables: this.#tables, rows: this.#rows }
        : null;
    this.#gtid = null;
    this.#tables = new Map();
    this.#rows = [];
    this.#committed = false;
    return done;
  }

  #rowText(text: string): void {
    const head = rowLine.exec(text);
    if (head !== null) {
      this.#closeRow();
      const table = `${unquote(head[2]!)}.${unquote(head[3]!)}`;
      this.#tables.set(table, (this.#tables.get(table) ?? 0) + 1);
      const kind = kinds[head[1] as keyof typeof kinds];
      if (this.#wants(table)) this.#row = { table, kind, images: [] };
      return;
    }
    if (this.#row === null) return;
    if (text === '### WHERE' || text === '### SET') {
      this.#row.images.push([]);
      return;
    }
    const cell = cellLine.exec(text);
    const image = this.#row.images.at(-1);
    if (cell !== null && image !== undefined) image[Number(cell[1])] = cellText(cell[2]!);
  }

  #closeRow(): void {
    if (this.#row === null) return;
    const { table, kind, images } = this.#row;
    const [first = [], second = []] = images;
    const before = kind === 'insert' ? [] : first;
    const after = kind === 'insert' ? first : second;
    this.#rows.push({ table, kind, before, after });
    this.#row = null;
  }
}

function unquote(name: string): string {
  return name.replaceAll('``', '`');
}

/** `-1 (18446744073709551615)` is an integer that may be unsigned: the bookkeeping tables' are. */
function cellText(text: string): string | null {
  if (text === 'NULL') return null;
  if (text.startsWith("'")) return text.slice(1, -1);
  return /^-\d+ \((\d+)\)$/.exec(text)?.[1] ?? text;
}

/** Streams the transactions of binary log files through the `mariadb-binlog` program: a decoder that is not ours. */
export async function* readBinlogFiles(
  files: readonly string[],
  wants: (table: string) => boolean,
): AsyncGenerator<LoggedTransaction> {
  const args = ['-vv', '--base64-output=decode-rows', ...files];
  const child = spawn(requireProgram('mariadb-binlog'), args, {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors = (errors + chunk.toString()).slice(-4_000);
  });
  const exit = new Promise<number | null>((resolve) => child.once('close', resolve));
  const reader = new BinlogTextReader(wants);
  try {
    for await (const line of createInterface({ input: child.stdout, crlfDelay: Infinity })) {
      const transaction = reader.line(line);
      if (transaction !== null) yield transaction;
    }
    const last = reader.end();
    if (last !== null) yield last;
    const status = await exit;
    if (status !== 0) throw new Error(`mariadb-binlog ended with ${status}: ${errors}`);
  } finally {
    child.kill();
  }
}
