const decoder = new TextDecoder();

/** A cell of an information_schema answer as text; null stays null. Sessions with `SET NAMES binary` give bytes. */
export function cellText(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (value instanceof Uint8Array) return decoder.decode(value);
  return `${value as string | number | bigint}`;
}
