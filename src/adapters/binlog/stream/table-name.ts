import { ByteReader } from './byte-reader.ts';

/** What routing needs of a TABLE_MAP event; the rest of its body is passed on as it is. */
export interface TableMapName {
  /** Number by which the rows events of this group refer to the table. */
  readonly tableId: number;
  readonly schema: string;
  readonly table: string;
}

const idBytes = 6;

/** Table number of a TABLE_MAP or rows event body (its first six bytes). */
export function readTableId(body: Uint8Array): number {
  // Twice per row change of a small transaction: no reader is made for it.
  if (body.byteLength < idBytes) return new ByteReader(body, 'rows event').uint(idBytes);
  const low = body[0]! | (body[1]! << 8) | (body[2]! << 16);
  const high = body[3]! | (body[4]! << 8) | (body[5]! << 16);
  return high * 0x1000000 + low;
}

/** Schema and table name of a TABLE_MAP body. */
export function readTableMapName(body: Uint8Array): TableMapName {
  const reader = new ByteReader(body, 'TABLE_MAP event');
  const tableId = reader.uint(idBytes);
  reader.skip(2);
  const schema = reader.text(reader.u8());
  reader.skip(1);
  const table = reader.text(reader.u8());
  return { tableId, schema, table };
}
