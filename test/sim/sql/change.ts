/** INSERT, REPLACE, UPDATE and DELETE. */
import { evaluate } from './evaluate.ts';
import { eachLocked, rowScope, rowlessScope } from './read.ts';
import { stored } from './table.ts';
import { SqlError, isTrue, keyText } from './value.ts';

import type { Assignment, Expression, Statement } from './ast.ts';
import type { Scope } from './evaluate.ts';
import type { Execution, Run } from './execution.ts';
import type { LockMode } from './locks.ts';
import type { Cell, Index, Table } from './table.ts';
import type { Row, Value } from './value.ts';

type Of<Kind extends Statement['kind']> = Extract<Statement, { kind: Kind }>;

/** A row that is there already, and the key by which it was found. */
interface Duplicate {
  readonly cell: Cell;
  readonly index: Index;
}

/** Runs an INSERT or REPLACE; answers the count of affected rows. */
export function* runInsert(x: Execution, statement: Of<'insert'>): Run<bigint> {
  x.demandWritable();
  const table = yield* x.open(statement.table);
  const { columns } = table.definition;
  const places = statement.columns?.map((name) => table.column(name)) ?? columns.map((_, i) => i);
  let affected = 0n;
  for (const values of statement.rows) {
    if (values.length !== places.length) {
      throw new SqlError(1136, "Column count doesn't match value count at row 1");
    }
    const row = columns.map((_, at): Value => {
      const given = values[places.indexOf(at)];
      return valueOf(x, table, at, given?.kind === 'default' ? undefined : given);
    });
    checkRow(x, table, row);
    affected += yield* insertRow(x, table, row, statement);
  }
  return affected;
}

/** The value of a column of a new row; without an expression its default, or 1364. */
function valueOf(x: Execution, table: Table, at: number, given: Expression | undefined): Value {
  const column = table.definition.columns[at]!;
  if (given !== undefined) {
    const value = evaluate(given, rowlessScope(x, new Map()));
    if (value !== null || !column.isAutoIncrement) {
      const kept = stored(column, value);
      if (column.isAutoIncrement && typeof kept === 'bigint' && kept >= table.nextAutoIncrement) {
        table.nextAutoIncrement = kept + 1n;
      }
      return kept;
    }
  }
  if (column.isAutoIncrement) return table.nextAutoIncrement++;
  if (column.defaultValue !== undefined) return stored(column, column.defaultValue);
  if (column.isNullable) return null;
  throw new SqlError(1364, `Field '${column.name}' doesn't have a default value`);
}

function* insertRow(x: Execution, table: Table, row: Row, statement: Of<'insert'>): Run<bigint> {
  const { replaces, onDuplicate } = statement;
  let deleted = 0n;
  for (;;) {
    const duplicate = yield* tryInsert(x, table, row, replaces || onDuplicate !== null ? 'X' : 'S');
    if (duplicate === null) return deleted + 1n;
    const { cell, index } = duplicate;
    if (onDuplicate !== null) return yield* updateInstead(x, table, cell, { row, onDuplicate });
    if (!replaces) throw duplicateError(index, row);
    // The last key to be in the way: the row is changed in its place.
    if (isLastUnique(table, index)) {
      const isSame = keyText(cell.row!) === keyText(row);
      if (!isSame) yield* changeRow(x, table, cell, row);
      return deleted + (isSame ? 1n : 2n);
    }
    yield* changeRow(x, table, cell, null);
    deleted++;
  }
}

/** Whether no unique key comes behind `index`. */
function isLastUnique(table: Table, index: Index): boolean {
  return (
    table.indexes.findLast(({ isUnique, columns }) => isUnique && columns.length > 0) === index
  );
}

/** Inserts a row, unless there is one with the same key, which is then locked in `mode`. */
function* tryInsert(x: Execution, table: Table, row: Row, mode: LockMode): Run<Duplicate | null> {
  const { mark } = x.transaction;
  const primary = table.indexes[0]!;
  if (primary.columns.length > 0) {
    const key = table.indexText(primary, row)!;
    const found = yield* foundAt(x, table, `${table.id}/0/${key}`, key, mode);
    if (found !== null) return { cell: found, index: primary };
  }
  const cell = table.cellFor(row);
  yield* x.lockRow(table, table.lockKey(primary, cell, null), 'X');
  // Whoever was waited for may have let the record go.
  const now = table.cells.get(cell.key) ?? table.cellFor(row);
  x.transaction.write(table, now, row);
  const duplicate = yield* secondaryDuplicate(x, table, now, { row, before: null, mode });
  if (duplicate !== null) x.rollbackStatement(mark);
  return duplicate;
}

/** The cell with this primary key, if it holds a row, locked. */
function* foundAt(
  x: Execution,
  table: Table,
  lockKey: string,
  key: string,
  mode: LockMode,
): Run<Cell | null> {
  const cell = table.cells.get(key);
  if (cell === undefined) return null;
  if (cell.owner !== x.transaction) yield* x.lockRow(table, lockKey, mode);
  const now = table.cells.get(key);
  return now === undefined || now.row === null ? null : now;
}

/** Locks the entries of a row in the other indexes; the first other row that has a unique value of it. */
function* secondaryDuplicate(
  x: Execution,
  table: Table,
  own: Cell,
  more: { readonly row: Row; readonly before: Row | null; readonly mode: LockMode },
): Run<Duplicate | null> {
  const { row, before, mode } = more;
  for (const index of table.indexes.slice(1)) {
    const ownKey = table.lockKey(index, own, row);
    if (before !== null && table.lockKey(index, own, before) === ownKey) continue;
    const text = table.indexText(index, row);
    if (index.isUnique && text !== null) {
      for (const cell of table.entries(
        index,
        index.columns.map((at) => row[at]!),
      )) {
        if (cell === own) continue;
        if (cell.owner !== x.transaction) {
          yield* x.lockRow(table, table.lockKey(index, cell, row), mode);
        }
        const now = cell.row;
        if (now !== null && table.indexText(index, now) === text) {
          if (mode === 'X') yield* x.lockRow(table, table.lockKey(index, cell, null), mode);
          return { cell, index };
        }
      }
    }
    yield* x.lockRow(table, ownKey, 'X');
  }
  return null;
}

function* updateInstead(
  x: Execution,
  table: Table,
  cell: Cell,
  given: { readonly row: Row; readonly onDuplicate: readonly Assignment[] },
): Run<bigint> {
  const inserted = (name: string): Value => given.row[table.column(name)]!;
  const after = assigned(x, table, cell.row!, { assignments: given.onDuplicate, inserted });
  if (keyText(after) === keyText(cell.row!)) return 1n;
  checkRow(x, table, after);
  yield* changeRow(x, table, cell, after);
  return 2n;
}

/** Runs an UPDATE; answers the count of rows that matched. */
export function* runUpdate(x: Execution, statement: Of<'update'>): Run<bigint> {
  x.demandWritable();
  const table = yield* x.open(statement.table);
  const { where, limit, assignments } = statement;
  const locking = { where, index: null, mode: 'X' as const, isSemiConsistent: true };
  let matched = 0n;
  yield* eachLocked(x, table, locking, function* (cell) {
    const before = cell.row!;
    const after = assigned(x, table, before, { assignments });
    matched++;
    if (keyText(after) !== keyText(before)) {
      checkRow(x, table, after);
      yield* changeRow(x, table, cell, after);
    }
    return matched === BigInt(limit ?? -1);
  });
  return matched;
}

/** Runs a DELETE; answers the count of rows. */
export function* runDelete(x: Execution, statement: Of<'delete'>): Run<bigint> {
  x.demandWritable();
  const table = yield* x.open(statement.table);
  const { where, limit } = statement;
  const locking = { where, index: null, mode: 'X' as const, isSemiConsistent: false };
  let deleted = 0n;
  yield* eachLocked(x, table, locking, function* (cell) {
    yield* changeRow(x, table, cell, null);
    deleted++;
    return deleted === BigInt(limit ?? -1);
  });
  return deleted;
}

/** A row after assignments, each of which sees what those before it did. */
function assigned(
  x: Execution,
  table: Table,
  before: Row,
  more: {
    readonly assignments: readonly Assignment[];
    readonly inserted?: (name: string) => Value;
  },
): Row {
  const after = [...before];
  const scope: Scope = {
    ...rowScope(x, table, after),
    ...(more.inserted === undefined ? {} : { inserted: more.inserted }),
  };
  for (const { name, value } of more.assignments) {
    const at = table.column(name);
    after[at] = stored(table.definition.columns[at]!, evaluate(value, scope));
  }
  return after;
}

/** Changes or deletes a locked row, in all indexes; 1062 when it meets another. */
function* changeRow(x: Execution, table: Table, cell: Cell, after: Row | null): Run<void> {
  const before = cell.row!;
  const primary = table.indexes[0]!;
  const moves =
    after !== null && table.indexText(primary, after) !== table.indexText(primary, before);
  if (moves) {
    yield* changeRow(x, table, cell, null);
    const duplicate = yield* tryInsert(x, table, after, 'S');
    if (duplicate !== null) throw duplicateError(duplicate.index, after);
    return;
  }
  x.transaction.write(table, cell, after);
  for (const index of table.indexes.slice(1)) {
    const old = table.lockKey(index, cell, before);
    const isSame = after !== null && table.lockKey(index, cell, after) === old;
    if (!isSame) yield* x.lockRow(table, old, 'X');
  }
  if (after === null) return;
  const duplicate = yield* secondaryDuplicate(x, table, cell, { row: after, before, mode: 'S' });
  if (duplicate !== null) throw duplicateError(duplicate.index, after);
}

function checkRow(x: Execution, table: Table, row: Row): void {
  if (table.definition.checks.length === 0) return;
  if (!isTrue(x.variable('check_constraint_checks'))) return;
  const { schema, table: name, checks } = table.definition;
  for (const check of checks) {
    const holds = evaluate(check.condition, rowScope(x, table, row));
    if (holds !== null && !isTrue(holds)) {
      throw new SqlError(4025, `CONSTRAINT \`${check.name}\` failed for \`${schema}\`.\`${name}\``);
    }
  }
}

function duplicateError(index: Index, row: Row): SqlError {
  const values = index.columns.map((at) => String(row[at])).join('-');
  return new SqlError(1062, `Duplicate entry '${values}' for key '${index.name}'`);
}
