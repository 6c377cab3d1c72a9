import { fail } from '../../base/failure.ts';
import type { DdlStatement } from '../../model/ddl-statement.ts';
import type { TableName } from '../../model/span.ts';
import type { TableFilter } from '../../model/table-filter.ts';

/**
 * The statement as it is to run downstream: as it stands when all its tables are replicated, undefined when none is. A
 * DROP or RENAME of both kinds is reduced to the replicated ones; any other mixture is SOURCE_UNSUPPORTED.
 */
export function filterDdl(
  statement: DdlStatement,
  sql: string,
  filter: TableFilter,
): string | undefined {
  const { tables, schemas, object, action } = statement;
  if (object === 'database') {
    return schemas.some((schema) => filter.matchesSchema(schema)) ? sql : undefined;
  }
  if (tables.length === 0) {
    fail('SOURCE_UNSUPPORTED', `a statement (${action} ${object}) whose table cannot be told`);
  }
  const kept = tables.filter((table) => filter.matchesTable(table.schema, table.table));
  if (kept.length === tables.length) return sql;
  if (kept.length === 0) return undefined;
  if (action === 'drop') {
    const ifExists = statement.ifExists ? 'IF EXISTS ' : '';
    return `DROP ${object.toUpperCase()} ${ifExists}${kept.map(quoted).join(', ')}`;
  }
  if (action === 'rename') return reduceRename(statement, filter);
  return refuse(statement);
}

function reduceRename(statement: DdlStatement, filter: TableFilter): string | undefined {
  const pairs: string[] = [];
  for (let i = 0; i + 1 < statement.tables.length; i += 2) {
    const from = statement.tables[i]!;
    const to = statement.tables[i + 1]!;
    const replicated = filter.matchesTable(from.schema, from.table);
    // A table that comes into or leaves the filter cannot be made or kept by a rename.
    if (replicated !== filter.matchesTable(to.schema, to.table)) return refuse(statement);
    if (replicated) pairs.push(`${quoted(from)} TO ${quoted(to)}`);
  }
  return pairs.length === 0 ? undefined : `RENAME TABLE ${pairs.join(', ')}`;
}

function refuse(statement: DdlStatement): never {
  const names = statement.tables.map(quoted).join(', ');
  return fail(
    'SOURCE_UNSUPPORTED',
    `a statement (${statement.action} ${statement.object}) on tables inside and outside the filter: ${names}`,
  );
}

function quoted(name: TableName): string {
  const quote = (part: string): string => `\`${part.replaceAll('`', '``')}\``;
  return `${quote(name.schema)}.${quote(name.table)}`;
}
