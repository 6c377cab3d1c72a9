/**
 * A span is what one dispatcher replicates: one table, or a group of tables tied by cascading foreign keys (DESIGN §2).
 * Its name is also the stored name of its slots: `schema.table`, each part percent-encoded where needed, or
 * `group:` and the tables in order joined by `+`.
 */

/** A table's full name. */
export interface TableName {
  readonly schema: string;
  readonly table: string;
}

/** The span name of a table alone. Injective: dots, plus signs, colons and percent signs inside names are encoded. */
export function tableSpan(name: TableName): string {
  return `${encodePart(name.schema)}.${encodePart(name.table)}`;
}

/** The span name of a group of tables; the order of `names` does not matter. */
export function groupSpan(names: readonly TableName[]): string {
  return `group:${names.map(tableSpan).sort().join('+')}`;
}

/** The tables of a span, from its name. */
export function spanTables(span: string): readonly TableName[] {
  const names = span.startsWith('group:') ? span.slice('group:'.length).split('+') : [span];
  return names.map((name) => {
    const [schema = '', table = ''] = name.split('.');
    return { schema: decodeURIComponent(schema), table: decodeURIComponent(table) };
  });
}

function encodePart(part: string): string {
  return part.replaceAll(/[%.+:]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}
