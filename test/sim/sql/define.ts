/** Statements on definitions: each commits what was open, takes its tables for itself, and is one step of the log. */
import { Table, stored } from './table.ts';
import { SqlError } from './value.ts';

import type { Alteration, ColumnSpec, Definition, KeySpec, TableRef } from './ast.ts';
import type { Execution, Run } from './execution.ts';
import type { TableDefinition } from './table.ts';
import type { Row, Value } from './value.ts';

interface Name {
  readonly schema: string;
  readonly table: string;
}

/** Runs the statement. Killed while it waits or works, it leaves nothing behind but, of a DROP of several, what is dropped. */
export function* runDefinition(x: Execution, statement: Definition): Run<void> {
  yield* x.commit();
  x.demandWritable();
  yield* refuseEarly(x, statement);
  for (const name of lockedNames(x, statement)) yield* x.lockDefinition(name, 'X');
  const ms = x.server.definitionMs();
  if (ms > 0) yield { kind: 'pause', ms, isCommit: false };
  if (!apply(x, statement)) return;
  const { text: sql } = statement;
  const atMs = x.server.now();
  x.server.append({ kind: 'definition', session: x.session.id, atMs, sql });
}

/** Mistakes that the server sees as soon as it may read the table, before it waits for those who use it. */
function* refuseEarly(x: Execution, statement: Definition): Run<void> {
  if (statement.kind !== 'alterTable' && statement.kind !== 'createTable') return;
  const name = x.named(statement.table);
  yield* x.lockDefinition(name, 'S');
  const table = x.server.catalog.table(name);
  if (statement.kind === 'createTable') {
    if (table !== null && !statement.ifMissing) {
      throw new SqlError(1050, `Table '${name.table}' already exists`);
    }
  } else {
    let { definition } = existing(x, statement.table);
    for (const change of statement.alterations) {
      if (change.kind !== 'rename') ({ definition } = altered(definition, change));
    }
  }
  // Nobody keeps the shared lock while it waits for the exclusive one: of two, one would have to give way.
  x.unlockDefinition(name);
}

/** Tables the statement has for itself, in one order for all. */
function lockedNames(x: Execution, statement: Definition): Name[] {
  const names = (refs: readonly TableRef[]): Name[] => {
    const found = new Map(refs.map((ref) => [`${x.named(ref).schema}.${ref.table}`, x.named(ref)]));
    return [...found.keys()].sort().map((key) => found.get(key)!);
  };
  switch (statement.kind) {
    case 'createDatabase':
      return [];
    case 'dropDatabase': {
      const { schema } = statement;
      return names(x.server.catalog.tableNames(schema).map((table) => ({ schema, table })));
    }
    case 'createTable':
    case 'truncate':
      return names([statement.table]);
    case 'dropTable':
      return names(statement.tables);
    case 'renameTable':
      return names(statement.moves.flatMap(({ from, to }) => [from, to]));
    case 'alterTable': {
      const targets = statement.alterations.flatMap((change) =>
        change.kind === 'rename' ? [change.to] : [],
      );
      return names([statement.table, ...targets]);
    }
  }
}

/** Does it; false when there was nothing to do. */
function apply(x: Execution, statement: Definition): boolean {
  const { catalog } = x.server;
  switch (statement.kind) {
    case 'createDatabase':
      if (catalog.hasSchema(statement.schema)) {
        if (statement.ifMissing) return false;
        throw new SqlError(1007, `Can't create database '${statement.schema}'; database exists`);
      }
      catalog.addSchema(statement.schema);
      return true;
    case 'dropDatabase':
      if (!catalog.hasSchema(statement.schema)) {
        if (statement.ifThere) return false;
        throw new SqlError(
          1008,
          `Can't drop database '${statement.schema}'; database doesn't exist`,
        );
      }
      catalog.dropSchema(statement.schema);
      return true;
    case 'createTable':
      return createTable(x, statement);
    case 'dropTable':
      return dropTables(x, statement);
    case 'truncate':
      catalog.put(new Table(existing(x, statement.table).definition, catalog.nextTableId()));
      return true;
    case 'renameTable':
      renameTables(x, statement.moves);
      return true;
    case 'alterTable':
      alterTable(x, statement.table, statement.alterations);
      return true;
  }
}

function existing(x: Execution, ref: TableRef): Table {
  const name = x.named(ref);
  const table = x.server.catalog.table(name);
  if (table === null)
    throw new SqlError(1146, `Table '${name.schema}.${name.table}' doesn't exist`);
  return table;
}

function createTable(
  x: Execution,
  statement: Extract<Definition, { kind: 'createTable' }>,
): boolean {
  const name = x.named(statement.table);
  if (x.server.catalog.table(name) !== null) {
    if (statement.ifMissing) return false;
    throw new SqlError(1050, `Table '${name.table}' already exists`);
  }
  const primary = statement.keys.find((key) => key.name === 'PRIMARY')?.columns ?? [];
  const columns = statement.columns.map((column) => ({
    ...column,
    isNullable: column.isNullable && !primary.includes(column.name),
  }));
  demandUnique(columns);
  const { keys, checks } = statement;
  const { catalog } = x.server;
  catalog.put(new Table({ ...name, columns, keys, checks, comment: '' }, catalog.nextTableId()));
  return true;
}

function demandUnique(columns: readonly ColumnSpec[]): void {
  const names = new Set<string>();
  for (const { name } of columns) {
    if (names.has(name.toLowerCase())) throw new SqlError(1060, `Duplicate column name '${name}'`);
    names.add(name.toLowerCase());
  }
}

function dropTables(x: Execution, statement: Extract<Definition, { kind: 'dropTable' }>): boolean {
  const missing: string[] = [];
  let isAny = false;
  for (const ref of statement.tables) {
    const name = x.named(ref);
    if (x.server.catalog.table(name) === null) missing.push(`${name.schema}.${name.table}`);
    else {
      x.server.catalog.drop(name);
      isAny = true;
    }
  }
  // What is there is dropped all the same.
  if (missing.length > 0 && !statement.ifThere) {
    throw new SqlError(1051, `Unknown table '${missing.join(',')}'`);
  }
  return isAny;
}

function renameTables(
  x: Execution,
  moves: readonly { readonly from: TableRef; readonly to: TableRef }[],
): void {
  const undo: (() => void)[] = [];
  try {
    for (const { from, to } of moves) {
      const table = existing(x, from);
      const target = x.named(to);
      move(x, table, target);
      undo.unshift(() => {
        move(x, x.server.catalog.table(target)!, x.named(from));
      });
    }
  } catch (error) {
    for (const step of undo) step();
    throw error;
  }
}

function move(x: Execution, table: Table, to: Name): void {
  const { catalog } = x.server;
  if (catalog.table(to) !== null) throw new SqlError(1050, `Table '${to.table}' already exists`);
  if (!catalog.hasSchema(to.schema)) throw new SqlError(1049, `Unknown database '${to.schema}'`);
  const { schema, table: name } = table.definition;
  catalog.drop({ schema, table: name });
  catalog.put(rebuilt(table, { ...table.definition, ...to }, (row) => row, table.id));
}

function alterTable(x: Execution, ref: TableRef, alterations: readonly Alteration[]): void {
  const table = existing(x, ref);
  let { definition } = table;
  let convert = (row: Row): Row => row;
  let target: Name | null = null;
  for (const alteration of alterations) {
    if (alteration.kind === 'rename') {
      target = x.named(alteration.to);
      continue;
    }
    const before = convert;
    const step = altered(definition, alteration);
    ({ definition } = step);
    convert = (row) => step.convert(before(row));
  }
  const { catalog } = x.server;
  if (definition !== table.definition) {
    catalog.put(rebuilt(table, definition, convert, catalog.nextTableId()));
  }
  if (target !== null) move(x, existing(x, ref), target);
}

function altered(
  definition: TableDefinition,
  change: Exclude<Alteration, { kind: 'rename' }>,
): { readonly definition: TableDefinition; readonly convert: (row: Row) => Row } {
  const { columns } = definition;
  const find = (name: string): number =>
    columns.findIndex((column) => column.name.toLowerCase() === name.toLowerCase());
  switch (change.kind) {
    case 'comment':
      return { definition: { ...definition, comment: change.text }, convert: (row) => row };
    case 'add': {
      const next = [...columns, change.column];
      demandUnique(next);
      const value = implicitDefault(change.column);
      return { definition: { ...definition, columns: next }, convert: (row) => [...row, value] };
    }
    case 'drop': {
      const at = find(change.column);
      if (at < 0)
        throw new SqlError(1091, `Can't DROP COLUMN \`${change.column}\`; check that it exists`);
      const keys = definition.keys.flatMap((key): KeySpec[] => {
        const left = key.columns.filter((name) => find(name) !== at);
        return left.length === 0 ? [] : [{ ...key, columns: left }];
      });
      const next = columns.filter((_, i) => i !== at);
      return {
        definition: { ...definition, columns: next, keys },
        convert: (row) => row.filter((_, i) => i !== at),
      };
    }
    case 'change': {
      const at = find(change.from);
      if (at < 0)
        throw new SqlError(1054, `Unknown column '${change.from}' in '${definition.table}'`);
      const next = columns.with(at, change.column);
      demandUnique(next);
      const keys = definition.keys.map((key) => ({
        ...key,
        columns: key.columns.map((name) => (find(name) === at ? change.column.name : name)),
      }));
      return {
        definition: { ...definition, columns: next, keys },
        convert: (row) => row.with(at, stored(change.column, row[at]!)),
      };
    }
  }
}

/** What existing rows get in a column that is added without a default. */
function implicitDefault(column: ColumnSpec): Value {
  if (column.defaultValue !== undefined) return stored(column, column.defaultValue);
  if (column.isNullable) return null;
  return stored(column, /int/.test(column.type) ? 0n : '');
}

/** A table of another definition with the same rows; 1062 when they do not fit its keys any more. */
function rebuilt(
  table: Table,
  definition: TableDefinition,
  convert: (row: Row) => Row,
  id: number,
): Table {
  const made = new Table(definition, id);
  made.nextAutoIncrement = table.nextAutoIncrement;
  for (const { committed } of table.inOrder()) {
    if (committed === null) continue;
    const row = convert(committed);
    const cell = made.cellFor(row);
    const isTaken = made.indexes.some((index, at) => {
      const text = made.indexText(index, row);
      if (at === 0) return cell.committed !== null;
      return index.isUnique && text !== null && index.entries.has(text);
    });
    if (isTaken) throw new SqlError(1062, `Duplicate entry for a key of '${definition.table}'`);
    cell.committed = row;
    cell.row = row;
    made.enter(cell, row);
  }
  return made;
}
