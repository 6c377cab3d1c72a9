/**
 * Which tables a changefeed replicates: rules `schema.table` with `*` (any run of characters) and `?` (one character),
 * `!` in front to exclude; the last rule that matches decides, and a table that no rule matches is not replicated.
 * Names with dots, stars or other signs stand in backquotes (`` `a.b`.* ``) or after a backslash. System schemas are
 * never replicated. Matching is linear in the name for each rule: no backtracking beyond the last star.
 */
import { fail } from '../base/failure.ts';

/** Schemas that are never replicated: the server's own, and Sluice's bookkeeping. */
export const systemSchemas: readonly string[] = [
  'mysql',
  'information_schema',
  'performance_schema',
  'sys',
  'sluice_meta',
];

/** At most this many rules in one filter. */
export const filterRulesMax = 10_000;

/** A compiled filter. */
export interface TableFilter {
  /** True when the rows of the table are replicated. */
  readonly matchesTable: (schema: string, table: string) => boolean;
  /** True when some table of the schema could be replicated: statements on the schema itself are. */
  readonly matchesSchema: (schema: string) => boolean;
}

const anyRun = -1;
const anyOne = -2;

/** Character codes, with {@link anyRun} and {@link anyOne} for the wildcards. */
type Pattern = readonly number[];

interface Rule {
  readonly include: boolean;
  readonly schema: Pattern;
  readonly table: Pattern;
}

/** Compiles `rules`; CONFIG_INVALID names every rule that is wrong. Without `caseSensitive` letters match in any case. */
export function compileTableFilter(
  rules: readonly string[],
  options: { readonly caseSensitive?: boolean } = {},
): TableFilter {
  const fold = options.caseSensitive === true ? same : lower;
  const problems: string[] = [];
  if (rules.length > filterRulesMax) problems.push(`more than ${filterRulesMax} rules`);
  const compiled: Rule[] = [];
  for (const text of rules.slice(0, filterRulesMax)) {
    const rule = parseRule(text, fold);
    if (typeof rule === 'string') problems.push(`"${text}": ${rule}`);
    else compiled.push(rule);
  }
  if (problems.length > 0) fail('CONFIG_INVALID', `filter rules: ${problems.join('; ')}`);
  return {
    matchesTable(schema, table) {
      if (isSystemSchema(schema)) return false;
      const schemaName = fold(schema);
      const tableName = fold(table);
      for (let i = compiled.length - 1; i >= 0; i--) {
        const rule = compiled[i]!;
        if (matches(rule.schema, schemaName) && matches(rule.table, tableName)) {
          return rule.include;
        }
      }
      return false;
    },
    matchesSchema(schema) {
      if (isSystemSchema(schema)) return false;
      const schemaName = fold(schema);
      for (let i = compiled.length - 1; i >= 0; i--) {
        const rule = compiled[i]!;
        if (!matches(rule.schema, schemaName)) continue;
        if (rule.include) return true;
        if (isEverything(rule.table)) return false;
      }
      return false;
    },
  };
}

/** True for schemas that are never replicated. */
export function isSystemSchema(schema: string): boolean {
  return systemSchemas.includes(schema.toLowerCase());
}

function same(text: string): string {
  return text;
}

function lower(text: string): string {
  return text.toLowerCase();
}

function isEverything(pattern: Pattern): boolean {
  return pattern.length === 1 && pattern[0] === anyRun;
}

function parseRule(text: string, fold: (text: string) => string): Rule | string {
  const trimmed = text.trim();
  const include = !trimmed.startsWith('!');
  const body = include ? trimmed : trimmed.slice(1).trimStart();
  const schema = parsePattern(body, 0, fold);
  if (typeof schema === 'string') return schema;
  if (body[schema.end] !== '.') return 'a rule has the form schema.table';
  const table = parsePattern(body, schema.end + 1, fold);
  if (typeof table === 'string') return table;
  if (table.end !== body.length) return 'a name with a dot stands in backquotes';
  if (schema.pattern.length === 0 || table.pattern.length === 0) return 'a name is missing';
  return { include, schema: schema.pattern, table: table.pattern };
}

/** Reads one half of a rule from `start` up to an unquoted dot or the end. */
function parsePattern(
  text: string,
  start: number,
  fold: (text: string) => string,
): { readonly pattern: Pattern; readonly end: number } | string {
  const pattern: number[] = [];
  const literal = (from: string): void => {
    for (const unit of fold(from))
      for (let i = 0; i < unit.length; i++) pattern.push(unit.charCodeAt(i));
  };
  let at = start;
  if (text[at] === '`') {
    for (at++; ; at++) {
      if (at >= text.length) return 'a backquote is not closed';
      if (text[at] !== '`') literal(text[at]!);
      else if (text[at + 1] === '`') literal(text[at++]!);
      else return { pattern, end: at + 1 };
    }
  }
  for (; at < text.length && text[at] !== '.'; at++) {
    const sign = text[at]!;
    if (sign === '*') {
      if (pattern[pattern.length - 1] !== anyRun) pattern.push(anyRun);
    } else if (sign === '?') pattern.push(anyOne);
    else if (sign === '`' || sign === '!') return `${sign} must stand in front`;
    else if (sign === '\\') {
      at++;
      if (at >= text.length) return 'a backslash at the end';
      literal(text[at]!);
    } else literal(sign);
  }
  return { pattern, end: at };
}

function matches(pattern: Pattern, name: string): boolean {
  let p = 0;
  let n = 0;
  let starAt = -1;
  let resumeAt = 0;
  while (n < name.length) {
    const sign = pattern[p];
    if (sign === anyRun) {
      starAt = p++;
      resumeAt = n;
    } else if (sign !== undefined && (sign === anyOne || sign === name.charCodeAt(n))) {
      p++;
      n++;
    } else if (starAt >= 0) {
      // Only the last star may take one character more: an earlier star never needs to be tried again.
      p = starAt + 1;
      n = ++resumeAt;
    } else {
      return false;
    }
  }
  while (pattern[p] === anyRun) p++;
  return p === pattern.length;
}
