/** One column of a downstream table. */
export interface ColumnDefinition {
  readonly name: string;
  /** Base type, lower case, e.g. `varchar`. */
  readonly dataType: string;
  /** Type as declared, e.g. `varchar(20)`, `enum('a','b')`. */
  readonly columnType: string;
  /** Null for columns without characters. */
  readonly charset: string | null;
  readonly collation: string | null;
  readonly isNullable: boolean;
  /** A row may be inserted without naming the column, and nothing is evaluated for it. */
  readonly hasDefault: boolean;
  /** Never written: the server computes it. */
  readonly generated: 'no' | 'virtual' | 'stored';
  readonly isInvisible: boolean;
  readonly isAutoIncrement: boolean;
  /** ON UPDATE CURRENT_TIMESTAMP: an update that does not name the column changes it. */
  readonly updatesItself: boolean;
  /** Longest value in bytes; null for types without a length. */
  readonly byteCountMax: number | null;
  /** Digits after the second of a temporal type; null for other types. */
  readonly secondDigits: number | null;
  /** Some index begins with the column, so a comparison by its collation finds rows fast. */
  readonly leadsIndex: boolean;
  /** Labels of ENUM and SET, in order; null for other types. */
  readonly labels: readonly string[] | null;
}

/** One part of a unique key. */
export interface KeyPart {
  /** Index into {@link TableDefinition.columns}; -1 for an expression (MySQL functional key part). */
  readonly column: number;
  /** Characters (bytes for binary types) of the column that the index holds; 0 = all. */
  readonly prefixLength: number;
}

/** A unique key, the primary key included. */
export interface UniqueKey {
  readonly name: string;
  readonly parts: readonly KeyPart[];
}

/** What happens to child rows when their parent row goes or changes. */
export type ReferenceAction = 'RESTRICT' | 'CASCADE' | 'SET NULL' | 'SET DEFAULT' | 'NO ACTION';

/** A foreign key that starts or ends at a table. */
export interface ForeignKey {
  readonly childSchema: string;
  readonly childTable: string;
  readonly parentSchema: string;
  readonly parentTable: string;
  readonly onUpdate: ReferenceAction;
  readonly onDelete: ReferenceAction;
}

/** A table as the downstream has it. The log's rows fit it, because DDL is applied behind a barrier. */
export interface TableDefinition {
  readonly schema: string;
  readonly table: string;
  readonly columns: readonly ColumnDefinition[];
  /** All unique keys, the primary key first. */
  readonly uniqueKeys: readonly UniqueKey[];
  /** What identifies a row: the primary key, else a unique key of whole columns that are never NULL, else nothing. */
  readonly rowKey: UniqueKey | null;
  /** Foreign keys that start here, and those of other tables (or this one) that refer to it. */
  readonly foreignKeys: readonly ForeignKey[];
  readonly referencedBy: readonly ForeignKey[];
  /** A CHECK constraint may refuse a row that lacks some of its columns. */
  readonly hasChecks: boolean;
}

/** A foreign key through which the server changes child rows on its own. */
export function isCascading(key: ForeignKey): boolean {
  return changesChildren(key.onDelete) || changesChildren(key.onUpdate);
}

function changesChildren(action: ReferenceAction): boolean {
  return action === 'CASCADE' || action === 'SET NULL' || action === 'SET DEFAULT';
}

/** The labels of an ENUM or SET from its declared type, e.g. `enum('a','it''s')`; null for other types. */
export function typeLabels(columnType: string): readonly string[] | null {
  if (!/^(enum|set)\(/i.test(columnType)) return null;
  const labels: string[] = [];
  for (const [, label] of columnType.matchAll(/'((?:[^']|'')*)'/g)) {
    labels.push(label!.replaceAll("''", "'"));
  }
  return labels;
}
