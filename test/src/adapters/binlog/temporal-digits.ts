import { readTableMap, withTemporalDigits, type TableMap } from '#src/adapters/binlog/table-map.ts';
import type { LogFlavor } from '#src/model/block.ts';
import type { SqlServer } from '#test/servers/sql-server.ts';

/** DATETIME_PRECISION of each column, by table of schema `types`. */
export type TemporalDigits = ReadonlyMap<string, readonly (number | null)[]>;

/** What information_schema knows about the digits after the second. */
export async function temporalDigits(server: SqlServer): Promise<TemporalDigits> {
  const rows = await server.query<{ name: string; digits: string | number | null }>(
    `SELECT TABLE_NAME AS name, DATETIME_PRECISION AS digits FROM information_schema.COLUMNS
     WHERE TABLE_SCHEMA = 'types' ORDER BY TABLE_NAME, ORDINAL_POSITION`,
  );
  const tables = new Map<string, (number | null)[]>();
  for (const { name, digits } of rows) {
    const columns = tables.get(name) ?? [];
    columns.push(digits === null ? null : Number(digits));
    tables.set(name, columns);
  }
  return tables;
}

/** The table map of a table of schema `types`, or of a copy of one, with the digits its log lacks. */
export function readTypeTable(
  body: Uint8Array,
  flavor: LogFlavor,
  digits: TemporalDigits,
): TableMap {
  const map = readTableMap(body, flavor);
  return map.layout.hasOldTemporals ? withTemporalDigits(map, digits.get(map.table) ?? []) : map;
}
