import { binaryCollation, columnClass } from '#src/adapters/binlog/column.ts';
import { charsetOfCollation } from '#src/adapters/binlog/charset.ts';
import { withTemporalDigits } from '#src/adapters/binlog/table-map.ts';
import { fail } from '#src/base/failure.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { exactWriter, matchWriter, valueWriter } from './literal.ts';

import type { ColumnClass, LogColumn } from '#src/adapters/binlog/column.ts';
import type { TableMap } from '#src/adapters/binlog/table-map.ts';
import type { CellWriter } from './literal.ts';
import type { ColumnDefinition, TableDefinition } from './table-definition.ts';

/** A column of the log and the column downstream that it fills. */
export interface BoundColumn {
  /** Index in the log's images. */
  readonly index: number;
  readonly log: LogColumn;
  readonly definition: ColumnDefinition;
  readonly kind: ColumnClass;
  /** The quoted name. */
  readonly name: string;
  /** Writes a value to be stored. */
  readonly value: CellWriter;
  /** Writes a value to be compared by the column's collation. */
  readonly match: CellWriter;
  /** Writes a condition that holds for this exact value alone. */
  readonly exact: CellWriter;
}

/** A table map of the log, joined with the downstream's definition of the table. */
export interface TableBinding {
  readonly map: TableMap;
  readonly definition: TableDefinition;
  /** The quoted full name. */
  readonly name: string;
  /** All columns, in the log's order. */
  readonly columns: readonly BoundColumn[];
  /** Columns that are written: all but generated ones. */
  readonly written: readonly BoundColumn[];
  /** Columns of the row key in its order; null when the table has none. */
  readonly key: readonly BoundColumn[] | null;
  /** Log index of each column of the definition. */
  readonly logIndex: readonly number[];
  /** ENUM columns that are written: their index 0 needs a relaxed session. */
  readonly enums: readonly BoundColumn[];
}

/**
 * Joins a table map with the definition of its table. Columns are matched by name, or by place when the log has no
 * names. SINK_SCHEMA_MISMATCH names every difference that would put a value into the wrong place or change it.
 */
export function bindTable(logged: TableMap, definition: TableDefinition): TableBinding {
  const problems: string[] = [];
  const pairs = pairColumns(logged, definition, problems);
  if (problems.length === 0) {
    for (const [log, column] of pairs) checkColumn(log, column, problems);
  }
  if (problems.length > 0) {
    fail(
      'SINK_SCHEMA_MISMATCH',
      `${definition.schema}.${definition.table}: ${problems.join('; ')}`,
      { scope: 'Table', detail: { schema: definition.schema, table: definition.table } },
    );
  }
  const map = withTemporalDigits(
    logged,
    pairs.map(([, column]) => column.secondDigits),
  );
  const columns = pairs.map(([log, column]) => bindColumn(map.columns[log.index]!, column));
  const logIndex = definition.columns.map((column) =>
    columns.findIndex((bound) => bound.definition === column),
  );
  const written = columns.filter((column) => column.definition.generated === 'no');
  return {
    map,
    definition,
    name: quoteTable(definition.schema, definition.table),
    columns,
    written,
    key: definition.rowKey?.parts.map((part) => columns[logIndex[part.column]!]!) ?? null,
    logIndex,
    enums: written.filter((column) => column.kind === 'enum'),
  };
}

function bindColumn(log: LogColumn, definition: ColumnDefinition): BoundColumn {
  const name = quoteIdentifier(definition.name);
  return {
    index: log.index,
    log,
    definition,
    kind: columnClass(log),
    name,
    value: valueWriter(log, definition),
    match: matchWriter(log, definition),
    exact: exactWriter(log, definition, name),
  };
}

type ColumnPair = readonly [log: LogColumn, definition: ColumnDefinition];

function pairColumns(
  logged: TableMap,
  definition: TableDefinition,
  problems: string[],
): readonly ColumnPair[] {
  if (!logged.hasNames) {
    if (logged.columns.length !== definition.columns.length) {
      problems.push(
        `the log has ${logged.columns.length} columns, the downstream ${definition.columns.length}`,
      );
      return [];
    }
    return logged.columns.map((log, i) => [log, definition.columns[i]!]);
  }
  const byName = new Map(definition.columns.map((column) => [column.name, column]));
  const pairs: ColumnPair[] = [];
  for (const log of logged.columns) {
    const column = byName.get(log.name ?? '');
    byName.delete(log.name ?? '');
    if (column === undefined) problems.push(`column ${log.name} is missing downstream`);
    else pairs.push([log, column]);
  }
  for (const name of byName.keys()) problems.push(`column ${name} is not in the log`);
  return pairs;
}

const geometryTypes =
  'geometry point linestring polygon multipoint multilinestring multipolygon geometrycollection geomcollection';
const textTypes = 'char varchar tinytext text mediumtext longtext';
// MariaDB logs INET4, INET6, UUID and VECTOR as plain bytes.
const byteTypes = 'binary varbinary tinyblob blob mediumblob longblob inet4 inet6 uuid vector';

/** Types downstream that take a class of the log as it is. */
const takers: Readonly<Record<ColumnClass, ReadonlySet<string>>> = {
  integer: types('tinyint smallint mediumint int bigint'),
  decimal: types('decimal'),
  float: types('float'),
  double: types('double'),
  bit: types('bit'),
  year: types('year'),
  date: types('date'),
  time: types('time'),
  datetime: types('datetime'),
  timestamp: types('timestamp'),
  character: types(textTypes),
  binary: types(byteTypes),
  enum: types('enum'),
  set: types('set'),
  // MySQL's JSON as text is what MariaDB's JSON, a LONGTEXT, holds.
  json: types('json longtext'),
  geometry: types(geometryTypes),
  vector: types('vector'),
  null: types(''),
};

function types(names: string): ReadonlySet<string> {
  return new Set(names.split(' '));
}

function checkColumn(log: LogColumn, column: ColumnDefinition, problems: string[]): void {
  const kind = columnClass(log);
  const takesText =
    log.collation === null && kind === 'binary' && takers.character.has(column.dataType);
  if (!takers[kind].has(column.dataType) && !takesText) {
    problems.push(`column ${column.name} is ${column.columnType} downstream, ${kind} in the log`);
    return;
  }
  if (kind === 'character' && log.collation !== null && log.collation !== binaryCollation) {
    const charset = charsetOfCollation(log.collation);
    if (charset !== null && charset !== plainCharset(column.charset)) {
      problems.push(
        `column ${column.name} has charset ${column.charset ?? 'none'} downstream, ${charset} in the log`,
      );
    }
  }
  if (log.labels !== null && !sameLabels(log.labels, column.labels)) {
    problems.push(`column ${column.name} has other labels downstream than in the log`);
  }
}

function plainCharset(charset: string | null): string | null {
  return charset === 'utf8' ? 'utf8mb3' : charset;
}

function sameLabels(a: readonly string[], b: readonly string[] | null): boolean {
  if (b === null || a.length !== b.length) return false;
  return a.every((label, i) => label === b[i] || label === unescaped(b[i]!));
}

/** MariaDB shows backslashes and control characters of labels escaped. */
function unescaped(label: string): string {
  const meanings: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', '0': '\0' };
  return label.replaceAll(/\\(.)/gsu, (_, character: string) => meanings[character] ?? character);
}
