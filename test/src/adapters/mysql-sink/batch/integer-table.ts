/** A table of integer columns without a server: encodes its changes as the log would, and runs our SQL on a model of it. */
import { TableCatalog } from '#src/adapters/mysql-sink/batch/table-catalog.ts';
import { BlockWriter } from '#src/model/block.ts';

/** A row: one number or NULL per column. */
export type Row = readonly (number | null)[];

/** One row change. */
export interface Change {
  readonly before: Row | null;
  readonly after: Row | null;
}

const longType = 3;

/** Blocks of one span with one transaction per element of `transactions`; their commitTs are 1, 2, 3 … */
export function encodeBlocks(
  columnCount: number,
  transactions: readonly (readonly Change[])[],
  blockCount = 1,
): Uint8Array[] {
  const writer = new BlockWriter('s.t', 'mariadb');
  const map = tableMap(columnCount);
  const blocks: Uint8Array[] = [];
  const perBlock = Math.max(1, Math.ceil(transactions.length / blockCount));
  transactions.forEach((changes, i) => {
    writer.begin(i + 1, 1000 + i, `0-1-${i + 1}`);
    for (const change of changes)
      writer.rows('s.t', map, eventType(change), rowsEvent(columnCount, change));
    writer.commit();
    if ((i + 1) % perBlock === 0) blocks.push(...taken(writer));
  });
  return [...blocks, ...taken(writer)];
}

function taken(writer: BlockWriter): Uint8Array[] {
  const block = writer.take();
  return block === undefined ? [] : [block.bytes];
}

function tableMap(columnCount: number): Uint8Array {
  const name = [1, 0x73, 0, 1, 0x74, 0];
  const types = Array.from({ length: columnCount }, () => longType);
  return Uint8Array.from([1, 0, 0, 0, 0, 0, 1, 0, ...name, columnCount, ...types, 0, 255]);
}

function eventType({ before, after }: Change): number {
  return before === null ? 23 : after === null ? 25 : 24;
}

function rowsEvent(columnCount: number, { before, after }: Change): Uint8Array {
  const all = (1 << columnCount) - 1;
  const masks = before !== null && after !== null ? [all, all] : [all];
  const images = [before, after].flatMap((row) => (row === null ? [] : image(row)));
  return Uint8Array.from([1, 0, 0, 0, 0, 0, 1, 0, columnCount, ...masks, ...images]);
}

function image(row: Row): number[] {
  const nulls = row.reduce<number>(
    (bits, value, i) => (value === null ? bits | (1 << i) : bits),
    0,
  );
  const cells = row.flatMap((value) =>
    value === null
      ? []
      : [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255],
  );
  return [nulls, ...cells];
}

/** A catalog that knows only table s.t: column 0 is the key unless `hasKey` is false, `unique` columns have keys of their own. */
export function integerCatalog(
  columns: readonly string[],
  unique: readonly string[],
  hasKey = true,
): TableCatalog {
  return new TableCatalog((sql) => {
    if (sql.includes('information_schema.TABLES ')) {
      return Promise.resolve([{ tableType: 'BASE TABLE', engine: 'InnoDB', transactions: 'YES' }]);
    }
    if (sql.includes('information_schema.COLUMNS')) {
      return Promise.resolve(
        columns.map((name, i) => ({
          name,
          dataType: 'int',
          columnType: 'int(11)',
          charset: null,
          collation: null,
          nullable: i === 0 ? 'NO' : 'YES',
          defaultValue: i === 0 ? null : 'NULL',
          extra: '',
          byteCountMax: null,
          secondDigits: null,
        })),
      );
    }
    if (sql.includes('information_schema.STATISTICS')) {
      const keys = [
        ...(hasKey ? [['PRIMARY', columns[0]!]] : []),
        ...unique.map((name) => [`u_${name}`, name]),
      ];
      return Promise.resolve(
        keys.map(([name, columnName]) => ({
          name,
          columnName,
          prefixLength: null,
          nonUnique: 0,
          ordinal: 1,
        })),
      );
    }
    if (sql.includes('TABLE_CONSTRAINTS')) return Promise.resolve([{ count: 0 }]);
    return Promise.resolve([]);
  });
}

/** Rows downstream with immediate unique checks, and a reader of exactly the SQL that batches are made of. */
export class IntegerModel {
  readonly columns: readonly string[];
  readonly unique: readonly number[];
  rows: Row[];
  #rowCount = 0;

  constructor(columns: readonly string[], unique: readonly number[], rows: readonly Row[] = []) {
    this.columns = columns;
    this.unique = unique;
    this.rows = [...rows];
  }

  /** Runs one statement; throws when a unique key or a row check refuses it. */
  run(sql: string): void {
    const check = /^SET @sluice_ok=IF\(ROW_COUNT\(\)=(\d+),/.exec(sql);
    if (check !== null) {
      if (this.#rowCount !== Number(check[1]))
        throw new Error(`row check: ${this.#rowCount} of ${check[1]}`);
      return;
    }
    const [, verb, tail] =
      /^(INSERT INTO|REPLACE INTO|DELETE FROM|UPDATE) `s`\.`t` (.*)$/s.exec(sql) ?? [];
    if (verb === undefined) throw new Error(`unknown statement ${sql}`);
    this.#rowCount = 0;
    if (verb === 'DELETE FROM') this.#delete(tail!);
    else if (verb === 'UPDATE') this.#update(tail!);
    else this.#insert(verb, tail!);
  }

  /** The rows as sorted text. */
  content(): string[] {
    return this.rows.map((row) => row.join()).toSorted();
  }

  /** Whether `row` may join `others`. */
  clash(row: Row, others: readonly Row[]): Row | undefined {
    return others.find((other) => this.unique.some((i) => row[i] !== null && row[i] === other[i]));
  }

  #delete(tail: string): void {
    const where = this.#condition(tail.replace(/^WHERE /, ''));
    const kept = this.rows.filter((row) => !where(row));
    this.#rowCount = this.rows.length - kept.length;
    this.rows = kept;
  }

  #update(tail: string): void {
    const [, sets, condition] = /^SET (.*) WHERE (.*)$/.exec(tail)!;
    const where = this.#condition(condition!);
    for (const row of this.rows.filter(where)) {
      this.#rowCount++;
      this.#replace(row, this.#assigned(row, sets!));
    }
  }

  #insert(verb: string, tail: string): void {
    const [, names, values, , updates] =
      /^\((.*?)\) VALUES (.*?)( ON DUPLICATE KEY UPDATE (.*))?$/.exec(tail)!;
    const places = names!.split(',').map((name) => this.#place(name));
    for (const [, list] of values!.matchAll(/\(([^)]*)\)/g)) {
      const given = list!.split(',');
      const row = this.columns.map((_, i) => number(given[places.indexOf(i)] ?? 'NULL'));
      if (verb === 'REPLACE INTO') {
        this.rows = this.rows.filter((other) => this.clash(row, [other]) === undefined);
      }
      const other = this.rows.find((found) => found[0] === row[0]) ?? this.clash(row, this.rows);
      if (other === undefined) {
        this.rows.push(row);
        this.#rowCount++;
      } else if (updates === undefined) {
        throw new Error(`duplicate of ${other.join()}: ${row.join()}`);
      } else {
        if (other[0] !== row[0]) throw new Error('upsert of another row');
        const assigned = other.map((value, i) =>
          updates.includes(`${this.#name(i)}=VALUES(`) && i > 0 ? row[i]! : value,
        );
        this.#rowCount += assigned.join() === other.join() ? 1 : 2;
        this.#replace(other, assigned);
      }
    }
  }

  #replace(row: Row, next: Row): void {
    const others = this.rows.filter((other) => other !== row);
    if (this.clash(next, others) !== undefined)
      throw new Error(`duplicate by update: ${next.join()}`);
    this.rows = [...others, next];
  }

  #assigned(row: Row, sets: string): Row {
    const next = [...row];
    for (const set of sets.split(',')) {
      const [name, value] = set.split('=');
      next[this.#place(name!)] = number(value!);
    }
    return next;
  }

  /** `a IN (1,2)`, or comparisons joined by AND, with LIMIT 1 or without. */
  #condition(text: string): (row: Row) => boolean {
    const list = /^(`\w+`) IN \((.*)\)$/.exec(text);
    if (list !== null) {
      const place = this.#place(list[1]!);
      const values = new Set(list[2]!.split(',').map(number));
      return (row) => values.has(row[place]!);
    }
    const isLimited = text.endsWith(' LIMIT 1');
    const terms = text.replace(/ LIMIT 1$/, '').split(' AND ');
    let found = 0;
    return (row) => {
      if (isLimited && found > 0) return false;
      const isMet = terms.every((term) => {
        const [, name, value] = /^(`\w+`)(?:=| IS )(.*)$/.exec(term)!;
        return row[this.#place(name!)] === number(value!);
      });
      if (isMet) found++;
      return isMet;
    };
  }

  #place(name: string): number {
    return this.columns.indexOf(name.replaceAll('`', '').trim());
  }

  #name(place: number): string {
    return `\`${this.columns[place]}\``;
  }
}

function number(text: string): number | null {
  return text === 'NULL' ? null : Number(text);
}
