/** Queries: what rows are read, which of them are locked. */
import { evaluate, isAggregate, isConstant } from './evaluate.ts';
import { SqlError, UnknownSql, compare, isTrue, keyText, toInteger } from './value.ts';

import type { Expression, Select, Source } from './ast.ts';
import type { Scope } from './evaluate.ts';
import type { Execution, Run } from './execution.ts';
import type { LockMode } from './locks.ts';
import { folded, integerBytes, type Cell, type Index, type Table } from './table.ts';
import type { Row, Value } from './value.ts';

/** A result: names of its columns, and rows. */
export interface ResultRows {
  readonly names: readonly string[];
  readonly rows: readonly Row[];
}

/** Which records of which index a condition needs; without `points` all of it that begins with `prefix`. */
interface Access {
  readonly index: Index;
  readonly points: readonly (readonly Value[])[] | null;
  readonly prefix: readonly Value[];
}

const nothingFound: ReadonlyMap<Expression, Value> = new Map();

/** Values that must be waited for, before the expression can be evaluated: named locks, locking sub-queries. */
export function* findWaits(
  x: Execution,
  expressions: readonly Expression[],
): Run<ReadonlyMap<Expression, Value>> {
  let found: Map<Expression, Value> | null = null;
  const pending = [...expressions];
  for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
    if (next.kind === 'call' && next.name === 'GET_LOCK') {
      const [name, seconds] = next.args.map((arg) => evaluate(arg, rowlessScope(x, nothingFound)));
      found ??= new Map();
      found.set(next, yield* x.takeNamed(name ?? null, seconds ?? null));
    } else if (next.kind === 'query' && next.select.lock !== null) {
      const { rows } = yield* runSelect(x, next.select);
      if (rows.length > 1) throw new SqlError(1242, 'Subquery returns more than 1 row');
      found ??= new Map();
      found.set(next, rows[0]?.[0] ?? null);
    } else if (next.kind === 'call') pending.push(...next.args);
    else if (next.kind === 'binary') pending.push(next.left, next.right);
  }
  return found ?? nothingFound;
}

/** A scope without rows. */
export function rowlessScope(x: Execution, found: ReadonlyMap<Expression, Value>): Scope {
  const column = (_: string | null, name: string): never => {
    throw new SqlError(1054, `Unknown column '${name}' in 'field list'`);
  };
  return x.scope(found, column, (select) => plainRows(x, select).rows);
}

/** The scope of one row of a table. */
export function rowScope(x: Execution, table: Table, row: Row): Scope {
  const column = (_: string | null, name: string): Value => row[table.column(name)]!;
  const scope = x.scope(nothingFound, column, (select) => plainRows(x, select).rows);
  return { ...scope, fold: foldsOf(table) };
}

function foldsOf(table: Table): NonNullable<Scope['fold']> {
  return (name, value) => folded(table.definition.columns[table.column(name)]!, value);
}

/** Runs a query. */
export function* runSelect(x: Execution, select: Select): Run<ResultRows> {
  const [source] = select.from;
  if (source === undefined) {
    const found = yield* findWaits(
      x,
      select.outputs.map(({ value }) => value),
    );
    return united(x, select, project(select, [rowlessScope(x, found)]));
  }
  if (isVirtual(source)) return plainRows(x, select);
  const table = yield* x.open(source);
  if (select.lock === null) return plainRows(x, select);
  const scopes: Scope[] = [];
  const { where, lock, limit, order } = select;
  const found = { where, index: source.index, mode: lock, isSemiConsistent: false };
  yield* eachLocked(x, table, found, (cell) => {
    scopes.push(tableScope(x, table, source, cell.row!));
    return order.length === 0 && scopes.length === limit;
  });
  return project(select, scopes);
}

/** Runs a query that takes no locks; its table is held already or is none. */
function plainRows(x: Execution, select: Select): ResultRows {
  const [source] = select.from;
  if (source === undefined)
    return united(x, select, project(select, [rowlessScope(x, nothingFound)]));
  if (isVirtual(source)) return project(select, virtualScopes(x, select));
  const table = x.server.catalog.table(x.named(source));
  if (table === null) throw new SqlError(1146, `Table '${source.table}' doesn't exist`);
  const scopes = table
    .inOrder()
    .map((cell) => (cell.owner === x.session.transaction ? cell.row : cell.committed))
    .filter((row) => row !== null)
    .map((row) => tableScope(x, table, source, row))
    .filter((scope) => select.where === null || isTrue(evaluate(select.where, scope)));
  return project(select, scopes);
}

function united(x: Execution, select: Select, first: ResultRows): ResultRows {
  if (select.unions.length === 0) return first;
  const all = [...first.rows, ...select.unions.flatMap((other) => plainRows(x, other).rows)];
  return { names: first.names, rows: distinct(all) };
}

function tableScope(x: Execution, table: Table, source: Source, row: Row): Scope {
  const column = (qualifier: string | null, name: string): Value => {
    if (name === '*') throw new UnknownSql('*', source.table);
    if (qualifier !== null && qualifier !== source.alias) {
      throw new SqlError(1054, `Unknown column '${qualifier}.${name}' in 'field list'`);
    }
    return row[table.column(name)]!;
  };
  const scope = x.scope(nothingFound, column, (select) => plainRows(x, select).rows);
  return { ...scope, fold: foldsOf(table) };
}

function isVirtual(source: Source): boolean {
  return source.schema?.toLowerCase() === 'information_schema';
}

/** Joined rows of views on the catalog. */
function virtualScopes(x: Execution, select: Select): Scope[] {
  let joined: ReadonlyMap<string, Value>[] = [new Map()];
  const scopeOf = (row: ReadonlyMap<string, Value>): Scope => {
    const column = (qualifier: string | null, name: string): Value => {
      const key = `${qualifier === null ? '' : `${qualifier}.`}${name}`.toLowerCase();
      const value = row.get(key);
      if (value === undefined) throw new UnknownSql('the column', key);
      return value;
    };
    return x.scope(nothingFound, column, (other) => plainRows(x, other).rows);
  };
  for (const source of select.from) {
    const view = x.server.catalog.view(source.table);
    const merged = (left: ReadonlyMap<string, Value>, right: Row | null): Map<string, Value> => {
      const row = new Map(left);
      for (const [i, name] of view.columns.entries()) {
        const value = right === null ? null : right[i]!;
        const key = name.toLowerCase();
        if (!row.has(key)) row.set(key, value);
        row.set(`${source.alias.toLowerCase()}.${key}`, value);
      }
      return row;
    };
    joined = joined.flatMap((left) => {
      const all = view.rows.map((right) => merged(left, right));
      const { on } = source;
      if (on === null) return all;
      const matching = all.filter((row) => isTrue(evaluate(on, scopeOf(row))));
      return matching.length > 0 ? matching : [merged(left, null)];
    });
  }
  return joined
    .map(scopeOf)
    .filter((scope) => select.where === null || isTrue(evaluate(select.where, scope)));
}

function project(select: Select, scopes: readonly Scope[]): ResultRows {
  const { outputs, order, limit } = select;
  const names = outputs.map(({ name }) => name);
  if (outputs.some(({ value }) => isAggregate(value))) {
    const group = { ...(scopes[0] ?? emptyScope), group: scopes };
    return { names, rows: [outputs.map(({ value }) => evaluate(value, group))] };
  }
  const sorted =
    order.length === 0 ? [...scopes] : scopes.toSorted((a, b) => ordered(select, a, b));
  let rows: Row[] = sorted.map((scope) => outputs.map(({ value }) => evaluate(value, scope)));
  if (select.isDistinct) rows = distinct(rows);
  return { names, rows: limit === null ? rows : rows.slice(0, limit) };
}

const emptyScope: Scope = {
  column: () => null,
  user: () => null,
  system: () => null,
  call: () => undefined,
  query: () => [],
  found: new Map(),
};

function ordered(select: Select, a: Scope, b: Scope): number {
  for (const { by, isDescending } of select.order) {
    const order =
      by.kind === 'literal'
        ? compare(outputAt(select, by.value, a), outputAt(select, by.value, b))
        : compare(evaluate(by, a), evaluate(by, b));
    if (order !== 0) return isDescending ? -order : order;
  }
  return 0;
}

/** ORDER BY 1: the first output. */
function outputAt(select: Select, place: Value, scope: Scope): Value {
  return evaluate(select.outputs[Number(place) - 1]!.value, scope);
}

function distinct(rows: readonly Row[]): Row[] {
  const seen = new Map(rows.toReversed().map((row) => [keyText(row), row]));
  return [...new Set(rows.map(keyText))].map((text) => seen.get(text)!);
}

/** Which rows to lock and how. */
export interface Locking {
  readonly where: Expression | null;
  readonly index: string | null;
  readonly mode: LockMode;
  /** Whether a scan passes rows that somebody else holds and that do not match as they are committed. */
  readonly isSemiConsistent: boolean;
}

/**
 * Locks the rows that match, in the order of the index that finds them, and visits each before the next is locked; ends
 * when a visit answers true. As READ COMMITTED does, what does not match after all is not kept locked.
 */
export function* eachLocked(
  x: Execution,
  table: Table,
  locking: Locking,
  visit: (cell: Cell) => Run<boolean> | boolean,
): Run<void> {
  const { where, mode } = locking;
  const access = chooseAccess(x, table, locking);
  const matches = (row: Row): boolean =>
    where === null || isTrue(evaluate(where, rowScope(x, table, row)));
  const isScan = access.points === null && access.index === table.indexes[0];
  const { rowLocks } = x.server;
  let listed = candidates(table, access);
  let last: readonly Value[] = [];
  let { waitCount } = x.session;
  for (let at = 0; ; at++) {
    if (waitCount !== x.session.waitCount) {
      // Others went on while this one waited: what comes behind the last record may be other records by now.
      const { index } = access;
      listed = candidates(table, access).filter((c) => byValues(orderOf(index, c), last) > 0);
      ({ waitCount } = x.session);
      at = 0;
    }
    const cell = listed[at];
    if (cell === undefined) return;
    const place = orderOf(access.index, cell);
    // A point that was asked for twice.
    if (byValues(place, last) === 0 && last.length > 0) continue;
    last = place;
    const keys = lockKeys(table, access.index, cell);
    const isBlocked = keys.some((key) => rowLocks.isBlocked(x.transaction, key, mode));
    if (isScan && locking.isSemiConsistent && isBlocked) {
      if (cell.committed === null || !matches(cell.committed)) continue;
    }
    const fresh = keys.filter((key) => !rowLocks.holds(x.transaction, key, 'S'));
    const raised = keys.filter((key) => !rowLocks.holds(x.transaction, key, 'X'));
    for (const key of keys) yield* x.lockRow(table, key, mode);
    const now = table.cells.get(cell.key);
    if (now === undefined || now.row === null || !matches(now.row)) {
      for (const key of fresh) rowLocks.release(x.transaction, key);
      for (const key of raised) rowLocks.downgrade(x.transaction, key);
    } else {
      const visited = visit(now);
      if (typeof visited === 'boolean' ? visited : yield* visited) return;
    }
  }
}

function lockKeys(table: Table, index: Index, cell: Cell): string[] {
  const primary = table.lockKey(table.indexes[0]!, cell, null);
  if (index === table.indexes[0]) return [primary];
  return [table.lockKey(index, cell, cell.row ?? cell.committed), primary];
}

function candidates(table: Table, access: Access): Cell[] {
  const { index, points, prefix } = access;
  const isPrimary = index === table.indexes[0];
  if (points !== null) {
    if (!isPrimary) return points.flatMap((values) => table.entries(index, values));
    return points.flatMap((values) => table.cells.get(table.pointText(index, values)) ?? []);
  }
  if (isPrimary) {
    return table
      .inOrder()
      .filter(({ place }) => prefix.every((v, i) => compare(v, place[i]!) === 0));
  }
  return table
    .inOrder()
    .filter((cell) => prefix.every((v, i) => compare(v, orderOf(index, cell)[i]!) === 0))
    .sort((a, b) => byValues(orderOf(index, a), orderOf(index, b)));
}

/** By what the records of an index are ordered: its values, then the place in the clustered one. */
function orderOf(index: Index, cell: Cell): readonly Value[] {
  if (index.name === 'PRIMARY' || index.columns.length === 0) return cell.place;
  const row = cell.row ?? cell.committed!;
  return [...index.columns.map((at) => row[at]!), ...cell.place];
}

function byValues(a: readonly Value[], b: readonly Value[]): number {
  for (const [i, value] of a.entries()) {
    const order = compare(value, b[i]!);
    if (order !== 0) return order;
  }
  return 0;
}

interface Known {
  readonly columns: readonly number[];
  readonly rows: readonly (readonly Value[])[];
}

/** The index by which rows are found: one whose values are all known, else the one most of whose values are, else all. */
function chooseAccess(x: Execution, table: Table, locking: Locking): Access {
  const known = knownValues(x, table, locking.where);
  const forced = table.indexes.find(({ name }) => name === locking.index);
  const indexes = forced === undefined ? table.indexes : [forced];
  for (const index of indexes) {
    if (index.columns.length === 0) continue;
    const points = pointsOf(index, known);
    if (points !== null) return { index, points: points.toSorted(byValues), prefix: [] };
  }
  let best: Access = { index: indexes[0]!, points: null, prefix: [] };
  for (const index of indexes) {
    const prefix: Value[] = [];
    for (const column of index.columns) {
      const one = known.find(
        ({ columns, rows }) => columns[0] === column && columns.length === 1 && rows.length === 1,
      );
      if (one === undefined) break;
      prefix.push(one.rows[0]![0]!);
    }
    if (prefix.length > best.prefix.length) best = { index, points: null, prefix };
  }
  return best;
}

function pointsOf(index: Index, known: readonly Known[]): (readonly Value[])[] | null {
  const whole = known.find(
    ({ columns }) =>
      columns.length === index.columns.length && columns.every((c, i) => c === index.columns[i]),
  );
  if (whole !== undefined) return [...whole.rows];
  let points: Value[][] = [[]];
  for (const column of index.columns) {
    const one = known.find(({ columns }) => columns.length === 1 && columns[0] === column);
    if (one === undefined) return null;
    points = points.flatMap((point) => one.rows.map(([value]) => [...point, value!]));
  }
  return points;
}

/** Columns whose values a condition tells: `a=1`, `a IN (1,2)`, `(a,b) IN ((1,2))`, joined by AND. */
function knownValues(x: Execution, table: Table, where: Expression | null): Known[] {
  if (where === null) return [];
  if (where.kind === 'binary' && where.operator === 'AND') {
    return [...knownValues(x, table, where.left), ...knownValues(x, table, where.right)];
  }
  let left: readonly Expression[] = [];
  let rows: readonly (readonly Expression[])[] = [];
  if (where.kind === 'binary' && where.operator === '=') {
    left = [where.left];
    rows = [[where.right]];
  } else if (where.kind === 'in' && !where.negated) ({ left, rows } = where);
  const columns = left.map((item) => (item.kind === 'column' ? table.column(item.name) : -1));
  if (columns.length === 0 || columns.includes(-1)) return [];
  if (!rows.every((row) => row.every(isConstant))) return [];
  const scope = rowlessScope(x, nothingFound);
  const values = rows.map((row) =>
    row.map((item, i) => asKey(table, columns[i]!, evaluate(item, scope))),
  );
  if (values.some((row) => row.includes(undefined))) return [];
  return [{ columns, rows: values as Value[][] }];
}

/** A value as an index of the column holds it; undefined when no index serves. */
function asKey(table: Table, column: number, value: Value): Value | undefined {
  if (value === null) return undefined;
  const isInteger = integerBytes[table.definition.columns[column]!.type] !== undefined;
  if (isInteger) return toInteger(value);
  return typeof value === 'string' ? value : undefined;
}
