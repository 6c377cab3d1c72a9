import type { Connection } from 'mysql2/promise';
import { applyRow, type Operation } from './apply-data.ts';

/**
 * What a careful program would send through the driver for the same changes: one transaction per batch, multi-row inserts,
 * one UPDATE per row in one packet, deletes by a list of keys. Needs a connection with several statements allowed.
 */
export async function applyByDriver(
  connection: Connection,
  work: { readonly table: string; readonly operation: Operation },
  ids: { readonly from: number; readonly to: number },
): Promise<void> {
  const { table, operation } = work;
  const rows = Array.from({ length: ids.to - ids.from }, (_, i) =>
    applyRow(ids.from + i, operation === 'update'),
  );
  const name = `bench.${table}`;
  switch (operation) {
    case 'insert':
      await connection.query(`BEGIN;INSERT INTO ${name} VALUES ?;COMMIT`, [rows]);
      return;
    case 'update': {
      const one = connection.format(`UPDATE ${name} SET k=? WHERE id=?`);
      const updates = rows.map(([id, k]) => connection.format(one, [k, id]));
      await connection.query(`BEGIN;${updates.join(';')};COMMIT`);
      return;
    }
    case 'delete':
      await connection.query(`BEGIN;DELETE FROM ${name} WHERE id IN (?);COMMIT`, [
        rows.map(([id]) => id),
      ]);
  }
}
