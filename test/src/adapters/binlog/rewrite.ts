import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { readLogFile, type FileEvent } from './log-file.ts';
import { readTypeTable, type TemporalDigits } from './temporal-digits.ts';
import { charsetOfCollation } from '#src/adapters/binlog/charset.ts';
import { binaryCollation, columnClass } from '#src/adapters/binlog/column.ts';
import { isPlainJson, writeJsonExpression } from '#src/adapters/binlog/json-expression.ts';
import { isRowEventType, RowEvent } from '#src/adapters/binlog/row-event.ts';
import type { RowImage } from '#src/adapters/binlog/row-image.ts';
import type { LogColumn, TableMap } from '#src/adapters/binlog/table-map.ts';
import { writeText } from '#src/adapters/binlog/text.ts';
import { readValue } from '#src/adapters/binlog/value.ts';
import { ByteWriter } from '#src/base/byte-writer.ts';
import { quoteName } from '#test/fixtures/types.ts';
import type { SqlServer } from '#test/servers/sql-server.ts';

/**
 * Writes every inserted row of schema `types` again into a copy of its table, as SQL made of the decoder's texts, and
 * asserts that the server logs the same bytes. Answers how many rows. Tables with generated columns are left out.
 */
export async function rewriteRows(
  server: SqlServer,
  events: readonly FileEvent[],
  digits: TemporalDigits,
): Promise<number> {
  const rows = insertedRows(server, events, { digits, schema: 'types' }).filter(
    ({ table }) => !table.table.includes('generated'),
  );
  const connection = await server.connect({ charset: 'utf8mb4' });
  try {
    await connection.query('CREATE DATABASE again');
    await connection.query(
      "SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00', foreign_key_checks = 0, unique_checks = 0",
    );
    for (const table of new Set(rows.map((row) => row.table.table))) {
      await connection.query(
        `CREATE TABLE again.${quoteName(table)} LIKE types.${quoteName(table)}`,
      );
    }
    for (const { table, sql } of rows) {
      await connection.query(`INSERT IGNORE INTO again.${quoteName(table.table)} VALUES (${sql})`);
    }
  } finally {
    await connection.end();
  }
  const log = server.binlogFiles().flatMap((file) => readLogFile(readFileSync(file)));
  const again = insertedRows(server, log, { digits, schema: 'again' });
  let at = 0;
  for (const row of again) {
    // Rows that the key refuses a second time are not logged.
    while (at < rows.length && !isSameRow(rows[at]!, row)) at++;
    const expected = rows[at];
    assert.ok(expected !== undefined, `${row.table.table}: a row was logged that nobody wrote`);
    assert.equal(row.image, expected.image, `${row.table.table} ${expected.sql.slice(0, 300)}`);
    at++;
  }
  assert.ok(again.length > rows.length * 0.9, `${again.length} of ${rows.length}`);
  return again.length;
}

/** The first column is the key of nearly all tables. */
function isSameRow(a: InsertedRow, b: InsertedRow): boolean {
  return a.table.table === b.table.table && a.sql.split(', ')[0] === b.sql.split(', ')[0];
}

interface InsertedRow {
  readonly table: TableMap;
  readonly image: string;
  readonly sql: string;
}

function insertedRows(
  { flavor }: SqlServer,
  events: readonly FileEvent[],
  { digits, schema }: { readonly digits: TemporalDigits; readonly schema: string },
): InsertedRow[] {
  const maps = new Map<number, TableMap>();
  const rows: InsertedRow[] = [];
  const cursor = new RowEvent();
  for (const { type, body } of events) {
    if (type === 19) {
      const map = readTypeTable(body, flavor, digits);
      maps.set(map.tableId, map);
    }
    if (!isRowEventType(type)) continue;
    const table = maps.get(body[0]! | (body[1]! << 8) | (body[2]! << 16))!;
    if (table.schema !== schema) continue;
    cursor.open(type, body, table);
    while (cursor.next()) {
      if (cursor.operation !== 'insert') continue;
      const { after } = cursor;
      rows.push({
        table,
        image: Buffer.from(after.bytes.subarray(after.rowStart, after.rowEnd)).toString('hex'),
        sql: table.columns.map((column) => cellSql(column, after)).join(', '),
      });
    }
  }
  return rows;
}

const out = new ByteWriter();

function cellSql(column: LogColumn, image: RowImage): string {
  const { index } = column;
  if (image.state(index) !== 2) return 'NULL';
  const [start, end] = [image.start(index), image.end(index)];
  out.truncate(0);
  switch (columnClass(column)) {
    case 'date':
    case 'time':
    case 'datetime':
    case 'timestamp':
      writeText(out, column, image.bytes, start, end);
      return `'${Buffer.from(out.bytes()).toString()}'`;
    case 'json':
      if (isPlainJson(image.bytes, start + 4, end)) {
        writeText(out, column, image.bytes, start, end);
        return `_utf8mb4 x'${Buffer.from(out.bytes()).toString('hex')}'`;
      }
      writeJsonExpression(out, image.bytes, start + 4, end);
      return Buffer.from(out.bytes()).toString();
    case 'character':
      writeText(out, column, image.bytes, start, end);
      return `_${charsetOfCollation(column.collation ?? binaryCollation)} x'${Buffer.from(out.bytes()).toString('hex')}'`;
    case 'binary':
    case 'geometry':
    case 'vector': {
      const value = readValue(column, image.bytes, start, end) as Uint8Array;
      return `x'${Buffer.from(value).toString('hex')}'`;
    }
    default:
      writeText(out, column, image.bytes, start, end);
      return Buffer.from(out.bytes()).toString();
  }
}
