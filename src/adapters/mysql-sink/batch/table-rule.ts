import type { TableName } from '#src/model/span.ts';

const systemSchemas = new Set([
  'mysql',
  'sys',
  'information_schema',
  'performance_schema',
  'sluice_meta',
]);

/**
 * Whether `schema.table` rules with `*`, `?` and a leading `!` select a table; the last rule that matches decides, and
 * without rules every table is selected. System schemas never are. Letter case does not count.
 */
export function rulesSelect(rules: readonly string[], name: TableName): boolean {
  if (systemSchemas.has(name.schema.toLowerCase())) return false;
  let isSelected = rules.length === 0;
  for (const rule of rules) {
    const isExclusion = rule.startsWith('!');
    const [schema = '*', table = '*'] = splitRule(isExclusion ? rule.slice(1) : rule);
    if (matches(schema, name.schema) && matches(table, name.table)) isSelected = !isExclusion;
  }
  return isSelected;
}

function splitRule(rule: string): readonly string[] {
  const dot = rule.indexOf('.');
  return dot < 0 ? [rule] : [rule.slice(0, dot), rule.slice(dot + 1)];
}

function matches(pattern: string, name: string): boolean {
  const source = pattern
    .replaceAll(/[\\^$.|+()[\]{}]/g, '\\$&')
    .replaceAll('*', '[^]*')
    .replaceAll('?', '[^]');
  return new RegExp(`^${source}$`, 'iu').test(name);
}
