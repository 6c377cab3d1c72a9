/**
 * Columns as the log describes them. `type` is the real type: CHAR, ENUM and SET share one code in the log and are told
 * apart by their metadata, which the table map reader has done already.
 */

/** Type codes of the log. 140 and 141 are MariaDB's COMPRESSED columns, 242 is VECTOR and 245 JSON of MySQL. */
export const columnType = {
  tiny: 1,
  short: 2,
  long: 3,
  float: 4,
  double: 5,
  null: 6,
  timestamp: 7,
  longlong: 8,
  int24: 9,
  date: 10,
  time: 11,
  datetime: 12,
  year: 13,
  newdate: 14,
  varchar: 15,
  bit: 16,
  timestamp2: 17,
  datetime2: 18,
  time2: 19,
  blobCompressed: 140,
  varcharCompressed: 141,
  vector: 242,
  json: 245,
  decimal: 246,
  enum: 247,
  set: 248,
  tinyBlob: 249,
  mediumBlob: 250,
  longBlob: 251,
  blob: 252,
  varString: 253,
  string: 254,
  geometry: 255,
} as const;

/** One column of a table map. */
export interface LogColumn {
  /** Place in the table, from 0. */
  readonly index: number;
  /** Null when the server logs no names (binlog_row_metadata below FULL). */
  readonly name: string | null;
  /** A code of {@link columnType}. */
  readonly type: number;
  /**
   * By type: CHAR/BINARY and VARCHAR/VARBINARY bytes at most; blobs, JSON, geometry and vector bytes of the length
   * prefix; decimal precision · 256 + scale; bit bits; enum and set bytes; temporals digits after the second;
   * otherwise 0. Types 7, 11 and 12 (temporals of before MySQL 5.6) do not log their digits: see `withTemporalDigits`.
   */
  readonly meta: number;
  readonly unsigned: boolean;
  readonly nullable: boolean;
  /** Collation id; 63 is binary; null = not a character, enum or set column, or not logged. */
  readonly collation: number | null;
  /** Labels of an enum or set; null when it is neither, when they are not logged, or when their charset has no exact decoder. */
  readonly labels: readonly string[] | null;
  /** The labels' bytes in the column's own charset; null as `labels` when not logged. */
  readonly labelBytes: readonly Uint8Array[] | null;
  /** 0 geometry, 1 point, 2 linestring … 7 geometrycollection; null = not a geometry, or not logged. */
  readonly geometryType: number | null;
  /** False for MySQL's invisible columns; MariaDB does not log it and it stays true. */
  readonly visible: boolean;
  /** Place in the primary key, from 0; -1 when not in it or not logged. */
  readonly primaryKeyOrdinal: number;
  /** Characters of the column in the primary key; 0 = whole column. */
  readonly primaryKeyPrefix: number;
}

/** What a column holds, as far as its text and its quoting go. */
export type ColumnClass =
  | 'integer'
  | 'decimal'
  | 'float'
  | 'double'
  | 'bit'
  | 'year'
  | 'date'
  | 'time'
  | 'datetime'
  | 'timestamp'
  | 'character'
  | 'binary'
  | 'enum'
  | 'set'
  | 'json'
  | 'geometry'
  | 'vector'
  | 'null';

const classes: readonly (readonly [ColumnClass, readonly number[]])[] = [
  [
    'integer',
    [columnType.tiny, columnType.short, columnType.int24, columnType.long, columnType.longlong],
  ],
  ['decimal', [columnType.decimal]],
  ['float', [columnType.float]],
  ['double', [columnType.double]],
  ['bit', [columnType.bit]],
  ['year', [columnType.year]],
  ['date', [columnType.date, columnType.newdate]],
  ['time', [columnType.time, columnType.time2]],
  ['datetime', [columnType.datetime, columnType.datetime2]],
  ['timestamp', [columnType.timestamp, columnType.timestamp2]],
  [
    'character',
    [
      columnType.string,
      columnType.varString,
      columnType.varchar,
      columnType.varcharCompressed,
      columnType.tinyBlob,
      columnType.blob,
      columnType.mediumBlob,
      columnType.longBlob,
      columnType.blobCompressed,
    ],
  ],
  ['enum', [columnType.enum]],
  ['set', [columnType.set]],
  ['json', [columnType.json]],
  ['geometry', [columnType.geometry]],
  ['vector', [columnType.vector]],
  ['null', [columnType.null]],
];

const classByType = new Map(
  classes.flatMap(([name, types]) => types.map((type) => [type, name] as const)),
);

/** The collation id of binary data. */
export const binaryCollation = 63;

/**
 * What `column` holds. String types are `character` when their charset is logged and is not binary, else `binary`.
 * MariaDB logs INET4, INET6 and UUID as BINARY(4) and BINARY(16): the log cannot tell them from those.
 */
export function columnClass(column: LogColumn): ColumnClass {
  const name = typeClass(column.type) ?? 'binary';
  if (name !== 'character') return name;
  return column.collation === null || column.collation === binaryCollation ? 'binary' : name;
}

/** The class of a type code with strings as `character`; undefined when the code is unknown. */
export function typeClass(type: number): ColumnClass | undefined {
  return classByType.get(type);
}

/** True for the types whose cells may be stored compressed by MariaDB (`COMPRESSED` columns). */
export function isCompressedColumn(column: LogColumn): boolean {
  return column.type === columnType.varcharCompressed || column.type === columnType.blobCompressed;
}
