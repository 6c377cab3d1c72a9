const encoder = new TextEncoder();

/**
 * A character literal for our own sessions: their sql_mode has NO_BACKSLASH_ESCAPES, so only the quote is doubled. Not for
 * statements that run under another sql_mode.
 */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** SQL text as the bytes that a session with character set `binary` takes. */
export function sqlBytes(sql: string): Uint8Array {
  return encoder.encode(sql);
}

const separator = encoder.encode(';');

/** Statements as the parts of one command, divided by `;`. */
export function joinStatements(statements: readonly Uint8Array[]): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (const statement of statements) {
    if (parts.length > 0) parts.push(separator);
    parts.push(statement);
  }
  return parts;
}
