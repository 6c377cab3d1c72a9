/**
 * The workloads of `replicate`: tables as sysbench makes them (rows of about 190 bytes, one secondary index), written by
 * loops that run inside the upstream, so that no client takes part.
 */
import type { SqlServer } from '#test/servers/sql-server.ts';

/** One kind of work. */
export interface Load {
  readonly name: string;
  /** Rows of each table before the load begins. */
  readonly rowCount: number;
  /** Statements of one transaction on table `t` by connection `writer`; `@id` and `@other` are random ids. */
  readonly transaction: (t: string, writer: number) => readonly string[];
}

const tableCount = 4;
const writerCount = 4;

const text = (digits: number, seed: string): string =>
  `LEFT(REPEAT(CONCAT(LPAD((${seed}) * 7919 % 99999999999, 11, '0'), '-'), 10), ${digits})`;

const someRows = 10_000;
const hotRows = 50;

/** The workloads of DESIGN §15. */
export const loads: readonly Load[] = [
  {
    name: 'insert',
    rowCount: 0,
    transaction: (t) => [
      `INSERT INTO ${t} (k, c, pad) VALUES (@other, ${text(119, '@id')}, ${text(59, '@other')})`,
    ],
  },
  {
    name: 'update_index',
    rowCount: someRows,
    transaction: (t) => [`UPDATE ${t} SET k = k + 1 WHERE id = @id`],
  },
  {
    name: 'write_only',
    rowCount: someRows,
    transaction: (t, writer) => [
      `UPDATE ${t} SET k = k + 1 WHERE id = @id`,
      `UPDATE ${t} SET c = ${text(119, '@n')} WHERE id = @other`,
      // Each writer deletes and inserts ids of its own: the rest may meet.
      `SET @own = @id - @id % ${writerCount} + ${writer}`,
      `DELETE FROM ${t} WHERE id = @own`,
      `INSERT INTO ${t} VALUES (@own, @n, ${text(119, '@n')}, ${text(59, '@id')})`,
    ],
  },
  {
    name: 'hot_rows',
    rowCount: hotRows,
    transaction: (t) => [`UPDATE ${t} SET c = ${text(119, '@n')} WHERE id = @id`],
  },
];

/** Makes the tables of a load anew, always with the same rows; `logged` false keeps it out of the binary log. */
export async function makeTables(server: SqlServer, load: Load, logged: boolean): Promise<void> {
  const connection = await server.connect();
  try {
    if (!logged) await connection.query('SET sql_log_bin=0');
    await connection.query('DROP DATABASE IF EXISTS bench');
    await connection.query('CREATE DATABASE bench CHARACTER SET latin1');
    await connection.query('USE bench');
    for (let t = 1; t <= tableCount; t++) {
      await connection.query(
        `CREATE TABLE sbtest${t} (id INT NOT NULL AUTO_INCREMENT, k INT NOT NULL DEFAULT 0, c CHAR(120) NOT NULL DEFAULT '', pad CHAR(60) NOT NULL DEFAULT '', PRIMARY KEY (id), KEY k_${t} (k))`,
      );
      if (load.rowCount === 0) continue;
      await connection.query(
        `INSERT INTO sbtest${t} SELECT seq, seq * 31 % ${load.rowCount}, ${text(119, 'seq')}, ${text(59, 'seq')} FROM seq_1_to_${load.rowCount}`,
      );
    }
  } finally {
    await connection.end();
  }
}

/** Writes for `seconds` over four connections. */
export async function runLoad(server: SqlServer, load: Load, seconds: number): Promise<void> {
  const writers = Array.from({ length: writerCount }, async (_, writer) => {
    const connection = await server.connect({ database: 'bench' });
    try {
      await connection.query(loopOf(load, writer, seconds));
    } finally {
      await connection.end();
    }
  });
  await Promise.all(writers);
}

/** A loop over the tables; a transaction that loses against another writer is given up. */
function loopOf(load: Load, writer: number, seconds: number): string {
  const idMax = Math.max(load.rowCount, someRows);
  const turn = Array.from({ length: tableCount }, (_, i) => {
    const statements = load.transaction(`sbtest${1 + ((writer + i) % tableCount)}`, writer);
    const body =
      statements.length === 1 ? statements : ['START TRANSACTION', ...statements, 'COMMIT'];
    return `SET @n = @n + 1; SET @id = 1 + FLOOR(RAND() * ${load.rowCount === 0 ? idMax : load.rowCount}); SET @other = 1 + FLOOR(RAND() * ${idMax});
      ${body.join(';\n      ')};`;
  });
  return `BEGIN NOT ATOMIC
    DECLARE CONTINUE HANDLER FOR 1213, 1205, 1062 ROLLBACK;
    SET @n = 0, @until = SYSDATE(6) + INTERVAL ${seconds} SECOND;
    WHILE SYSDATE(6) < @until DO
      ${turn.join('\n')}
    END WHILE;
  END`;
}
