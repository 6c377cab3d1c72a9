import { columnType, typeClass, type LogColumn } from './column.ts';
import { corrupt, unsupported } from './corrupt.ts';

/** How wide the cells of a table are: what a row scan needs and nothing else. */
export interface RowLayout {
  /** Per column: bytes of every cell, or minus the bytes of the length prefix (−1…−4). */
  readonly widths: Int8Array;
  /** 0, 1, 2 … : the column order when no column is absent. */
  readonly order: Int32Array;
  /** Columns of MySQL's JSON type; partial updates carry one bit for each. */
  readonly jsonCount: number;
  /** 1 for MySQL's JSON columns. */
  readonly json: Uint8Array;
  /** True when a column is of type 7, 11 or 12, whose width depends on digits that the log does not have. */
  readonly hasOldTemporals: boolean;
}

const digitBytes = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
const fractionBytes = [0, 1, 1, 2, 2, 3, 3];
const oldTimeBytes = [3, 4, 4, 5, 5, 5, 6];
const oldDatetimeBytes = [8, 6, 6, 7, 7, 7, 8];

/** Bytes of a packed decimal. */
export function decimalBytes(precision: number, scale: number): number {
  const whole = precision - scale;
  return (
    ((whole / 9) | 0) * 4 + digitBytes[whole % 9]! + ((scale / 9) | 0) * 4 + digitBytes[scale % 9]!
  );
}

/** The layout of a table of these columns. */
export function rowLayout(columns: readonly LogColumn[]): RowLayout {
  const widths = new Int8Array(columns.length);
  const json = new Uint8Array(columns.length);
  let jsonCount = 0;
  let hasOldTemporals = false;
  columns.forEach((column, i) => {
    widths[i] = columnWidth(column);
    if (column.type === columnType.json) {
      json[i] = 1;
      jsonCount++;
    }
    hasOldTemporals ||= isOldTemporal(column);
  });
  return { widths, order: Int32Array.from(columns.keys()), jsonCount, json, hasOldTemporals };
}

/** True for TIMESTAMP, TIME and DATETIME as stored before MySQL 5.6 (MariaDB: mysql56_temporal_format=OFF). */
export function isOldTemporal(column: LogColumn): boolean {
  const { type } = column;
  return type === columnType.timestamp || type === columnType.time || type === columnType.datetime;
}

/** Bytes of a cell, or minus the bytes of its length prefix. */
function columnWidth(column: LogColumn): number {
  const { type, meta } = column;
  switch (typeClass(type)) {
    case 'integer':
      return integerBytes(type);
    case 'decimal':
      return decimalBytes(meta >> 8, meta & 255);
    case 'float':
      return 4;
    case 'double':
      return 8;
    case 'bit':
      return (meta + 7) >> 3;
    case 'year':
      return 1;
    case 'date':
      return 3;
    case 'time':
      return type === columnType.time ? oldTimeBytes[meta]! : 3 + fractionBytes[meta]!;
    case 'datetime':
      return type === columnType.datetime ? oldDatetimeBytes[meta]! : 5 + fractionBytes[meta]!;
    case 'timestamp':
      return 4 + fractionBytes[meta]!;
    case 'enum':
    case 'set':
      return meta;
    case 'character':
      return isBlob(type) ? -meta : meta > 255 ? -2 : -1;
    case 'json':
    case 'geometry':
    case 'vector':
      return -meta;
    case 'null':
      return 0;
    case 'binary':
    case undefined:
      return unsupported(`the log has a column of the unknown type ${type}`);
  }
}

/** True for the types whose metadata is the size of their length prefix. */
function isBlob(type: number): boolean {
  return (
    (type >= columnType.tinyBlob && type <= columnType.blob) || type === columnType.blobCompressed
  );
}

/** SOURCE_CORRUPT unless the metadata of a column is what its type allows. */
export function checkMeta(type: number, meta: number): void {
  if (!metaAllowed(type, meta))
    corrupt(`a table map has bad metadata for a column of type ${type}`);
}

function metaAllowed(type: number, meta: number): boolean {
  switch (typeClass(type)) {
    case 'decimal': {
      const precision = meta >> 8;
      const scale = meta & 255;
      return precision >= 1 && precision <= 65 && scale <= 38 && scale <= precision;
    }
    case 'bit':
      return meta >= 1 && meta <= 64;
    case 'enum':
      return meta === 1 || meta === 2;
    case 'set':
      return meta >= 1 && meta <= 8;
    case 'time':
    case 'datetime':
    case 'timestamp':
      return meta <= 6;
    case 'character':
      return isBlob(type) ? meta >= 1 && meta <= 4 : true;
    case 'json':
    case 'geometry':
    case 'vector':
      return meta >= 1 && meta <= 4;
    default:
      return true;
  }
}

function integerBytes(type: number): number {
  switch (type) {
    case columnType.tiny:
      return 1;
    case columnType.short:
      return 2;
    case columnType.int24:
      return 3;
    case columnType.long:
      return 4;
    default:
      return 8;
  }
}
