import { fail } from '#src/base/failure.ts';

/**
 * A name as MariaDB and MySQL read it in any sql_mode: in backticks, backticks doubled. A name with a NUL byte is
 * refused, as the servers do, because what follows it would be cut off.
 */
export function quoteIdentifier(name: string): string {
  if (name.includes('\0')) fail('SINK_UNSUPPORTED', 'a name with a NUL character cannot be quoted');
  return `\`${name.replaceAll('`', '``')}\``;
}

/** `schema.table`, both quoted. */
export function quoteTable(schema: string, table: string): string {
  return `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;
}

/**
 * A text as an SQL literal that no sql_mode, escape rule or connection charset can change: hexadecimal digits with a
 * charset introducer.
 */
export function quoteText(text: string): string {
  return `_utf8mb4 x'${Buffer.from(text, 'utf8').toString('hex')}'`;
}
