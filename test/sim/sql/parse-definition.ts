/** Statements on definitions: simple CREATE, ALTER, DROP, TRUNCATE and RENAME. */
import {
  isOperator,
  isWord,
  takeCount,
  takeExpression,
  takeList,
  takeName,
  takeOperator,
  takeTable,
  takeWord,
  tryOperator,
  tryWords,
} from './parse-expression.ts';

import type { Alteration, CheckSpec, ColumnSpec, Definition, KeySpec } from './ast.ts';
import type { Tokens } from './tokens.ts';
import type { Value } from './value.ts';

type Bare = Definition extends infer D ? (D extends Definition ? Omit<D, 'text'> : never) : never;

/** Takes a statement that changes definitions. */
export function takeDefinition(tokens: Tokens): Definition {
  const { start } = tokens.next;
  const bare = takeBare(tokens);
  return { ...bare, text: tokens.sql.slice(start, tokens.next.start).trim() } as Definition;
}

function takeBare(tokens: Tokens): Bare {
  if (tryWords(tokens, 'CREATE')) return takeCreate(tokens);
  if (tryWords(tokens, 'DROP')) return takeDrop(tokens);
  if (tryWords(tokens, 'TRUNCATE')) {
    tryWords(tokens, 'TABLE');
    return { kind: 'truncate', table: takeTable(tokens) };
  }
  if (tryWords(tokens, 'RENAME', 'TABLE')) {
    const moves = takeList(tokens, () => {
      const from = takeTable(tokens);
      takeWord(tokens, 'TO');
      return { from, to: takeTable(tokens) };
    });
    return { kind: 'renameTable', moves };
  }
  if (!tryWords(tokens, 'ALTER', 'TABLE')) tokens.unknown();
  const table = takeTable(tokens);
  return { kind: 'alterTable', table, alterations: takeList(tokens, () => takeAlteration(tokens)) };
}

function takeCreate(tokens: Tokens): Bare {
  if (tryWords(tokens, 'DATABASE') || tryWords(tokens, 'SCHEMA')) {
    const ifMissing = tryWords(tokens, 'IF', 'NOT', 'EXISTS');
    return { kind: 'createDatabase', schema: takeName(tokens), ifMissing };
  }
  takeWord(tokens, 'TABLE');
  const ifMissing = tryWords(tokens, 'IF', 'NOT', 'EXISTS');
  const table = takeTable(tokens);
  const columns: ColumnSpec[] = [];
  const keys: KeySpec[] = [];
  const checks: CheckSpec[] = [];
  takeOperator(tokens, '(');
  takeList(tokens, () => {
    if (!takeTableItem(tokens, keys, checks)) columns.push(takeColumnSpec(tokens, keys));
  });
  takeOperator(tokens, ')');
  while (tokens.next.kind === 'word') {
    tokens.take();
    if (tryOperator(tokens, '=')) tokens.take();
  }
  return { kind: 'createTable', table, ifMissing, columns, keys, checks };
}

/** A key or a check; false when a column comes next. */
function takeTableItem(tokens: Tokens, keys: KeySpec[], checks: CheckSpec[]): boolean {
  if (tokens.next.kind !== 'word') return false;
  if (tryWords(tokens, 'PRIMARY', 'KEY')) {
    keys.unshift({ name: 'PRIMARY', isUnique: true, columns: takeNames(tokens) });
    return true;
  }
  if (tryWords(tokens, 'CONSTRAINT')) {
    const name = takeName(tokens);
    takeWord(tokens, 'CHECK');
    const { start } = tokens.next;
    takeOperator(tokens, '(');
    const condition = takeExpression(tokens);
    takeOperator(tokens, ')');
    checks.push({ name, condition, text: tokens.sql.slice(start, tokens.next.start).trim() });
    return true;
  }
  if (!isWord(tokens, 'UNIQUE', 'KEY', 'INDEX')) return false;
  const isUnique = tryWords(tokens, 'UNIQUE');
  if (isWord(tokens, 'KEY', 'INDEX')) tokens.take();
  const name = isOperator(tokens, '(') ? null : takeName(tokens);
  const columns = takeNames(tokens);
  keys.push({ name: name ?? columns[0]!, isUnique, columns });
  return true;
}

function takeNames(tokens: Tokens): string[] {
  takeOperator(tokens, '(');
  const names = takeList(tokens, () => takeName(tokens));
  takeOperator(tokens, ')');
  return names;
}

const types = new Set(
  'tinyint smallint mediumint int bigint varchar char varbinary binary tinyblob blob mediumblob longblob tinytext text mediumtext longtext'.split(
    ' ',
  ),
);

function takeColumnSpec(tokens: Tokens, keys: KeySpec[]): ColumnSpec {
  const name = takeName(tokens);
  const written = tokens.next.raw.toLowerCase();
  const type = written === 'integer' ? 'int' : written;
  if (!types.has(type)) tokens.unknown();
  tokens.take();
  let length: number | null = null;
  if (tryOperator(tokens, '(')) {
    length = takeCount(tokens);
    takeOperator(tokens, ')');
  }
  const spec = {
    name,
    type,
    length,
    isUnsigned: tryWords(tokens, 'UNSIGNED'),
    isNullable: true,
    isAutoIncrement: false,
    defaultValue: undefined as Value | undefined,
    charset: null as string | null,
    collation: null as string | null,
  };
  for (;;) {
    if (tryWords(tokens, 'NOT', 'NULL')) spec.isNullable = false;
    else if (tryWords(tokens, 'NULL')) spec.isNullable = true;
    else if (tryWords(tokens, 'AUTO_INCREMENT')) spec.isAutoIncrement = true;
    else if (tryWords(tokens, 'DEFAULT')) {
      const value = takeExpression(tokens);
      if (value.kind !== 'literal') tokens.unknown();
      spec.defaultValue = value.value;
    } else if (tryWords(tokens, 'CHARACTER', 'SET') || tryWords(tokens, 'CHARSET')) {
      spec.charset = takeName(tokens);
    } else if (tryWords(tokens, 'COLLATE')) {
      spec.collation = takeName(tokens);
    } else if (tryWords(tokens, 'PRIMARY', 'KEY')) {
      spec.isNullable = false;
      keys.unshift({ name: 'PRIMARY', isUnique: true, columns: [name] });
    } else return spec;
  }
}

function takeDrop(tokens: Tokens): Bare {
  if (tryWords(tokens, 'DATABASE') || tryWords(tokens, 'SCHEMA')) {
    const ifThere = tryWords(tokens, 'IF', 'EXISTS');
    return { kind: 'dropDatabase', schema: takeName(tokens), ifThere };
  }
  takeWord(tokens, 'TABLE');
  const ifThere = tryWords(tokens, 'IF', 'EXISTS');
  return { kind: 'dropTable', tables: takeList(tokens, () => takeTable(tokens)), ifThere };
}

function takeAlteration(tokens: Tokens): Alteration {
  const noKeys: KeySpec[] = [];
  if (tryWords(tokens, 'ADD')) {
    tryWords(tokens, 'COLUMN');
    return { kind: 'add', column: takeColumnSpec(tokens, noKeys) };
  }
  if (tryWords(tokens, 'DROP')) {
    tryWords(tokens, 'COLUMN');
    return { kind: 'drop', column: takeName(tokens) };
  }
  if (tryWords(tokens, 'MODIFY')) {
    tryWords(tokens, 'COLUMN');
    const column = takeColumnSpec(tokens, noKeys);
    return { kind: 'change', from: column.name, column };
  }
  if (tryWords(tokens, 'CHANGE')) {
    tryWords(tokens, 'COLUMN');
    const from = takeName(tokens);
    return { kind: 'change', from, column: takeColumnSpec(tokens, noKeys) };
  }
  if (tryWords(tokens, 'COMMENT')) {
    tryOperator(tokens, '=');
    return { kind: 'comment', text: tokens.take().text };
  }
  if (!tryWords(tokens, 'RENAME')) tokens.unknown();
  tryWords(tokens, 'TO');
  return { kind: 'rename', to: takeTable(tokens) };
}
