/** Values of the simulated server. Texts are byte strings: one character per byte, so that nothing is ever decoded. */

/** NULL, an integer of any size, or bytes. */
export type Value = null | bigint | string;

/** A row: one value per column. */
export type Row = readonly Value[];

/** An error as the server answers it to a client. */
export class SqlError extends Error {
  readonly errno: number;

  constructor(errno: number, text: string) {
    super(text);
    this.errno = errno;
  }
}

/** The SQL that a test sends is beyond what the simulated server knows: never to be taken for an answer of a server. */
export class UnknownSql extends Error {
  constructor(what: string, sql: string) {
    super(`the simulated server does not know ${what}: ${sql.slice(0, 400)}`);
  }
}

/** Text as the bytes it has in utf-8. */
export function byteText(text: string): string {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 0x7f) return Buffer.from(text, 'utf8').toString('latin1');
  }
  return text;
}

/** -1, 0 or 1; NULL is below everything, integers compare with texts as numbers. */
export function compare(a: Value, b: Value): number {
  if (a === null || b === null) return Number(a !== null) - Number(b !== null);
  if (typeof a === 'string' && typeof b === 'string') return order(a, b);
  if (typeof a === 'bigint' && typeof b === 'bigint') return order(a, b);
  return order(toNumber(a), toNumber(b));
}

function order<T extends string | bigint | number>(a: T, b: T): number {
  if (a < b) return -1;
  return a > b ? 1 : 0;
}

function toNumber(value: string | bigint): number {
  if (typeof value === 'bigint') return Number(value);
  return Number(/^\s*-?\d+(\.\d+)?/.exec(value)?.[0] ?? 0);
}

/** A value as an integer: texts by their leading digits. */
export function toInteger(value: string | bigint): bigint {
  if (typeof value === 'bigint') return value;
  return BigInt(/^\s*-?\d+/.exec(value)?.[0]?.trim() ?? 0);
}

/** Whether a value counts as true; NULL does not. */
export function isTrue(value: Value): boolean {
  return value !== null && toNumber(value) !== 0;
}

/** True and false as SQL has them. */
export function truth(value: boolean): bigint {
  return value ? 1n : 0n;
}

/** Values as one text that only equal values share. */
export function keyText(values: readonly Value[]): string {
  let text = '';
  for (const value of values) {
    if (value === null) text += 'n,';
    else if (typeof value === 'bigint') text += `i${value},`;
    else text += `s${value.length}:${value},`;
  }
  return text;
}
