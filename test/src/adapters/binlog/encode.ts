/** A small encoder of table maps and rows events, for tests that need bytes no server writes on demand. */
import { deflateSync } from 'node:zlib';
import { ByteWriter } from '#src/base/byte-writer.ts';

/** A column to encode: its type byte in the log and its metadata bytes. */
export interface EncodedColumn {
  readonly type: number;
  readonly meta?: readonly number[];
}

/** Optional fields by type. */
export type EncodedFields = readonly (readonly [type: number, value: readonly number[]])[];

/** Table id 7 and flags; the names of schema and table. */
const header = [7, 0, 0, 0, 0, 0, 1, 0];
const names = [1, 0x73, 0, 1, 0x74, 0];

/** The body of a TABLE_MAP event of table `s`.`t`; every column is nullable. */
export function encodeTableMap(
  columns: readonly EncodedColumn[],
  fields: EncodedFields = [],
): Uint8Array {
  const meta = columns.flatMap((column) => column.meta ?? []);
  return Uint8Array.from([
    ...header,
    ...names,
    ...lenenc(columns.length),
    ...columns.map(({ type }) => type),
    ...lenenc(meta.length),
    ...meta,
    ...Array<number>((columns.length + 7) >> 3).fill(255),
    ...fields.flatMap(([type, value]) => [type, ...lenenc(value.length), ...value]),
  ]);
}

/** The body of a rows event of `type` with all columns present; `rows` are images (NULL bits and cells). */
export function encodeRows(
  type: number,
  columnCount: number,
  rows: readonly (readonly number[])[],
): Uint8Array {
  const hasExtra = (type >= 30 && type <= 39) || (type >= 169 && type <= 171);
  const isUpdate = type === 24 || type === 31 || type === 39 || type === 167 || type === 170;
  const bitmap = presence(columnCount);
  const content = Uint8Array.from(rows.flat());
  const out = new ByteWriter();
  out.raw(Uint8Array.from([...header, ...(hasExtra ? [2, 0] : [])]));
  out.raw(Uint8Array.from([...lenenc(columnCount), ...bitmap, ...(isUpdate ? bitmap : [])]));
  out.raw(type >= 166 ? compressRows(content) : content);
  return new Uint8Array(out.bytes());
}

/** Rows as MariaDB compresses them in one event. */
export function compressRows(content: Uint8Array): Uint8Array {
  const size = content.byteLength;
  const head = [0x84, size >>> 24, (size >> 16) & 255, (size >> 8) & 255, size & 255];
  return Uint8Array.from([...head, ...deflateSync(content)]);
}

/** A length-encoded integer below 2^24. */
export function lenenc(value: number): number[] {
  if (value < 251) return [value];
  if (value < 65_536) return [252, value & 255, value >> 8];
  return [253, value & 255, (value >> 8) & 255, value >> 16];
}

function presence(columnCount: number): number[] {
  return Array.from({ length: (columnCount + 7) >> 3 }, (_, i) => {
    const rest = columnCount - i * 8;
    return rest >= 8 ? 255 : (1 << rest) - 1;
  });
}

const groupBytes = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/** Packs decimal text with exactly `scale` digits after the point. */
export function encodeDecimal(text: string, precision: number, scale: number): number[] {
  const negative = text.startsWith('-');
  const [whole = '', fraction = ''] = text.replace('-', '').split('.');
  const width = precision - scale;
  const head = width === 0 ? '' : whole.padStart(width, '0').slice(-width);
  const first = (precision - scale) % 9;
  const groups = scale === precision ? [] : [head.slice(0, first), ...nines(head.slice(first))];
  const bytes = [...groups, ...nines(fraction)].flatMap((group) => {
    const count = groupBytes[group.length]!;
    const value = Number(group === '' ? '0' : group);
    return Array.from(
      { length: count },
      (_, i) => Math.floor(value / 256 ** (count - 1 - i)) % 256,
    );
  });
  const signed = negative ? bytes.map((byte) => byte ^ 255) : bytes;
  signed[0]! ^= 0x80;
  return signed;
}

function nines(digits: string): string[] {
  return digits.match(/.{1,9}/g) ?? [];
}
