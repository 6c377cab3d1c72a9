/**
 * Runs the simple forms of the upstream's DDL on SQLite: CREATE, DROP, RENAME and TRUNCATE TABLE, ALTER TABLE that adds,
 * drops or renames columns, databases; indexes and constraints change no contents and are passed over. Anything else is
 * SINK_UNSUPPORTED, naming the statement by its verbs and table.
 */
import { fail } from '#src/base/failure.ts';
import type { DdlEvent } from '#src/model/position.ts';
import type { TableName } from '#src/model/span.ts';
import { TokenCursor } from '#src/model/token-cursor.ts';
import {
  type ColumnDefinition,
  isConstraint,
  skipElement,
  takeColumn,
  takeNameList,
} from './column-definition.ts';
import { createTableSql, quoteName, tableName } from './sqlite-column.ts';
import type { SqliteConnection } from './sqlite-connection.ts';

interface Ddl {
  readonly connection: SqliteConnection;
  readonly cursor: TokenCursor;
  readonly schema: string;
}

/** sql_mode bits: double quotes hold names; a backslash is only itself. */
const ansiQuotes = 4;
const noBackslashEscapes = 2 ** 20;

/** Runs `event` inside the open transaction. */
export function runSqliteDdl(connection: SqliteConnection, event: DdlEvent): void {
  const sqlMode = event.sqlMode ?? 0;
  const cursor = new TokenCursor(event.sql, {
    ansiQuotes: (sqlMode & ansiQuotes) !== 0,
    noBackslashEscapes: (sqlMode & noBackslashEscapes) !== 0,
  });
  const ddl = { connection, cursor, schema: event.schema };
  const verb = cursor.word();
  cursor.take();
  switch (verb) {
    case 'CREATE':
      create(ddl);
      return;
    case 'DROP':
      drop(ddl);
      return;
    case 'ALTER':
      alter(ddl);
      return;
    case 'RENAME':
      rename(ddl);
      return;
    case 'TRUNCATE':
      cursor.takeWord('TABLE');
      connection.exec(`DELETE FROM ${sqlName(takeTable(ddl, 'TRUNCATE TABLE'))}`);
      return;
    default:
      unsupported(verb === '' ? 'a statement without a verb' : verb);
  }
}

function create(ddl: Ddl): void {
  const { cursor } = ddl;
  const isReplacing = cursor.takeWord('OR') && cursor.takeWord('REPLACE');
  if (cursor.takeWord('DATABASE', 'SCHEMA')) return;
  if (/^(?:UNIQUE|FULLTEXT|SPATIAL|INDEX)$/.test(cursor.word())) return;
  const object = cursor.word();
  if (!cursor.takeWord('TABLE')) unsupported(`CREATE ${object}`);
  const isOptional = takeIfNotExists(cursor);
  const name = takeTable(ddl, 'CREATE TABLE');
  if (isOptional && exists(ddl.connection, name)) return;
  if (isReplacing) ddl.connection.exec(`DROP TABLE IF EXISTS ${sqlName(name)}`);
  if (!cursor.takeSign('(') || cursor.word() === 'LIKE')
    unsupported('CREATE TABLE LIKE or SELECT', name);
  const columns: ColumnDefinition[] = [];
  let key: readonly string[] = [];
  do {
    if (isConstraint(cursor)) {
      key = takePrimaryKey(cursor) ?? key;
    } else {
      const column = takeColumn(cursor);
      if (column === undefined)
        return unsupported('CREATE TABLE with an unknown column type', name);
      columns.push(column);
      if (column.isKey) key = [column.name];
    }
    skipElement(cursor);
  } while (cursor.takeSign(','));
  if (!cursor.takeSign(')')) unsupported('CREATE TABLE in a form that could not be read', name);
  refuseTail(cursor, name);
  // The statement may write a key column in another case than its definition.
  const keyNames = key.map(
    (one) => columns.find((column) => column.name.toLowerCase() === one.toLowerCase())?.name ?? one,
  );
  ddl.connection.exec(createTableSql(sqlName(name), columns, keyNames));
}

/** The columns of PRIMARY KEY (…), or undefined when the constraint is another. */
function takePrimaryKey(cursor: TokenCursor): readonly string[] | undefined {
  if (cursor.takeWord('CONSTRAINT') && cursor.word() !== 'PRIMARY') cursor.takeName();
  if (!cursor.takeWord('PRIMARY')) return undefined;
  cursor.takeWord('KEY');
  if (cursor.takeWord('USING')) cursor.take();
  return takeNameList(cursor);
}

/** Options behind the columns are passed over, except those that bring rows or versions of rows. */
function refuseTail(cursor: TokenCursor, name: TableName): void {
  for (let token = cursor.peek(); token !== undefined; token = cursor.peek()) {
    const word = cursor.word();
    if (token.kind === 'sign' && token.value === '(') {
      cursor.skipParentheses();
      continue;
    }
    cursor.take();
    if (/^(?:SELECT|VALUES|VERSIONING|START)$/.test(word) && !/PARTITION/.test(cursor.word())) {
      unsupported(`CREATE TABLE with ${word}`, name);
    }
    if (word === 'PARTITION') return;
  }
}

function drop(ddl: Ddl): void {
  const { connection, cursor } = ddl;
  if (cursor.word() === 'INDEX') return;
  if (cursor.takeWord('DATABASE', 'SCHEMA')) {
    takeIfExists(cursor);
    const schema = cursor.takeName();
    for (const row of connection.rows("SELECT name FROM sqlite_master WHERE type='table'")) {
      const name = String(row['name']);
      if (schema !== '' && name.startsWith(`${schema}.`))
        connection.exec(`DROP TABLE ${quoteName(name)}`);
    }
    return;
  }
  const object = cursor.word();
  if (!cursor.takeWord('TABLE', 'TABLES')) unsupported(`DROP ${object}`);
  const isOptional = takeIfExists(cursor);
  do {
    const name = takeTable(ddl, 'DROP TABLE');
    connection.exec(`DROP TABLE ${isOptional ? 'IF EXISTS ' : ''}${sqlName(name)}`);
  } while (cursor.takeSign(','));
}

function rename(ddl: Ddl): void {
  const { connection, cursor } = ddl;
  if (!cursor.takeWord('TABLE', 'TABLES')) unsupported(`RENAME ${cursor.word()}`);
  do {
    const before = takeTable(ddl, 'RENAME TABLE');
    cursor.takeWord('TO');
    const after = takeTable(ddl, 'RENAME TABLE');
    connection.exec(`ALTER TABLE ${sqlName(before)} RENAME TO ${sqlName(after)}`);
  } while (cursor.takeSign(','));
}

function alter(ddl: Ddl): void {
  const { cursor } = ddl;
  if (cursor.takeWord('DATABASE', 'SCHEMA')) return;
  cursor.takeWord('ONLINE');
  cursor.takeWord('IGNORE');
  const object = cursor.word();
  if (!cursor.takeWord('TABLE')) unsupported(`ALTER ${object}`);
  const isOptional = takeIfExists(cursor);
  let name = takeTable(ddl, 'ALTER TABLE');
  if (isOptional && !exists(ddl.connection, name)) return;
  do {
    name = alterOnce(ddl, name);
    skipElement(cursor);
  } while (cursor.takeSign(','));
}

/** One clause of ALTER TABLE; answers the table's name behind it. */
function alterOnce(ddl: Ddl, name: TableName): TableName {
  const { connection, cursor } = ddl;
  const verb = cursor.word();
  cursor.take();
  if (verb === 'ADD') {
    addColumns(ddl, name);
  } else if (verb === 'DROP') {
    dropColumn(ddl, name);
  } else if (verb === 'RENAME') {
    if (cursor.word() === 'INDEX' || cursor.word() === 'KEY') return name;
    if (cursor.takeWord('COLUMN')) {
      const before = cursor.takeName();
      cursor.takeWord('TO');
      const after = quoteName(cursor.takeName());
      connection.exec(
        `ALTER TABLE ${sqlName(name)} RENAME COLUMN ${quoteName(before)} TO ${after}`,
      );
      return name;
    }
    if (!cursor.takeWord('TO', 'AS')) cursor.takeSign('=');
    const after = takeTable(ddl, 'ALTER TABLE RENAME');
    connection.exec(`ALTER TABLE ${sqlName(name)} RENAME TO ${sqlName(after)}`);
    return after;
  } else if (
    !/^(?:ENGINE|COMMENT|AUTO_INCREMENT|ALGORITHM|LOCK|ROW_FORMAT|FORCE|NOWAIT)$/.test(verb)
  ) {
    unsupported(`ALTER TABLE … ${verb}`, name);
  }
  return name;
}

function addColumns(ddl: Ddl, name: TableName): void {
  const { cursor } = ddl;
  const hasWord = cursor.takeWord('COLUMN');
  takeIfNotExists(cursor);
  if (!hasWord && isConstraint(cursor)) {
    if (takePrimaryKey(cursor) !== undefined) unsupported('ALTER TABLE … ADD PRIMARY KEY', name);
    return;
  }
  if (!cursor.takeSign('(')) {
    addColumn(ddl, name);
    return;
  }
  do addColumn(ddl, name);
  while (cursor.takeSign(','));
  cursor.takeSign(')');
}

function addColumn(ddl: Ddl, name: TableName): void {
  const column = takeColumn(ddl.cursor);
  if (column === undefined || column.isKey) {
    return unsupported('ALTER TABLE … ADD in an unknown form', name);
  }
  const type = `${quoteName(column.name)} ${column.type}`.trimEnd();
  ddl.connection.exec(
    `ALTER TABLE ${sqlName(name)} ADD COLUMN ${type} DEFAULT ${initialSql(column, name)}`,
  );
}

/** What existing rows get: the default, or the type's own zero when the column can't be NULL. */
function initialSql(column: ColumnDefinition, name: TableName): string {
  const { initial, type, typeWord, scale } = column;
  const isDecimal = /^(?:DECIMAL|NUMERIC|DEC|FIXED)$/.test(typeWord);
  const isCharacter = /CHAR|TEXT/.test(typeWord);
  if (initial.kind === 'null' || (initial.kind === 'none' && !column.isNotNull)) return 'NULL';
  if (initial.kind === 'number' || initial.kind === 'none') {
    const value = initial.kind === 'number' ? initial.value : '0';
    if (isDecimal) return `'${withScale(value, scale)}'`;
    if (type === 'INTEGER' || type === 'REAL' || type === '') return value;
    if (initial.kind === 'none' && isCharacter) return "''";
  }
  if (initial.kind === 'text') {
    if (isDecimal && /^-?\d+(?:\.\d+)?$/.test(initial.value))
      return `'${withScale(initial.value, scale)}'`;
    if (type === 'INTEGER' && /^-?\d+$/.test(initial.value)) return initial.value;
    if (isCharacter || typeWord === 'ENUM' || typeWord === 'SET')
      return `'${initial.value.replaceAll("'", "''")}'`;
  }
  return unsupported('ALTER TABLE … ADD COLUMN with such a default', name);
}

function withScale(value: string, scale: number): string {
  const [whole = '0', fraction = ''] = value.split('.');
  return scale === 0 ? whole : `${whole}.${fraction.padEnd(scale, '0').slice(0, scale)}`;
}

function dropColumn(ddl: Ddl, name: TableName): void {
  const { connection, cursor } = ddl;
  const hasWord = cursor.takeWord('COLUMN');
  if (!hasWord && isConstraint(cursor)) {
    if (cursor.word() === 'PRIMARY') unsupported('ALTER TABLE … DROP PRIMARY KEY', name);
    return;
  }
  if (!hasWord && cursor.word() === 'PARTITION') unsupported('ALTER TABLE … DROP PARTITION', name);
  takeIfExists(cursor);
  connection.exec(`ALTER TABLE ${sqlName(name)} DROP COLUMN ${quoteName(cursor.takeName())}`);
}

function takeTable(ddl: Ddl, verb: string): TableName {
  const name = ddl.cursor.takeTable(ddl.schema);
  if (name === undefined || name.table === '') return unsupported(`${verb} without a table`);
  return name;
}

function takeIfNotExists(cursor: TokenCursor): boolean {
  return cursor.takeWord('IF') && cursor.takeWord('NOT') && cursor.takeWord('EXISTS');
}

function takeIfExists(cursor: TokenCursor): boolean {
  return cursor.takeWord('IF') && cursor.takeWord('EXISTS');
}

function exists(connection: SqliteConnection, name: TableName): boolean {
  const flat = `${name.schema}.${name.table}`;
  return (
    connection.row("SELECT 1 FROM sqlite_master WHERE type='table' AND name=?", flat) !== undefined
  );
}

function sqlName(name: TableName): string {
  return tableName(name.schema, name.table);
}

function unsupported(statement: string, name?: TableName): never {
  if (name === undefined)
    return fail('SINK_UNSUPPORTED', `the SQLite sink can not run ${statement}`);
  const table = `${name.schema}.${name.table}`;
  return fail('SINK_UNSUPPORTED', `the SQLite sink can not run ${statement} on ${table}`, {
    detail: { table },
  });
}
