import type { LogFlavor } from '#src/model/block.ts';
import { ByteCursor } from './byte-cursor.ts';
import { columnType, typeClass, type LogColumn } from './column.ts';
import { corrupt, unsupported } from './corrupt.ts';
import { checkMeta, isOldTemporal, rowLayout, type RowLayout } from './row-layout.ts';
import { readTableOptions, type TableOptions } from './table-options.ts';

export type { LogColumn } from './column.ts';

/** What a TABLE_MAP event says: the shape of the rows of one table, until its next table map. */
export interface TableMap {
  readonly flavor: LogFlavor;
  /** Number that the rows events refer to; changes whenever the server reopens the table. */
  readonly tableId: number;
  readonly schema: string;
  readonly table: string;
  readonly columns: readonly LogColumn[];
  /** True when the log has column names (binlog_row_metadata=FULL), and with them labels and keys. */
  readonly hasNames: boolean;
  /** Widths of the cells, for reading rows. */
  readonly layout: RowLayout;
}

/** Most columns of a table in any server, with room to spare. */
const columnCountMax = 8192;

/** The body of a TABLE_MAP event (no event header, no checksum). Malformed input is SOURCE_CORRUPT. */
export function readTableMap(body: Uint8Array, flavor: LogFlavor): TableMap {
  const cursor = new ByteCursor(body, 'a table map');
  const tableId = cursor.uint(6);
  cursor.skip(2);
  const schema = readName(cursor);
  const table = readName(cursor);
  const columnCount = cursor.lenenc();
  if (columnCount > columnCountMax) corrupt('a table map has too many columns');
  const types = cursor.view(columnCount);
  const metaBytes = cursor.lenenc();
  const meta = new ByteCursor(cursor.view(metaBytes), 'the metadata of a table map');
  const shapes = readShapes(types, meta);
  const nullable = cursor.view((columnCount + 7) >> 3);
  const options = readTableOptions(cursor, shapes, flavor);
  const columns = shapes.map((shape, index) =>
    describeColumn(shape, index, (nullable[index >> 3]! & (1 << (index & 7))) !== 0, options),
  );
  return {
    flavor,
    tableId,
    schema,
    table,
    columns,
    hasNames: options.names !== null,
    layout: rowLayout(columns),
  };
}

/**
 * The same table with the digits after the second of its old temporal columns (types 7, 11 and 12), which no log has:
 * `digits[i]` is column i's DATETIME_PRECISION in information_schema, used for those types only; null means 0.
 */
export function withTemporalDigits(table: TableMap, digits: readonly (number | null)[]): TableMap {
  const columns = table.columns.map((column) => {
    const count = digits[column.index] ?? 0;
    if (!isOldTemporal(column) || count === column.meta) return column;
    if (!(count >= 0 && count <= 6)) unsupported(`a column with ${count} digits after the second`);
    return { ...column, meta: count };
  });
  return { ...table, columns, layout: rowLayout(columns) };
}

/** Type and metadata of a column. */
export interface ColumnShape {
  readonly type: number;
  readonly meta: number;
}

function readName(cursor: ByteCursor): string {
  const name = cursor.text(cursor.uint8());
  if (cursor.uint8() !== 0) corrupt('a table map has a name without its end');
  return name;
}

function readShapes(types: Uint8Array, meta: ByteCursor): ColumnShape[] {
  const shapes: ColumnShape[] = [];
  for (const type of types) {
    const shape = readShape(type, meta);
    checkMeta(shape.type, shape.meta);
    shapes.push(shape);
  }
  return shapes;
}

function readShape(type: number, meta: ByteCursor): ColumnShape {
  switch (typeClass(type)) {
    case 'float':
    case 'double':
    case 'json':
    case 'geometry':
    case 'vector':
      return { type, meta: meta.uint8() };
    case 'decimal':
      return { type, meta: (meta.uint8() << 8) | meta.uint8() };
    case 'bit': {
      const rest = meta.uint8();
      return { type, meta: rest + 8 * meta.uint8() };
    }
    case 'time':
    case 'datetime':
    case 'timestamp':
      // The types of before MySQL 5.6 carry no metadata.
      return { type, meta: type >= columnType.timestamp2 ? meta.uint8() : 0 };
    case 'character':
    case 'enum':
    case 'set':
      return readStringShape(type, meta);
    case undefined:
      return unsupported(`the log has a column of the unknown type ${type}`);
    default:
      return { type, meta: 0 };
  }
}

function readStringShape(type: number, meta: ByteCursor): ColumnShape {
  if (type === columnType.varchar || type === columnType.varcharCompressed) {
    return { type, meta: meta.uint16() };
  }
  if (
    type !== columnType.string &&
    type !== columnType.varString &&
    type !== columnType.enum &&
    type !== columnType.set
  ) {
    return { type, meta: meta.uint8() };
  }
  const high = meta.uint8();
  const low = meta.uint8();
  // Bits 4 and 5 of the type byte are always set; CHAR longer than 255 bytes hides the upper bits of its length there.
  if ((high & 0x30) !== 0x30) {
    return { type: checkString(high | 0x30), meta: low | (((high & 0x30) ^ 0x30) << 4) };
  }
  return { type: checkString(high), meta: low };
}

function checkString(type: number): number {
  if (
    type !== columnType.string &&
    type !== columnType.varString &&
    type !== columnType.enum &&
    type !== columnType.set
  ) {
    corrupt('a table map has a string column of no string type');
  }
  return type;
}

function describeColumn(
  shape: ColumnShape,
  index: number,
  nullable: boolean,
  options: TableOptions,
): LogColumn {
  const labels = options.labels.get(index);
  const key = options.keys.get(index);
  return {
    index,
    name: options.names?.[index] ?? null,
    type: shape.type,
    meta: shape.meta,
    unsigned: options.unsigned.has(index),
    nullable,
    collation: options.collations.get(index) ?? null,
    labels: labels?.texts ?? null,
    labelBytes: labels?.bytes ?? null,
    geometryType: options.geometries.get(index) ?? null,
    visible: !options.invisible.has(index),
    primaryKeyOrdinal: key?.ordinal ?? -1,
    primaryKeyPrefix: key?.prefix ?? 0,
  };
}
