/** Values of expressions. */
import { SqlError, UnknownSql, compare, isTrue, toInteger, truth } from './value.ts';

import type { Expression, Select } from './ast.ts';
import type { Row, Value } from './value.ts';

/** What an expression may refer to. */
export interface Scope {
  /** A column's value; 1054 when there is none. */
  readonly column: (table: string | null, name: string) => Value;
  /** A value as the collation of a column compares it. */
  readonly fold?: (name: string, value: Value) => Value;
  /** The value a row to insert has in a column: VALUES(a). */
  readonly inserted?: (name: string) => Value;
  readonly user: (name: string) => Value;
  readonly system: (name: string) => Value;
  /** Functions that know the session; undefined when there is none of this name. */
  readonly call: (name: string, args: readonly Value[]) => Value | undefined;
  /** Runs a query that takes no locks. */
  readonly query: (select: Select) => readonly Row[];
  /** Values that had to be waited for, found before. */
  readonly found: ReadonlyMap<Expression, Value>;
  /** Rows of the group, when aggregates are asked for. */
  readonly group?: readonly Scope[];
}

const unsignedMax = 2n ** 64n - 1n;
const signedMin = -(2n ** 63n);

/** The value of `expression`. */
export function evaluate(expression: Expression, scope: Scope): Value {
  const found = scope.found.get(expression);
  if (found !== undefined) return found;
  switch (expression.kind) {
    case 'literal':
      return expression.value;
    case 'column':
      return scope.column(expression.table, expression.name);
    case 'user':
      return scope.user(expression.name);
    case 'system':
      return scope.system(expression.name);
    case 'call':
      return call(expression, scope);
    case 'binary':
      return binary(expression, scope);
    case 'not': {
      const value = evaluate(expression.operand, scope);
      return value === null ? null : truth(!isTrue(value));
    }
    case 'isNull':
      return truth((evaluate(expression.operand, scope) === null) !== expression.negated);
    case 'in':
      return isIn(expression, scope);
    case 'like':
      return like(expression, scope);
    case 'query':
      return scalar(scope.query(expression.select));
    case 'default':
    case 'star':
      throw new UnknownSql(expression.kind, 'as a value');
  }
}

/** The one value of a sub-query: NULL without rows, 1242 with several. */
export function scalar(rows: readonly Row[]): Value {
  if (rows.length > 1) throw new SqlError(1242, 'Subquery returns more than 1 row');
  return rows[0]?.[0] ?? null;
}

function binary(expression: Extract<Expression, { kind: 'binary' }>, scope: Scope): Value {
  const { operator } = expression;
  const left = evaluate(expression.left, scope);
  if (operator === 'AND' || operator === 'OR') {
    const decides = operator === 'OR';
    if (left !== null && isTrue(left) === decides) return truth(decides);
    const right = evaluate(expression.right, scope);
    if (right !== null && isTrue(right) === decides) return truth(decides);
    return left === null || right === null ? null : truth(!decides);
  }
  const right = evaluate(expression.right, scope);
  if (operator === '<=>') return truth(compare(left, right) === 0);
  if (left === null || right === null) return null;
  const fold = foldOf(expression.left, scope) ?? foldOf(expression.right, scope);
  return compared(expression, fold === null ? [left, right] : [fold(left), fold(right)]);
}

/** How values compare with an operand; null: as they are. */
function foldOf(
  operand: Expression,
  scope: Scope,
): ((value: string | bigint) => string | bigint) | null {
  const { fold } = scope;
  if (fold === undefined || operand.kind !== 'column') return null;
  return (value) => fold(operand.name, value)!;
}

function compared(
  expression: Extract<Expression, { kind: 'binary' }>,
  [left, right]: readonly [string | bigint, string | bigint],
): Value {
  switch (expression.operator) {
    case '=':
      return truth(compare(left, right) === 0);
    case '<>':
    case '!=':
      return truth(compare(left, right) !== 0);
    case '<':
      return truth(compare(left, right) < 0);
    case '>':
      return truth(compare(left, right) > 0);
    case '<=':
      return truth(compare(left, right) <= 0);
    case '>=':
      return truth(compare(left, right) >= 0);
    default:
      return arithmetic(expression, toInteger(left), toInteger(right));
  }
}

function arithmetic(
  expression: Extract<Expression, { kind: 'binary' }>,
  left: bigint,
  right: bigint,
): Value {
  const { operator } = expression;
  if (operator === '%') return right === 0n ? null : left % right;
  let result = left * right;
  if (operator === '+') result = left + right;
  else if (operator === '-') result = left - right;
  if (result <= unsignedMax && result >= signedMin) return result;
  throw new SqlError(1690, `BIGINT UNSIGNED value is out of range in '${render(expression)}'`);
}

/** An expression as servers show it in messages. */
function render(expression: Expression): string {
  switch (expression.kind) {
    case 'literal':
      return String(expression.value);
    case 'call':
      return `${expression.name.toLowerCase()}(${expression.args.map(render).join(',')})`;
    case 'binary':
      return `(${render(expression.left)} ${expression.operator} ${render(expression.right)})`;
    default:
      return expression.kind;
  }
}

function isIn(expression: Extract<Expression, { kind: 'in' }>, scope: Scope): Value {
  const folds = expression.left.map((item) => foldOf(item, scope));
  const folded = (value: Value, i: number): Value =>
    value === null ? null : (folds[i]?.(value) ?? value);
  const left = expression.left.map((item, i) => folded(evaluate(item, scope), i));
  let isUnknown = left.includes(null);
  for (const row of expression.rows) {
    const values = row.map((item, i) => folded(evaluate(item, scope), i));
    if (values.includes(null)) isUnknown = true;
    else if (!isUnknown && values.every((value, i) => compare(value, left[i]!) === 0)) {
      return truth(!expression.negated);
    }
  }
  return isUnknown ? null : truth(expression.negated);
}

function like(expression: Extract<Expression, { kind: 'like' }>, scope: Scope): Value {
  const value = evaluate(expression.operand, scope);
  const pattern = evaluate(expression.pattern, scope);
  if (value === null || pattern === null) return null;
  let source = '';
  const text = String(pattern);
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!;
    if (char === '%') source += '[^]*';
    else if (char === '_') source += '[^]';
    else source += escaped(char === expression.escape && i + 1 < text.length ? text[++i]! : char);
  }
  return truth(new RegExp(`^${source}$`).test(String(value)));
}

function escaped(char: string): string {
  return char.replace(/[.*+?^${}()|[\]\\/-]/, String.raw`\$&`);
}

function call(expression: Extract<Expression, { kind: 'call' }>, scope: Scope): Value {
  const { name, args } = expression;
  const value = (at: number): Value => evaluate(args[at]!, scope);
  switch (name) {
    case 'IF':
      return isTrue(value(0)) ? value(1) : value(2);
    case 'COALESCE':
      for (let at = 0; at < args.length; at++) {
        const found = value(at);
        if (found !== null) return found;
      }
      return null;
    case 'CAST':
      return value(0);
    case 'VALUES': {
      const [column] = args;
      if (column?.kind !== 'column') throw new UnknownSql('VALUES() of this', '');
      return scope.inserted!(column.name);
    }
    case 'CONCAT': {
      const parts = args.map((_, at) => value(at));
      return parts.includes(null) ? null : parts.join('');
    }
    case 'REPLACE': {
      const [text, from, to] = args.map((_, at) => value(at));
      if (text === null || from === null || to === null) return null;
      return String(text).replaceAll(String(from), String(to));
    }
    case 'COUNT':
    case 'MAX':
    case 'MIN':
    case 'SUM':
      return aggregate(expression, scope);
    default: {
      const result = scope.call(
        name,
        args.map((_, at) => value(at)),
      );
      if (result === undefined) throw new UnknownSql(`function ${name}`, render(expression));
      return result;
    }
  }
}

function aggregate(expression: Extract<Expression, { kind: 'call' }>, scope: Scope): Value {
  const { group = [] } = scope;
  const [arg] = expression.args;
  const values =
    arg === undefined || arg.kind === 'star'
      ? group.map((): Value => 1n)
      : group.map((row) => evaluate(arg, row)).filter((value) => value !== null);
  if (expression.name === 'COUNT') return BigInt(values.length);
  if (values.length === 0) return null;
  if (expression.name === 'SUM') return values.reduce<bigint>((sum, v) => sum + toInteger(v!), 0n);
  const sign = expression.name === 'MAX' ? 1 : -1;
  return values.reduce((most, v) => (compare(v, most) * sign > 0 ? v : most));
}

/** Whether an expression asks for all rows at once. */
export function isAggregate(expression: Expression): boolean {
  if (expression.kind !== 'call') return false;
  if (['COUNT', 'MAX', 'MIN', 'SUM'].includes(expression.name)) return true;
  return expression.args.some(isAggregate);
}

/** Whether an expression has the same value for each row. */
export function isConstant(expression: Expression): boolean {
  switch (expression.kind) {
    case 'literal':
    case 'user':
    case 'system':
      return true;
    case 'binary':
      return isConstant(expression.left) && isConstant(expression.right);
    default:
      return false;
  }
}
