/** Open transactions: what they changed and how it is taken back. */
import type { LockOwner } from './locks.ts';
import type { Cell, Table } from './table.ts';
import type { Row } from './value.ts';

/** One changed row. */
export interface RowChange {
  readonly schema: string;
  readonly table: string;
  /** Names of the columns. */
  readonly columns: readonly string[];
  readonly before: Row | null;
  readonly after: Row | null;
}

interface Undo {
  readonly table: Table;
  readonly cell: Cell;
  readonly before: Row | null;
  readonly after: Row | null;
}

/** What a transaction holds until it ends. Its weight is what a deadlock would cost: rows changed, locks taken. */
export class Transaction implements LockOwner {
  readonly session: number;
  readonly #undo: Undo[] = [];
  /** Tables and index pages it has locks on. */
  readonly lockPlaces = new Set<string>();

  constructor(session: number) {
    this.session = session;
  }

  get weight(): number {
    return this.#undo.length + this.lockPlaces.size;
  }

  /** Where the transaction stands, for {@link rollbackTo}. */
  get mark(): number {
    return this.#undo.length;
  }

  /** Changes a cell; its locks were taken before. */
  write(table: Table, cell: Cell, after: Row | null): void {
    this.#undo.push({ table, cell, before: cell.row, after });
    cell.row = after;
    cell.owner = this;
    if (after !== null) table.enter(cell, after);
  }

  /** Takes back everything behind a mark; answers the cells that are gone with it. */
  rollbackTo(mark: number): { readonly table: Table; readonly cell: Cell }[] {
    const gone: { table: Table; cell: Cell }[] = [];
    while (this.#undo.length > mark) {
      const { table, cell, before, after } = this.#undo.pop()!;
      cell.row = before;
      table.prune(cell, [after]);
      if (cell.row === null && cell.committed === null) gone.push({ table, cell });
      if (!this.#undo.some((other) => other.cell === cell)) cell.owner = null;
    }
    return gone;
  }

  /** Makes everything durable and answers the changed rows in order. */
  commit(): RowChange[] {
    const changes = this.#undo.map(({ table, before, after }) => rowChange(table, before, after));
    for (const { cell } of this.#undo) {
      cell.committed = cell.row;
      cell.owner = null;
    }
    for (const { table, cell, before, after } of this.#undo) table.prune(cell, [before, after]);
    this.#undo.length = 0;
    return changes;
  }
}

function rowChange(table: Table, before: Row | null, after: Row | null): RowChange {
  const { schema, table: name, columns } = table.definition;
  return { schema, table: name, columns: columns.map((column) => column.name), before, after };
}
