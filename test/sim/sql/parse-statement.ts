/** Statements, one after the other out of a command. */
import { takeDefinition } from './parse-definition.ts';
import {
  isOperator,
  isWord,
  takeCount,
  takeExpression,
  takeList,
  takeName,
  takeOperator,
  takeSelect,
  takeTable,
  takeWord,
  tryOperator,
  tryWords,
} from './parse-expression.ts';
import { Tokens } from './tokens.ts';

import type { Assignment, Expression, Statement } from './ast.ts';

/** A statement of a command, and whether it is the last. */
export interface ParsedStatement {
  readonly statement: Statement;
  readonly isLast: boolean;
}

/** The statements of one command. A statement that is not known is refused when its turn comes, not before. */
export function* statementsOf(sql: string): Generator<ParsedStatement> {
  const tokens = new Tokens(sql);
  for (;;) {
    const statement = takeStatement(tokens);
    if (tokens.next.kind !== 'end') takeOperator(tokens, ';');
    const isLast = (tokens.next.kind as string) === 'end';
    yield { statement, isLast };
    if (isLast) return;
  }
}

function takeStatement(tokens: Tokens): Statement {
  if (tokens.next.kind !== 'word') tokens.unknown();
  switch (tokens.next.text) {
    case 'BEGIN':
      tokens.take();
      return { kind: 'begin' };
    case 'START':
      tryWords(tokens, 'START', 'TRANSACTION');
      return { kind: 'begin' };
    case 'COMMIT':
      tokens.take();
      return { kind: 'commit' };
    case 'ROLLBACK':
      tokens.take();
      return { kind: 'rollback' };
    case 'SET':
      return takeSet(tokens);
    case 'DO':
      tokens.take();
      return { kind: 'do', values: takeList(tokens, () => takeExpression(tokens)) };
    case 'USE':
      tokens.take();
      return { kind: 'use', schema: takeName(tokens) };
    case 'KILL':
      tokens.take();
      tryWords(tokens, 'CONNECTION');
      return { kind: 'kill', id: takeCount(tokens) };
    case 'SELECT':
      return { kind: 'select', select: takeSelect(tokens) };
    case 'INSERT':
    case 'REPLACE':
      return takeInsert(tokens);
    case 'UPDATE':
      return takeUpdate(tokens);
    case 'DELETE':
      return takeDelete(tokens);
    case 'SHOW':
      return takeShow(tokens);
    default:
      return takeDefinition(tokens);
  }
}

/** SET [SESSION] a=1,@b=2; SET NAMES x; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED. */
function takeSet(tokens: Tokens): Statement {
  takeWord(tokens, 'SET');
  tryWords(tokens, 'SESSION');
  if (tryWords(tokens, 'NAMES')) {
    tokens.take();
    return { kind: 'nothing' };
  }
  if (tryWords(tokens, 'TRANSACTION', 'ISOLATION', 'LEVEL', 'READ', 'COMMITTED')) {
    return { kind: 'nothing' };
  }
  const assignments = takeList(tokens, () => {
    const isUser = tokens.next.kind === 'user';
    const isSystem = tokens.next.kind === 'system';
    const name = isUser || isSystem ? tokens.take().text : takeName(tokens).toLowerCase();
    if (!tryOperator(tokens, ':=')) takeOperator(tokens, '=');
    return { name, isUser, value: takeSetting(tokens) };
  });
  return { kind: 'set', assignments };
}

/** A value of SET: words like ON and BINARY are texts there. */
function takeSetting(tokens: Tokens): Expression {
  const { next } = tokens;
  const isPlain = next.kind === 'word' && !['IF', 'REPLACE', 'DEFAULT', 'NULL'].includes(next.text);
  if (!isPlain || tokens.sql[next.end] === '(') return takeExpression(tokens);
  tokens.take();
  return { kind: 'literal', value: next.raw };
}

function takeInsert(tokens: Tokens): Statement {
  const replaces = tokens.take().text === 'REPLACE';
  tryWords(tokens, 'INTO');
  const table = takeTable(tokens);
  let columns: string[] | null = null;
  if (tryOperator(tokens, '(')) {
    columns = isOperator(tokens, ')') ? [] : takeList(tokens, () => takeName(tokens));
    takeOperator(tokens, ')');
  }
  takeWord(tokens, 'VALUES');
  const rows = takeList(tokens, () => {
    takeOperator(tokens, '(');
    const row = isOperator(tokens, ')') ? [] : takeList(tokens, () => takeExpression(tokens));
    takeOperator(tokens, ')');
    return row;
  });
  const onDuplicate = tryWords(tokens, 'ON', 'DUPLICATE', 'KEY', 'UPDATE')
    ? takeAssignments(tokens)
    : null;
  return { kind: 'insert', replaces, table, columns, rows, onDuplicate };
}

function takeUpdate(tokens: Tokens): Statement {
  takeWord(tokens, 'UPDATE');
  const table = takeTable(tokens);
  takeWord(tokens, 'SET');
  const assignments = takeAssignments(tokens);
  return { kind: 'update', table, assignments, ...takeWhere(tokens) };
}

function takeDelete(tokens: Tokens): Statement {
  takeWord(tokens, 'DELETE');
  takeWord(tokens, 'FROM');
  const table = takeTable(tokens);
  return { kind: 'delete', table, ...takeWhere(tokens) };
}

function takeWhere(tokens: Tokens): { where: Expression | null; limit: number | null } {
  const where = tryWords(tokens, 'WHERE') ? takeExpression(tokens) : null;
  const limit = tryWords(tokens, 'LIMIT') ? takeCount(tokens) : null;
  return { where, limit };
}

function takeAssignments(tokens: Tokens): Assignment[] {
  return takeList(tokens, () => {
    const name = takeName(tokens);
    takeOperator(tokens, '=');
    return { name, value: takeExpression(tokens) };
  });
}

function takeShow(tokens: Tokens): Statement {
  takeWord(tokens, 'SHOW');
  if (tryWords(tokens, 'GLOBAL', 'VARIABLES')) {
    const where = tryWords(tokens, 'WHERE') ? takeExpression(tokens) : null;
    return { kind: 'showVariables', where };
  }
  takeWord(tokens, 'CREATE');
  if (tryWords(tokens, 'TABLE')) return { kind: 'showCreateTable', table: takeTable(tokens) };
  if (!isWord(tokens, 'DATABASE')) tokens.unknown();
  tokens.take();
  return { kind: 'showCreateDatabase', schema: takeName(tokens) };
}
