/** What the parser makes of SQL. Nodes are never changed: parsed commands are kept and run again. */
import type { Value } from './value.ts';

/** Something with a value. */
export type Expression =
  | { readonly kind: 'literal'; readonly value: Value }
  | { readonly kind: 'column'; readonly table: string | null; readonly name: string }
  | { readonly kind: 'user'; readonly name: string }
  | { readonly kind: 'system'; readonly name: string }
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly Expression[] }
  | {
      readonly kind: 'binary';
      readonly operator: string;
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly kind: 'not'; readonly operand: Expression }
  | { readonly kind: 'isNull'; readonly operand: Expression; readonly negated: boolean }
  | {
      readonly kind: 'in';
      readonly left: readonly Expression[];
      readonly rows: readonly (readonly Expression[])[];
      readonly negated: boolean;
    }
  | {
      readonly kind: 'like';
      readonly operand: Expression;
      readonly pattern: Expression;
      readonly escape: string;
    }
  | { readonly kind: 'query'; readonly select: Select }
  | { readonly kind: 'default' }
  | { readonly kind: 'star' };

/** A table by name; the schema is null when the session's default is meant. */
export interface TableRef {
  readonly schema: string | null;
  readonly table: string;
}

/** A table of a FROM clause. */
export interface Source extends TableRef {
  readonly alias: string;
  /** Index that the statement forces. */
  readonly index: string | null;
  /** Condition of a left join; null for the first table. */
  readonly on: Expression | null;
}

/** One column of a result. */
export interface Output {
  readonly name: string;
  readonly value: Expression;
}

/** A query. */
export interface Select {
  readonly outputs: readonly Output[];
  readonly isDistinct: boolean;
  readonly from: readonly Source[];
  readonly where: Expression | null;
  readonly order: readonly { readonly by: Expression; readonly isDescending: boolean }[];
  readonly limit: number | null;
  readonly lock: 'X' | 'S' | null;
  /** Queries whose rows are added, without repeats. */
  readonly unions: readonly Select[];
}

/** `a=1` of an UPDATE, of ON DUPLICATE KEY UPDATE, or of a SET statement. */
export interface Assignment {
  readonly name: string;
  readonly value: Expression;
}

/** A column as declared. */
export interface ColumnSpec {
  readonly name: string;
  /** Base type, lower case. */
  readonly type: string;
  /** Characters, bytes or display width in parentheses; null when not given. */
  readonly length: number | null;
  readonly isUnsigned: boolean;
  readonly isNullable: boolean;
  readonly isAutoIncrement: boolean;
  /** Undefined: none. */
  readonly defaultValue: Value | undefined;
  readonly charset: string | null;
  readonly collation: string | null;
}

/** A key as declared; `PRIMARY` is the primary key. */
export interface KeySpec {
  readonly name: string;
  readonly isUnique: boolean;
  readonly columns: readonly string[];
}

/** A CHECK constraint. */
export interface CheckSpec {
  readonly name: string;
  readonly condition: Expression;
  readonly text: string;
}

/** One change of an ALTER TABLE. */
export type Alteration =
  | { readonly kind: 'add'; readonly column: ColumnSpec }
  | { readonly kind: 'drop'; readonly column: string }
  | { readonly kind: 'change'; readonly from: string; readonly column: ColumnSpec }
  | { readonly kind: 'comment'; readonly text: string }
  | { readonly kind: 'rename'; readonly to: TableRef };

/** A statement. */
export type Statement =
  | { readonly kind: 'begin' | 'commit' | 'rollback' | 'nothing' }
  | {
      readonly kind: 'set';
      readonly assignments: readonly (Assignment & { readonly isUser: boolean })[];
    }
  | { readonly kind: 'do'; readonly values: readonly Expression[] }
  | { readonly kind: 'use'; readonly schema: string }
  | { readonly kind: 'kill'; readonly id: number }
  | { readonly kind: 'select'; readonly select: Select }
  | {
      readonly kind: 'insert';
      readonly replaces: boolean;
      readonly table: TableRef;
      readonly columns: readonly string[] | null;
      readonly rows: readonly (readonly Expression[])[];
      readonly onDuplicate: readonly Assignment[] | null;
    }
  | {
      readonly kind: 'update';
      readonly table: TableRef;
      readonly assignments: readonly Assignment[];
      readonly where: Expression | null;
      readonly limit: number | null;
    }
  | {
      readonly kind: 'delete';
      readonly table: TableRef;
      readonly where: Expression | null;
      readonly limit: number | null;
    }
  | { readonly kind: 'showVariables'; readonly where: Expression | null }
  | { readonly kind: 'showCreateTable'; readonly table: TableRef }
  | { readonly kind: 'showCreateDatabase'; readonly schema: string }
  | Definition;

/** A statement that changes definitions: it commits what is open before it. `text` is the statement itself. */
export type Definition = { readonly text: string } & (
  | { readonly kind: 'createDatabase'; readonly schema: string; readonly ifMissing: boolean }
  | { readonly kind: 'dropDatabase'; readonly schema: string; readonly ifThere: boolean }
  | {
      readonly kind: 'createTable';
      readonly table: TableRef;
      readonly ifMissing: boolean;
      readonly columns: readonly ColumnSpec[];
      readonly keys: readonly KeySpec[];
      readonly checks: readonly CheckSpec[];
    }
  | { readonly kind: 'dropTable'; readonly tables: readonly TableRef[]; readonly ifThere: boolean }
  | { readonly kind: 'truncate'; readonly table: TableRef }
  | {
      readonly kind: 'renameTable';
      readonly moves: readonly { readonly from: TableRef; readonly to: TableRef }[];
    }
  | {
      readonly kind: 'alterTable';
      readonly table: TableRef;
      readonly alterations: readonly Alteration[];
    }
);
