/** Databases and tables, and the views and texts by which the server tells of them. */
import { Table, charsetOf, collationOf, octetsOf } from './table.ts';
import { SqlError, UnknownSql, byteText } from './value.ts';

import type { ColumnSpec } from './ast.ts';
import type { TableDefinition } from './table.ts';
import type { Row, Value } from './value.ts';

/** A view of information_schema. */
export interface View {
  readonly columns: readonly string[];
  readonly rows: readonly Row[];
}

interface Name {
  readonly schema: string;
  readonly table: string;
}

/** All databases. */
export class Catalog {
  readonly #schemas = new Map<string, Map<string, Table>>();
  #tableCount = 0;

  /** A number for a new table. */
  nextTableId(): number {
    return ++this.#tableCount;
  }

  /** Whether a database is there. */
  hasSchema(schema: string): boolean {
    return this.#schemas.has(schema);
  }

  /** Makes a database. */
  addSchema(schema: string): void {
    this.#schemas.set(schema, new Map());
  }

  /** Drops a database with all its tables. */
  dropSchema(schema: string): void {
    this.#schemas.delete(schema);
  }

  /** Names of a database's tables. */
  tableNames(schema: string): string[] {
    return [...(this.#schemas.get(schema)?.keys() ?? [])];
  }

  /** A table; null when it is not there. */
  table(name: Name): Table | null {
    return this.#schemas.get(name.schema)?.get(name.table) ?? null;
  }

  /** Puts a table where its definition says; 1049 when the database is missing. */
  put(table: Table): void {
    const { schema, table: name } = table.definition;
    const tables = this.#schemas.get(schema);
    if (tables === undefined) throw new SqlError(1049, `Unknown database '${schema}'`);
    tables.set(name, table);
  }

  /** Takes a table away. */
  drop(name: Name): void {
    this.#schemas.get(name.schema)?.delete(name.table);
  }

  /** A view of information_schema; 1109 for those that MariaDB does not have. */
  view(name: string): View {
    const tables = [...this.#schemas.values()].flatMap((found) => [...found.values()]);
    const of = (columns: string, rows: readonly Row[]): View => ({
      columns: columns.split(' '),
      rows,
    });
    switch (name.toUpperCase()) {
      case 'TABLES':
        return of(
          'TABLE_SCHEMA TABLE_NAME TABLE_TYPE ENGINE',
          tables.map(({ definition: d }) => [
            byteText(d.schema),
            byteText(d.table),
            'BASE TABLE',
            'InnoDB',
          ]),
        );
      case 'ENGINES':
        return of('ENGINE TRANSACTIONS', [['InnoDB', 'YES']]);
      case 'TRIGGERS':
        return of('TRIGGER_NAME EVENT_OBJECT_SCHEMA EVENT_OBJECT_TABLE', []);
      case 'COLUMNS':
        return of(
          columnsView,
          tables.flatMap(({ definition }) => columnRows(definition)),
        );
      case 'STATISTICS':
        return of(
          'TABLE_SCHEMA TABLE_NAME INDEX_NAME COLUMN_NAME SUB_PART NON_UNIQUE SEQ_IN_INDEX',
          tables.flatMap(({ definition }) => keyRows(definition)),
        );
      case 'TABLE_CONSTRAINTS':
        return of('TABLE_SCHEMA TABLE_NAME CONSTRAINT_TYPE', tables.flatMap(constraintRows));
      case 'REFERENTIAL_CONSTRAINTS':
        return of(
          'CONSTRAINT_SCHEMA TABLE_NAME UNIQUE_CONSTRAINT_SCHEMA REFERENCED_TABLE_NAME UPDATE_RULE DELETE_RULE',
          [],
        );
      case 'INNODB_SYS_TABLES':
        return of(
          'NAME TABLE_ID',
          tables.map(({ definition: d, id }) => [`${d.schema}/${d.table}`, BigInt(id)]),
        );
      case 'INNODB_TABLES':
        throw new SqlError(1109, `Unknown table 'INNODB_TABLES' in information_schema`);
      default:
        throw new UnknownSql('the view', name);
    }
  }

  /** The text of SHOW CREATE TABLE; 1146 when it is not there. */
  showTable(name: Name): string {
    const table = this.table(name);
    if (table === null)
      throw new SqlError(1146, `Table '${name.schema}.${name.table}' doesn't exist`);
    const { columns, keys, checks, comment } = table.definition;
    const lines = [
      ...columns.map((column) => `  ${columnText(column)}`),
      ...keys.map(({ name: key, isUnique, columns: parts }) => {
        const list = parts.map((part) => `\`${part}\``).join(',');
        if (key === 'PRIMARY') return `  PRIMARY KEY (${list})`;
        return `  ${isUnique ? 'UNIQUE ' : ''}KEY \`${key}\` (${list})`;
      }),
      ...checks.map(({ name: check, text }) => `  CONSTRAINT \`${check}\` CHECK ${text}`),
    ];
    return byteText(
      `CREATE TABLE \`${name.table}\` (\n${lines.join(',\n')}\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4${comment === '' ? '' : ` COMMENT='${comment}'`}`,
    );
  }

  /** The text of SHOW CREATE DATABASE; 1049 when it is not there. */
  showSchema(schema: string): string {
    if (!this.#schemas.has(schema)) throw new SqlError(1049, `Unknown database '${schema}'`);
    return byteText(`CREATE DATABASE \`${schema}\` /*!40100 DEFAULT CHARACTER SET utf8mb4 */`);
  }
}

const columnsView =
  'TABLE_SCHEMA TABLE_NAME ORDINAL_POSITION COLUMN_NAME DATA_TYPE COLUMN_TYPE CHARACTER_SET_NAME COLLATION_NAME IS_NULLABLE COLUMN_DEFAULT EXTRA CHARACTER_OCTET_LENGTH DATETIME_PRECISION';

function columnRows(table: TableDefinition): Row[] {
  return table.columns.map((column, i) => {
    const collation = collationOf(column);
    const octets = octetsOf(column);
    return [
      byteText(table.schema),
      byteText(table.table),
      BigInt(i + 1),
      byteText(column.name),
      column.type,
      typeText(column),
      collation === null ? null : charsetOf(column),
      collation,
      column.isNullable ? 'YES' : 'NO',
      defaultText(column),
      column.isAutoIncrement ? 'auto_increment' : '',
      octets === null ? null : BigInt(octets),
      null,
    ];
  });
}

function keyRows(table: TableDefinition): Row[] {
  return table.keys.flatMap(({ name, isUnique, columns }) =>
    columns.map((column, i): Row => [
      byteText(table.schema),
      byteText(table.table),
      byteText(name),
      byteText(column),
      null,
      isUnique ? 0n : 1n,
      BigInt(i + 1),
    ]),
  );
}

function constraintRows({ definition }: Table): Row[] {
  const { schema, table, keys, checks } = definition;
  const kinds = [
    ...keys
      .filter(({ isUnique }) => isUnique)
      .map(({ name }) => (name === 'PRIMARY' ? 'PRIMARY KEY' : 'UNIQUE')),
    ...checks.map(() => 'CHECK'),
  ];
  return kinds.map((kind) => [byteText(schema), byteText(table), kind]);
}

const displayWidths: Readonly<Record<string, number>> = {
  tinyint: 4,
  smallint: 6,
  mediumint: 9,
  int: 11,
  bigint: 20,
};

function typeText(column: ColumnSpec): string {
  const width = displayWidths[column.type];
  if (width === undefined) {
    return /char|binary/.test(column.type) ? `${column.type}(${column.length ?? 1})` : column.type;
  }
  const shown =
    column.length ?? (column.isUnsigned && column.type !== 'bigint' ? width - 1 : width);
  return `${column.type}(${shown})${column.isUnsigned ? ' unsigned' : ''}`;
}

function defaultText(column: ColumnSpec): Value {
  const { defaultValue } = column;
  if (defaultValue === undefined) return column.isNullable ? 'NULL' : null;
  if (typeof defaultValue === 'string') return `'${defaultValue.replaceAll("'", "''")}'`;
  return defaultValue === null ? 'NULL' : String(defaultValue);
}

function columnText(column: ColumnSpec): string {
  const parts = [`\`${column.name}\``, typeText(column)];
  if (column.collation !== null) parts.push(`COLLATE ${column.collation}`);
  if (!column.isNullable) parts.push('NOT NULL');
  const value = defaultText(column);
  if (value !== null) parts.push(`DEFAULT ${value}`);
  if (column.isAutoIncrement) parts.push('AUTO_INCREMENT');
  return parts.join(' ');
}
