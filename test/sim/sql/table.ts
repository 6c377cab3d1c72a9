/** Tables of the simulated server: definitions, rows with what of them is committed, indexes. */
import { SqlError, compare, keyText, toInteger } from './value.ts';

import type { CheckSpec, ColumnSpec, KeySpec } from './ast.ts';
import type { Transaction } from './transaction.ts';
import type { Row, Value } from './value.ts';

/** A table as defined; ALTER makes a new one. */
export interface TableDefinition {
  readonly schema: string;
  readonly table: string;
  readonly columns: readonly ColumnSpec[];
  /** The primary key first, when there is one. */
  readonly keys: readonly KeySpec[];
  readonly checks: readonly CheckSpec[];
  readonly comment: string;
}

/** A record of the clustered index. */
export interface Cell {
  /** What locks call it. */
  readonly key: string;
  /** Values it is sorted by. */
  readonly place: readonly Value[];
  /** Last committed row; null: none. */
  committed: Row | null;
  /** Row as its owner sees it; null: deleted, or not there. */
  row: Row | null;
  /** Transaction that changed it and is still open. */
  owner: Transaction | null;
}

/** One index: the primary key, or another one with its entries. */
export interface Index {
  readonly name: string;
  readonly isUnique: boolean;
  readonly columns: readonly number[];
  /** By the text of the indexed values: cells that have them, or had them before what is not committed. */
  readonly entries: Map<string, Set<Cell>>;
}

/** A table with its rows. */
export class Table {
  readonly definition: TableDefinition;
  /** The engine's number of it; follows it through a rename. */
  readonly id: number;
  readonly cells = new Map<string, Cell>();
  /** Index 0 is the clustered one; without columns when the table has no primary key. */
  readonly indexes: readonly Index[];
  #rowCount = 0;
  /** Keys of rows that were there once: a real server may still hold their records, until it purges them. */
  readonly ghosts = new Set<string>();
  nextAutoIncrement = 1n;

  constructor(definition: TableDefinition, id: number) {
    this.definition = definition;
    this.id = id;
    const indexOf = (key: KeySpec): Index => ({
      name: key.name,
      isUnique: key.isUnique,
      columns: key.columns.map((name) => this.column(name)),
      entries: new Map(),
    });
    const keys = definition.keys.map(indexOf);
    const hasPrimary = keys[0]?.name === 'PRIMARY';
    const hidden: Index = { name: '', isUnique: true, columns: [], entries: new Map() };
    this.indexes = hasPrimary ? keys : [hidden, ...keys];
  }

  /** Number of a column; 1054 when there is none. */
  column(name: string): number {
    const wanted = name.toLowerCase();
    const at = this.definition.columns.findIndex((column) => column.name.toLowerCase() === wanted);
    if (at < 0) throw new SqlError(1054, `Unknown column '${name}' in 'field list'`);
    return at;
  }

  /** The values of an index that `row` has, as equal for the index when their texts are equal; null: holds a NULL. */
  indexText(index: Index, row: Row): string | null {
    const values = index.columns.map((at) => folded(this.definition.columns[at]!, row[at]!));
    return values.includes(null) ? null : keyText(values);
  }

  /** As {@link indexText} for values given in the order of the index. */
  pointText(index: Index, values: readonly Value[]): string {
    return keyText(
      values.map((value, i) => folded(this.definition.columns[index.columns[i]!]!, value)),
    );
  }

  /** The cell in which `row` belongs, made when it is not there. */
  cellFor(row: Row): Cell {
    const primary = this.indexes[0]!;
    if (primary.columns.length === 0) {
      const number = ++this.#rowCount;
      return this.#newCell(`r${number}`, [BigInt(number)]);
    }
    const key = this.indexText(primary, row)!;
    return (
      this.cells.get(key) ??
      this.#newCell(
        key,
        primary.columns.map((at) => row[at]!),
      )
    );
  }

  /** All cells by their place. */
  inOrder(): Cell[] {
    return [...this.cells.values()].sort(byPlace);
  }

  /** Enters the values of `row` into all indexes but the clustered one. */
  enter(cell: Cell, row: Row): void {
    for (const index of this.indexes.slice(1)) {
      const text = this.#entryText(index, row);
      const entry = index.entries.get(text);
      if (entry === undefined) index.entries.set(text, new Set([cell]));
      else entry.add(cell);
    }
  }

  /** Drops entries that neither the committed nor the current row of a cell has, and the cell itself when it has neither. */
  prune(cell: Cell, rows: readonly (Row | null)[]): void {
    for (const index of this.indexes.slice(1)) {
      const kept = [cell.row, cell.committed].map((row) =>
        row === null ? null : this.#entryText(index, row),
      );
      for (const row of rows) {
        const text = row === null ? null : this.#entryText(index, row);
        if (text === null || kept.includes(text)) continue;
        const entry = index.entries.get(text);
        entry?.delete(cell);
        if (entry?.size === 0) index.entries.delete(text);
      }
    }
    if (cell.row === null && cell.committed === null) this.cells.delete(cell.key);
    else this.ghosts.add(cell.key);
  }

  /** Cells whose values in a secondary index are these, by place. NULLs included. */
  entries(index: Index, values: readonly Value[]): Cell[] {
    return [...(index.entries.get(this.pointText(index, values)) ?? [])].sort(byPlace);
  }

  /** What locks call the record of `cell` in an index. */
  lockKey(index: Index, cell: Cell, row: Row | null): string {
    const at = this.indexes.indexOf(index);
    if (at === 0 || row === null) return `${this.id}/0/${cell.key}`;
    return `${this.id}/${at}/${this.#entryText(index, row)}/${cell.key}`;
  }

  #entryText(index: Index, row: Row): string {
    return keyText(index.columns.map((at) => folded(this.definition.columns[at]!, row[at]!)));
  }

  #newCell(key: string, place: readonly Value[]): Cell {
    const cell: Cell = { key, place, committed: null, row: null, owner: null };
    this.cells.set(key, cell);
    return cell;
  }
}

function byPlace(a: Cell, b: Cell): number {
  for (const [i, value] of a.place.entries()) {
    const order = compare(value, b.place[i]!);
    if (order !== 0) return order;
  }
  return 0;
}

/** The collation of a column; null for bytes and numbers. */
export function collationOf(column: ColumnSpec): string | null {
  if (!/char|text/.test(column.type)) return null;
  return column.collation ?? `${charsetOf(column)}_general_ci`;
}

/** The character set of a column. */
export function charsetOf(column: ColumnSpec): string {
  return column.charset ?? column.collation?.split('_')[0] ?? 'utf8mb4';
}

/** A value as its column's collation compares it; ASCII only. */
export function folded(column: ColumnSpec, value: Value): Value {
  const collation = typeof value === 'string' ? collationOf(column) : null;
  if (collation === null) return value;
  const padded = (value as string).replace(/ +$/, '');
  return collation.endsWith('_ci') ? padded.toUpperCase() : padded;
}

/** Bytes of the integer types. */
export const integerBytes: Readonly<Record<string, bigint>> = {
  tinyint: 1n,
  smallint: 2n,
  mediumint: 3n,
  int: 4n,
  bigint: 8n,
};

const bytesMax: Readonly<Record<string, number>> = {
  tinyblob: 255,
  tinytext: 255,
  blob: 65_535,
  text: 65_535,
  mediumblob: 2 ** 24 - 1,
  mediumtext: 2 ** 24 - 1,
  longblob: 2 ** 32 - 1,
  longtext: 2 ** 32 - 1,
};

/** Longest value of a column in bytes; null for numbers. */
export function octetsOf(column: ColumnSpec): number | null {
  if (integerBytes[column.type] !== undefined) return null;
  const length = column.length ?? 1;
  return bytesMax[column.type] ?? (/char/.test(column.type) ? length * 4 : length);
}

/** A value as a column stores it, in strict mode: 1048, 1264, 1366 or 1406 when it does not fit. */
export function stored(column: ColumnSpec, value: Value): Value {
  if (value === null) {
    if (column.isNullable) return null;
    throw new SqlError(1048, `Column '${column.name}' cannot be null`);
  }
  const bytes = integerBytes[column.type];
  if (bytes !== undefined) {
    if (typeof value === 'string' && !/^\s*-?\d+\s*$/.test(value)) {
      throw new SqlError(1366, `Incorrect integer value for column '${column.name}'`);
    }
    const number = toInteger(value);
    const span = 1n << (bytes * 8n);
    const low = column.isUnsigned ? 0n : -span / 2n;
    if (number < low || number >= low + span) {
      throw new SqlError(1264, `Out of range value for column '${column.name}' at row 1`);
    }
    return number;
  }
  const text = String(value);
  const isCounted = /char/.test(column.type);
  const length = isCounted ? Buffer.from(text, 'latin1').toString('utf8').length : text.length;
  const most =
    isCounted || column.type.endsWith('binary') ? (column.length ?? 1) : octetsOf(column)!;
  if (length > most) throw new SqlError(1406, `Data too long for column '${column.name}' at row 1`);
  return column.type === 'binary' ? text.padEnd(most, '\0') : text;
}
