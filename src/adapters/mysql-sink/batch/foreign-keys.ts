import { fail } from '#src/base/failure.ts';
import { groupSpan, tableSpan } from '#src/model/span.ts';
import { compileTableFilter } from '#src/model/table-filter.ts';
import { cellText } from './catalog-cell.ts';
import { quoteText } from './identifier.ts';
import { isCascading } from './table-definition.ts';

import type { TableName } from '#src/model/span.ts';
import type { ForeignKey, ReferenceAction } from './table-definition.ts';

/** Reads all foreign keys downstream, or those that start or end at one table; rows for {@link readForeignKey}. */
export function foreignKeysQuery(only: TableName | null): string {
  const sql = `SELECT CONSTRAINT_SCHEMA AS childSchema, TABLE_NAME AS childTable,
    UNIQUE_CONSTRAINT_SCHEMA AS parentSchema, REFERENCED_TABLE_NAME AS parentTable,
    UPDATE_RULE AS onUpdate, DELETE_RULE AS onDelete FROM information_schema.REFERENTIAL_CONSTRAINTS`;
  if (only === null) return sql;
  const schema = quoteText(only.schema);
  const table = quoteText(only.table);
  return `${sql} WHERE CONSTRAINT_SCHEMA=${schema} AND TABLE_NAME=${table}
    OR UNIQUE_CONSTRAINT_SCHEMA=${schema} AND REFERENCED_TABLE_NAME=${table}`;
}

/** A foreign key from a row of {@link foreignKeysQuery}. */
export function readForeignKey(row: Record<string, unknown>): ForeignKey {
  const text = (name: string): string => cellText(row[name]) ?? '';
  return {
    childSchema: text('childSchema'),
    childTable: text('childTable'),
    parentSchema: text('parentSchema'),
    parentTable: text('parentTable'),
    onUpdate: text('onUpdate') as ReferenceAction,
    onDelete: text('onDelete') as ReferenceAction,
  };
}

/**
 * Table span name → group span name, for every selected table in a connected component of cascading foreign keys.
 * MariaDB does not log the rows that a cascade changes, so the cascade must run again downstream, in source order with
 * the changes of all tables it may touch: those tables form one span.
 */
export function tableGroups(
  keys: readonly ForeignKey[],
  rules: readonly string[],
): Record<string, string> {
  // No rules at all: nobody has said yet what is replicated, so everything may be.
  const filter = compileTableFilter(rules.length === 0 ? ['*.*'] : rules);
  const leaders = new Map<string, string>();
  const names = new Map<string, TableName>();
  const leaderOf = (span: string): string => {
    let at = span;
    for (let up = leaders.get(at); up !== undefined && up !== at; up = leaders.get(at)) at = up;
    return at;
  };
  for (const key of keys) {
    if (!isCascading(key)) continue;
    const child = { schema: key.childSchema, table: key.childTable };
    const parent = { schema: key.parentSchema, table: key.parentTable };
    if (!filter.matchesTable(child.schema, child.table)) continue;
    if (!filter.matchesTable(parent.schema, parent.table)) refuseLoneChild(child, parent);
    for (const name of [child, parent]) {
      const span = tableSpan(name);
      names.set(span, name);
      if (!leaders.has(span)) leaders.set(span, span);
    }
    leaders.set(leaderOf(tableSpan(child)), leaderOf(tableSpan(parent)));
  }
  const members = Map.groupBy(names.keys(), leaderOf);
  const groups: Record<string, string> = {};
  for (const spans of members.values()) {
    const group = groupSpan(spans.map((span) => names.get(span)!));
    for (const span of spans) groups[span] = group;
  }
  return groups;
}

function refuseLoneChild(child: TableName, parent: TableName): never {
  fail(
    'SINK_UNSUPPORTED',
    `${child.schema}.${child.table} is changed by a foreign key on ${parent.schema}.${parent.table}, which the rules leave out; select both`,
    { detail: { schema: child.schema, table: child.table } },
  );
}
