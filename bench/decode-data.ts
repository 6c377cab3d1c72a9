import { readFileSync } from 'node:fs';
import { startMariadb } from '#test/servers/mariadb.ts';

/** What a real MariaDB logged for one kind of work, as whole events in order: table maps and rows events only. */
export interface DecodeLog {
  readonly name: string;
  /** Events with their 19-byte header and checksum, as in the log. */
  readonly events: readonly Uint8Array[];
  readonly byteCount: number;
}

const table = (name: string): string =>
  `CREATE TABLE ${name} (id INT PRIMARY KEY, k INT NOT NULL DEFAULT 0, c CHAR(120) NOT NULL DEFAULT '', pad CHAR(60) NOT NULL DEFAULT '')`;

const digits = "REPEAT(CONCAT(LPAD(seq * 7919 % 99999999999, 11, '0'), '-'), 9)";

const mixed = `CREATE TABLE mixed (id BIGINT UNSIGNED PRIMARY KEY, a TINYINT, b SMALLINT UNSIGNED, c INT, d BIGINT, e DECIMAL(12,2),
  f DOUBLE, g FLOAT, h DATETIME(6), i TIMESTAMP(3) NULL, j DATE, k TIME, l VARCHAR(60) CHARACTER SET utf8mb4, m ENUM('x','y','z'), n BLOB, o YEAR)`;

/** Rounds of four statements, as sysbench's oltp_write_only: two updates, a delete and an insert of one row. */
const smallTransactions = (count: number): string => `BEGIN NOT ATOMIC
  DECLARE i INT DEFAULT 0;
  WHILE i < ${count} DO
    SET i = i + 1;
    START TRANSACTION;
    UPDATE small SET k = k + 1 WHERE id = 1 + i * 31 % 10000;
    UPDATE small SET c = REVERSE(c) WHERE id = 1 + i * 17 % 10000;
    DELETE FROM small WHERE id = 1 + i * 7 % 10000;
    INSERT INTO small VALUES (1 + i * 7 % 10000, i, REPEAT('c', 119), REPEAT('p', 59));
    COMMIT;
  END WHILE;
END`;

/** Lets a private MariaDB log bulk inserts, small transactions and rows of many types. About ten seconds. */
export async function decodeLogs(scale: number): Promise<DecodeLog[]> {
  const server = await startMariadb({
    config: { binlog_annotate_row_events: 'OFF', innodb_flush_log_at_trx_commit: '0' },
  });
  try {
    await server.query('CREATE DATABASE bench');
    const connection = await server.connect({ database: 'bench' });
    const logs: DecodeLog[] = [];
    const log = async (name: string, statements: readonly string[]): Promise<void> => {
      await connection.query('FLUSH BINARY LOGS');
      for (const sql of statements) await connection.query(sql);
      logs.push(readLog(name, server.binlogFiles().at(-1)!));
    };
    await connection.query(table('bulk'));
    await log('bulk inserts', [
      `INSERT INTO bulk SELECT seq, seq * 31 % 1000000, LEFT(${digits}, 119), LEFT(${digits}, 59) FROM seq_1_to_${200_000 * scale}`,
    ]);
    await connection.query(table('small'));
    await connection.query(
      `INSERT INTO small SELECT seq, seq, LEFT(${digits}, 119), LEFT(${digits}, 59) FROM seq_1_to_10000`,
    );
    await log('small transactions', [smallTransactions(15_000 * scale)]);
    await connection.query(mixed);
    await log('many types', [
      `INSERT INTO mixed SELECT seq, seq % 128, seq % 65536, -seq, seq * 123456789012, seq / 7, seq / 3, seq / 5, '2024-01-01 00:00:00.123456' + INTERVAL seq SECOND,
        '2024-01-01' + INTERVAL seq SECOND, '2024-01-01' + INTERVAL seq % 1000 DAY, SEC_TO_TIME(seq % 80000), CONCAT('name ', seq, ' é'), 1 + seq % 3, REPEAT('b', seq % 50), 1970 + seq % 100
        FROM seq_1_to_${60_000 * scale}`,
    ]);
    await connection.end();
    return logs;
  } finally {
    await server.stop();
  }
}

const tableMapType = 19;

function readLog(name: string, file: string): DecodeLog {
  const bytes = readFileSync(file);
  // Blocks are plain arrays of bytes, not Buffers.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const events: Uint8Array[] = [];
  let byteCount = 0;
  for (let at = 4; at < bytes.byteLength;) {
    const size = bytes.readUInt32LE(at + 9);
    const type = bytes[at + 4]!;
    if (type === tableMapType || (type >= 23 && type <= 32)) {
      events.push(plain.subarray(at, at + size));
      byteCount += size;
    }
    at += size;
  }
  return { name, events, byteCount };
}
