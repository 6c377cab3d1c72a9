/**
 * Real servers log rows of every type; the rows that come out of the log files are replayed into sets of rows and
 * compared with what the server itself selects, cell by cell. Then every logged row is written again from the texts that
 * the decoder gives, and the server must log the very same bytes.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { cellText, readServerTable, type ServerTable } from './server-cells.ts';
import { readLogFile, type FileEvent } from './log-file.ts';
import { rewriteRows } from './rewrite.ts';
import { readTypeTable, temporalDigits, type TemporalDigits } from './temporal-digits.ts';
import { isRowEventType, RowEvent } from '#src/adapters/binlog/row-event.ts';
import type { RowImage } from '#src/adapters/binlog/row-image.ts';
import { readTableMap, type TableMap } from '#src/adapters/binlog/table-map.ts';
import { changeTypeTables, createTypeTables } from '#test/fixtures/types.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { mysqlMissing, startMysql } from '#test/servers/mysql.ts';
import type { SqlServer } from '#test/servers/sql-server.ts';

const makes = [
  { name: 'MariaDB', start: startMariadb, skip: false as const, config: {} },
  {
    name: 'MariaDB with compressed events',
    start: startMariadb,
    skip: false as const,
    config: { log_bin_compress: 'ON', log_bin_compress_min_len: '10' },
  },
  {
    name: 'MariaDB with temporals of before MySQL 5.6',
    start: startMariadb,
    skip: false as const,
    config: { mysql56_temporal_format: 'OFF' },
  },
  { name: 'MySQL', start: startMysql, skip: await mysqlMissing(), config: {} },
];

for (const { name, start, skip, config } of makes) {
  test(`the log of ${name} gives every cell as the server has it`, { skip }, async (t) => {
    const server: SqlServer = await start({ config });
    t.after(() => server.stop());
    const isMysql = server.flavor === 'mysql';
    // MariaDB does not log what cascading foreign keys change.
    const family = isMysql;
    await createTypeTables(server, { family });
    for (const seed of [1, 2, 3]) {
      await changeTypeTables(server, seed, { family, partialJson: isMysql && seed === 2 });
    }
    const events = logEvents(server);
    const digits = await temporalDigits(server);
    if (config.mysql56_temporal_format === 'OFF') {
      const maps = events.filter(({ type }) => type === 19);
      assert.ok(maps.some(({ body }) => readTableMap(body, 'mariadb').layout.hasOldTemporals));
    }
    if (config.log_bin_compress === 'ON')
      assert.ok(events.some(({ type }) => type >= 166 && type <= 171));
    if (isMysql) assert.ok(events.some(({ type }) => type === 39));

    await t.test('replayed rows are the selected rows', async () => {
      const replay = new Replay(server, digits);
      await replay.run(events);
      assert.ok(replay.tables.size >= 70, String(replay.tables.size));
      let rows = 0;
      for (const [table, replayed] of replay.tables) {
        const selected = await readServerTable(server, replayed.server);
        rows += selected.length;
        assertSameRows(table, replayed.sorted(), selected.sort());
      }
      assert.ok(rows > 500, String(rows));
    });

    await t.test('rows written again from their texts are logged as the same bytes', async () => {
      const count = await rewriteRows(server, events, digits);
      assert.ok(count > 1_000, String(count));
    });
  });
}

function logEvents(server: SqlServer): FileEvent[] {
  return server.binlogFiles().flatMap((file) => readLogFile(readFileSync(file)));
}

/** Shows only the first rows that differ. */
function assertSameRows(
  table: string,
  replayed: readonly string[],
  selected: readonly string[],
): void {
  const surplus = replayed.filter((row) => !selected.includes(row)).slice(0, 2);
  const missing = selected.filter((row) => !replayed.includes(row)).slice(0, 2);
  assert.deepEqual({ surplus, missing }, { surplus: [], missing: [] }, table);
  assert.equal(replayed.length, selected.length, table);
}

class TableRows {
  readonly server: ServerTable;
  readonly #counts = new Map<string, number>();

  constructor(server: ServerTable) {
    this.server = server;
  }

  add(row: string, count: number): void {
    const sum = (this.#counts.get(row) ?? 0) + count;
    assert.ok(
      sum >= 0,
      `${this.server.name}: a row is removed that was never there: ${row.slice(0, 300)}`,
    );
    if (sum === 0) this.#counts.delete(row);
    else this.#counts.set(row, sum);
  }

  sorted(): string[] {
    return [...this.#counts].flatMap(([row, count]) => Array<string>(count).fill(row)).sort();
  }
}

/** The contents that the changes in a log lead to. */
class Replay {
  readonly tables = new Map<string, TableRows>();
  readonly #server: SqlServer;
  readonly #digits: TemporalDigits;
  readonly #maps = new Map<number, TableMap>();

  constructor(server: SqlServer, digits: TemporalDigits) {
    this.#server = server;
    this.#digits = digits;
  }

  async run(events: readonly FileEvent[]): Promise<void> {
    const cursor = new RowEvent();
    for (const { type, body } of events) {
      if (type === 19) {
        const map = readTypeTable(body, this.#server.flavor, this.#digits);
        this.#maps.set(map.tableId, map);
      }
      if (!isRowEventType(type)) continue;
      const id = body[0]! | (body[1]! << 8) | (body[2]! << 16);
      const map = this.#maps.get(id)!;
      if (map.schema !== 'types') continue;
      const rows = await this.#rows(map);
      cursor.open(type, body, map);
      assert.equal(cursor.tableId, id);
      while (cursor.next()) {
        if (cursor.operation !== 'insert')
          rows.add(await this.#row(rows.server, map, cursor.before, null), -1);
        if (cursor.operation !== 'delete') {
          const old = cursor.operation === 'update' ? cursor.before : null;
          rows.add(await this.#row(rows.server, map, cursor.after, old), 1);
        }
      }
    }
  }

  async #rows(map: TableMap): Promise<TableRows> {
    const known = this.tables.get(map.table);
    if (known !== undefined) return known;
    const columns = await this.#server.query<{ name: string; type: string }>(
      `SELECT COLUMN_NAME AS name, DATA_TYPE AS type FROM information_schema.COLUMNS
       WHERE TABLE_SCHEMA = 'types' AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION`,
      [map.table],
    );
    assert.deepEqual(
      map.columns.map((column) => column.name),
      columns.map((column) => column.name),
    );
    const rows = new TableRows({ name: map.table, columns });
    this.tables.set(map.table, rows);
    return rows;
  }

  async #row(
    server: ServerTable,
    map: TableMap,
    image: RowImage,
    old: RowImage | null,
  ): Promise<string> {
    const cells: (string | null)[] = [];
    for (const column of map.columns) {
      cells.push(
        await cellText(
          this.#server,
          { column, type: server.columns[column.index]!.type },
          image,
          old,
        ),
      );
    }
    return JSON.stringify(cells);
  }
}
