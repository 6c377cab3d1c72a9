import { quoteName, quoteText } from './table-shape.ts';

import type { ColumnShape } from './table-shape.ts';

const characterTypes = /^(char|varchar|tinytext|text|mediumtext|longtext)$/;
const binaryTypes = /^(binary|varbinary)$/;
const blobTypes = /^(tinyblob|blob|mediumblob|longblob)$/;
const shapeTypes =
  /^(geometry|point|linestring|polygon|multipoint|multilinestring|multipolygon|geometrycollection|geomcollection|vector)$/;
const integerTypes = /^(tinyint|smallint|mediumint|int|bigint|year|decimal)$/;
const quotedTypes = /^(date|time|datetime|timestamp|inet4|inet6|uuid)$/;

/** How the values of a column are put into text, on both servers alike. */
export type TextForm = 'bytes' | 'unicode' | 'label' | 'plain';

/**
 * The form in which two columns of the same name are compared, or null when the servers have none in common: MySQL's
 * JSON is a document, MariaDB's is the text as it was written.
 */
export function textForm(upstream: ColumnShape, sink: ColumnShape): TextForm | null {
  if ((upstream.dataType === 'json') !== (sink.dataType === 'json')) return null;
  if (
    upstream.dataType === 'enum' ||
    upstream.dataType === 'set' ||
    sink.dataType === 'enum' ||
    sink.dataType === 'set'
  ) {
    return upstream.columnType === sink.columnType ? 'plain' : 'label';
  }
  if (isText(upstream) && isText(sink))
    return upstream.charset === sink.charset ? 'bytes' : 'unicode';
  if (isText(upstream) !== isText(sink))
    return isBinary(upstream) || isBinary(sink) ? 'bytes' : 'label';
  return 'plain';
}

function isText(column: ColumnShape): boolean {
  return characterTypes.test(column.dataType);
}

function isBinary({ dataType }: ColumnShape): boolean {
  return binaryTypes.test(dataType) || blobTypes.test(dataType);
}

/**
 * An SQL expression whose text is equal for equal values only and holds neither `,` nor `~`, so that texts can be joined.
 * FLOAT goes through DOUBLE because its own text keeps 6 digits; zero has no sign, because MariaDB prints none; enum and set are numbers because the invalid value and
 * an empty label have the same text; long values are digested so that a row's text stays short.
 */
export function columnText(column: ColumnShape, form: TextForm): string {
  const name = quoteName(column.name);
  const { dataType } = column;
  if (form === 'label') return `HEX(CONVERT(${name} USING utf8mb4))`;
  if (form === 'unicode') return `SHA2(CONVERT(${name} USING utf8mb4), 256)`;
  if (dataType === 'float') return floatText(name);
  // Only the column itself is printed with all its digits: MySQL shortens expressions.
  if (dataType === 'double') return `IF(${name} = 0, '0', CONCAT(${name}))`;
  if (dataType === 'enum' || dataType === 'set' || dataType === 'bit')
    return `CONCAT(CAST(${name} AS UNSIGNED))`;
  if (/^(char|varchar|tinytext)$/.test(dataType) || binaryTypes.test(dataType))
    return `HEX(${name})`;
  if (isText(column) || isBinary(column)) return `SHA2(${name}, 256)`;
  if (dataType === 'json') return `SHA2(CAST(${name} AS CHAR CHARACTER SET utf8mb4), 256)`;
  if (shapeTypes.test(dataType)) return `SHA2(HEX(${name}), 256)`;
  return `CONCAT(${name})`;
}

/** MySQL cuts the text of an expression at 22 characters: a positive FLOAT always fits, so the sign is set apart. */
function floatText(name: string): string {
  return `CONCAT(IF(${name} < 0, '-', ''), CAST(ABS(${name}) AS DOUBLE))`;
}

/** What a key column shows to a person: text as text, bytes as `0x…`. */
export function keyShownText(column: ColumnShape): string {
  const name = quoteName(column.name);
  if (isText(column) || column.dataType === 'enum' || column.dataType === 'set')
    return `CONVERT(${name} USING utf8mb4)`;
  if (isBinary(column)) return `CONCAT('0x', HEX(${name}))`;
  if (column.dataType === 'bit') return `CONCAT(CAST(${name} AS UNSIGNED))`;
  return `CONCAT(${name})`;
}

/** True when ranges over the column mean the same set of values on both servers and {@link keyLiteral} can name them. */
export function canBound(upstream: ColumnShape, sink: ColumnShape): boolean {
  const { dataType } = upstream;
  if (dataType !== sink.dataType || upstream.collation !== sink.collation) return false;
  if (dataType === 'enum') return upstream.columnType === sink.columnType;
  return (
    integerTypes.test(dataType) ||
    quotedTypes.test(dataType) ||
    binaryTypes.test(dataType) ||
    /^(char|varchar|bit|float|double)$/.test(dataType)
  );
}

/** The literal of a key value from its {@link columnText}, such that the key's index and collation are used. */
export function keyLiteral(column: ColumnShape, text: string): string {
  const { dataType, charset } = column;
  if (binaryTypes.test(dataType)) return `x'${text}'`;
  if (charset !== null && dataType !== 'enum') return `_${charset} x'${text}'`;
  if (quotedTypes.test(dataType)) return quoteText(text);
  if (dataType === 'float' || dataType === 'double') return text.includes('e') ? text : `${text}e0`;
  return text;
}
