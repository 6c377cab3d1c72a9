import { fail } from '../../base/failure.ts';
import type { ServerConnection, TextRow } from './server-connection.ts';
import type { ServerFacts } from './server-facts.ts';

/** Events at the head of a file among which the list of earlier GTIDs stands. */
const headEvents = 4;

/** Names of the binary logs that are still there, oldest first; at least one. */
export async function listBinaryLogs(connection: ServerConnection): Promise<readonly string[]> {
  const rows = await connection.query('SHOW BINARY LOGS');
  const files = rows.map((row) => row['Log_name'] ?? '').filter((name) => name !== '');
  if (files.length === 0) fail('SOURCE_SETTING_WRONG', 'the upstream has no binary log');
  return files;
}

/** The GTIDs before a file, as its head lists them: text in the family's own form, empty when there are none. */
export async function gtidsBefore(connection: ServerConnection, file: string): Promise<string> {
  const quoted = `'${file.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
  const rows = await connection.query(`SHOW BINLOG EVENTS IN ${quoted} LIMIT ${headEvents}`);
  const head = rows.find((row) => /^(gtid_list|previous_gtids)$/i.test(row['Event_type'] ?? ''));
  return (head?.['Info'] ?? '').replaceAll(/[[\]\s]/g, '');
}

/** The file being written and the offset of its end. */
export async function logEnd(
  connection: ServerConnection,
  facts: ServerFacts,
): Promise<{ readonly file: string; readonly offset: number }> {
  const isNew = facts.flavor === 'mysql' && facts.versionNumber >= 80200;
  const [row] = await connection.query(isNew ? 'SHOW BINARY LOG STATUS' : 'SHOW MASTER STATUS');
  return { file: fileOf(row), offset: Number(row?.['Position'] ?? 0) };
}

function fileOf(row: TextRow | undefined): string {
  const file = row?.['File'] ?? '';
  if (file === '') fail('SOURCE_SETTING_WRONG', 'the upstream writes no binary log');
  return file;
}
