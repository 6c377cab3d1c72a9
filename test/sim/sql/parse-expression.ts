/** Expressions and queries. */
import { byteText } from './value.ts';

import type { Expression, Output, Select, Source, TableRef } from './ast.ts';
import type { Token, Tokens } from './tokens.ts';

/** Whether the next token is one of these words. */
export function isWord(tokens: Tokens, ...words: readonly string[]): boolean {
  return tokens.next.kind === 'word' && words.includes(tokens.next.text);
}

/** Takes the words when they come next, one after the other; only the first decides. */
export function tryWords(tokens: Tokens, ...words: readonly string[]): boolean {
  if (!isWord(tokens, words[0]!)) return false;
  for (const word of words) takeWord(tokens, word);
  return true;
}

/** Takes this word. */
export function takeWord(tokens: Tokens, word: string): void {
  if (!isWord(tokens, word)) tokens.unknown();
  tokens.take();
}

/** Whether the next token is this operator. */
export function isOperator(tokens: Tokens, operator: string): boolean {
  return tokens.next.kind === 'operator' && tokens.next.text === operator;
}

/** Takes this operator when it comes next. */
export function tryOperator(tokens: Tokens, operator: string): boolean {
  if (!isOperator(tokens, operator)) return false;
  tokens.take();
  return true;
}

/** Takes this operator. */
export function takeOperator(tokens: Tokens, operator: string): void {
  if (!tryOperator(tokens, operator)) tokens.unknown();
}

/** Takes a name, quoted or not. */
export function takeName(tokens: Tokens): string {
  if (tokens.next.kind !== 'name' && tokens.next.kind !== 'word') tokens.unknown();
  return tokens.take().raw.replaceAll('``', '`');
}

/** Takes `table` or `schema.table`. */
export function takeTable(tokens: Tokens): TableRef {
  const first = takeName(tokens);
  if (!tryOperator(tokens, '.')) return { schema: null, table: first };
  return { schema: first, table: takeName(tokens) };
}

/** Takes items divided by commas. */
export function takeList<T>(tokens: Tokens, item: () => T): T[] {
  const items = [item()];
  while (tryOperator(tokens, ',')) items.push(item());
  return items;
}

/** Takes a whole number. */
export function takeCount(tokens: Tokens): number {
  if (tokens.next.kind !== 'number') tokens.unknown();
  return Number(tokens.take().text);
}

/** Takes an expression. */
export function takeExpression(tokens: Tokens): Expression {
  let left = takeAnd(tokens);
  while (tryWords(tokens, 'OR') || tryOperator(tokens, '||')) {
    left = { kind: 'binary', operator: 'OR', left, right: takeAnd(tokens) };
  }
  return left;
}

function takeAnd(tokens: Tokens): Expression {
  let left = takeNot(tokens);
  while (tryWords(tokens, 'AND') || tryOperator(tokens, '&&')) {
    left = { kind: 'binary', operator: 'AND', left, right: takeNot(tokens) };
  }
  return left;
}

function takeNot(tokens: Tokens): Expression {
  if (tryWords(tokens, 'NOT')) return { kind: 'not', operand: takeNot(tokens) };
  return takeComparison(tokens);
}

const comparisons = new Set(['=', '<=>', '<>', '!=', '<', '>', '<=', '>=']);

function takeComparison(tokens: Tokens): Expression {
  const left = isOperator(tokens, '(') ? takeParentheses(tokens) : [takeSum(tokens)];
  if (left.length > 1) {
    takeWord(tokens, 'IN');
    return takeIn(tokens, left, false);
  }
  let value =
    isOperator(tokens, '+') || isOperator(tokens, '-') ? takeSum(tokens, left[0]) : left[0]!;
  for (;;) {
    if (tokens.next.kind === 'operator' && comparisons.has(tokens.next.text)) {
      const operator = tokens.take().text;
      value = { kind: 'binary', operator, left: value, right: takeSum(tokens) };
    } else if (tryWords(tokens, 'IS')) {
      const negated = tryWords(tokens, 'NOT');
      takeWord(tokens, 'NULL');
      value = { kind: 'isNull', operand: value, negated };
    } else if (tryWords(tokens, 'IN')) {
      value = takeIn(tokens, [value], false);
    } else if (tryWords(tokens, 'NOT', 'IN')) {
      value = takeIn(tokens, [value], true);
    } else if (tryWords(tokens, 'LIKE')) {
      const pattern = takeSum(tokens);
      const escape = tryWords(tokens, 'ESCAPE') ? tokens.take().text : '\\';
      value = { kind: 'like', operand: value, pattern, escape };
    } else if (tryWords(tokens, 'BETWEEN')) {
      const from = takeSum(tokens);
      takeWord(tokens, 'AND');
      const low: Expression = { kind: 'binary', operator: '>=', left: value, right: from };
      const high: Expression = {
        kind: 'binary',
        operator: '<=',
        left: value,
        right: takeSum(tokens),
      };
      value = { kind: 'binary', operator: 'AND', left: low, right: high };
    } else return value;
  }
}

function takeIn(tokens: Tokens, left: readonly Expression[], negated: boolean): Expression {
  takeOperator(tokens, '(');
  const rows = takeList(tokens, () =>
    left.length > 1 ? takeParentheses(tokens) : [takeExpression(tokens)],
  );
  takeOperator(tokens, ')');
  return { kind: 'in', left, rows, negated };
}

/** `(a)`, `(a,b)` or `(SELECT …)`. */
function takeParentheses(tokens: Tokens): Expression[] {
  takeOperator(tokens, '(');
  if (isWord(tokens, 'SELECT')) {
    const select = takeSelect(tokens);
    takeOperator(tokens, ')');
    return [{ kind: 'query', select }];
  }
  const items = takeList(tokens, () => takeExpression(tokens));
  takeOperator(tokens, ')');
  return items;
}

function takeSum(tokens: Tokens, first?: Expression): Expression {
  let left = first ?? takeProduct(tokens);
  for (;;) {
    if (!isOperator(tokens, '+') && !isOperator(tokens, '-')) return left;
    const operator = tokens.take().text;
    left = { kind: 'binary', operator, left, right: takeProduct(tokens) };
  }
}

function takeProduct(tokens: Tokens): Expression {
  let left = takePrimary(tokens);
  for (;;) {
    if (!isOperator(tokens, '*') && !isOperator(tokens, '%')) return left;
    const operator = tokens.take().text;
    left = { kind: 'binary', operator, left, right: takePrimary(tokens) };
  }
}

function takePrimary(tokens: Tokens): Expression {
  const { next } = tokens;
  switch (next.kind) {
    case 'number':
      tokens.take();
      // Nothing that the sink sends into tables of integers and texts has a fraction; SET TIMESTAMP drops its own.
      return { kind: 'literal', value: BigInt(next.text.split('.')[0]!) };
    case 'text':
      tokens.take();
      return { kind: 'literal', value: next.text };
    case 'user':
      tokens.take();
      return { kind: 'user', name: next.text };
    case 'system':
      tokens.take();
      return { kind: 'system', name: next.text };
    case 'operator':
      return takeOperatorPrimary(tokens, next);
    case 'name':
      return takeColumn(tokens);
    case 'word':
      return takeWordPrimary(tokens, next);
    case 'end':
      return tokens.unknown();
  }
}

function takeOperatorPrimary(tokens: Tokens, next: Token): Expression {
  if (next.text === '-') {
    tokens.take();
    const zero: Expression = { kind: 'literal', value: 0n };
    return { kind: 'binary', operator: '-', left: zero, right: takePrimary(tokens) };
  }
  if (next.text !== '(') tokens.unknown();
  const items = takeParentheses(tokens);
  return items.length === 1 ? items[0]! : tokens.unknown();
}

function takeWordPrimary(tokens: Tokens, next: Token): Expression {
  if (next.raw.startsWith('_')) {
    tokens.take();
    // An introducer: the text behind it is taken as the bytes it is.
    if ((tokens.next.kind as string) !== 'text') tokens.unknown();
    return { kind: 'literal', value: tokens.take().text };
  }
  if (next.text === 'NULL' || next.text === 'DEFAULT') {
    tokens.take();
    return next.text === 'NULL' ? { kind: 'literal', value: null } : { kind: 'default' };
  }
  if (tryWords(tokens, 'BINARY')) return takePrimary(tokens);
  if (tokens.sql[next.end] !== '(') return takeColumn(tokens);
  tokens.take();
  takeOperator(tokens, '(');
  const args: Expression[] = [];
  if (tryOperator(tokens, '*')) args.push({ kind: 'star' });
  else if (!isOperator(tokens, ')')) args.push(...takeList(tokens, () => takeExpression(tokens)));
  // CAST(x AS BINARY): bytes stay the bytes they are.
  if (next.text === 'CAST' && tryWords(tokens, 'AS')) takeWord(tokens, 'BINARY');
  takeOperator(tokens, ')');
  return { kind: 'call', name: next.text, args };
}

function takeColumn(tokens: Tokens): Expression {
  const first = takeName(tokens);
  if (!tryOperator(tokens, '.')) return { kind: 'column', table: null, name: first };
  const second = takeName(tokens);
  if (!tryOperator(tokens, '.')) return { kind: 'column', table: first, name: second };
  return { kind: 'column', table: second, name: takeName(tokens) };
}

/** Takes a query, with what is united with it. */
export function takeSelect(tokens: Tokens): Select {
  const first = takeOneSelect(tokens);
  const unions: Select[] = [];
  while (tryWords(tokens, 'UNION')) unions.push(takeOneSelect(tokens));
  return { ...first, unions };
}

function takeOneSelect(tokens: Tokens): Select {
  takeWord(tokens, 'SELECT');
  const isDistinct = tryWords(tokens, 'DISTINCT');
  const outputs = takeList(tokens, () => takeOutput(tokens));
  const from: Source[] = [];
  if (tryWords(tokens, 'FROM')) {
    from.push(takeSource(tokens));
    while (tryWords(tokens, 'LEFT', 'JOIN')) from.push(takeSource(tokens));
  }
  const where = tryWords(tokens, 'WHERE') ? takeExpression(tokens) : null;
  const order = tryWords(tokens, 'ORDER', 'BY')
    ? takeList(tokens, () => {
        const by = takeExpression(tokens);
        const isDescending = tryWords(tokens, 'DESC');
        if (!isDescending) tryWords(tokens, 'ASC');
        return { by, isDescending };
      })
    : [];
  const limit = tryWords(tokens, 'LIMIT') ? takeCount(tokens) : null;
  let lock: Select['lock'] = null;
  if (tryWords(tokens, 'FOR', 'UPDATE')) lock = 'X';
  else if (tryWords(tokens, 'LOCK', 'IN', 'SHARE', 'MODE')) lock = 'S';
  return { outputs, isDistinct, from, where, order, limit, lock, unions: [] };
}

function takeOutput(tokens: Tokens): Output {
  if (tryOperator(tokens, '*')) return { name: '*', value: { kind: 'star' } };
  const { start } = tokens.next;
  const value = takeExpression(tokens);
  const text = tokens.sql.slice(start, tokens.next.start).trim();
  if (tryWords(tokens, 'AS')) return { name: takeName(tokens), value };
  return { name: value.kind === 'column' ? value.name : byteText(text), value };
}

function takeSource(tokens: Tokens): Source {
  const ref = takeTable(tokens);
  let index: string | null = null;
  let alias = ref.table;
  if (tryWords(tokens, 'FORCE', 'INDEX')) {
    takeOperator(tokens, '(');
    index = takeName(tokens);
    takeOperator(tokens, ')');
  } else if (tokens.next.kind === 'word' && !clauses.has(tokens.next.text))
    alias = takeName(tokens);
  const on = tryWords(tokens, 'ON') ? takeExpression(tokens) : null;
  return { ...ref, alias, index, on };
}

const clauses = new Set('WHERE LEFT ON ORDER LIMIT FOR LOCK UNION GROUP'.split(' '));
