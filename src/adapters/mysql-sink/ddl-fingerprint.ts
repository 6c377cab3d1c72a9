import { createHash } from 'node:crypto';
import { FailureError } from '#src/base/failure.ts';
import { quoteIdentifier, quoteTable } from './batch/identifier.ts';
import { rowsOf } from './connection.ts';
import { errno, serverFailure } from './server-error.ts';
import { literal, sqlBytes } from './sql-text.ts';

import type { DdlStatement } from '#src/model/ddl-statement.ts';
import type { TableName } from '#src/model/span.ts';
import type { SinkSession } from './session.ts';

/** How one table, view or schema looks; null when it does not exist. */
export interface ObjectLook {
  /** Digest of its definition, without its name and its next AUTO_INCREMENT. */
  readonly definition: string;
  /** The storage engine's numbers of the table and its partitions; empty when the account may not see them. */
  readonly identity: string;
}

/** Looks of all objects a statement changes, by a name of our own making. */
export type Fingerprint = Readonly<Record<string, ObjectLook | null>>;

const invalidView = 1356;

/** How everything that `statement` changes looks now. */
export async function readFingerprint(
  session: SinkSession,
  statement: DdlStatement,
): Promise<Fingerprint> {
  const looks: Record<string, ObjectLook | null> = {};
  for (const table of statement.tables) {
    looks[tableKey(table)] ??= await readTable(session, table);
  }
  for (const schema of statement.schemas) {
    looks[schemaKey(schema)] ??= await readDefinition(
      session,
      `SHOW CREATE DATABASE ${quoteIdentifier(schema)}`,
    );
  }
  return looks;
}

/** Key of a table in a {@link Fingerprint}. */
export function tableKey(name: TableName): string {
  return `table ${JSON.stringify([name.schema, name.table])}`;
}

/** Key of a schema in a {@link Fingerprint}. */
export function schemaKey(schema: string): string {
  return `schema ${JSON.stringify(schema)}`;
}

async function readTable(session: SinkSession, name: TableName): Promise<ObjectLook | null> {
  const { schema, table } = name;
  const look = await readDefinition(
    session,
    `SHOW CREATE TABLE ${quoteTable(schema, table)}`,
    table,
  );
  return look === null ? null : { ...look, identity: await readIdentity(session, name) };
}

async function readDefinition(
  session: SinkSession,
  sql: string,
  table = '',
): Promise<ObjectLook | null> {
  const answer = await session.attempt([sqlBytes(sql)]);
  if (answer.error === null) {
    const [row] = rowsOf(answer, 0);
    // The second column is the text, whatever it is called for a table, view or schema.
    const text = String(Object.values(row ?? {})[1]);
    return { definition: digest(withoutName(text, table)), identity: '' };
  }
  const number = answer.error.errno;
  if (number === errno.noSuchTable || number === errno.badDatabase) return null;
  if (number === invalidView) return { definition: 'view of missing tables', identity: '' };
  session.destroy();
  throw new FailureError(serverFailure(answer.error, 'read the definition of a table'));
}

/**
 * A definition as it stays through a rename: without the table's name, the names of constraints that the server derived
 * from it, and the counter that every insert moves.
 */
export function withoutName(text: string, table: string): string {
  const quoted = table.replaceAll('`', '``');
  return text
    .replace(/^(CREATE [A-Z ]*(?:TABLE|SEQUENCE|VIEW) )`(?:[^`]|``)+`/, '$1')
    .replaceAll(new RegExp(`\`${escapePattern(quoted)}_(ibfk|chk)_`, 'g'), '`_$1_')
    .replace(/ AUTO_INCREMENT=\d+/, '');
}

/** The server's numbers for a table: they follow it through a rename, which tells a swap of equal tables. */
async function readIdentity(session: SinkSession, name: TableName): Promise<string> {
  const path = literal(`${fileName(name.schema)}/${fileName(name.table)}`);
  for (const [view, column] of identityViews) {
    const sql =
      `SELECT ${column} AS id FROM information_schema.${view} ` +
      `WHERE NAME=${path} OR NAME LIKE CONCAT(REPLACE(REPLACE(${path},'%','|%'),'_','|_'),'#P#%') ESCAPE '|' ORDER BY 1`;
    const answer = await session.attempt([sqlBytes(sql)]);
    // No PROCESS privilege, or a server of the other family: the definition has to do.
    if (answer.error === null) {
      const ids = rowsOf(answer, 0).map((row) => String(row['id']));
      if (ids.length > 0) return ids.join(',');
    }
  }
  return '';
}

const identityViews = [
  ['INNODB_SYS_TABLES', 'TABLE_ID'],
  ['INNODB_TABLES', 'TABLE_ID'],
] as const;

/** A name as InnoDB writes it: everything but letters, digits and underscore of ASCII as @ and four hex digits. */
function fileName(name: string): string {
  let encoded = '';
  for (let at = 0; at < name.length; at++) {
    const char = name[at]!;
    encoded += /[\w]/.test(char) ? char : `@${name.charCodeAt(at).toString(16).padStart(4, '0')}`;
  }
  return encoded;
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function escapePattern(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}
