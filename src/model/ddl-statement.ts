/**
 * What kind of statement a QUERY event holds, and which tables or schemas it names. It reads only as much of the grammar
 * as that takes: keywords, names, quotes, comments. Total: text it does not know is `unknown`, never an error.
 */
import type { TableName } from './span.ts';
import type { SqlQuoting } from './sql-token.ts';
import { TokenCursor } from './token-cursor.ts';

/** What a DDL statement works on. */
export type DdlObject = 'table' | 'view' | 'index' | 'sequence' | 'database';

/** What it does to it. */
export type DdlAction = 'create' | 'alter' | 'drop' | 'rename' | 'truncate';

/** A statement on tables, views, indexes, sequences or databases: replicated. */
export interface DdlStatement {
  readonly kind: 'ddl';
  readonly object: DdlObject;
  readonly action: DdlAction;
  /** Tables, views or sequences that it makes, changes or removes, in order; for a rename old and new in turn. */
  readonly tables: readonly TableName[];
  /** The schema of a statement on a database. */
  readonly schemas: readonly string[];
  /** Offset of a trailing `START TRANSACTION` clause (MySQL logs CREATE TABLE … SELECT so); −1 when there is none. */
  readonly startTransactionAt: number;
  /** The statement has `IF EXISTS`. */
  readonly ifExists: boolean;
}

/** The kinds of statements a log may hold. */
export type Statement =
  | { readonly kind: 'begin' | 'commit' | 'rollback' | 'release-savepoint' }
  | { readonly kind: 'savepoint' | 'rollback-to'; readonly name: string }
  | {
      readonly kind: 'xa';
      readonly verb: 'start' | 'end' | 'prepare' | 'commit' | 'rollback';
      /** `hex(global).hex(branch).format`. */
      readonly xid: string;
      readonly onePhase: boolean;
    }
  | DdlStatement
  /** Not replicated, by decision: accounts, maintenance, temporary tables, session settings, nothing at all. */
  | { readonly kind: 'ignored'; readonly reason: IgnoredReason }
  /** Stored routines, triggers, events: not replicated; downstream they would do their work a second time. */
  | { readonly kind: 'routine'; readonly schema: string }
  /** Changes rows by a statement. `target` is its table when the statement names exactly one. */
  | { readonly kind: 'dml'; readonly verb: string; readonly target: TableName | undefined }
  | { readonly kind: 'unknown'; readonly verb: string };

/** Why a statement is not replicated. */
export type IgnoredReason =
  | 'account'
  | 'maintenance'
  | 'temporary'
  | 'session'
  | 'empty'
  | 'server';

const ignoredVerbs: Readonly<Record<string, IgnoredReason>> = {
  GRANT: 'account',
  REVOKE: 'account',
  ANALYZE: 'maintenance',
  OPTIMIZE: 'maintenance',
  REPAIR: 'maintenance',
  CHECK: 'maintenance',
  CHECKSUM: 'maintenance',
  CACHE: 'maintenance',
  FLUSH: 'maintenance',
  RESET: 'maintenance',
  PURGE: 'maintenance',
  KILL: 'maintenance',
  SHUTDOWN: 'maintenance',
  LOCK: 'session',
  UNLOCK: 'session',
  USE: 'session',
  DEALLOCATE: 'session',
  PREPARE: 'session',
  EXECUTE: 'session',
  INSTALL: 'server',
  UNINSTALL: 'server',
  BINLOG: 'server',
  CHANGE: 'server',
  START: 'server',
  STOP: 'server',
  RESTART: 'server',
};

const objectWords: Readonly<
  Record<string, DdlObject | 'routine' | Extract<IgnoredReason, 'account' | 'server' | 'session'>>
> = {
  TABLE: 'table',
  TABLES: 'table',
  VIEW: 'view',
  INDEX: 'index',
  SEQUENCE: 'sequence',
  DATABASE: 'database',
  SCHEMA: 'database',
  FUNCTION: 'routine',
  PROCEDURE: 'routine',
  PACKAGE: 'routine',
  TRIGGER: 'routine',
  EVENT: 'routine',
  LIBRARY: 'routine',
  USER: 'account',
  ROLE: 'account',
  SERVER: 'server',
  TABLESPACE: 'server',
  LOGFILE: 'server',
  UNDO: 'server',
  INSTANCE: 'server',
  RESOURCE: 'server',
  REFERENCE: 'server',
  PREPARE: 'session',
};

const rowVerbs: readonly string[] = [
  'INSERT',
  'REPLACE',
  'UPDATE',
  'DELETE',
  'LOAD',
  'CALL',
  'DO',
  'WITH',
  'SELECT',
  'HANDLER',
];

/** Modifiers between the verb and the object of a statement: at most this many are read. */
const modifiersMax = 64;

/** Classifies `sql`; names without a schema get `defaultSchema`. */
export function classifyStatement(
  sql: string,
  defaultSchema: string,
  quoting: SqlQuoting = {},
): Statement {
  const cursor = new TokenCursor(sql, quoting);
  skipSetStatement(cursor);
  const verb = cursor.word();
  if (cursor.peek() === undefined) return { kind: 'ignored', reason: 'empty' };
  const transaction = readTransactionControl(cursor, verb);
  if (transaction !== undefined) return transaction;
  if (rowVerbs.includes(verb)) return readRowStatement(cursor, verb, defaultSchema);
  if (verb === 'TRUNCATE') return readTruncate(cursor, defaultSchema);
  if (verb === 'RENAME') return readRename(cursor, defaultSchema);
  if (verb === 'CREATE' || verb === 'ALTER' || verb === 'DROP') {
    return readObjectStatement(cursor, verb, defaultSchema);
  }
  if (verb === 'SET') return { kind: 'ignored', reason: 'session' };
  const reason = Object.hasOwn(ignoredVerbs, verb) ? ignoredVerbs[verb] : undefined;
  if (reason !== undefined) return { kind: 'ignored', reason };
  return { kind: 'unknown', verb };
}

/** `SET STATEMENT variable=value FOR …` runs what stands behind FOR. */
function skipSetStatement(cursor: TokenCursor): void {
  if (cursor.word() !== 'SET' || cursor.word(1) !== 'STATEMENT') return;
  while (cursor.peek() !== undefined && !cursor.takeWord('FOR')) cursor.take();
}

function readTransactionControl(cursor: TokenCursor, verb: string): Statement | undefined {
  switch (verb) {
    case 'BEGIN':
      return { kind: 'begin' };
    case 'START':
      return cursor.word(1) === 'TRANSACTION' ? { kind: 'begin' } : undefined;
    case 'COMMIT':
      return { kind: 'commit' };
    case 'SAVEPOINT':
      cursor.take();
      return { kind: 'savepoint', name: cursor.takeName() };
    case 'RELEASE':
      return { kind: 'release-savepoint' };
    case 'ROLLBACK':
      cursor.take();
      cursor.takeWord('WORK');
      if (!cursor.takeWord('TO')) return { kind: 'rollback' };
      cursor.takeWord('SAVEPOINT');
      return { kind: 'rollback-to', name: cursor.takeName() };
    case 'XA':
      return readXa(cursor);
    default:
      return undefined;
  }
}

const xaVerbs = {
  START: 'start',
  BEGIN: 'start',
  END: 'end',
  PREPARE: 'prepare',
  COMMIT: 'commit',
  ROLLBACK: 'rollback',
} as const;

function readXa(cursor: TokenCursor): Statement {
  cursor.take();
  const word = cursor.word();
  if (!Object.hasOwn(xaVerbs, word)) return { kind: 'unknown', verb: `XA ${word}` };
  cursor.take();
  const global = readXidPart(cursor);
  const branch = cursor.takeSign(',') ? readXidPart(cursor) : '';
  const format = cursor.takeSign(',') ? cursor.takeName() : '1';
  const onePhase = cursor.word() === 'ONE';
  const verb = xaVerbs[word as keyof typeof xaVerbs];
  return { kind: 'xa', verb, xid: `${global}.${branch}.${Number(format)}`, onePhase };
}

/** A part of an xid in lower-case hexadecimal digits, written as `X'6162'`, `0x6162` or `'ab'`. */
function readXidPart(cursor: TokenCursor): string {
  const token = cursor.take();
  if (token === undefined) return '';
  if (token.kind === 'word' && token.value.toUpperCase() === 'X') {
    return (cursor.take()?.value ?? '').toLowerCase();
  }
  if (token.kind === 'word' && token.value.startsWith('0x'))
    return token.value.slice(2).toLowerCase();
  let hex = '';
  for (const byte of new TextEncoder().encode(token.value))
    hex += byte.toString(16).padStart(2, '0');
  return hex;
}

const rowModifiers = ['LOW_PRIORITY', 'DELAYED', 'HIGH_PRIORITY', 'IGNORE', 'QUICK', 'INTO'];

function readRowStatement(cursor: TokenCursor, verb: string, defaultSchema: string): Statement {
  cursor.take();
  while (cursor.takeWord(...rowModifiers));
  if (verb === 'DELETE' && !cursor.takeWord('FROM'))
    return { kind: 'dml', verb, target: undefined };
  if (verb !== 'DELETE' && verb !== 'INSERT' && verb !== 'REPLACE' && verb !== 'UPDATE') {
    return { kind: 'dml', verb, target: undefined };
  }
  const target = cursor.takeTable(defaultSchema);
  const next = cursor.peek();
  const several =
    (verb === 'UPDATE' && cursor.word() !== 'SET') ||
    (verb === 'DELETE' && (next?.value === ',' || cursor.word() === 'USING'));
  return { kind: 'dml', verb, target: several ? undefined : target };
}

function ddl(
  object: DdlObject,
  action: DdlAction,
  more: Partial<Omit<DdlStatement, 'kind' | 'object' | 'action'>>,
): DdlStatement {
  return {
    kind: 'ddl',
    object,
    action,
    tables: [],
    schemas: [],
    startTransactionAt: -1,
    ifExists: false,
    ...more,
  };
}

function readTruncate(cursor: TokenCursor, defaultSchema: string): Statement {
  cursor.take();
  cursor.takeWord('TABLE');
  const table = cursor.takeTable(defaultSchema);
  return ddl('table', 'truncate', { tables: table === undefined ? [] : [table] });
}

function readRename(cursor: TokenCursor, defaultSchema: string): Statement {
  cursor.take();
  if (cursor.takeWord('USER')) return { kind: 'ignored', reason: 'account' };
  cursor.takeWord('TABLE', 'TABLES');
  const ifExists = skipExists(cursor);
  const tables: TableName[] = [];
  do {
    const from = cursor.takeTable(defaultSchema);
    skipWait(cursor);
    if (from === undefined || !cursor.takeWord('TO', 'AS')) break;
    const to = cursor.takeTable(defaultSchema);
    if (to !== undefined) tables.push(from, to);
  } while (cursor.takeSign(','));
  return ddl('table', 'rename', { tables, ifExists });
}

function readObjectStatement(
  cursor: TokenCursor,
  verb: 'CREATE' | 'ALTER' | 'DROP',
  defaultSchema: string,
): Statement {
  cursor.take();
  let temporary = false;
  let object: (typeof objectWords)[string] | undefined;
  for (let i = 0; i < modifiersMax && object === undefined; i++) {
    const token = cursor.take();
    if (token === undefined) break;
    if (token.kind !== 'word') continue;
    const word = token.value.toUpperCase();
    if (word === 'TEMPORARY') temporary = true;
    else if (Object.hasOwn(objectWords, word)) object = objectWords[word];
  }
  switch (object) {
    case undefined:
      return { kind: 'unknown', verb };
    case 'account':
    case 'server':
    case 'session':
      return { kind: 'ignored', reason: object };
    case 'routine':
      cursor.takeWord('BODY');
      skipExists(cursor);
      return { kind: 'routine', schema: cursor.takeTable(defaultSchema)?.schema ?? defaultSchema };
    case 'database':
      return readDatabase(cursor, verb, defaultSchema);
    case 'index':
      return readIndex(cursor, verb, defaultSchema);
    case 'table':
    case 'view':
    case 'sequence':
      if (temporary) return { kind: 'ignored', reason: 'temporary' };
      return readTable(cursor, verb, { object, defaultSchema });
  }
}

const actions = { CREATE: 'create', ALTER: 'alter', DROP: 'drop' } as const;

function readDatabase(
  cursor: TokenCursor,
  verb: keyof typeof actions,
  fallback: string,
): Statement {
  const ifExists = skipExists(cursor);
  const word = cursor.word();
  // ALTER DATABASE without a name changes the default database.
  const nameless =
    verb === 'ALTER' &&
    ['CHARACTER', 'CHARSET', 'COLLATE', 'DEFAULT', 'COMMENT', 'ENCRYPTION', 'READ'].includes(word);
  const schema = nameless ? fallback : cursor.takeName();
  return ddl('database', actions[verb], { schemas: [schema], ifExists });
}

function readIndex(cursor: TokenCursor, verb: keyof typeof actions, fallback: string): Statement {
  const ifExists = skipExists(cursor);
  for (let token = cursor.take(); token !== undefined; token = cursor.take()) {
    if (token.kind === 'word' && token.value.toUpperCase() === 'ON') break;
  }
  const table = cursor.takeTable(fallback);
  return ddl('index', actions[verb], { tables: table === undefined ? [] : [table], ifExists });
}

function readTable(
  cursor: TokenCursor,
  verb: keyof typeof actions,
  subject: { readonly object: DdlObject; readonly defaultSchema: string },
): Statement {
  const { object, defaultSchema } = subject;
  const ifExists = skipExists(cursor);
  const tables: TableName[] = [];
  const takeTable = (): void => {
    const table = cursor.takeTable(defaultSchema);
    if (table !== undefined) tables.push(table);
  };
  takeTable();
  let startTransactionAt = -1;
  if (verb === 'DROP') {
    while (cursor.takeSign(',')) takeTable();
  } else if (object === 'table' && verb === 'ALTER') {
    readAlterClauses(cursor, takeTable);
  } else if (object === 'table') {
    startTransactionAt = findStartTransaction(cursor);
  }
  return ddl(object, actions[verb], { tables, ifExists, startTransactionAt });
}

/** Finds the tables that an ALTER TABLE names besides its own: RENAME TO, EXCHANGE PARTITION … WITH TABLE. */
function readAlterClauses(cursor: TokenCursor, takeTable: () => void): void {
  let clauseBegins = true;
  for (let token = cursor.peek(); token !== undefined; token = cursor.peek()) {
    const word = cursor.word();
    if (token.kind === 'sign' && token.value === '(') {
      cursor.skipParentheses();
      clauseBegins = false;
    } else if (clauseBegins && word === 'RENAME') {
      cursor.take();
      if (['COLUMN', 'INDEX', 'KEY', 'CONSTRAINT', 'PARTITION'].includes(cursor.word())) continue;
      cursor.takeWord('TO', 'AS');
      cursor.takeSign('=');
      takeTable();
    } else if (word === 'WITH' && cursor.word(1) === 'TABLE') {
      cursor.take();
      cursor.take();
      takeTable();
    } else if (word === 'WAIT' || word === 'NOWAIT') {
      skipWait(cursor);
    } else {
      cursor.take();
      clauseBegins = token.kind === 'sign' && token.value === ',';
    }
  }
}

function findStartTransaction(cursor: TokenCursor): number {
  for (let token = cursor.peek(); token !== undefined; token = cursor.peek()) {
    if (token.kind === 'sign' && token.value === '(') cursor.skipParentheses();
    else if (cursor.word() === 'START' && cursor.word(1) === 'TRANSACTION') return token.start;
    else cursor.take();
  }
  return -1;
}

/** Takes IF [NOT] EXISTS and WAIT; true for IF EXISTS. */
function skipExists(cursor: TokenCursor): boolean {
  let ifExists = false;
  if (cursor.word() === 'IF') {
    cursor.take();
    ifExists = !cursor.takeWord('NOT');
    cursor.takeWord('EXISTS');
  }
  skipWait(cursor);
  return ifExists;
}

function skipWait(cursor: TokenCursor): void {
  if (cursor.takeWord('NOWAIT')) return;
  const after = cursor.peek(1);
  if (cursor.word() === 'WAIT' && after?.kind === 'word' && /^\d+$/.test(after.value)) {
    cursor.take();
    cursor.take();
  }
}
