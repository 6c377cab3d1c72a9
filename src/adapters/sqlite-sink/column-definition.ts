/** Reads the column definitions of CREATE TABLE and ALTER TABLE, as far as SQLite needs them. */
import type { TokenCursor } from '#src/model/token-cursor.ts';
import type { NewColumn, SqliteType } from './sqlite-column.ts';

/** A column as a statement defines it. */
export interface ColumnDefinition extends NewColumn {
  /** Type word, upper case. */
  readonly typeWord: string;
  /** Digits after the point of a decimal. */
  readonly scale: number;
  readonly isKey: boolean;
  readonly isNotNull: boolean;
  /** The default as the statement has it: a literal, nothing, or something else (`other`). */
  readonly initial:
    | { readonly kind: 'none' | 'null' | 'other' }
    | { readonly kind: 'number' | 'text'; readonly value: string };
}

const integers =
  'TINYINT SMALLINT MEDIUMINT INT INTEGER BIGINT BOOL BOOLEAN YEAR INT1 INT2 INT3 INT4 INT8 MIDDLEINT';
const reals = 'FLOAT DOUBLE REAL FLOAT4 FLOAT8';
const bytes =
  'BINARY VARBINARY TINYBLOB BLOB MEDIUMBLOB LONGBLOB BIT GEOMETRY POINT LINESTRING POLYGON MULTIPOINT MULTILINESTRING MULTIPOLYGON GEOMETRYCOLLECTION VECTOR INET4 INET6 UUID';
const texts =
  'CHAR VARCHAR TINYTEXT TEXT MEDIUMTEXT LONGTEXT ENUM SET JSON DECIMAL NUMERIC DEC FIXED DATE TIME DATETIME TIMESTAMP NCHAR NVARCHAR CHARACTER NATIONAL LONG';

const typeByWord: ReadonlyMap<string, SqliteType> = new Map([
  ...integers.split(' ').map((word) => [word, 'INTEGER'] as const),
  ...reals.split(' ').map((word) => [word, 'REAL'] as const),
  ...bytes.split(' ').map((word) => [word, 'BLOB'] as const),
  ...texts.split(' ').map((word) => [word, 'TEXT'] as const),
]);

/** True when the cursor stands at a key, index or constraint instead of a column. */
export function isConstraint(cursor: TokenCursor): boolean {
  const word = cursor.word();
  if (word === 'PERIOD') return cursor.word(1) === 'FOR';
  return /^(?:CONSTRAINT|PRIMARY|UNIQUE|KEY|INDEX|FULLTEXT|SPATIAL|FOREIGN|CHECK)$/.test(word);
}

/** Takes one column definition up to the comma or parenthesis behind it; undefined when its type is not known. */
export function takeColumn(cursor: TokenCursor): ColumnDefinition | undefined {
  const name = cursor.takeName();
  const typeWord = cursor.word();
  const type = typeByWord.get(typeWord);
  if (name === '' || type === undefined) return undefined;
  cursor.take();
  const scale = takeScale(cursor);
  let isUnsigned = false;
  let isKey = false;
  let isNotNull = false;
  let initial: ColumnDefinition['initial'] = { kind: 'none' };
  while (!isElementEnd(cursor)) {
    const word = cursor.word();
    if (cursor.peek()?.value === '(') {
      cursor.skipParentheses();
      continue;
    }
    cursor.take();
    if (word === 'UNSIGNED' || word === 'ZEROFILL') isUnsigned = true;
    else if (word === 'PRIMARY') isKey = true;
    else if (word === 'KEY' && !isKey) isKey = false;
    else if (word === 'NOT' && cursor.takeWord('NULL')) isNotNull = true;
    else if (word === 'DEFAULT') initial = takeInitial(cursor);
    else if (word === 'COMMENT' || word === 'COLLATE') cursor.take();
    // The values of existing rows of such a column are computed by the server.
    else if (word === 'AS' || word === 'GENERATED') initial = { kind: 'other' };
  }
  const isLong = typeWord === 'BIGINT' || typeWord === 'INT8';
  return {
    name,
    type: isLong && isUnsigned ? '' : type,
    typeWord,
    scale,
    isKey,
    isNotNull,
    initial,
  };
}

/** True at the comma or parenthesis that ends an element, or at the end of the statement. */
export function isElementEnd(cursor: TokenCursor): boolean {
  const token = cursor.peek();
  if (token === undefined) return true;
  return (
    token.kind === 'sign' && (token.value === ',' || token.value === ')' || token.value === ';')
  );
}

/** Passes over everything up to the end of the element. */
export function skipElement(cursor: TokenCursor): void {
  while (!isElementEnd(cursor)) {
    if (cursor.peek()?.value === '(' && cursor.peek()?.kind === 'sign') cursor.skipParentheses();
    else cursor.take();
  }
}

/** Takes `(a, b(10) DESC, …)`: the names, without lengths and order. */
export function takeNameList(cursor: TokenCursor): readonly string[] {
  const names: string[] = [];
  if (!cursor.takeSign('(')) return names;
  while (cursor.peek() !== undefined) {
    names.push(cursor.takeName());
    if (cursor.peek()?.value === '(') cursor.skipParentheses();
    cursor.takeWord('ASC', 'DESC');
    if (!cursor.takeSign(',')) break;
  }
  cursor.takeSign(')');
  return names;
}

function takeScale(cursor: TokenCursor): number {
  if (cursor.peek()?.value !== '(' || cursor.peek()?.kind !== 'sign') return 0;
  const scale = cursor.peek(2)?.value === ',' ? Number(cursor.peek(3)?.value) : 0;
  cursor.skipParentheses();
  return Number.isSafeInteger(scale) ? scale : 0;
}

function takeInitial(cursor: TokenCursor): ColumnDefinition['initial'] {
  const isNegative = cursor.takeSign('-');
  const token = cursor.take();
  if (token?.kind === 'text') {
    // Escapes would have to be read the way the server's sql_mode says.
    return token.value.includes('\\') ? { kind: 'other' } : { kind: 'text', value: token.value };
  }
  if (token?.kind === 'word' && token.value.toUpperCase() === 'NULL') return { kind: 'null' };
  if (token?.kind !== 'word' || !/^\d+$/.test(token.value)) return { kind: 'other' };
  let value = `${isNegative ? '-' : ''}${token.value}`;
  if (cursor.takeSign('.')) value += `.${cursor.take()?.value ?? ''}`;
  return /^-?\d+(?:\.\d+)?$/.test(value) ? { kind: 'number', value } : { kind: 'other' };
}
