/**
 * SQL expressions that rebuild MySQL JSON values. JSON text cannot tell a DECIMAL 1.5 from a DOUBLE, a DATETIME from a
 * string or an unsigned 5 from a signed one; where a value holds such things, an expression of JSON_OBJECT, JSON_ARRAY
 * and CAST rebuilds them with their types.
 */
import { ByteWriter } from '#src/base/byte-writer.ts';
import { columnType } from './column.ts';
import { corrupt } from './corrupt.ts';
import {
  JsonDocument,
  jsonDepthMax,
  jsonType,
  opaqueTemporal,
  writeJsonDecimal,
  writeJsonPlace,
  writeJsonTemporal,
  type JsonPlace,
} from './json-binary.ts';

/** True when the text of the value in `bytes[start, end)` says everything, so that it may be sent as text. */
export function isPlainJson(bytes: Uint8Array, start: number, end: number): boolean {
  const document = new JsonDocument(bytes, start, end);
  const root = document.root(start, end);
  return root === null || isPlain(document, root, 0);
}

/**
 * Writes an SQL expression whose value is exactly the JSON value in `bytes[start, end)`. It is ASCII and depends neither
 * on sql_mode's escapes nor on the connection's character set.
 */
export function writeJsonExpression(
  out: ByteWriter,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  const from = out.length;
  const document = new JsonDocument(bytes, start, end);
  const root = document.root(start, end);
  try {
    if (root === null) {
      out.ascii("CAST(_utf8mb4'null' AS JSON)");
    } else if (isScalarWithType(root)) {
      // There is no cast from every SQL type to JSON, but every type may stand in an array.
      out.ascii('JSON_EXTRACT(JSON_ARRAY(');
      writePlace(out, document, root, 0);
      out.ascii("),_utf8mb4'$[0]')");
    } else {
      writePlace(out, document, root, 0);
    }
  } catch (error) {
    out.truncate(from);
    throw error;
  }
}

function isScalarWithType(place: JsonPlace): boolean {
  const { type } = place;
  return (
    type === jsonType.opaque ||
    type === jsonType.uint16 ||
    type === jsonType.uint32 ||
    type === jsonType.uint64
  );
}

function isContainer(place: JsonPlace): boolean {
  return place.type <= jsonType.largeArray;
}

function isPlain(document: JsonDocument, place: JsonPlace, depth: number): boolean {
  if (!isContainer(place)) {
    if (place.type !== jsonType.uint64) return !isScalarWithType(place);
    // Text of an integer above the signed range is read back as unsigned.
    return document.integer(place).high < 0;
  }
  if (depth >= jsonDepthMax) corrupt('a JSON value is nested too deeply');
  const container = document.container(place);
  for (let i = 0; i < container.count; i++) {
    if (!isPlain(document, document.element(container, i), depth + 1)) return false;
  }
  return true;
}

const keyRange = { start: 0, end: 0 };

/** Writes an SQL value that means the same inside JSON_ARRAY and JSON_OBJECT. */
function writePlace(
  out: ByteWriter,
  document: JsonDocument,
  place: JsonPlace,
  depth: number,
): void {
  if (!isContainer(place)) {
    writeScalar(out, document, place);
    return;
  }
  if (depth >= jsonDepthMax) corrupt('a JSON value is nested too deeply');
  // A walk of its own budget: the value is visited again when it turns out not to be plain. At most depth · size in all.
  if (isPlain(new JsonDocument(document.bytes, place.at, place.end), place, depth)) {
    writePlain(out, document, place, depth);
    return;
  }
  const container = document.container(place);
  out.ascii(container.isObject ? 'JSON_OBJECT(' : 'JSON_ARRAY(');
  for (let i = 0; i < container.count; i++) {
    if (i > 0) out.byte(0x2c);
    if (container.isObject) {
      document.key(container, i, keyRange);
      writeHexText(out, document.bytes, keyRange.start, keyRange.end);
      out.byte(0x2c);
    }
    writePlace(out, document, document.element(container, i), depth + 1);
  }
  out.byte(0x29);
}

function writeScalar(out: ByteWriter, document: JsonDocument, place: JsonPlace): void {
  switch (place.type) {
    case jsonType.uint16:
    case jsonType.uint32:
    case jsonType.uint64:
      out.ascii('CAST(');
      writeJsonPlace(out, document, place, 0);
      out.ascii(' AS UNSIGNED)');
      break;
    case jsonType.opaque:
      writeOpaqueExpression(out, document, place);
      break;
    default:
      writePlain(out, document, place, 0);
  }
}

function writeOpaqueExpression(out: ByteWriter, document: JsonDocument, place: JsonPlace): void {
  const { type, start, end } = document.opaque(place);
  const kind = opaqueTemporal(type);
  if (type === columnType.decimal) {
    writeDecimalExpression(out, document, start, end);
  } else if (kind === null) {
    writeTypedBytes(out, type, document.bytes.subarray(start, end));
  } else {
    const text = new ByteWriter(32);
    writeJsonTemporal(text, kind, document.bytes, { start, end });
    writeTemporalExpression(out, type, kind, String.fromCharCode(...text.bytes()));
  }
}

const castOf = { date: 'DATE', datetime: 'DATETIME(6)', time: 'TIME(6)' } as const;

function writeTemporalExpression(
  out: ByteWriter,
  type: number,
  kind: keyof typeof castOf,
  text: string,
): void {
  const year = Number(text.slice(0, 4));
  // There is no CAST to TIMESTAMP, and at the edges of its range the time zone would matter: there a DATETIME stands in.
  if (type === columnType.timestamp && year >= 1971 && year <= 2037) {
    out.ascii(`${tableBefore}'${text}'${tableAfter('TIMESTAMP(6)')}`);
  } else {
    out.ascii(`CAST('${text}' AS ${castOf[kind]})`);
  }
}

/** Longer than any VARBINARY and than any MEDIUMBLOB: an expression that could be so long takes the type of that length. */
const mediumBytes = 70_000;
const longBytes = 17_000_000;

/** Bytes as an SQL value of column type `type`. A TINYBLOB, which no expression has, becomes a VARBINARY. */
function writeTypedBytes(out: ByteWriter, type: number, bytes: Uint8Array): void {
  const size = bytes.byteLength;
  if (type === columnType.bit && size >= 1 && size <= 8) {
    let bits = 0n;
    for (const byte of bytes) bits = bits * 256n + BigInt(byte);
    out.ascii(`${tableBefore}CAST(${bits} AS UNSIGNED)${tableAfter(`BIT(${size * 8})`)}`);
  } else if (type === columnType.blob) {
    out.ascii(tableBefore);
    writeHexBytes(out, bytes);
    out.ascii(tableAfter('LONGBLOB'));
  } else if (type === columnType.string && size >= 1 && size <= 255) {
    out.ascii(tableBefore);
    writeHexBytes(out, bytes);
    out.ascii(tableAfter(`BINARY(${size})`));
  } else if (type === columnType.mediumBlob || type === columnType.longBlob) {
    out.ascii('IF(1,');
    writeHexBytes(out, bytes);
    out.ascii(`,REPEAT(x'00',${type === columnType.longBlob ? longBytes : mediumBytes}))`);
  } else {
    writeHexBytes(out, bytes);
  }
}

function writeHexBytes(out: ByteWriter, bytes: Uint8Array): void {
  out.ascii("x'");
  out.hex(bytes);
  out.byte(0x27);
}

/** A value through a column of JSON_TABLE has that column's type, which no cast gives. */
const tableBefore = '(SELECT c FROM JSON_TABLE(JSON_ARRAY(';

function tableAfter(type: string): string {
  return `),_utf8mb4'$[0]' COLUMNS (c ${type} PATH _utf8mb4'$')) AS t)`;
}

/**
 * The server keeps the precision of a literal, and rounds that of a CAST up to whole groups of nine digits before the
 * point: between them they give back the stored precision of every literal, CAST and sum. Of a column's padded decimals
 * the value and the scale are the same and only the stored width differs.
 */
function writeDecimalExpression(
  out: ByteWriter,
  document: JsonDocument,
  start: number,
  end: number,
): void {
  const scratch = new ByteWriter(80);
  const { precision, scale } = writeJsonDecimal(scratch, document.bytes, start, end);
  const text = String.fromCharCode(...scratch.bytes());
  const pointAt = text.indexOf('.');
  const whole = text.replace('-', '').slice(0, scale === 0 ? undefined : pointAt - text.length);
  // Without a point it would be an integer.
  const literal = scale === 0 ? `${text}.` : text;
  if (whole.length === precision - scale) out.ascii(literal);
  else out.ascii(`CAST(${literal} AS DECIMAL(${precision},${scale}))`);
}

function writePlain(
  out: ByteWriter,
  document: JsonDocument,
  place: JsonPlace,
  depth: number,
): void {
  const from = out.length;
  writeJsonPlace(out, document, place, depth);
  const text = out.bytes().slice(from);
  out.truncate(from);
  out.ascii('CAST(');
  writeHexText(out, text, 0, text.byteLength);
  out.ascii(' AS JSON)');
}

/** Writes utf-8 text as a literal that no sql_mode and no connection charset can change. */
export function writeHexText(out: ByteWriter, bytes: Uint8Array, start: number, end: number): void {
  out.ascii("_utf8mb4 x'");
  out.hex(bytes, start, end);
  out.byte(0x27);
}
