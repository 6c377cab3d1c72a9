const decoder = new TextDecoder();
const head =
  /^\s*(INSERT|REPLACE|UPDATE|DELETE)(?:\s+IGNORE)?(?:\s+INTO|\s+FROM)?\s+((?:`(?:[^`]|``)+`\.)?`(?:[^`]|``)+`)/;
/** Two quoted identifiers of 64 characters in utf-8, and the verb. */
const headBytesMax = 640;

/** Verb and table of one of our statements, for messages: never anything behind the table's name. */
export function describeStatement(statement: Uint8Array | undefined): string {
  if (statement === undefined) return 'apply changes';
  const found = head.exec(decoder.decode(statement.subarray(0, headBytesMax)));
  return found === null ? 'apply changes' : `${found[1]} ${found[2]}`;
}

/** Whether the statement is a check of the row count of the one before it. */
export function isRowCheck(statement: Uint8Array): boolean {
  return decoder.decode(statement.subarray(0, 12)) === 'SET @sluice_';
}
