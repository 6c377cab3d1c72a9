import { keyLiteral } from './column-text.ts';
import { quoteName } from './table-shape.ts';

import type { ColumnShape } from './table-shape.ts';

/** Key values of one row as SQL literals, in key order. */
export type KeyBound = readonly string[];

/** Rows whose key is above `after` (null: from the start) and at most `upTo` (null: to the end). */
export interface KeyRange {
  readonly after: KeyBound | null;
  readonly upTo: KeyBound | null;
}

/** The bound at a row, from the {@link columnText} of its key columns. */
export function keyBound(key: readonly ColumnShape[], texts: readonly string[]): KeyBound {
  return key.map((column, index) => keyLiteral(column, texts[index]!));
}

/** The condition of a range; TRUE for the whole table. Key columns are never NULL. */
export function rangeCondition(key: readonly ColumnShape[], range: KeyRange): string {
  const names = key.map(({ name }) => quoteName(name));
  const parts: string[] = [];
  if (range.after !== null) parts.push(comparison(names, range.after, { strict: '>', last: '>' }));
  if (range.upTo !== null) parts.push(comparison(names, range.upTo, { strict: '<', last: '<=' }));
  return parts.length === 0 ? 'TRUE' : parts.join(' AND ');
}

/**
 * Lexicographic comparison written out, because a comparison of row constructors does not use the index; the extra
 * condition on the first column is what bounds the index range.
 */
function comparison(
  names: readonly string[],
  bound: KeyBound,
  { strict, last }: { strict: '>' | '<'; last: '>' | '<=' },
): string {
  const cases = names.map((name, index) => {
    const equal = names.slice(0, index).map((other, at) => `${other} = ${bound[at]!}`);
    const sign = index === names.length - 1 ? last : strict;
    return `(${[...equal, `${name} ${sign} ${bound[index]!}`].join(' AND ')})`;
  });
  if (cases.length === 1) return cases[0]!;
  return `(${names[0]!} ${strict}= ${bound[0]!} AND (${cases.join(' OR ')}))`;
}
