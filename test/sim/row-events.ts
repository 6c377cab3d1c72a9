/** The row events of a simulated log: tables of a key and a version, as MariaDB logs them, and read back independently. */
import { rowsEventType, writeTableMap } from '#src/adapters/workload/row-event-writer.ts';
import type { WriterTable } from '#src/adapters/workload/row-event-writer.ts';
import { assert } from '#src/base/assert.ts';
import { rowEventOf, type RowEvent } from '#test/fixtures/row-event.ts';
import type { RowChange } from './history.ts';

const tables = new Map<string, { readonly table: WriterTable; readonly map: Uint8Array }>();

/** The event of one change: an insert of version 1, or an update to the next version. */
export function rowsEventOf(change: RowChange): RowEvent {
  const { table, map } = tableOf(change.span);
  const { key, from } = change;
  return rowEventOf(table, from === 0 ? null : [key, from], [key, from + 1], map);
}

/** Columns of every table: `k INT UNSIGNED PRIMARY KEY`, `v INT UNSIGNED NOT NULL`. */
const columns: WriterTable['columns'] = [
  { name: 'k', kind: 'integer', bytes: 4, unsigned: true, nullable: false },
  { name: 'v', kind: 'integer', bytes: 4, unsigned: true, nullable: false },
];

function tableOf(span: string): { readonly table: WriterTable; readonly map: Uint8Array } {
  let known = tables.get(span);
  if (known === undefined) {
    const [schema = '', name = ''] = span.split('.');
    const table: WriterTable = {
      id: 100 + Number(name.slice(1)),
      schema,
      table: name,
      columns,
      key: [0],
    };
    known = { table, map: writeTableMap(table) };
    tables.set(span, known);
  }
  return known;
}

/** Table id and flags, column count, one bitmap; each image: NULL bits, key, version. */
const headerBytes = 9;
const imageBytes = 9;

/** Key and version before the change of an event that {@link rowsEventOf} wrote. */
export function readRowsEvent(type: number, body: Uint8Array): Omit<RowChange, 'span'> {
  const isUpdate = type === rowsEventType.update;
  const imageAt = headerBytes + (isUpdate ? 2 : 1);
  assert(body.byteLength === imageAt + imageBytes * (isUpdate ? 2 : 1), 'an event of one row');
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  return {
    key: view.getUint32(imageAt + 1, true),
    from: isUpdate ? view.getUint32(imageAt + 5, true) : 0,
  };
}
