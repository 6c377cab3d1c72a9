import { columnText } from './column-text.ts';
import { quoteName } from './table-shape.ts';

import type { TextForm } from './column-text.ts';
import type { ColumnShape } from './table-shape.ts';

/** A column that is compared, as each server has it. */
export interface ComparedColumn {
  readonly upstream: ColumnShape;
  readonly sink: ColumnShape;
  readonly form: TextForm;
}

/**
 * The SHA-256 of a row as 64 hex digits; NULL only when a value is too long for the server's own functions. A checksum
 * that is linear, as CRC32 is, would not do: combined by XOR it does not see two rows that swap values of one length.
 */
export function rowHash(columns: readonly ColumnShape[], forms: readonly TextForm[]): string {
  const texts = columns.map((column, index) => {
    const text = columnText(column, forms[index]!);
    // A value that is there but whose text is NULL must not pass for a NULL: the whole hash becomes NULL then.
    return `IF(${quoteName(column.name)} IS NULL, '~', ${text})`;
  });
  const joined = [];
  // Functions take a bounded number of arguments comfortably; tables have up to 4,096 columns.
  for (let at = 0; at < texts.length; at += 200) {
    joined.push(`CONCAT(${texts.slice(at, at + 200).join(", ',', ")})`);
  }
  return `SHA2(${joined.length === 1 ? joined[0]! : `CONCAT(${joined.join(", ',', ")})`}, 256)`;
}

/**
 * The first 64 bits of a row hash as a number. A row without a hash gets one that no other row has, so that its chunk
 * counts as different and the rows are looked at one by one.
 */
export function hashNumber(hash: string): string {
  return `IFNULL(CAST(CONV(LEFT(${hash}, 16), 16, 10) AS UNSIGNED), UUID_SHORT())`;
}
