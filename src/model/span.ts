/**
 * A span is what one dispatcher replicates: one table, a part of one, or a group of tables tied by cascading foreign keys
 * (DESIGN §2). Its name is also the stored name of its slots: `schema.table`, each part percent-encoded where needed;
 * `schema.table#FROM-TO` for the rows of a table whose key falls into these buckets; or `group:` and the tables in order
 * joined by `+`.
 */

/** A table's full name. */
export interface TableName {
  readonly schema: string;
  readonly table: string;
}

/** Buckets that keys are hashed into (DESIGN §10). */
export const bucketCount = 65_536;

/** Most parts of one table. */
export const partCountMax = 64;

/** A run of buckets, both ends included. */
export interface BucketRange {
  readonly from: number;
  readonly to: number;
}

/** The span name of a table alone. Injective: what has a meaning in names of spans is encoded inside names. */
export function tableSpan(name: TableName): string {
  return `${encodePart(name.schema)}.${encodePart(name.table)}`;
}

/** The span name of a group of tables; the order of `names` does not matter. */
export function groupSpan(names: readonly TableName[]): string {
  return `group:${names.map(tableSpan).sort().join('+')}`;
}

/** True for a span that consists of several tables. */
export function isGroup(span: string): boolean {
  return span.startsWith('group:');
}

/** The tables of a span, from its name. */
export function spanTables(span: string): readonly TableName[] {
  const whole = wholeSpan(span);
  const names = isGroup(whole) ? whole.slice('group:'.length).split('+') : [whole];
  return names.map((name) => {
    const [schema = '', table = ''] = name.split('.');
    return { schema: decodeURIComponent(schema), table: decodeURIComponent(table) };
  });
}

/** The span name of the rows of table span `whole` in `range`. */
export function partSpan(whole: string, { from, to }: BucketRange): string {
  return `${whole}#${from}-${to}`;
}

/** The span that the events of `span` are read under: the whole table of a part, else itself. */
export function wholeSpan(span: string): string {
  const at = span.indexOf('#');
  return at < 0 ? span : span.slice(0, at);
}

/** True for a part of a table. */
export function isPart(span: string): boolean {
  return span.includes('#');
}

/** The buckets of a span; all of them unless it is a part. */
export function spanRange(span: string): BucketRange {
  const at = span.indexOf('#');
  if (at < 0) return { from: 0, to: bucketCount - 1 };
  const [from = '', to = ''] = span.slice(at + 1).split('-');
  return { from: Number(from), to: Number(to) };
}

/** True when some row may belong to both spans. */
export function spansOverlap(a: string, b: string): boolean {
  if (wholeSpan(a) !== wholeSpan(b)) return false;
  const [rangeA, rangeB] = [spanRange(a), spanRange(b)];
  return rangeA.from <= rangeB.to && rangeB.from <= rangeA.to;
}

/** The parts that divide `span` evenly, in order; 2 ≤ partCount ≤ its buckets. */
export function evenParts(span: string, partCount: number): readonly string[] {
  const { from, to } = spanRange(span);
  const size = to - from + 1;
  return Array.from({ length: partCount }, (_, i) =>
    partSpan(wholeSpan(span), {
      from: from + Math.floor((i * size) / partCount),
      to: from + Math.floor(((i + 1) * size) / partCount) - 1,
    }),
  );
}

function encodePart(part: string): string {
  return part.replaceAll(/[%.+:#]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}
